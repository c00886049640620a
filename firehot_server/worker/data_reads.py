"""Which data files does the app read while it is imported, and which folders does it list? A change is an edit.

Seen is whatever opens, lists or looks (`Path.exists`) by way of Python. What a library of native code opens by itself
(SQLite) is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from importlib.machinery import BYTECODE_SUFFIXES
from typing import TYPE_CHECKING, Any

from firehot_server.fingerprint import data_digest_of, listing_of, look_of, name_of
from firehot_server.machinery import MACHINERY
from firehot_server.messages import Read
from firehot_server.worker import reads
from firehot_server.worker.looks import Looks
from firehot_server.worker.running import RunningModules
from firehot_server.worker.tracers import is_by_tracer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from firehot_server.worker.audit_events import AuditEvents

_BYTECODE = tuple(BYTECODE_SUFFIXES)
# No files of a disk: what is read there changes by itself.
_ELSEWHERE = ("/proc/", "/sys/", "/dev/")
_LISTINGS = ("os.listdir", "os.scandir")
# By these, too, a folder's names change.
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
# Functions that look at each folder of a path.
_RESOLVING = ("realpath", "_joinrealpath")
_LINKS = ("os.symlink", "os.link")
# They list each folder of `sys.path` in search of what is installed, which the supervisor watches by itself.
_DISTRIBUTIONS = frozenset({"importlib.metadata", "importlib_metadata", "pkg_resources"})


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
        self.running = RunningModules(self._tune)
        """Entered while a module of the project runs."""
        self._events: AuditEvents | None = None
        self._is_importing = False
        self._handlers: dict[str, Callable[..., None]] = {
            "open": self.opened,
            **dict.fromkeys(_LISTINGS, self.listed),
            **dict.fromkeys(_CHANGES, self.changed),
            **dict.fromkeys(_LINKS, self.linked),
        }
        self._heard: frozenset[str] = frozenset()
        self._tuning = threading.Lock()
        self._read: set[str] = set()
        self._listed: set[str] = set()
        self._looked: set[str] = set()
        self._looks: Looks | None = None
        self._written: set[str] = set()
        self._own = threading.local()
        self._project = _folder(project)
        self._temporary = _temporary_folder()
        self._elsewhere = (*_ELSEWHERE, _folder(cache)) if cache else _ELSEWHERE

    def listen(self, events: AuditEvents) -> None:
        """From now on: the import of the app begins."""
        self._events = events
        self._is_importing = True
        self._tune()

    def imported(self) -> None:
        """The app is imported: what it reads from now on, it reads again whenever it likes. Not so a module that is
        imported only then, while it runs.
        """
        self._is_importing = False
        self._tune()

    def _tune(self) -> None:
        """Hear what can matter, and no more."""
        if self._events is None:
            return
        with self._tuning:
            is_counting = self._is_importing or bool(self.running)
            wanted = self._wanted(is_counting)
            for event in self._heard - wanted:
                self._events.off(event, self._handlers[event])
            for event in wanted - self._heard:
                self._events.on(event, self._handlers[event])
            self._heard = wanted
            if is_counting and self._looks is None:
                self._looks = Looks(self.looked)
            elif not is_counting and self._looks is not None:
                self._looks.end()
                self._looks = None

    def _wanted(self, is_counting: bool) -> frozenset[str]:
        """The audit events; of what was read, what the app does to it itself must be known ever after."""
        if is_counting:
            return frozenset(self._handlers)
        if self._listed:
            return frozenset(self._handlers) - frozenset(_LISTINGS)
        return frozenset({"open"} if self._read or self._looked else ())

    @property
    def _counts(self) -> bool:
        """What is done now, in this thread, is done by the import of a module."""
        return (self._is_importing or self.running.is_here) and not getattr(self._own, "is_reading", False)

    def opened(self, path: Any, _mode: str | None, flags: int) -> None:
        """A file is about to be opened."""
        if threading.get_ident() in reads.READING or isinstance(path, int):
            return  # those of the import system are announced elsewhere
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._note_written(_absolute(path))
        elif self._counts and not _is_by_import(frame := sys._getframe(2), path) and not self._is_by_tracer(frame):
            self._note_read(_absolute(path))

    def listed(self, path: Any) -> None:
        """A folder is about to be listed."""
        if isinstance(path, int) or not self._counts:
            return
        frame = sys._getframe(2)
        if frame.f_code.co_filename != MACHINERY and frame.f_globals.get("__name__") not in _DISTRIBUTIONS:
            self._note_listed(_absolute("." if path is None else path))

    def looked(self, path: Any) -> None:
        """Somebody is about to look whether there is something here. A search for links in a path does not count."""
        if isinstance(path, int) or not self._counts:
            return
        frame = sys._getframe(2)
        if frame.f_code.co_name not in _RESOLVING and not self._is_by_tracer(frame):
            self._note_looked(_absolute(path))

    def changed(self, path: Any, *_rest: Any) -> None:
        """An entry of a folder is about to come, to go, or (two paths) to be another's."""
        for each in (path, *_rest[:1]):
            if isinstance(each, str | bytes | os.PathLike):
                self._note_written(_absolute(each))

    def linked(self, _source: Any, path: Any, *_rest: Any) -> None:
        """An entry of a folder is about to come that is a link."""
        self.changed(path)

    def _is_by_tracer(self, frame: FrameType) -> bool:
        return is_by_tracer(frame, self._is_first_party)

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
        if (
            self._temporary
            and path.startswith(self._temporary)
            and not os.path.join(path, "").startswith(self._project)
        ):
            return False
        return not path.startswith(self._elsewhere) and self._is_first_party(path)


def _temporary_folder() -> str:
    """Empty: there is none that can be written, as on a full disk."""
    try:
        return _folder(tempfile.gettempdir())
    except OSError:
        return ""


def _is_by_import(frame: FrameType, path: Any) -> bool:
    """The import system reads for itself: source that is announced elsewhere, or bytecode."""
    if frame.f_code.co_filename != MACHINERY:
        return False
    caller = frame.f_back
    return (caller is not None and caller.f_code.co_name == reads.ANNOUNCING) or os.fsdecode(path).endswith(_BYTECODE)


def _folder(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")


def _absolute(path: Any) -> str:
    return name_of(os.fsdecode(path))
