"""What a file is known by, so that a change of it can be told: by who reads it, and by who watches it."""

from __future__ import annotations

import importlib.util
import os
import stat
import struct
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from typing import Final

EMPTY: Final = importlib.util.source_hash(b"")
"""Of a file without content."""

NOTHING: Final = b""
"""Of a lookup that finds no module."""

FOLDER: Final = os.fsencode(os.sep)
"""Of a lookup that finds a folder, which may be part of a namespace package."""

_SUFFIXES: Final = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)
"""In the order in which the interpreter tries them."""

_PASSING_NAMES: Final = frozenset({"__pycache__", "4913"})
_PASSING_ENDS: Final = (
    *("~", ".pyc", ".pyo", ".swp", ".tmp", "___jb_tmp___", "___jb_old___"),
    *("-journal", "-wal", "-shm"),
)
"""Bytecode, what editors put beside a file while they save it, and SQLite beside a database while it is in use."""

_LARGE: Final = 1 << 20
"""Bytes, from which on a data file is known by what the file system says of it."""


def name_of(path: str) -> str:
    """The one name, absolute and without `..`, by which a file or folder is known to who reads it and who watches it.

    `..` behind a symbolic link leads to where the link leads: then, the name is that of the real place.
    """
    name = os.path.abspath(path)
    if f"{os.sep}.." in path and os.path.realpath(path) != os.path.realpath(name):
        return os.path.realpath(path)
    return name


def digest_of(path: str) -> bytes | None:
    """`importlib.util.source_hash` of a file's content; None where there is no file (a folder or a pipe is none)."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return importlib.util.source_hash(file.read())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except (OSError, MemoryError):
        return b""  # there, but unreadable: that is a change for whoever could read it


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def data_digest_of(path: str) -> bytes | None:
    """The same of a data file, which may be large: such a one is not read, but known by inode, size and times."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if status.st_size < _LARGE or not stat.S_ISREG(status.st_mode):
        return digest_of(path)
    return struct.pack("=QQqq", status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def look_of(path: str) -> bytes | None:
    """What `os.path.exists`, `isfile` and `isdir` tell of a path; None where there is nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    return b"file" if stat.S_ISREG(mode) else b"folder" if stat.S_ISDIR(mode) else b"other"


def lookup_digest_of(path: str) -> bytes:
    """What an import finds that looks for the module `basename` in the folder `dirname`: the rest of the name of what
    it would load, `FOLDER` for a namespace package, `NOTHING` where there is no such module.
    """
    for rest in (*(f"{os.sep}__init__{suffix}" for suffix in _SUFFIXES), *_SUFFIXES):
        if os.path.isfile(path + rest):
            return os.fsencode(rest)
    return FOLDER if os.path.isdir(path) else NOTHING


def listing_of(path: str) -> bytes | None:
    """The names in a folder, sorted, without those that come and go while a file is saved; None: no such folder."""
    try:
        with os.scandir(path) as entries:
            names = [f"{e.name}{os.sep}" if e.is_dir() else e.name for e in entries if not is_passing(e.name)]
    except (OSError, ValueError):
        return None
    return os.fsencode("\0".join(sorted(names)))


FINGERPRINTS: Final = {
    "module": digest_of,
    "data": data_digest_of,
    "listing": listing_of,
    "look": look_of,
    "lookup": lookup_digest_of,
}
"""By the kind of a `messages.Read`: what is found at its path now."""


def is_passing(name: str) -> bool:
    """A file of this name is no part of what a listing is about: hidden, bytecode, an editor's, or a database's."""
    return name.startswith(".") or name in _PASSING_NAMES or name.endswith(_PASSING_ENDS)
