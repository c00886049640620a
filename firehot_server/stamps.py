"""What the files of modules were like when they were read, to be compared with what they are later."""

from __future__ import annotations

import itertools
import os
import sys
from importlib.machinery import SourceFileLoader
from os import stat  # by name: while the app is imported, `os.stat` tells of what the project looks at
from typing import TYPE_CHECKING, Any

from firehot_server.location import PACKAGE
from firehot_server.machinery import as_machinery

if TYPE_CHECKING:
    from collections.abc import Iterable

Stamp = tuple[int, int, int] | None
"""Inode, size in bytes and modification time in nanoseconds; None: there is no such file. Not when the inode changed:
that is also when an installer links its own copy into one more environment."""

Stamped = tuple[str, Stamp]
"""The path of a file, and its stamp."""


def stamp_of(path: str) -> Stamp:
    """As the file is now; of what is in an archive, that of the archive."""
    try:
        status = stat(path)
    except NotADirectoryError:
        return stamp_of(os.path.dirname(path))
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class Stamps:
    """Those of what this process reads from when this was made on; its copies go on with it."""

    def __init__(self) -> None:
        self._taken: dict[str, Stamp] = {}
        self._mark = 0
        taken = self._taken

        @as_machinery
        def path_stats(_loader: SourceFileLoader, path: str) -> dict[str, float]:
            status = stat(path)
            taken[path] = status.st_ino, status.st_size, status.st_mtime_ns
            return {"mtime": status.st_mtime, "size": status.st_size}

        # What the import system asks before it reads a module, or its bytecode.
        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]

    def mark(self) -> None:
        """What is read later will be told apart."""
        self._mark = len(self._taken)

    def since_mark(self) -> tuple[Stamped, ...]:
        """Of what was read since, by the import system's own way: the project's modules are read in another."""
        return tuple(itertools.islice(self._taken.items(), self._mark, None))

    def of(self, modules: Iterable[str]) -> tuple[Stamped, ...]:
        """Of the files from which these were imported, as far as they are not this package's."""
        specs: list[Any] = [getattr(sys.modules.get(name), "__spec__", None) for name in modules]
        origins = dict.fromkeys(spec.origin for spec in specs if getattr(spec, "has_location", False))
        return tuple(
            (path, self._taken[path] if path in self._taken else stamp_of(path))
            for path in origins
            if isinstance(path, str) and not path.startswith(f"{PACKAGE}{os.sep}")
        )
