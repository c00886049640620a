"""Keep-alive connections that can move to the next worker."""

import asyncio
import os
import socket

import pytest
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from firehot_server.messages import Connection
from firehot_server.worker.connections import Movable, batches, idle, make_movable, stationary


class Transport:
    """The half of a socket transport that protocols look at."""

    def __init__(self, sock=None):
        self.sock = sock
        self.written = b""
        self.unsent = 0
        self.reading = True
        self.closing = False

    def get_extra_info(self, name):
        return self.sock if name == "socket" else None

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unsent

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Cycle:
    """One request and its response."""

    def __init__(self):
        self.response_complete = False
        self.more_body = False


class Lines(asyncio.Protocol):
    """In the shape of the one of uvicorn's HTTP protocols that is called back: a request is a line."""

    def __init__(self):
        self.cycle = None
        self.partial = b""
        self.timer_runs = True

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if not self.partial:
            self.on_message_begin()
        self.partial += data
        if self.partial.endswith(b"\n"):
            self.cycle, self.partial = Cycle(), b""
            self.on_message_complete()

    def on_message_begin(self):
        pass

    def on_message_complete(self):
        pass

    def _unset_keepalive_if_required(self):
        self.timer_runs = False


class Hold:
    """Whether the supervisor wants requests to wait."""

    is_on = False

    def __call__(self):
        return self.is_on


@pytest.fixture
def hold():
    return Hold()


@pytest.fixture
def connect(hold):
    """Opens a connection of a movable kind."""

    def open_one(sock=None):
        protocol = make_movable(Lines, hold)()
        protocol.connection_made(Transport(sock))
        return protocol

    return open_one


# -- which classes


@pytest.mark.parametrize("kind", [Lines, H11Protocol, HttpToolsProtocol])
def test_protocols_of_uvicorn_become_movable(kind, hold):
    """A subclass with a name that says so; the class itself is left alone."""
    movable = make_movable(kind, hold)

    assert issubclass(movable, kind)
    assert issubclass(movable, Movable)
    assert movable.__name__ == f"Movable{kind.__name__}"
    assert not issubclass(kind, Movable)


def test_another_protocol_stays_as_it_is(hold):
    """The user's own, or HTTP/2: nobody knows what state it has."""
    assert make_movable(asyncio.Protocol, hold) is asyncio.Protocol


# -- idle or not


def test_a_fresh_connection_is_idle(connect):
    """It has not asked for anything yet."""
    assert connect().is_idle


def test_a_connection_with_a_running_request_is_not_idle(connect):
    """Until its response is complete."""
    connection = connect()
    connection.data_received(b"GET /\n")
    assert not connection.is_idle

    connection.cycle.response_complete = True
    assert connection.is_idle


def test_a_connection_whose_response_has_not_left_is_not_idle(connect):
    """What is still in this process's buffer would be lost."""
    connection = connect()
    connection.transport.unsent = 1

    assert not connection.is_idle


def test_a_closing_connection_is_not_idle(connect):
    """It is on its way out."""
    connection = connect()
    connection.transport.close()

    assert not connection.is_idle


def test_idle_ones_among_others(connect):
    """Of all kinds of connections, those that can move now."""
    resting, busy = connect(), connect()
    busy.data_received(b"GET /\n")

    assert idle([resting, busy, Lines(), object()]) == [resting]


def test_stationary_ones_among_others(connect):
    """Those that have answered before and cannot move; a fresh one waits for its first answer."""
    answered, fresh, moving = Lines(), Lines(), connect()
    answered.cycle = Cycle()
    moving.data_received(b"GET /\n")

    assert stationary([answered, fresh, moving, object()]) == [answered]


# -- what a new process would have to be told


@pytest.mark.parametrize(
    ("pieces", "received"),
    [
        ([], b""),
        ([b"GE"], b"GE"),
        ([b"GE", b"T /"], b"GET /"),
        ([b"GET /\n"], b""),
        ([b"GE", b"T /\n"], b""),
    ],
)
def test_the_beginning_of_a_request_is_remembered(connect, pieces, received):
    """Until it is complete."""
    connection = connect()
    for piece in pieces:
        connection.data_received(piece)

    assert connection.received == received


def test_the_beginning_of_the_next_request_is_remembered(connect):
    """After a response it starts anew."""
    connection = connect()
    connection.data_received(b"GET /\n")
    connection.cycle.response_complete = True
    connection.data_received(b"GET /ne")

    assert connection.received == b"GET /ne"


def test_what_arrives_during_a_request_is_the_requests_own(connect):
    """Its body, say."""
    connection = connect()
    connection.data_received(b"POST /\n")
    connection.data_received(b"body")

    assert connection.received == b""


# -- held


def test_a_new_connection_is_read(connect):
    """As long as nobody holds."""
    assert connect().transport.reading


def test_a_new_connection_waits_during_a_hold(connect, hold):
    """It was accepted by the kernel a moment before; its request is for the new code."""
    hold.is_on = True

    assert not connect().transport.reading


def test_a_request_that_arrives_during_a_hold_is_kept_for_the_new_code(connect, hold):
    """The app does not see it; what came before it of the same request stays with it."""
    connection = connect()
    connection.data_received(b"GET ")
    hold.is_on = True
    connection.data_received(b"/\n")

    assert connection.cycle is None
    assert connection.received == b"GET /\n"
    assert not connection.transport.reading
    assert connection.is_idle


def test_a_running_request_goes_on_during_a_hold(connect, hold):
    """Its body still reaches it."""
    connection = connect()
    connection.data_received(b"POST /\n")
    hold.is_on = True
    connection.data_received(b"body")

    assert connection.partial == b"body"
    assert connection.transport.reading


def test_at_rest_a_connection_neither_reads_nor_times_out(connect):
    """What the client sends waits in the kernel, however long the reload takes."""
    connection = connect()
    connection.rest()

    assert not connection.transport.reading
    assert not connection.timer_runs


# -- on the way


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_the_duplicate_of_a_connection_is_the_same_connection(connect, pair):
    """What is written to one is read by the client, also after the other has been closed."""
    ours, client = pair
    fd = connect(ours).duplicate()
    ours.close()
    os.write(fd, b"hello")
    os.close(fd)

    assert client.recv(5) == b"hello"


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, []),
        (1, [1]),
        (64, [64]),
        (65, [64, 1]),
        (2 * 64 + 7, [64, 64, 7]),
    ],
)
def test_connections_leave_in_small_parts(connect, pair, count, sizes):
    """As many connections in each as there are descriptors in it."""
    connections = [connect(pair[0]) for _ in range(count)]
    sent = []
    for _, message in batches(connections):
        for fd in message.sockets:
            os.close(fd)
        assert len(message.connections) == len(message.sockets)
        sent.append(len(message.sockets))

    assert sent == sizes


def test_a_batch_tells_what_was_received(connect, pair):
    """In the order of the connections."""
    connections = [connect(pair[0]) for _ in range(2)]
    connections[1].data_received(b"GE")
    ((_, message),) = batches(connections)
    for fd in message.sockets:
        os.close(fd)

    assert message.connections == (Connection(b""), Connection(b"GE"))


# -- with uvicorn's own protocols

REAL = pytest.mark.parametrize("kind", [H11Protocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"


async def answer(scope, receive, send):
    """Without waiting for the request's body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def converse(kind, *pieces):
    """A connection that has received these pieces, and answered whatever was complete."""

    async def talk():
        config = Config(answer, log_config=None, access_log=False)
        config.load()
        loop = asyncio.get_running_loop()
        connection = make_movable(kind, lambda: False)(
            config=config, server_state=ServerState(), app_state={}, _loop=loop
        )
        connection.connection_made(Transport())
        for piece in pieces:
            connection.data_received(piece)
            while tasks := set(connection.tasks):
                await asyncio.wait(tasks)
        connection._unset_keepalive_if_required()
        return connection

    return asyncio.run(talk())


@REAL
@pytest.mark.parametrize(
    ("pieces", "received"),
    [
        ([GET], b""),
        ([GET[:9], GET[9:]], b""),
        ([GET, GET[:9]], GET[:9]),
        ([GET, GET[:9], GET[9:20]], GET[:20]),
        ([POST + b"0123456789"], b""),
        ([POST + b"0123456789", GET[:9]], GET[:9]),
    ],
)
def test_between_the_requests_of_a_real_connection(kind, pieces, received):
    """Whatever has been answered is forgotten; what has begun is remembered."""
    connection = converse(kind, *pieces)

    assert connection.is_idle
    assert connection.received == received


@REAL
def test_a_body_that_is_still_on_its_way_keeps_the_connection_here(kind):
    """Answered early or not (401 to an upload): the new process would take the rest of the body for a request."""
    connection = converse(kind, POST + b"01234")

    assert connection.transport.written.endswith(b"ok")
    assert not connection.is_idle


@REAL
def test_the_rest_of_a_body_is_not_the_beginning_of_a_request(kind):
    """A body that arrives after its response leaves nothing to hand over."""
    connection = converse(kind, POST + b"01234", b"56789")

    assert connection.received == b"" or not connection.is_idle


@REAL
def test_the_beginning_of_a_request_that_came_along_with_the_one_before(kind):
    """A client that pipelines loses nothing: the parser's rest is handed over, or the connection stays."""
    connection = converse(kind, GET + GET[:9])

    assert connection.received == GET[:9] or not connection.is_idle
