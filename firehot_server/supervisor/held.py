"""Files of other people's packages that were imported once, for many workers: has somebody edited one in place?"""

from __future__ import annotations

import itertools
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
        self._unlooked: Iterator[str] = iter(())

    def add(self, files: Iterable[str]) -> None:
        """These were imported just now."""
        for file in files:
            if file not in self._stamps:
                self._stamps[file] = _stamp(file)

    def clear(self) -> None:
        """There is a new template."""
        self._stamps.clear()
        self.look_anew()

    def look_anew(self) -> None:
        """Look at all of them once more."""
        self._unlooked = iter(tuple(self._stamps))

    def look_on(self) -> tuple[str, bool]:
        """Look at the next ones; somebody else should have a turn then.

        Returns:
            One that is another by now, or an empty name; and whether there are more to look at.
        """
        files = tuple(itertools.islice(self._unlooked, _AT_ONCE))
        edited = next((file for file in files if _stamp(file) != self._stamps[file]), "")
        return edited, bool(files) and not edited


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None  # it is in an archive, perhaps
    return status.st_mtime_ns, status.st_size
