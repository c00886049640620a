"""How many more files this process may open, and what for: each process and each connection takes some."""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

# Never for what only saves time: a watcher and a worker take seven, one more generation, or a new template, six more.
_SPARE: Final = 14
# What is kept from connections, which are here for a moment only.
_AT_HAND: Final = 8
# For each process: its channel, its lifeline, and where its running requests can be read.
_EACH: Final = 3
# With fewer, requests are lost while nothing reloads.
_FEWEST: Final = 20


def shortage() -> str:
    """Why a server cannot start with so few, in a sentence; empty: it can."""
    if limit() >= _FEWEST:
        return ""
    return f"Error: only {limit()} files may be open here (ulimit -n); the server needs {_FEWEST} at least."


def affordable(opened: int, most: int) -> int:
    """How many processes that nothing depends on there may be, with so many files open. Pure.

    Args:
        most: how many may be.

    Example:
        With 18 files open, of 24 that may be: none. Of 64: 10.
    """
    return max((most - opened - _SPARE) // _EACH, 0)


def affordable_now() -> int:
    """The same for this process."""
    return affordable(_opened(), limit())


def is_room() -> bool:
    """Whether this process may open what it holds of one more process."""
    return affordable(_opened() - _SPARE, limit()) > 0


def room_to_wait() -> int:
    """How many connections may wait here until a worker takes them."""
    return max(limit() - _opened() - _AT_HAND, 0)


def limit() -> int:
    """How many files this process may have open; `sys.maxsize`: as many as it likes."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def _opened() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return limit()  # not even that one can be opened
