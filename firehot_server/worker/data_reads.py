"""Which data files does the app read while it is imported? A change of one is an edit, as that of a module is.

Seen is whatever opens a file by way of Python. What is only looked at (`os.stat`, `Path.exists`), or opened by a
library of native code itself (SQLite), is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from firehot_server.fingerprint import data_digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

_MACHINERY = "<frozen importlib._bootstrap_external>"
# No files of a disk: what is read there changes by itself.
_ELSEWHERE = ("/proc/", "/sys/", "/dev/")


class DataReads:
    """Handles the audit event `open`.

    Args:
        is_first_party: whether a file belongs to the project.
        project: a folder whose files count even if it lies among temporary ones.
        cache: our own folder, whose files never count; empty: none.
        read: called with path and digest (None: there is no such file) of each file that is opened for reading only.
        written: called with the path of one that was read, when it is opened for writing.
    """

    def __init__(
        self,
        is_first_party: Callable[[str], bool],
        project: str,
        cache: str,
        read: Callable[[str, bytes | None], None],
        written: Callable[[str], None],
    ) -> None:
        self._is_first_party = is_first_party
        self._announce_read = read
        self._announce_written = written
        self._is_importing = True
        self._read: set[str] = set()
        self._written: set[str] = set()
        self._own = threading.local()
        self._project = _folder(project)
        self._temporary = _folder(tempfile.gettempdir())
        self._elsewhere = (*_ELSEWHERE, _folder(cache)) if cache else _ELSEWHERE

    def imported(self) -> None:
        """The app is imported: what it reads from now on, it reads again whenever it likes."""
        self._is_importing = False

    def opened(self, path: Any, _mode: str | None, flags: int) -> None:
        """A file is about to be opened."""
        if not self._is_importing and not self._read:
            return
        if isinstance(path, int) or getattr(self._own, "is_reading", False):
            return
        if flags & os.O_ACCMODE == os.O_RDONLY:
            if self._is_importing and sys._getframe(2).f_code.co_filename != _MACHINERY:
                self._note_read(_absolute(path))
        else:
            self._note_written(_absolute(path))

    def _note_read(self, path: str) -> None:
        if path in self._read or path in self._written or not self._matters(path):
            return
        self._read.add(path)
        self._own.is_reading = True
        try:
            self._announce_read(path, data_digest_of(path))
        finally:
            self._own.is_reading = False

    def _note_written(self, path: str) -> None:
        if path not in self._written and self._matters(path):
            self._written.add(path)
            if path in self._read:
                self._announce_written(path)

    def _matters(self, path: str) -> bool:
        if path.startswith(self._temporary) and not path.startswith(self._project):
            return False
        return not path.startswith(self._elsewhere) and self._is_first_party(path)


def _folder(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))
