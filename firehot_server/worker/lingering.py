"""A lingering close: a socket that is closed while there is something to read in it resets the connection, and the
client may never see what was said last. So what it still sends is read, until it has closed its side too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# What a client gets to hear of the end, from the moment it was told, in seconds.
LINGER_SECONDS = 1.0
# How often is looked whether what was said has left.
_LOOK_SECONDS = 0.005
_CHUNK_BYTES = 64 * 1024


class Lingering:
    """The connections of one server that are closed like that. To be used in its event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, transport: Any, has_left: Callable[[], bool]) -> None:
        """Before `transport` is closed; it must not be encrypted.

        Args:
            has_left: whether all that was written has left this process.
        """
        try:
            fd = os.dup(transport.get_extra_info("socket").fileno())
        except OSError:  # it is closed by now, or there are too many open files
            return
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(_linger(sock, has_left))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Wait until the last of them is closed: at most `LINGER_SECONDS`."""
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _linger(sock: socket.socket, has_left: Callable[[], bool]) -> None:
    with sock, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while not has_left():
                await asyncio.sleep(_LOOK_SECONDS)
            sock.shutdown(socket.SHUT_WR)
            while await asyncio.get_running_loop().sock_recv(sock, _CHUNK_BYTES):
                await asyncio.sleep(0)  # asyncio's does not wait where there is something to read
