"""Connections on their way: from this worker to the supervisor, and from there to the next one."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

from firehot_server.messages import Connection, Handoff
from firehot_server.worker.connections import Movable, idle
from firehot_server.worker.partings import dismiss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn

    from firehot_server.worker.link import Link

logger = logging.getLogger("uvicorn.error")

# Connections in one message: the kernel takes 253 descriptors, and half as many are open twice meanwhile.
_BATCH = 64
# What the supervisor may have open beside the connections that wait with it, where it has not said.
_SUPERVISORS_FILES = 128


class Handoffs:
    """Those of one server.

    Args:
        server: whose connections leave, and which takes up those that come.
        link: to the supervisor.
        progress: called when a connection has been taken up, or was lost on its way.
    """

    def __init__(self, server: uvicorn.Server, link: Link, progress: Callable[[], None]) -> None:
        self.adoptions: set[asyncio.Task[None]] = set()
        """Under way."""
        self._server = server
        self._link = link
        self._progress = progress
        self._left = 0
        self.room: int | None = None
        """For how many the supervisor has room; None: it has not said."""

    # -- arriving

    def adopt(self, message: Handoff) -> None:
        """Take up what an earlier worker handed over."""
        for connection, fd in zip(message.connections, message.sockets, strict=True):
            task = asyncio.get_running_loop().create_task(self._adopt(socket.socket(fileno=fd), connection))
            self.adoptions.add(task)
            task.add_done_callback(self._adopted)

    async def _adopt(self, sock: socket.socket, connection: Connection) -> None:
        sock.setblocking(False)
        protocol = take_up(self.create_protocol(), connection)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        self.adoptions.discard(task)
        self._progress()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OSError):
            logger.debug("A connection was lost on its way to this worker: %s", error)
        elif error is not None:
            logger.error("A connection could not be taken up by this worker", exc_info=error)

    def create_protocol(self) -> asyncio.Protocol:
        """One for a connection of this server."""
        server = self._server
        create = cast("Callable[..., asyncio.Protocol]", server.config.http_protocol_class)
        return create(
            config=server.config,
            server_state=server.server_state,
            app_state=server.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )

    # -- leaving

    def leave(self) -> None:
        """Send the supervisor those that can move now; close those for which there is no room."""
        movable = idle(self._server.server_state.connections)
        moved, reason = 0, f"they are more than may wait at once with {_open_files()} open files"
        try:
            for part, message in batches(movable[: self._room()]):
                self._link.send(message)
                for connection in part:
                    connection.transport.close()
                moved += len(part)
        except OSError as error:
            reason = str(error)
        self._left += moved
        if moved < len(movable):
            number = len(movable) - moved
            logger.warning("Idle connections were closed instead of moved, %d of them: %s", number, reason)
            for connection in movable[moved:]:
                dismiss(connection)

    def _room(self) -> int:
        """The supervisor keeps them until they can be delivered, and may have no more files open than this process."""
        room = _open_files() - _SUPERVISORS_FILES if self.room is None else self.room
        return max(room - self._left, 0)


def batches(connections: list[Movable]) -> Iterator[tuple[list[Movable], Handoff]]:
    """Messages that carry these connections, some in each, so that few descriptors are needed at a time.

    Each message must be sent before the next one is asked for.

    Raises:
        OSError: this process is at its limit of open files; the connections that were not yielded cannot move.
    """
    done = 0
    while done < len(connections):
        sockets = _duplicates(connections[done : done + _BATCH])
        part = connections[done : done + len(sockets)]
        done += len(part)
        yield part, Handoff(tuple(Connection(c.received, c.was_used) for c in part), sockets=sockets)


def _duplicates(connections: list[Movable]) -> tuple[int, ...]:
    """Of as many as the limit of open files leaves room for, but at least one."""
    fds: list[int] = []
    try:
        for connection in connections:
            fds.append(connection.duplicate())
    except OSError:
        if not fds:
            raise
    return tuple(fds)


def take_up(protocol: Any, connection: Connection) -> asyncio.Protocol:
    """Let a protocol, that has no transport yet, go on where the earlier process has stopped.

    What that one had received comes before anything that this process reads.
    """
    made = protocol.connection_made

    def connection_made(transport: asyncio.Transport) -> None:
        made(transport)
        if connection.received:
            protocol.data_received(connection.received)
        elif connection.was_used and isinstance(protocol, Movable):
            protocol.await_request()

    if isinstance(protocol, Movable):
        protocol.was_used = connection.was_used
    protocol.connection_made = connection_made
    result: asyncio.Protocol = protocol
    return result


def _open_files() -> int:
    """How many files this process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
