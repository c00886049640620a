"""For how many more processes this one may open what it holds of them."""

from __future__ import annotations

import os
import resource
from typing import Final

# Never for what only saves time: a watcher and a worker take seven, one more generation, or a new template, six more.
_SPARE: Final = 14
# For each process: its channel, its lifeline, and where its running requests can be read.
_EACH: Final = 3


# With fewer, requests are lost while nothing reloads.
_FEWEST: Final = 20


def shortage() -> str:
    """Why a server cannot start with so few, in a sentence; empty: it can."""
    few = 0 <= limit() < _FEWEST
    return (
        f"Error: only {limit()} files may be open here (ulimit -n); the server needs {_FEWEST} at least." if few else ""
    )


def affordable(opened: int, most: int) -> int:
    """How many processes that nothing depends on there may be, with so many files open. Pure.

    Args:
        most: how many may be; negative, if there is no limit.

    Example:
        With 18 files open, of 24 that may be: none. Of 64: 10.
    """
    return max((most % (1 << 31) - opened - _SPARE) // _EACH, 0)


def affordable_now() -> int:
    """The same for this process."""
    return affordable(_opened(), limit())


def is_room() -> bool:
    """Whether this process may open what it holds of one more process."""
    return affordable(_opened() - _SPARE, limit()) > 0


def limit() -> int:
    """How many files this process may have open; negative: as many as it likes."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _opened() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return limit()  # not even that one can be opened
