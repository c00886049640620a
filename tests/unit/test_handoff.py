"""Connections on their way from one worker to the next."""

import asyncio
import errno
import os
import socket

import pytest
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from firehot_server.messages import Connection
from firehot_server.worker.connections import make_movable
from firehot_server.worker.handoff import batches, take_up
from tests.support.transports import Transport

KINDS = pytest.mark.parametrize("kind", [H11Protocol, HttpToolsProtocol])


class Leaving:
    """A connection that moves. `room` is how many descriptors there may be."""

    room = 1000

    def __init__(self, sock, received=b"", *, was_used=False):
        self.sock, self.received, self.was_used = sock, received, was_used

    def duplicate(self):
        if not Leaving.room:
            raise OSError(errno.EMFILE, "Too many open files")
        Leaving.room -= 1
        return os.dup(self.sock.fileno())


@pytest.fixture
def sock():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


@pytest.fixture
def room(monkeypatch):
    return lambda count: monkeypatch.setattr(Leaving, "room", count)


def close(message):
    for fd in message.sockets:
        os.close(fd)
        Leaving.room += 1


@pytest.mark.parametrize(
    ("count", "descriptors", "sizes"),
    [
        (0, 1000, []),
        (1, 1000, [1]),
        (64, 1000, [64]),
        (65, 1000, [64, 1]),
        (2 * 64 + 7, 1000, [64, 64, 7]),
        (10, 4, [4, 4, 2]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_connections_leave_in_small_parts(sock, room, count, descriptors, sizes):
    """As many connections in each as there are descriptors in it, and no more than there is room for."""
    room(descriptors)
    connections = [Leaving(sock) for _ in range(count)]
    left, sent = [], []
    for part, message in batches(connections):
        close(message)
        assert len(message.connections) == len(message.sockets) == len(part)
        left += part
        sent.append(len(part))

    assert sent == sizes
    assert left == connections


def test_without_any_room_none_leaves(sock, room):
    """The caller is told."""
    room(0)
    with pytest.raises(OSError, match="Too many open files"):
        next(batches([Leaving(sock)]))


def test_a_message_tells_what_was_received(sock, room):
    """In the order of the connections."""
    ((_, message),) = batches([Leaving(sock), Leaving(sock, b"GE"), Leaving(sock, was_used=True)])
    close(message)

    assert message.connections == (Connection(), Connection(b"GE"), Connection(was_used=True))


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def arrive(kind, connection, *, is_held=False, pieces=()):
    """A protocol that takes up this connection, in a process that may be held; then these pieces come."""

    async def main():
        config = Config(answer, log_config=None, access_log=False, interface="asgi3", ws="none")
        config.load()
        movable = make_movable(kind, lambda: is_held, bool)
        loop = asyncio.get_running_loop()
        protocol = movable(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        take_up(protocol, connection).connection_made(Transport())
        for piece in pieces:
            protocol.data_received(piece)
        times_out = protocol.timeout_keep_alive_task is not None
        while protocol.tasks:
            await asyncio.sleep(0)
        protocol._unset_keepalive_if_required()
        return protocol, times_out

    return asyncio.run(main())


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@KINDS
@pytest.mark.parametrize("cut", [1, 10, len(GET)])
def test_what_was_received_comes_first(kind, cut):
    """Before anything that this process reads."""
    protocol, _ = arrive(kind, Connection(GET[:cut]), pieces=[GET[cut:]] if GET[cut:] else [])

    assert protocol.transport.written.endswith(b"ok")


@KINDS
@pytest.mark.parametrize(
    ("connection", "is_held", "expected"),
    [
        (Connection(), False, False),  # uvicorn gives a new connection all the time that it wants
        (Connection(was_used=True), False, True),
        (Connection(was_used=True), True, False),
        (Connection(GET[:9], was_used=True), False, False),  # as where the beginning had come to this process
    ],
)
def test_the_keep_alive_timeout_starts_anew(kind, connection, is_held, expected):
    """In the new process, where it would run had the connection always been there."""
    protocol, times_out = arrive(kind, connection, is_held=is_held)

    assert times_out is expected
    assert protocol.was_used is connection.was_used


@KINDS
def test_in_a_process_that_is_held_it_moves_on(kind):
    """With all that it had brought."""
    protocol, _ = arrive(kind, Connection(GET, was_used=True), is_held=True)

    assert protocol.is_idle
    assert protocol.received == GET
    assert protocol.was_used


def test_a_protocol_that_cannot_move_takes_up_what_was_received():
    """The failure worker speaks h11, whatever the app's protocol is."""

    class Own(asyncio.Protocol):
        seen = b""

        def connection_made(self, transport):
            self.seen += b"made,"

        def data_received(self, data):
            self.seen += data

    own = Own()
    take_up(own, Connection(b"GET", was_used=True)).connection_made(Transport())
    assert own.seen == b"made,GET"
