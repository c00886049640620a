"""Keep-alive connections that can move to the next worker."""

import asyncio
import itertools
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from firehot_server.worker.connections import Movable, idle, make_movable
from tests.support.raw_http import chunk, get, post, post_chunked
from tests.support.transports import Transport

KINDS = pytest.mark.parametrize("kind", [H11Protocol, HttpToolsProtocol])
GET = get("/")
POST = post("/", size=10)


class Worker:
    """Connections of one kind, and an app whose responses wait for their cue; or, to some, for nothing."""

    def __init__(self, kind):
        self.is_held = False
        self.freed = 0
        self.begun, self.read = [], []
        self.cues = []
        self.state = ServerState()
        self.config = Config(self._app, log_config=None, access_log=False, ws="none", interface="asgi3")
        self.config.load()
        self.kind = make_movable(kind, lambda: self.is_held, self._count)

    def _count(self):
        self.freed += 1

    async def _app(self, scope, receive, send):
        self.begun.append(scope["path"])
        if not scope["path"].startswith("/early"):
            size, more = 0, True
            while more:
                message = await receive()
                size, more = size + len(message.get("body", b"")), message.get("more_body", False)
            cue = asyncio.Event()
            self.cues.append(cue)
            await cue.wait()
            self.read.append((scope["path"], size))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, sock=None):
        """A new connection."""
        loop = asyncio.get_running_loop()
        connection = self.kind(config=self.config, server_state=self.state, app_state={}, _loop=loop)
        connection.connection_made(Transport(sock))
        return connection

    async def turn(self):
        """Let everything run that can."""
        for _ in range(6):
            await asyncio.sleep(0)

    async def answer(self):
        """Give every response its cue, those that come then included."""
        while True:
            await self.turn()
            if not self.cues:
                return
            self.cues.pop(0).set()

    async def leave(self, connection):
        """Forget its timer."""
        await self.answer()
        connection._unset_keepalive_if_required()


def run(coroutine):
    """In a loop of its own."""
    return asyncio.run(coroutine)


# -- which classes


class Other(asyncio.Protocol):
    """The user's own, or HTTP/2: nobody knows what state it has."""


@KINDS
def test_protocols_of_uvicorn_become_movable(kind):
    """A subclass with a name that says so; the class itself is left alone."""
    movable = make_movable(kind, bool, bool)

    assert issubclass(movable, kind)
    assert issubclass(movable, Movable)
    assert movable.__name__ == f"Movable{kind.__name__}"
    assert not issubclass(kind, Movable)


def test_another_protocol_stays_as_it_is():
    """Its connections close instead."""
    assert make_movable(Other, bool, bool) is Other


# -- idle or not


@KINDS
def test_when_a_connection_can_move(kind):
    """Before its first request, and after each response; what it has received by then goes along."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        assert connection.is_idle
        assert not connection.was_used
        connection.data_received(GET)
        assert not connection.is_idle
        await worker.answer()
        assert connection.is_idle
        assert connection.was_used
        connection.data_received(GET[:5])
        assert connection.is_idle
        assert connection.received == GET[:5]

    run(main())


@KINDS
def test_a_connection_that_is_on_its_way_out_cannot_move(kind):
    """Closing, closed, or with bytes that have not left."""

    async def main():
        worker = Worker(kind)
        closing, unsent, lost = worker.connect(), worker.connect(), worker.connect()
        closing.transport.close()
        unsent.transport.unsent = 1
        lost.connection_lost(None)
        assert idle([closing, unsent, lost, Other(), object()]) == []
        unsent.transport.unsent = 0
        assert idle([closing, unsent, lost, Other(), object()]) == [unsent]

    run(main())


@KINDS
def test_a_body_that_is_still_on_its_way_keeps_the_connection_here(kind):
    """Answered early or not (401 to an upload): the new process would take the rest of the body for a request."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(post("/early", size=10) + b"01234")
        await worker.turn()
        assert connection.transport.written.endswith(b"ok")
        assert not connection.is_idle
        worker.is_held = True
        connection.data_received(b"56789" + GET)
        await worker.turn()
        assert worker.begun == ["/early"]
        assert connection.is_idle
        assert connection.received == GET

    run(main())


# -- what a new process would have to be told


@KINDS
@pytest.mark.parametrize(
    ("pieces", "received"),
    [
        ([], b""),
        ([GET[:9]], GET[:9]),
        ([GET[:9], GET[9:20]], GET[:20]),
        ([GET], b""),
        ([GET[:9], GET[9:]], b""),
        ([GET, GET[:9]], GET[:9]),
        ([GET + GET[:9]], GET[:9]),
        ([GET + GET + GET[:9]], GET[:9]),
        ([GET, GET[:9], GET[9:20]], GET[:20]),
        ([POST + b"0123456789"], b""),
        ([POST + b"01234", b"56789"], b""),
        ([POST + b"0123456789", GET[:9]], GET[:9]),
        ([POST + b"\n\r\n\r\n", b"\n\n\n\n\n" + GET[:9]], GET[:9]),
        ([POST[:-1], POST[-1:] + b"0123456789" + GET[:9]], GET[:9]),
        ([post_chunked("/") + chunk(b"\r\n\r\n") + chunk(b"\n"), b"0\r\n\r\n" + GET[:9]], GET[:9]),
        ([post_chunked("/") + chunk(b"0") + b"0\r\n\r", b"\n" + GET[:9]], GET[:9]),
        ([post_chunked("/") + b"0\r\nx-trailer: 1\r\n", b"\r\n" + GET[:9]], GET[:9]),
        ([GET[:-1], GET[-1:] + GET[:9]], GET[:9]),
        ([GET[:-2], GET[-2:] + GET[:9]], GET[:9]),
        ([GET[:-3], GET[-3:] + GET[:9]], GET[:9]),
    ],
)
def test_what_has_not_begun_is_known_exactly(kind, pieces, received):
    """However it was cut; what has been answered is forgotten."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        for piece in pieces:
            connection.data_received(piece)
            await worker.answer()
        await worker.leave(connection)
        assert connection.is_idle
        assert connection.received == received

    run(main())


# -- during a hold


@KINDS
def test_a_new_connection_waits(kind):
    """It was accepted by the kernel a moment before; its request is for the new code."""

    async def main():
        worker = Worker(kind)
        assert worker.connect().transport.reading
        assert worker.freed == 0
        worker.is_held = True
        assert not worker.connect().transport.reading
        assert worker.freed == 1

    run(main())


@KINDS
@pytest.mark.parametrize("before", [[], [GET[:9]]], ids=["new", "begun"])
def test_a_request_that_arrives_is_kept(kind, before):
    """The app does not see it; what came before it of the same request stays with it."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        for piece in before:
            connection.data_received(piece)
        worker.is_held = True
        connection.data_received(GET[9 * len(before) :])
        await worker.turn()
        assert worker.begun == []
        assert connection.received == GET
        assert not connection.transport.reading
        assert connection.is_idle
        assert worker.freed == 1

    run(main())


@KINDS
def test_a_running_request_goes_on(kind):
    """Its body still reaches it; what comes behind that waits, and is free to move with the end of the response."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(POST)
        worker.is_held = True
        connection.data_received(b"01234")
        await worker.turn()
        assert connection.transport.reading
        connection.data_received(b"56789" + GET)
        await worker.turn()
        assert not connection.transport.reading
        assert worker.freed == 0
        await worker.answer()
        assert worker.read == [("/", 10)]
        assert connection.received == GET
        assert not connection.transport.reading
        assert worker.freed == 1

    run(main())


@KINDS
def test_at_rest_a_connection_neither_reads_nor_times_out(kind):
    """What the client sends waits in the kernel, however long the reload takes."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(GET)
        await worker.answer()
        assert connection.timeout_keep_alive_task is not None
        connection.rest()
        assert not connection.transport.reading
        assert connection.timeout_keep_alive_task is None
        assert worker.freed == 1

    run(main())


@KINDS
def test_a_running_request_does_not_rest(kind):
    """Its client may go, and its body come."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(POST)
        connection.rest()
        assert connection.transport.reading
        assert worker.freed == 0
        connection.data_received(b"0123456789")
        await worker.leave(connection)

    run(main())


@KINDS
def test_a_response_that_has_not_left_is_waited_for(kind):
    """The transport tells when its buffer is empty."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(GET)
        await worker.turn()
        worker.is_held = True
        connection.transport.unsent = 1
        await worker.answer()
        assert worker.freed == 0
        assert connection.transport.limit == 0
        connection.pause_writing()
        connection.transport.unsent = 0
        connection.resume_writing()
        assert worker.freed == 1

    run(main())


@KINDS
def test_after_a_hold_a_connection_goes_on(kind):
    """The newer code failed: what has waited is answered by this process after all."""

    async def main():
        worker = Worker(kind)
        connection = worker.connect()
        connection.data_received(GET)
        await worker.answer()
        worker.is_held = True
        connection.rest()
        connection.data_received(get("/held") + get("/next")[:9])  # it was on its way to the event loop already
        await worker.turn()
        assert worker.begun == ["/"]

        worker.is_held = False
        connection.take_up()
        await worker.answer()
        assert connection.transport.reading
        connection.data_received(get("/next")[9:])
        await worker.leave(connection)
        assert worker.begun == ["/", "/held", "/next"]

    run(main())


@KINDS
def test_after_a_hold_a_silent_connection_times_out(kind):
    """From then on, if it has answered before."""

    async def main():
        worker = Worker(kind)
        answered, fresh = worker.connect(), worker.connect()
        answered.data_received(GET)
        await worker.answer()
        for connection in (answered, fresh):
            connection.rest()
            connection.take_up()
        assert answered.timeout_keep_alive_task is not None
        assert fresh.timeout_keep_alive_task is None
        await worker.leave(answered)

    run(main())


@KINDS
def test_the_end_of_what_a_client_sends_is_for_the_new_process(kind):
    """A connection is not closed for it during a hold, unless its request runs here."""

    async def main():
        worker = Worker(kind)
        resting, running = worker.connect(), worker.connect()
        running.data_received(GET)
        assert not resting.eof_received()
        worker.is_held = True
        assert resting.eof_received()
        assert not running.eof_received()
        await worker.leave(running)

    run(main())


# -- exactly


REQUESTS = st.lists(
    st.sampled_from(["get", "head", "sized", "chunked", "early", "early chunked"]), min_size=1, max_size=5
)
BODIES = [b"", b"\r\n\r\n", b"0\r\n\r\n", b"\n\n\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 50]


def build(number, what, body):
    """The bytes of a request, and what the app is to see of it."""
    path = f"/early/{number}" if what.startswith("early") else f"/{number}"
    match what:
        case "get" | "head":
            return get(path, method=what.upper()), (path, 0)
        case "sized" | "early":
            return post(path, size=len(body)) + body, (path, len(body))
        case _:
            cut = len(body) // 2
            chunks = [chunk(part) for part in (body[:cut], body[cut:]) if part]
            return post_chunked(path) + b"".join(chunks) + b"0\r\n\r\n", (path, len(body))


@KINDS
@settings(deadline=None, max_examples=100)
@given(data=st.data(), kinds=REQUESTS)
def test_no_byte_is_lost_and_none_comes_twice(kind, data, kinds):
    """Whatever is asked, however it is cut, whenever the hold comes, and whenever responses are complete."""
    built = [build(number, what, data.draw(st.sampled_from(BODIES))) for number, what in enumerate(kinds)]
    stream, expected = b"".join(part for part, _ in built), [seen for _, seen in built]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)) | {0, len(stream)})
    segments = [stream[a:b] for a, b in itertools.pairwise(cuts)]
    held_at = data.draw(st.integers(0, len(segments)))
    answers = [data.draw(st.booleans()) for _ in segments]

    async def main():
        old, new = Worker(kind), Worker(kind)
        connection = old.connect()
        waiting = list(segments)
        for number, answered in enumerate(answers):
            old.is_held = old.is_held or number == held_at
            begun = len(old.begun)
            if connection.transport.reading:  # else it waits in the kernel
                connection.data_received(waiting.pop(0))
            await old.turn()
            assert not old.is_held or len(old.begun) == begun
            if answered:
                await old.answer()
        old.is_held = True
        connection.rest()
        await old.answer()
        while not connection.is_idle:
            connection.data_received(waiting.pop(0))
            await old.answer()
        moved = new.connect()
        for segment in filter(None, [connection.received, *waiting]):
            moved.data_received(segment)
            await new.answer()
        await new.leave(moved)
        connection._unset_keepalive_if_required()
        assert old.begun + new.begun == [path for path, _ in expected]
        assert old.read + new.read == [seen for seen in expected if not seen[0].startswith("/early")]
        assert moved.received == b""

    run(main())


def test_the_duplicate_of_a_connection_is_the_same_connection():
    """What is written to one is read by the client, also after the other has been closed."""

    async def main():
        ours, client = socket.socketpair()
        with ours, client:
            fd = Worker(H11Protocol).connect(ours).duplicate()
            ours.close()
            os.write(fd, b"hello")
            os.close(fd)
            assert client.recv(5) == b"hello"

    run(main())
