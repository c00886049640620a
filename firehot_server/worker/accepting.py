"""Accepting connections, as long as files may be opened; and its end, without losing what was accepted just now."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import traceback
from typing import TYPE_CHECKING, Any

from firehot_server.worker.brief_log import filtered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

logger = logging.getLogger("uvicorn.error")

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Turns of asyncio's loop from the one in which a connection is accepted until its protocol knows of it.
_TURNS = 3


class Listener(socket.socket):
    """A listening socket that says in one line when no more connections can be accepted.

    asyncio tries again after a second then, but before that as often at once as the backlog is long, with a traceback
    for each attempt.
    """

    _is_exhausted = False
    """Since the last attempt."""
    _is_said = False

    def accept(self) -> tuple[socket.socket, Any]:
        """As any socket's."""
        if self._is_exhausted:
            self._is_exhausted = False
            raise BlockingIOError
        try:
            accepted = super().accept()
        except OSError as error:
            self._is_exhausted = _means_exhausted(error)
            if self._is_exhausted and not self._is_said:
                self._is_said = True
                reason = f"{os.strerror(error.errno or 0)} in process {os.getpid()}"
                logger.error("Connections wait: %s. It tries again every second; a save starts a new process.", reason)
            raise
        self._is_said = False
        return accepted


def quiet_accepting() -> AbstractContextManager[None]:
    """Meanwhile, asyncio does not log what a [`Listener`][firehot_server.worker.accepting.Listener] has said; nor that
    its next attempt fails, if that one is closed by then.
    """

    def keep(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return error is None or not any(_means_exhausted(error) or sock.fileno() < 0 for sock in _listeners(error))

    return filtered(logging.getLogger("asyncio"), keep)


def _means_exhausted(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _EXHAUSTED


def _listeners(error: BaseException) -> Iterator[Listener]:
    """With which asyncio did what failed."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        sock = frame.f_locals.get("sock")
        if isinstance(sock, Listener):
            yield sock


def stop_accepting(server: asyncio.AbstractServer) -> None:
    """Accept no more; what this turn of the loop has accepted lives on.

    asyncio gives such a connection to its server only in the next turn, and drops it if the server is closed by then.
    uvloop does both in one turn.
    """
    if not isinstance(server, asyncio.Server):
        server.close()
        return
    loop = server.get_loop()
    for sock in server.sockets:
        loop.remove_reader(sock)
    loop.call_soon(server.close)


async def last_accepted() -> None:
    """Wait until the protocols of all that was accepted know of it."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
