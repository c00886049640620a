"""What the files of modules were like when they were read, to be compared with what they are later."""

from __future__ import annotations

import itertools
import os
from importlib.machinery import SourceFileLoader
from os import stat  # by name: while the app is imported, `os.stat` tells of what the project looks at

from firehot_server.location import PACKAGE
from firehot_server.machinery import as_machinery

Stamp = tuple[int, int, int] | None
"""Inode, size in bytes and modification time in nanoseconds; None: there is no such file. Not when the inode changed:
that is also when an installer links its own copy into one more environment."""

Stamped = tuple[str, Stamp]
"""The path of a file, and its stamp."""


def stamp_of(path: str) -> Stamp:
    """As the file is now."""
    try:
        status = stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class Stamps:
    """Those of the modules that this process imports from when this was made on; its copies go on with it.

    Only the import system's own way is noted: the project's modules are read in another. This package's are left out.
    Extension modules, and those in archives, are read in other ways.
    """

    def __init__(self) -> None:
        taken = self._taken = dict[str, Stamp]()
        self._mark = 0
        ours = f"{PACKAGE}{os.sep}"

        @as_machinery
        def path_stats(_loader: SourceFileLoader, path: str) -> dict[str, float]:
            status = stat(path)
            if not path.startswith(ours):
                taken[path] = status.st_ino, status.st_size, status.st_mtime_ns
            return {"mtime": status.st_mtime, "size": status.st_size}

        # What the import system asks before it reads a module, or its bytecode.
        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]

    def mark(self) -> None:
        """What is read later will be told apart."""
        self._mark = len(self._taken)

    def since_mark(self) -> tuple[Stamped, ...]:
        """Of what was read since. Nothing older is touched: that would copy its pages of memory in each process."""
        return tuple(itertools.islice(self._taken.items(), self._mark, None))
