"""Connections that end with this worker."""

import asyncio
from types import SimpleNamespace

import pytest
import zttp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol
from uvicorn.protocols.http.zttp_impl import ZttpProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState

from firehot_server.worker.partings import Leaving, dismiss, has_answered, is_accepted, is_gone, unsent
from tests.support.raw_http import get
from tests.support.transports import Transport

HTTP1 = pytest.mark.parametrize("kind", [H11Protocol, HttpToolsProtocol, ZttpProtocol])
WEBSOCKETS = pytest.mark.parametrize("kind", [WebSocketsSansIOProtocol, WSProtocol])


class Worker:
    """Has connections, and an app that waits for its cue before it answers, and before it ends."""

    def __init__(self, kind):
        self.kind = kind
        self.config = Config(self._app, log_config=None, access_log=False, interface="asgi3", ws="none")
        self.config.load()
        self.state = ServerState()
        self.cue = asyncio.Event()
        self.is_accepting = True

    async def _app(self, scope, receive, send):
        if scope["type"] == "websocket":
            if self.is_accepting:
                await send({"type": "websocket.accept"})
            await self.cue.wait()
            return
        await self.cue.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def connect(self, *pieces):
        connection = self.kind(config=self.config, server_state=self.state, app_state={})
        connection.connection_made(Transport())
        for piece in pieces:
            connection.data_received(piece)
        await self.turn()
        return connection

    async def turn(self):
        for _ in range(6):
            await asyncio.sleep(0)

    async def end(self, connection):
        self.cue.set()
        await self.turn()
        for timer in ("timeout_keep_alive_task", "ping_timer"):
            if getattr(connection, timer, None) is not None:
                getattr(connection, timer).cancel()


@HTTP1
@pytest.mark.parametrize("requests", [[], [get("/")]], ids=["fresh", "answered"])
def test_an_idle_connection_closes_now(kind, requests):
    """Without a word; its client knows what that means."""

    async def main():
        worker = Worker(kind)
        worker.cue.set()
        connection = await worker.connect(*requests)
        assert has_answered(connection) is bool(requests)
        before = connection.transport.written
        assert not is_gone(connection)
        dismiss(connection)
        assert connection.transport.closing
        assert connection.transport.written == before
        assert is_gone(connection)
        await worker.end(connection)

    asyncio.run(main())


@HTTP1
def test_a_running_response_says_that_it_is_the_last(kind):
    """Then the connection closes."""

    async def main():
        worker = Worker(kind)
        connection = await worker.connect(get("/"))
        dismiss(connection)
        assert not connection.transport.closing
        await worker.end(connection)
        head, _, body = connection.transport.written.lower().partition(b"\r\n\r\n")
        assert head.count(b"connection: close") == 1
        assert body == b"ok"
        assert connection.transport.closing
        default = connection.server_state.default_headers
        assert default == []

    asyncio.run(main())


def test_http2_is_told_by_goaway():
    """At once, and what is running is finished."""

    async def main():
        worker = Worker(ZttpH2Protocol)
        client = zttp.Connection(zttp.CLIENT, protocol=zttp.HTTP2)
        client.initiate_connection()
        client.send_request(b"GET", b"/", b"2", [(b"host", b"x")]).end_message()
        connection = await worker.connect(client.data_to_send())
        assert has_answered(connection)

        def heard():
            client.receive_data(connection.transport.written)
            connection.transport.written = b""
            names = []
            while (event := client.next_event()) is not zttp.NEED_DATA:
                names.append(type(event).__name__)
            return names

        heard()
        dismiss(connection)
        dismiss(connection)  # at the hold, and again at the drain
        assert heard() == ["GoAway"]
        assert not connection.transport.closing
        await worker.end(connection)
        assert heard()[:3] == ["Response", "Data", "EndOfMessage"]
        assert connection.transport.closing

    asyncio.run(main())


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@WEBSOCKETS
def test_a_websocket_closes_with_1012(kind):
    """As soon as it is accepted."""

    async def main():
        worker = Worker(kind)
        websocket = await worker.connect(HANDSHAKE)
        assert is_accepted(websocket)
        dismiss(websocket)
        assert b"\x88\x02\x03\xf4" in websocket.transport.written  # a close frame, two bytes: 1012
        assert websocket.transport.closing
        assert not is_accepted(websocket)
        dismiss(websocket)
        assert websocket.transport.written.count(b"\x88\x02\x03\xf4") == 1
        await worker.end(websocket)

    asyncio.run(main())


@WEBSOCKETS
def test_a_websocket_that_is_not_accepted_yet(kind):
    """It can wait, or be refused."""

    async def main():
        worker = Worker(kind)
        worker.is_accepting = False
        websocket = await worker.connect(HANDSHAKE)
        assert not is_accepted(websocket)
        dismiss(websocket)
        assert b"500" in websocket.transport.written.partition(b"\r\n")[0]
        await worker.end(websocket)

    asyncio.run(main())


def test_the_handshake_of_the_older_implementation():
    """It has an event for that."""
    done = asyncio.Event()
    websocket = SimpleNamespace(handshake_completed_event=done, transport=Transport())
    assert not is_accepted(websocket)
    done.set()
    assert is_accepted(websocket)


def test_a_protocol_that_cannot_say_it_is_closed_all_the_same():
    """One that fails must not keep the others from being told."""

    def shutdown():
        raise LookupError

    connection = SimpleNamespace(transport=Transport(), shutdown=shutdown)
    dismiss(connection)
    assert connection.transport.closing


# -- what has not left


class Encrypted(Transport):
    """asyncio's TLS: what is encrypted waits in the transport of the socket."""

    def __init__(self, encrypted):
        super().__init__()
        self._ssl_protocol = SimpleNamespace(_transport=Transport())
        self._ssl_protocol._transport.unsent = encrypted


class ClosedTwice(Transport):
    """asyncio's TLS after that."""

    _ssl_protocol = None

    def get_write_buffer_size(self):
        return self._ssl_protocol.size


def transport(kind=Transport, *arguments, closing=True, unsent=0):
    made = kind(*arguments)
    made.closing, made.unsent = closing, unsent
    return made


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (transport(closing=False), False),
        (transport(), True),
        (transport(unsent=1), False),
        (transport(Encrypted, 0), True),
        (transport(Encrypted, 1), False),
        (transport(ClosedTwice), True),
    ],
)
def test_when_a_connection_is_gone(transport, expected):
    """It is closing, and all that was written has left this process."""
    assert is_gone(SimpleNamespace(transport=transport)) is expected


def cycle(path, *, complete=True):
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"a=b"}
    return SimpleNamespace(scope=scope, response_complete=complete)


def test_responses_that_have_not_left():
    """Complete ones, by their request lines; a request that runs is named elsewhere."""
    connections = [
        SimpleNamespace(transport=transport(unsent=1), cycle=cycle("/big")),
        SimpleNamespace(transport=transport(), cycle=cycle("/left")),
        SimpleNamespace(transport=transport(unsent=1), cycle=cycle("/running", complete=False)),
        SimpleNamespace(transport=transport(unsent=1), cycle=None),
        SimpleNamespace(transport=transport(unsent=1)),
    ]
    assert unsent(connections) == ["GET /big?a=b"]


def test_a_set_that_tells_when_something_leaves_it():
    """By either method, also when it was not there."""
    told = []
    members = Leaving(lambda: told.append(len(members)))
    members.add("a")
    members.add("b")
    assert told == []
    members.discard("a")
    members.remove("b")
    members.discard("c")
    assert told == [1, 0, 0]
