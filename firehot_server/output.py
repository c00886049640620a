"""The user's standard streams."""

from __future__ import annotations

import io
import os
import sys


def flush_output() -> None:
    """Write out what is buffered, before a fork (else every copy prints it) and before the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # no stream, or nobody reads it any more
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None:
        ctypes.CDLL(None).fflush(None)  # what libraries printed through C's own buffer


def print_lines_at_once() -> None:
    """Let what is printed be seen when its line ends, as on a terminal: others read the log while it is written."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def plug_closed_streams() -> tuple[int, ...]:
    """Open the null device where a standard stream is closed, as daemons do: else the next descriptor that is made, a
    control channel perhaps, takes its number, and what anybody prints goes there.

    Returns:
        The numbers that were free.
    """
    plugged = []
    for number in (0, 1, 2):
        if not is_open(number):
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(number, True)
            plugged.append(number)
    return tuple(plugged)


def is_open(fd: int) -> bool:
    """Whether this process has a descriptor of this number."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
