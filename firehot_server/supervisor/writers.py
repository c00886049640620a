"""Is somebody still writing this file? An editor, a copy or a checkout may do it in pieces."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Where the system cannot tell who has a file open: it may be half of what it will be for so long after a write, in
# seconds.
_QUIET_SECONDS: Final = 0.02
# Who has a file open for longer after a change is not waited for, in seconds.
_LIMIT_SECONDS: Final = 0.25


def is_being_written(path: str) -> bool:
    """Whether somebody has this file open for writing; where the system cannot tell, whether it changed just now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False  # it is gone, or none of our business
    try:
        status = os.fstat(fd)
        return stat.S_ISREG(status.st_mode) and _has_writer(fd, status.st_mtime)
    finally:
        os.close(fd)


def _has_writer(fd: int, modified: float) -> bool:
    """By way of a lease: the kernel gives one for reading only if nobody has the file open for writing.

    Source: fcntl(2), F_SETLEASE. Who opens the file in the moment between, waits for the end of it.
    """
    if hasattr(fcntl, "F_SETLEASE"):
        try:
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # would tell of a writer in the moment between; is ignored
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return True
        else:
            return False
    return 0 <= time.time() - modified < _QUIET_SECONDS


class Writers:
    """Those of the files of the last edit, as long as they may go on."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._until = 0.0

    def begin(self, paths: Iterable[str], now: float) -> bool:
        """These files have changed, until now; whether somebody is still writing one of them, or of those before."""
        self._until = now + _LIMIT_SECONDS
        self._paths = {path for path in (*self._paths, *paths) if is_being_written(path)}
        return bool(self._paths)

    def are_busy(self, now: float) -> bool:
        """Whether to wait on: somebody is writing, and has not had the file open without an end."""
        return now < self._until and any(map(is_being_written, self._paths))

    def take(self) -> frozenset[str]:
        """The files that are as they are to be; nothing more is known of them."""
        paths, self._paths = frozenset(self._paths), set()
        return paths
