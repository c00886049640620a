"""Who left it there: which line of the project started a thread, opened a socket or a file, or made a process."""

from __future__ import annotations

import _thread
import functools
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firehot_server.location import HIDDEN, PACKAGE
from firehot_server.machinery import MACHINERY
from firehot_server.worker import audit_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from firehot_server.worker.audit_events import AuditEvents

# Audit event → a word that the audit's findings have in common with it.
_EVENTS = {
    "_thread.start_new_thread": "thread",
    "_thread.start_joinable_thread": "thread",
    "socket.__new__": "socket",
    "sqlite3.connect": "file",
    "subprocess.Popen": "process",
    "os.posix_spawn": "process",
    "os.fork": "process",
}
_PACKAGE = f"{PACKAGE}{os.sep}"
_LISTENERS = (__file__, audit_events.__file__)
_TEMPORARY = ("tempfile.mkdtemp", "tempfile.mkstemp")


# Functions of which no audit event tells, and what they do; on older Pythons those that start threads as well.
_UNHEARD: tuple[tuple[Any, str, str], ...] = ((os, "pipe", "pipe"),)
if sys.version_info < (3, 12):
    _UNHEARD += ((threading, "_start_new_thread", "thread"), (_thread, "start_new_thread", "thread"))


@dataclass(frozen=True, slots=True)
class Trace:
    """Where and when it was done."""

    what: str
    path: str
    line: int
    when: float
    """Seconds, of `time.monotonic`."""


class Culprits:
    """Listens to the interpreter's audit events while the app is imported.

    Args:
        is_first_party: whether a file belongs to the project.
    """

    def __init__(self, is_first_party: Callable[[str], bool]) -> None:
        self._is_first_party = is_first_party
        self._traces: list[Trace] = []
        self._temporary: dict[str, Trace] = {}
        self._handlers: dict[str, Callable[..., None]] = {event: self._handler(what) for event, what in _EVENTS.items()}
        self._handlers["open"] = self._opened
        self._handlers |= dict.fromkeys(_TEMPORARY, self._made_temporary)
        self._unheard = [_Telling(module, name, self._handler(what)) for module, name, what in _UNHEARD]

    def listen(self, events: AuditEvents) -> None:
        """From now on."""
        for event, handler in self._handlers.items():
            events.on(event, handler)
        for telling in self._unheard:
            telling.replace()

    def ignore(self, events: AuditEvents) -> None:
        """No longer."""
        for event, handler in self._handlers.items():
            events.off(event, handler)
        for telling in self._unheard:
            telling.restore()

    def acquit(self) -> None:
        """All that was done until now has been undone."""
        self._traces.clear()

    @property
    def temporary_findings(self) -> tuple[str, ...]:
        """Each process removes its temporary files at its end, and would remove those of its copies."""
        left = any(map(os.path.lexists, self._temporary))
        return ("it made temporary files",) if left else ()

    def of(self, findings: tuple[str, ...]) -> Trace | None:
        """The first that fits one of the audit's findings; None, if it was done where nothing could be seen."""
        traces = [*self._traces, *self._temporary.values()]
        fitting = [trace for trace in traces if any(trace.what in finding for finding in findings)]
        return min(fitting, key=lambda trace: trace.when, default=None)

    def _handler(self, what: str) -> Callable[..., None]:
        return lambda *_arguments: self._note(what)

    def _opened(self, _path: Any, _mode: str | None, flags: int) -> None:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._note("file")

    def _made_temporary(self, path: Any) -> None:
        trace = self._trace("temporary")
        if trace is not None:
            self._temporary[os.path.abspath(os.fsdecode(path))] = trace

    def _note(self, what: str) -> None:
        trace = self._trace(what)
        if trace is not None:
            self._traces.append(trace)

    def _trace(self, what: str) -> Trace | None:
        """By which line of the project it was done; else by which of an installed module, while that was imported.
        None: by this package, or the import system, which writes bytecode.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename in _LISTENERS:
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename == MACHINERY:
            return None
        module: FrameType | None = None
        while frame is not None:
            if self._is_the_projects(frame):
                return _trace_of(what, frame)
            if frame.f_code.co_filename.startswith(_PACKAGE):
                return None if module is None else _trace_of(what, module)
            if module is None and frame.f_code.co_name == "<module>":
                module = frame
            frame = frame.f_back
        return _trace_of(what, module)

    def _is_the_projects(self, frame: FrameType) -> bool:
        """Not so an integration, even where it is installed editable."""
        return self._is_first_party(frame.f_code.co_filename) and HIDDEN not in frame.f_globals


def _trace_of(what: str, frame: FrameType | None) -> Trace:
    now = time.monotonic()
    return Trace(what, "", 0, now) if frame is None else Trace(what, frame.f_code.co_filename, frame.f_lineno, now)


class _Telling:
    """A function of a module: for a while, one that tells is in its place."""

    def __init__(self, module: Any, name: str, tell: Callable[[], None]) -> None:
        original = getattr(module, name)

        @functools.wraps(original)
        def tell_first(*arguments: Any, **keywords: Any) -> Any:
            tell()
            return original(*arguments, **keywords)

        self._module, self._name, self._original, self._telling = module, name, original, tell_first

    def replace(self) -> None:
        setattr(self._module, self._name, self._telling)

    def restore(self) -> None:
        """If nobody has put another there."""
        if getattr(self._module, self._name) is self._telling:
            setattr(self._module, self._name, self._original)
