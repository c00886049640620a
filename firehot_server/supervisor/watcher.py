"""The watcher: watchfiles on the folders that matter, and no others.

Folders are watched one by one, not recursively: a virtual environment, `node_modules` or a data folder inside the
project costs nothing, however large. Events are only hints; what changed is decided by the content of the files.
Where events may not come, the folders are looked at as well.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchfiles._rust_notify import RustNotify

from firehot_server.supervisor.mounts import Mount, mount_of, parse
from firehot_server.supervisor.polling import DELAY_SECONDS, Polling

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
# Asked of watchfiles, which has nothing to poll then, in milliseconds.
_IDLE_MS = 300
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


@dataclass(frozen=True, slots=True)
class Polled:
    """Edits are looked for, and why: one sentence."""

    text: str


Notice = Touched | Watching | Degraded | Polled


class Watcher:
    """Watches folders in a thread of its own.

    Args:
        wake: called from that thread when `take` has something to return; must not block.
        mountinfo: the file that tells what is mounted where.
    """

    def __init__(self, wake: Callable[[], None], mountinfo: str = "/proc/self/mountinfo") -> None:
        self._wake = wake
        self._mountinfo = mountinfo
        self._notices: deque[Notice] = deque()
        self._forced = forced_polling(os.environ.get("WATCHFILES_FORCE_POLLING"))
        self._delay = poll_delay(os.environ.get("WATCHFILES_POLL_DELAY_MS"))
        self._without_events = self._forced is True
        self._polling: Polling | None = None
        self._said: set[str] = set()
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
        watch = self._replace_active(folders, stop)
        if watch is None:
            return
        notify, polling = watch
        with notify:
            # Without watchfiles' own stop event: when that is set, it drops what it has not told yet.
            while not stop.is_set():
                self._report(notify.watch(_BURST_MS, self._step(), _LOOK_MS, None))
                self._touched(polling.look_if_due())
            # What happened before the next watch began is known here only.
            self._report(notify.watch(_BURST_MS, STEP_MS, _LAST_MS, None))

    def _step(self) -> int:
        if self._without_events:
            return _LOOK_MS
        return BUSY_STEP_MS if time.monotonic() - self._last_event < _BUSY_SECONDS else STEP_MS

    def _replace_active(self, folders: frozenset[str], stop: threading.Event) -> tuple[RustNotify, Polling] | None:
        """Begin this watch, then end the one before; None, if a newer request makes this one pointless."""
        with self._changing:
            if stop is not self._newest:
                return None
            notify = self._open(folders)
            if notify is None:
                return None
            polling = self._polling = Polling(self._to_poll(folders), self._polling, self._delay)
            previous, self._active = self._active, stop
            self._post(Watching(folders))
        if previous is not None:
            previous.set()
        return notify, polling

    def _open(self, folders: frozenset[str]) -> RustNotify | None:
        for _ in range(_OPEN_ATTEMPTS):
            existing = sorted(folder for folder in folders if os.path.isdir(folder))
            try:
                if self._without_events:
                    return RustNotify([], False, True, _IDLE_MS, False, True)
                return RustNotify(existing, False, False, _IDLE_MS, False, True)
            except FileNotFoundError:
                continue  # one of them vanished in between
            except (OSError, RuntimeError) as error:  # no watches left, or no instances
                if self._without_events:
                    self._post(Degraded(f"Cannot watch for edits any more: {error}"))
                    return None
                self._without_events = True
                self._post(Degraded(f"Watching by polling, since the system refuses events: {error}"))
        self._post(Degraded("Cannot watch for edits: the folders change faster than they can be watched."))
        return None

    def _to_poll(self, folders: frozenset[str]) -> frozenset[str]:
        """Those in which an edit may come without an event."""
        if self._forced:
            self._say_once("Polling for edits, as WATCHFILES_FORCE_POLLING asks.")
        if self._without_events:
            return folders
        if self._forced is False:
            return frozenset()
        shared = self._shared(folders)
        for mount in shared.values():
            self._say_once(
                f"Polling for edits below {mount.point}: events may not come through a mount of type {mount.kind}. "
                "(WATCHFILES_FORCE_POLLING=false relies on them.)"
            )
        return frozenset(shared)

    def _shared(self, folders: frozenset[str]) -> dict[str, Mount]:
        """Folder → the mount through which not all events come."""
        mounts = self._mounts()
        if not any(mount.is_shared for mount in mounts):
            return {}
        found = {folder: mount_of(os.path.realpath(folder), mounts) for folder in folders}
        return {folder: mount for folder, mount in found.items() if mount is not None and mount.is_shared}

    def _mounts(self) -> list[Mount]:
        try:
            with open(self._mountinfo, errors="surrogateescape") as file:
                return parse(file.read())
        except OSError:
            return []  # not on Linux, or without /proc

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._post(Polled(text))

    def _report(self, changes: object) -> None:
        if isinstance(changes, set):
            self._touched({path for _, path in changes})

    def _touched(self, paths: set[str]) -> None:
        if paths:
            self._last_event = time.monotonic()
            self._post(Touched(frozenset(paths)))

    def _post(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake()


def forced_polling(setting: str | None) -> bool | None:
    """The meaning of WATCHFILES_FORCE_POLLING, as watchfiles documents it; None: it is not decided by that."""
    return setting.lower() not in {"false", "disable", "disabled"} if setting else None


def poll_delay(setting: str | None) -> float:
    """Seconds between two looks, by WATCHFILES_POLL_DELAY_MS, as watchfiles documents it."""
    return int(setting) / 1000 if setting and setting.isdecimal() else DELAY_SECONDS
