"""Files of other people's packages that were imported once, for many workers: has somebody edited one in place?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# So many are looked at in one go: a tenth of a millisecond, but on a slow mount ten.
_AT_ONCE: Final = 100

Stamp = tuple[int, int] | None


class Held:
    """What the present template, and what was forked of it, has imported of them. Nobody watches these files."""

    def __init__(self) -> None:
        self._stamps: dict[str, Stamp] = {}

    def add(self, files: Iterable[str]) -> None:
        """These were imported just now."""
        for file in files:
            if file not in self._stamps:
                self._stamps[file] = _stamp(file)

    def clear(self) -> None:
        """There is a new template."""
        self._stamps.clear()

    def edited(self) -> Iterator[str]:
        """Each file that is another by now; an empty name after so many files that somebody else should have a turn."""
        for number, (file, stamp) in enumerate(list(self._stamps.items()), start=1):
            if _stamp(file) != stamp:
                yield file
            elif number % _AT_ONCE == 0:
                yield ""


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None  # it is in an archive, perhaps
    return status.st_mtime_ns, status.st_size
