"""FailureApp: the ASGI messages it sends for each kind of scope."""

from __future__ import annotations

import asyncio
import json

import pytest

from firehot_server.failure.app import WAIT_PATH, FailureApp
from firehot_server.failure.report import sentence_only

FAILURE = sentence_only("The app crashed", "Its process got SIGSEGV.")
NO_STORE = (b"cache-control", b"no-store")


class Client:
    """The server's side of one ASGI call: prepared messages to receive, then silence; what was sent."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.sent = []
        self.waiting = asyncio.Event()

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        self.waiting.set()
        return await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)


class GoneClient(Client):
    """A client whose connection is lost: every send fails."""

    async def send(self, message):
        raise OSError("connection lost")


def http(path="/", method="GET", root_path="", **headers):
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": raw}


def answer(scope, *messages):
    """Run the app over one scope and give what it sent."""

    async def run():
        client = Client(*messages)
        async with asyncio.timeout(10):
            await FailureApp(FAILURE, 7)(scope, client.receive, client.send)
        return client.sent

    return asyncio.run(run())


async def cancelled_while_waiting(client):
    """Cancel the app once it waits; give the task, which has ended."""
    app = FailureApp(FAILURE, 7)
    task = asyncio.create_task(app(http(WAIT_PATH), client.receive, client.send))
    async with asyncio.timeout(10):
        await client.waiting.wait()
        task.cancel()
        await asyncio.wait([task])
    return task


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_request_gets_500(method):
    """Any method and path is answered by status 500 with the failure, uncached, naming the generation."""
    start, body = answer(http("/users", method))

    assert (start["type"], start["status"]) == ("http.response.start", 500)
    assert {NO_STORE, (b"x-firehot-failure", b"7")} <= set(start["headers"])
    assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]
    assert body["body"].startswith(b"The app crashed\n")
    assert not body.get("more_body")


def test_an_unread_body_does_not_delay_the_answer():
    """While a body is still being uploaded nothing of it is read, and the answer is complete."""
    upload = {"type": "http.request", "body": b"x", "more_body": True}

    async def run():
        client = Client(*[upload] * 3)
        await FailureApp(FAILURE, 7)(http(method="POST"), client.receive, client.send)
        return len(client.messages), len(client.sent)

    assert asyncio.run(run()) == (3, 2)


def test_head_has_the_headers_of_get():
    """HEAD gets the headers that GET would get, and no body."""
    get, head = answer(http()), answer(http(method="HEAD"))

    assert head[0] == get[0]
    assert head[1]["body"] == b""


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ({}, b"text/plain; charset=utf-8"),
        ({"accept": "text/html"}, b"text/html; charset=utf-8"),
        ({"accept": "application/json"}, b"application/json"),
    ],
)
def test_the_form_follows_the_accept_header(headers, content_type):
    """The content type is what the request asked for."""
    start, _ = answer(http(**headers))

    assert (b"content-type", content_type) in start["headers"]


def test_several_accept_headers_count_as_one():
    """A list that is split over several headers is read whole."""
    scope = http(accept="text/html;q=0.5")
    scope["headers"].append((b"accept", b"application/json"))

    _, body = answer(scope)

    assert json.loads(body["body"])["error"] == "The app crashed"


def test_the_page_waits_below_the_root_path():
    """Behind a proxy that adds a prefix, the page asks for the waiting path with that prefix."""
    _, body = answer(http("/api/users", root_path="/api", accept="text/html"))

    assert f'data-wait="/api{WAIT_PATH}"'.encode() in body["body"]


@pytest.mark.parametrize(
    ("path", "root_path"),
    [(WAIT_PATH, ""), ("/api" + WAIT_PATH, "/api"), (WAIT_PATH, "/api")],
)
def test_waiting_ends_when_the_client_goes(path, root_path):
    """The waiting path answers 200 with a first comment, and ends once the client has disconnected."""
    request = {"type": "http.request", "body": b"", "more_body": False}

    start, comment, end = answer(http(path, root_path=root_path), request, {"type": "http.disconnect"})

    assert start["status"] == 200
    assert {NO_STORE, (b"content-type", b"text/event-stream"), (b"x-firehot-failure", b"7")} == set(start["headers"])
    assert comment["body"].startswith(b":")
    assert comment["more_body"]
    assert end == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_only_get_waits(method):
    """A request that cannot be the page's own is answered at once."""
    assert answer(http(WAIT_PATH, method))[0]["status"] == 500


def test_waiting_ends_cleanly_when_cancelled():
    """Cancelling the task completes the response, and the server sees no exception."""

    async def run():
        client = Client()
        task = await cancelled_while_waiting(client)
        return task.cancelled(), task.exception(), client.sent[-1]

    assert asyncio.run(run()) == (False, None, {"type": "http.response.body", "body": b""})


def test_waiting_survives_a_lost_connection():
    """If nothing can be sent any more, the wait is over, and the server sees no exception."""

    async def run():
        client = GoneClient()
        async with asyncio.timeout(10):
            await FailureApp(FAILURE, 7)(http(WAIT_PATH), client.receive, client.send)

    asyncio.run(run())


def test_lifespan_completes():
    """Start-up and shutdown succeed: the server must run although the app cannot."""
    sent = answer({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_websockets_are_told_to_try_again():
    """A WebSocket is closed with 1013 before it was accepted."""
    sent = answer({"type": "websocket", "path": "/ws", "headers": []}, {"type": "websocket.connect"})

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1013)]


def test_an_unknown_scope_is_refused():
    """A kind of scope that ASGI 3 does not have raises, as the specification asks."""
    with pytest.raises(ValueError, match="'udp'"):
        answer({"type": "udp"})
