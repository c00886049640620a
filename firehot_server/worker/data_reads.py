"""Which data files does the app read while it is imported, and which folders does it list? A change is an edit.

Seen is whatever opens, lists or looks (`Path.exists`) by way of Python. What a library of native code opens by itself
(SQLite) is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from firehot_server.fingerprint import data_digest_of, listing_of, look_of
from firehot_server.messages import Read
from firehot_server.worker.looks import Looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.worker.audit_events import AuditEvents

MACHINERY = "<frozen importlib._bootstrap_external>"
# No files of a disk: what is read there changes by itself.
_ELSEWHERE = ("/proc/", "/sys/", "/dev/")
_LISTINGS = ("os.listdir", "os.scandir")
# By these, too, a folder's names change.
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
# Functions that look at each folder of a path.
_RESOLVING = ("realpath", "_joinrealpath")
_LINKS = ("os.symlink", "os.link")


class DataReads:
    """Handles the audit events of files and folders.

    Args:
        is_first_party: whether a file belongs to the project.
        project: a folder whose files count even if it lies among temporary ones.
        cache: our own folder, whose files never count; empty: none.
        before: called with the path of what is about to be read, or listed, for the first time.
        read: called with each file that is opened for reading only, and each folder that is listed; then it happens.
        written: called with the path of one that was read, or that lies in a folder that was listed, when it is opened
            for writing.
    """

    def __init__(
        self,
        is_first_party: Callable[[str], bool],
        project: str,
        cache: str,
        before: Callable[[str], None],
        read: Callable[[Read], None],
        written: Callable[[str], None],
    ) -> None:
        self._is_first_party = is_first_party
        self._before = before
        self._announce_read = read
        self._announce_written = written
        self._is_importing = True
        self._read: set[str] = set()
        self._listed: set[str] = set()
        self._looked: set[str] = set()
        self._looks: Looks | None = None
        self._written: set[str] = set()
        self._own = threading.local()
        self._project = _folder(project)
        self._temporary = _folder(tempfile.gettempdir())
        self._elsewhere = (*_ELSEWHERE, _folder(cache)) if cache else _ELSEWHERE

    def listen(self, events: AuditEvents) -> None:
        """From now on."""
        events.on("open", self.opened)
        for event in _LISTINGS:
            events.on(event, self.listed)
        for event in _CHANGES:
            events.on(event, self.changed)
        for event in _LINKS:
            events.on(event, self.linked)
        self._looks = Looks(self.looked)

    def imported(self, events: AuditEvents) -> None:
        """The app is imported: what it reads from now on, it reads again whenever it likes."""
        self._is_importing = False
        if self._looks is not None:
            self._looks.end()
        for event in _LISTINGS:
            events.off(event, self.listed)
        if not self._listed:
            for event in _CHANGES:
                events.off(event, self.changed)
            for event in _LINKS:
                events.off(event, self.linked)
            if not self._read and not self._looked:
                events.off("open", self.opened)

    def opened(self, path: Any, _mode: str | None, flags: int) -> None:
        """A file is about to be opened."""
        if isinstance(path, int) or getattr(self._own, "is_reading", False):
            return
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._note_written(_absolute(path))
        elif self._is_importing and sys._getframe(2).f_code.co_filename != MACHINERY:
            self._note_read(_absolute(path))

    def listed(self, path: Any) -> None:
        """A folder is about to be listed."""
        if isinstance(path, int) or getattr(self._own, "is_reading", False):
            return
        if sys._getframe(2).f_code.co_filename != MACHINERY:
            self._note_listed(_absolute("." if path is None else path))

    def looked(self, path: Any) -> None:
        """Somebody is about to look whether there is something here. A search for links in a path does not count."""
        if isinstance(path, int) or not self._is_importing or getattr(self._own, "is_reading", False):
            return
        if sys._getframe(2).f_code.co_name not in _RESOLVING:
            self._note_looked(_absolute(path))

    def changed(self, path: Any, *_rest: Any) -> None:
        """An entry of a folder is about to come, to go, or (two paths) to be another's."""
        for each in (path, *_rest[:1]):
            if isinstance(each, str | bytes | os.PathLike):
                self._note_written(_absolute(each))

    def linked(self, _source: Any, path: Any, *_rest: Any) -> None:
        """An entry of a folder is about to come that is a link."""
        self.changed(path)

    def _note_read(self, path: str) -> None:
        if path in self._read or path in self._written or not self._matters(path):
            return
        self._before(path)
        self._read.add(path)
        self._announce("data", path, data_digest_of)

    def _note_listed(self, path: str) -> None:
        if path in self._listed or not self._matters(os.path.join(path, "")):
            return
        self._before(path)
        self._listed.add(path)
        self._announce("listing", path, listing_of)

    def _note_looked(self, path: str) -> None:
        if path in self._looked or path in self._read or path in self._written or not self._matters(path):
            return
        self._looked.add(path)
        self._announce("look", path, look_of)

    def _announce(self, kind: Any, path: str, digest_of: Callable[[str], bytes | None]) -> None:
        self._own.is_reading = True
        try:
            self._announce_read(Read(kind, path, digest_of(path)))
        finally:
            self._own.is_reading = False

    def _note_written(self, path: str) -> None:
        if path not in self._written and self._matters(path):
            self._written.add(path)
            if path in self._read or path in self._looked or os.path.dirname(path) in self._listed:
                self._announce_written(path)

    def _matters(self, path: str) -> bool:
        if path.startswith(self._temporary) and not os.path.join(path, "").startswith(self._project):
            return False
        return not path.startswith(self._elsewhere) and self._is_first_party(path)


def _folder(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))
