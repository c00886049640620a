"""A pipe that keeps a process alive: when its writing end is closed anywhere, the kernel ends the process.

The supervisor holds the writing end of one such pipe per process. However the supervisor dies, the kernel closes
them all, and every process ends at once, even one that is blocked in user code and holds the GIL. Closing one on
purpose ends that process, without the race of a recycled process id.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading

# A process that the kernel cannot signal by itself (no F_SETSIG) ends with this status.
_EXIT_STATUS = 128 + signal.SIGKILL


def create() -> tuple[int, int]:
    """A new lifeline: (reading end for the process, writing end for the supervisor)."""
    return os.pipe()


def tie(read_end: int) -> None:
    """End this process when the writing end of the pipe is closed.

    The owner of the signal belongs to the open file, so each process needs a pipe of its own.
    Source: fcntl(2), F_SETOWN and F_SETSIG; pipe_release() signals readers when the last writer is gone.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(read_end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(read_end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(read_end, fcntl.F_SETFL, fcntl.fcntl(read_end, fcntl.F_GETFL) | os.O_ASYNC)
        if _is_cut(read_end):
            os._exit(_EXIT_STATUS)
    else:
        threading.Thread(target=_watch, args=(read_end,), name="firehot-lifeline", daemon=True).start()


def _is_cut(read_end: int) -> bool:
    """The writing end was closed before the kernel was told whom to signal."""
    return bool(_poll(read_end, 0))


def _watch(read_end: int) -> None:
    _poll(read_end, None)
    os._exit(_EXIT_STATUS)


def _poll(fd: int, timeout: int | None) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(timeout)
