"""Which requests are running, and which of them would never end by themselves."""

import asyncio
import traceback

import pytest

from firehot_server.worker.requests import RunningRequests, request_line

PLAIN = [(b"content-type", b"text/plain")]
EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
PUSH = [(b"content-type", b"Multipart/x-mixed-replace; boundary=frame")]


class Board:
    """Takes notices, and keeps them."""

    def __init__(self):
        self.up = []

    def put_up(self, text):
        self.up.append(text)
        return text

    def take_down(self, slot):
        self.up.remove(slot)


def running(app):
    return RunningRequests(app, Board())


def http(path="/", method="GET"):
    return {"type": "http", "method": method, "path": path}


def websocket(path="/"):
    return {"type": "websocket", "path": path}


def start(headers=PLAIN):
    return {"type": "http.response.start", "status": 200, "headers": headers}


def body(data=b"", *, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


END = body()


class Client:
    """The server's side of one response: strict about its order, as uvicorn is."""

    def __init__(self):
        self.sent = []
        self.reads = asyncio.Event()
        self.reads.set()

    @property
    def is_complete(self):
        return bool(self.sent) and not self.sent[-1].get("more_body", True)

    async def send(self, message):
        if self.is_complete:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}' sent, after response already completed.")
        await self.reads.wait()
        self.sent.append(message)

    async def receive(self):
        return {"type": "http.disconnect"}


class Server:
    """Runs requests in tasks of their own, as uvicorn does."""

    def __init__(self, app):
        self.requests = running(app)
        self.tasks = []

    def request(self, scope):
        """Start one; its client."""
        client = Client()

        async def run():
            await self.requests(scope, client.receive, client.send)

        self.tasks.append(asyncio.create_task(run()))
        return client

    async def turn(self):
        """Let everything run that can."""
        for _ in range(5):
            await asyncio.sleep(0)


class Stage:
    """An app whose requests send what they are told to, then wait for their cue to end."""

    def __init__(self, *messages, after=()):
        self.messages, self.after = messages, after
        self.cue = asyncio.Event()

    async def __call__(self, scope, receive, send):
        for message in self.messages:
            await send(message)
        await self.cue.wait()
        for message in self.after:
            await send(message)


# -- what is running


def test_nothing_runs_at_first():
    """Neither before nor after requests."""
    requests = running(Stage())

    assert requests.lines == []
    assert not requests.any_http


def test_requests_run_until_their_task_ends():
    """In the order in which they came."""

    async def main():
        stage = Stage()
        server = Server(stage)
        for scope in (http("/users", "POST"), http("/"), websocket("/chat")):
            server.request(scope)
        await server.turn()
        assert server.requests.lines == ["POST /users", "GET /", "WEBSOCKET /chat"]
        assert server.requests._board.up == server.requests.lines

        stage.cue.set()
        await server.turn()
        assert server.requests.lines == server.requests._board.up == []
        assert not server.requests.any_http

    asyncio.run(main())


def test_a_request_that_fails_is_over_too():
    """As is one that was cancelled."""

    async def fail(scope, receive, send):
        raise LookupError("no such user")

    async def main():
        server = Server(fail)
        server.request(http())
        await asyncio.wait(server.tasks)
        assert isinstance(server.tasks[0].exception(), LookupError)
        assert server.requests.lines == []

        server = Server(Stage())
        server.request(http())
        await server.turn()
        server.tasks[0].cancel()
        await server.turn()
        assert server.requests.lines == []

    asyncio.run(main())


def test_the_lifespan_is_no_request():
    """It runs as long as the server."""

    async def main():
        stage = Stage()
        server = Server(stage)
        server.request({"type": "lifespan"})
        await server.turn()
        assert server.requests.lines == []
        stage.cue.set()
        await server.turn()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("scope", "messages", "ends_by_itself"),
    [
        (http(), [], True),
        (http(), [start()], True),
        (http(), [start(), body(b"a", more=True)], True),
        (http(), [start(), END], True),  # a background task
        (http(), [start([])], True),
        (http(), [{"type": "http.response.start", "status": 204}], True),
        (http(), [start(EVENTS)], False),
        (http(), [start([(b"content-type", b"text/event-stream")]), body(b"a", more=True)], False),
        (http(), [start([(b"x-content-type", b"text/event-stream")])], True),
        (http(), [start(PUSH), body(b"a", more=True)], False),
        (http(), [start([(b"content-type", b"multipart/form-data; boundary=a")])], True),
        (http(), [start([(b"content-type", b"application/x-ndjson")]), body(b"{}", more=True)], True),
        (websocket(), [{"type": "websocket.accept"}], False),
    ],
)
def test_what_will_end_by_itself(scope, messages, ends_by_itself):
    """Every response but those of types that are endless by definition; not a WebSocket either."""

    async def main():
        stage = Stage(*messages)
        server = Server(stage)
        server.request(scope)
        await server.turn()
        assert server.requests.any_http is ends_by_itself
        stage.cue.set()
        await server.turn()

    asyncio.run(main())


# -- ending event streams


def test_an_event_stream_is_completed():
    """Its client reconnects to the new code; what the app still sends goes nowhere, without an error."""

    async def main():
        stage = Stage(start(EVENTS), body(b"data: 1\n\n", more=True), after=[body(b"data: 2\n\n", more=True), END])
        server = Server(stage)
        client = server.request(http("/events"))
        await server.turn()
        await server.requests.end_streams()
        assert client.sent == [start(EVENTS), body(b"data: 1\n\n", more=True), END]

        stage.cue.set()
        await server.turn()
        assert client.sent[-1] == END
        assert len(client.sent) == 3
        assert server.tasks[0].exception() is None

    asyncio.run(main())


def test_a_stream_that_begins_late_is_completed_as_well():
    """Its handler was still preparing it; what it has sent with its start arrives."""

    async def main():
        prepared = asyncio.Event()

        async def app(scope, receive, send):
            await prepared.wait()
            await send(start(EVENTS))
            await send(body(b"data: 1\n\n", more=True))
            await later.wait()
            await send(body(b"data: 2\n\n", more=True))

        later = asyncio.Event()
        server = Server(app)
        client = server.request(http("/events"))
        await server.turn()
        await server.requests.end_streams()
        assert client.sent == []
        prepared.set()
        await server.turn()
        later.set()
        await server.turn()
        assert client.sent == [start(EVENTS), body(b"data: 1\n\n", more=True), END]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("scope", "line"),
    [
        (http(), "GET /"),
        ({**http("/search", "POST"), "query_string": b"q=a%20b&page=2"}, "POST /search?q=a%20b&page=2"),
        (http("/grüße an alle"), "GET /gr%C3%BC%C3%9Fe%20an%20alle"),
        (websocket("/chat"), "WEBSOCKET /chat"),
    ],
)
def test_request_lines(scope, line):
    """As they stand in an access log: on one line, whatever the client sends."""
    assert request_line(scope) == line


def test_other_responses_are_left_alone():
    """They end by themselves, or at the deadline."""

    async def main():
        stage = Stage(start(), body(b"a", more=True), after=[END])
        server = Server(stage)
        client = server.request(http())
        await server.turn()
        await server.requests.end_streams()
        assert not client.is_complete

        stage.cue.set()
        await server.turn()
        assert client.is_complete

    asyncio.run(main())


def test_a_websocket_is_left_alone():
    """uvicorn closes it with 1012."""

    async def main():
        stage = Stage({"type": "websocket.accept"})
        server = Server(stage)
        client = server.request(websocket())
        await server.turn()
        await server.requests.end_streams()
        assert client.sent == [{"type": "websocket.accept"}]
        stage.cue.set()
        await server.turn()

    asyncio.run(main())


def test_ending_event_streams_twice():
    """The second time there is nothing left to end."""

    async def main():
        stage = Stage(start(EVENTS))
        server = Server(stage)
        client = server.request(http())
        await server.turn()
        await server.requests.end_streams()
        await server.requests.end_streams()
        assert client.sent == [start(EVENTS), END]
        stage.cue.set()
        await server.turn()

    asyncio.run(main())


def test_an_event_stream_that_is_complete_already():
    """Its app still does something (a background task); the others are ended all the same, and no error is raised."""

    async def main():
        complete = Stage(start(EVENTS), END)
        endless = Stage(start(EVENTS))
        server = Server(lambda scope, *rest: (complete if scope["path"] == "/a" else endless)(scope, *rest))
        server.request(http("/a"))
        other = server.request(http("/b"))
        await server.turn()
        await server.requests.end_streams()
        assert other.is_complete
        complete.cue.set()
        endless.cue.set()
        await server.turn()

    asyncio.run(main())


def test_a_client_that_does_not_read_keeps_nobody_waiting():
    """The end of its stream cannot leave; those of the others can."""

    async def main():
        stage = Stage(start(EVENTS))
        server = Server(stage)
        stuck, other = server.request(http("/a")), server.request(http("/b"))
        await server.turn()
        stuck.reads.clear()
        ending = asyncio.create_task(server.requests.end_streams())
        await server.turn()
        assert other.is_complete
        stuck.reads.set()
        stage.cue.set()
        await asyncio.wait([ending, *server.tasks])

    asyncio.run(main())


# -- without a trace


def test_the_app_gets_what_the_server_gave():
    """The same scope and receive."""
    seen = []

    async def app(*arguments):
        seen.append(arguments)

    async def main():
        client = Client()
        receive, send = client.receive, client.send
        for scope in (http(), websocket()):
            await running(app)(scope, receive, send)
            assert seen[-1][0] is scope
            assert seen[-1][1] is receive

    asyncio.run(main())


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (http(), start([])),
        (http(), start(PLAIN)),
        (websocket(), {"type": "websocket.accept"}),
        (websocket(), {"type": "websocket.accept", "subprotocol": "chat", "headers": PLAIN}),
    ],
)
def test_old_code_that_answers_for_failed_code_says_so(scope, message):
    """In a header of each response; the app's own message is left as it is."""

    async def answered(failed):
        server = Server(Stage(message))
        server.requests.failed = failed
        client = server.request(scope)
        await server.turn()
        for task in server.tasks:
            task.cancel()
        return client.sent

    before = dict(message)
    assert asyncio.run(answered(None)) == [message]
    (sent,) = asyncio.run(answered(7))
    headers = [*message.get("headers", ()), (b"x-firehot-failure", b"7")]
    assert sent == {**message, "headers": headers}
    assert message == before


def test_a_traceback_has_no_frame_of_ours():
    """Neither where the app raises nor where its send does."""

    async def broken(scope, receive, send):
        await send(END)

    async def refuse(message):
        raise ConnectionError

    async def main():
        with pytest.raises(ConnectionError) as caught:
            await running(broken)(http(), None, refuse)
        return [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]

    assert set(asyncio.run(main())) == {__file__}


def test_an_app_that_raises_before_it_is_awaited():
    """Not a coroutine function, but a callable that gives an awaitable: its error is the app's own."""

    def app(scope, receive, send):
        raise TypeError("wrong arguments")

    async def main():
        with pytest.raises(TypeError, match="wrong arguments"):
            await running(app)(http(), None, None)

    asyncio.run(main())


def test_the_error_of_the_lifespan_is_kept():
    """uvicorn only logs it; the failure page wants it. It is raised as before."""

    async def app(scope, receive, send):
        raise OSError("no database")

    async def main():
        requests = running(app)
        with pytest.raises(OSError, match="no database") as caught:
            await requests({"type": "lifespan"}, None, None)
        assert requests.lifespan_error is caught.value

    asyncio.run(main())


def test_a_lifespan_without_error():
    """There is none to keep, and a request's own error is not the lifespan's."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            raise OSError

    async def main():
        requests = running(app)
        await requests({"type": "lifespan"}, None, None)
        with pytest.raises(OSError):
            await requests(http(), None, None)
        assert requests.lifespan_error is None

    asyncio.run(main())
