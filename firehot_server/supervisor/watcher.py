"""The watcher: watchfiles on the folders that matter, and no others.

Folders are watched one by one, not recursively: a virtual environment, `node_modules` or a data folder inside the
project costs nothing, however large. Events are only hints; what changed is decided by the content of the files.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchfiles._rust_notify import RustNotify

if TYPE_CHECKING:
    from collections.abc import Callable

# watchfiles looks for events this often, and takes a burst to be over after as long without any, in milliseconds.
# Its default of 50 would be longer than a reload; 1 costs twice the CPU time of 2, so only while somebody is at work.
STEP_MS = 2
BUSY_STEP_MS = 1
# Somebody is at work for so long after the last event, in seconds.
_BUSY_SECONDS = 60.0
# A burst that does not end is reported in parts, in milliseconds.
_BURST_MS = 100
_POLL_DELAY_MS = 300
# Folders may vanish between being listed and being watched; so often it is tried again.
_OPEN_ATTEMPTS = 20
# How often a watch looks whether it was replaced, in milliseconds.
_LOOK_MS = 50
# How long a watch that was replaced is asked for what it has not told yet, in milliseconds.
_LAST_MS = 10


@dataclass(frozen=True, slots=True)
class Touched:
    """Something may have changed at these paths."""

    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class Watching:
    """From now on nothing below these folders is missed; what changed before is for the caller to find."""

    folders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Degraded:
    """The watcher works, but not as it should: one sentence."""

    text: str


Notice = Touched | Watching | Degraded


class Watcher:
    """Watches folders in a thread of its own.

    Args:
        wake: called from that thread when `take` has something to return; must not block.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._notices: deque[Notice] = deque()
        self._polling = polling_is_forced(os.environ.get("WATCHFILES_FORCE_POLLING"))
        self._newest: threading.Event | None = None
        self._active: threading.Event | None = None
        self._changing = threading.Lock()
        self._last_event = time.monotonic()

    def watch(self, folders: frozenset[str]) -> None:
        """Watch these folders instead of the former ones, which are watched until `Watching` arrives."""
        self._newest = threading.Event()
        threading.Thread(target=self._run, args=(folders, self._newest), name="firehot-watcher", daemon=True).start()

    def take(self) -> list[Notice]:
        """What happened since the last call."""
        taken = []
        while self._notices:
            taken.append(self._notices.popleft())
        return taken

    def close(self) -> None:
        """Stop watching."""
        with self._changing:
            self._newest = None
            if self._active is not None:
                self._active.set()

    def _run(self, folders: frozenset[str], stop: threading.Event) -> None:
        notify = self._replace_active(folders, stop)
        if notify is None:
            return
        with notify:
            # Without watchfiles' own stop event: when that is set, it drops what it has not told yet.
            while not stop.is_set():
                busy = time.monotonic() - self._last_event < _BUSY_SECONDS
                self._report(notify.watch(_BURST_MS, BUSY_STEP_MS if busy else STEP_MS, _LOOK_MS, None))
            # What happened before the next watch began is known here only.
            self._report(notify.watch(_BURST_MS, STEP_MS, _LAST_MS, None))

    def _replace_active(self, folders: frozenset[str], stop: threading.Event) -> RustNotify | None:
        """Begin this watch, then end the one before; None, if a newer request makes this one pointless."""
        with self._changing:
            if stop is not self._newest:
                return None
            notify = self._open(folders)
            if notify is None:
                return None
            previous, self._active = self._active, stop
            self._post(Watching(folders))
        if previous is not None:
            previous.set()
        return notify

    def _open(self, folders: frozenset[str]) -> RustNotify | None:
        for _ in range(_OPEN_ATTEMPTS):
            existing = sorted(folder for folder in folders if os.path.isdir(folder))
            try:
                return RustNotify(existing, False, self._polling, _POLL_DELAY_MS, False, True)
            except FileNotFoundError:
                continue  # one of them vanished in between
            except (OSError, RuntimeError) as error:  # no watches left, or no instances
                if self._polling:
                    self._post(Degraded(f"Cannot watch for edits any more: {error}"))
                    return None
                self._polling = True
                self._post(Degraded(f"Watching by polling, since the system refuses events: {error}"))
        self._post(Degraded("Cannot watch for edits: the folders change faster than they can be watched."))
        return None

    def _report(self, changes: object) -> None:
        if isinstance(changes, set):
            self._last_event = time.monotonic()
            self._post(Touched(frozenset(path for _, path in changes)))

    def _post(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake()


def polling_is_forced(setting: str | None) -> bool:
    """The meaning of WATCHFILES_FORCE_POLLING, as watchfiles documents it."""
    return bool(setting) and str(setting).lower() not in {"false", "disable", "disabled"}
