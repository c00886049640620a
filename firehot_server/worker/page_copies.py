"""How many pages of memory has this process had to copy since it was forked, because it wrote to them?"""

from __future__ import annotations

import resource
import time
from typing import Final

_PAGE: Final = resource.getpagesize()
# Large enough for the C library to ask the kernel for new pages, in bytes.
_SAMPLE: Final = 1 << 20


class PageCopies:
    """Counts from its making, or from `rebase` on.

    A page that is new to the process makes it larger, a copy of one that it had in common with others does not.
    """

    def __init__(self) -> None:
        self.seconds = _seconds_per_page()
        """What it takes to write to a page for the first time, about."""
        self.rebase()

    def rebase(self) -> None:
        """Count from here on: this process is a copy now."""
        self._faults, self._resident = _faults(), _resident()

    def count(self) -> int:
        """Pages, about; 0 where the system does not tell."""
        if self._resident is None:
            return 0
        return max(_faults() - self._faults - max((_resident() or 0) - self._resident, 0), 0)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _resident() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1])
    except OSError:
        return None


def _seconds_per_page() -> float:
    begun = time.perf_counter()
    bytearray(_SAMPLE)
    return (time.perf_counter() - begun) / (_SAMPLE / _PAGE)
