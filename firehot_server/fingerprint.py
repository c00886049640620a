"""What a file is known by, so that a change of it can be told: by who reads it, and by who watches it."""

from __future__ import annotations

import importlib.util
import os
import stat
import struct
from typing import Final

EMPTY: Final = importlib.util.source_hash(b"")
"""Of a file without content."""

_LARGE: Final = 1 << 20
"""Bytes, from which on a data file is known by what the file system says of it."""


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
