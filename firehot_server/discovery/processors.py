"""How many processors are there to work with?"""

from __future__ import annotations

import os


def usable_processors() -> int:
    """Those that this process may use: fewer than there are, in a container or under `taskset`.

    >>> usable_processors() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1
