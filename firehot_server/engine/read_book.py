"""What the import of a call has read, and whether it is still the same: asked before each call, without a watcher."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firehot_server.discovery.scans import is_settled
from firehot_server.discovery.sources import stamp
from firehot_server.fingerprint import FINGERPRINTS
from firehot_server.supervisor.plan import NEVER

if TYPE_CHECKING:
    from firehot_server.discovery.sources import Stamp
    from firehot_server.messages import Read

    Stamps = dict[str, Stamp | None]


@dataclass(slots=True)
class _Line:
    read: Read
    stamps: tuple[Stamp | None, ...] | None = None
    """Of what would show a change, when it was last found to be the same; None: look closely."""


class ReadBook:
    """The lines in the order of reading.

    A file is known by inode, size and times, as git does it, and like git not if it changed within the clock's last
    tick: that one is read again. So it is with the folder in which a module was looked for.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []

    @property
    def position(self) -> int:
        """How much has been read."""
        return len(self._lines)

    def add(self, read: Read) -> None:
        """This was read next."""
        self._lines.append(_Line(read))

    def truncate(self, position: int) -> None:
        """Forget what was read from there on."""
        del self._lines[position:]

    def first_change(self) -> int:
        """The position of the first thing that is not what was read; `NEVER`, if all is the same."""
        moment = time.time_ns()
        known: Stamps = {}
        return next((n for n, line in enumerate(self._lines) if not _is_same(line, known, moment)), NEVER)


def _is_same(line: _Line, known: Stamps, moment: int) -> bool:
    stamps = tuple(_stamp(path, known) for path in _witnesses(line.read))
    if line.stamps is not None and stamps == line.stamps:
        return True
    if FINGERPRINTS[line.read.kind](line.read.path) != line.read.digest:
        return False
    line.stamps = stamps if all(each is None or is_settled(each, moment) for each in stamps) else None
    return True


def _witnesses(read: Read) -> tuple[str, ...]:
    """A change of what was read is a change of one of these."""
    return (os.path.dirname(read.path), read.path) if read.kind == "lookup" else (read.path,)


def _stamp(path: str, known: Stamps) -> Stamp | None:
    if path not in known:
        try:
            known[path] = stamp(os.stat(path))
        except (OSError, ValueError):
            known[path] = None
    return known[path]
