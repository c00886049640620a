"""The watcher: watchfiles on the folders that matter, and no others.

Folders are watched one by one, not recursively: a virtual environment, `node_modules` or a data folder inside the
project costs nothing, however large. Events are only hints; what changed is decided by the content of the files.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles._rust_notify import RustNotify

if TYPE_CHECKING:
    from collections.abc import Callable

# watchfiles looks for events this often, and takes a burst to be over after as long without any, in milliseconds.
# Its default of 50 would be longer than a reload; 1 costs twice the CPU time of 2 while idle.
STEP_MS = 2
# A burst that does not end is reported in parts, in milliseconds.
_BURST_MS = 100
_POLL_DELAY_MS = 300


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
        self._stop: threading.Event | None = None

    def watch(self, folders: frozenset[str]) -> None:
        """Watch these folders instead of the former ones, which are watched until `Watching` arrives."""
        previous, self._stop = self._stop, threading.Event()
        threading.Thread(
            target=self._run, args=(folders, self._stop, previous), name="firehot-watcher", daemon=True
        ).start()

    def take(self) -> list[Notice]:
        """What happened since the last call."""
        taken = []
        while self._notices:
            taken.append(self._notices.popleft())
        return taken

    def close(self) -> None:
        """Stop watching."""
        if self._stop is not None:
            self._stop.set()

    def _run(self, folders: frozenset[str], stop: threading.Event, previous: threading.Event | None) -> None:
        with self._open(folders) as notify:
            if previous is not None:
                previous.set()
            self._post(Watching(folders))
            while not stop.is_set():
                changes = notify.watch(_BURST_MS, STEP_MS, 0, stop)
                if isinstance(changes, set):
                    self._post(Touched(frozenset(path for _, path in changes)))

    def _open(self, folders: frozenset[str]) -> RustNotify:
        while True:
            existing = sorted(folder for folder in folders if Path(folder).is_dir())
            try:
                return RustNotify(existing, False, self._polling, _POLL_DELAY_MS, False, True)
            except FileNotFoundError:
                continue  # one of them vanished in between
            except OSError as error:
                if self._polling:
                    raise
                self._polling = True
                self._post(Degraded(f"Watching by polling, since the system refuses events: {error}"))

    def _post(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake()


def polling_is_forced(setting: str | None) -> bool:
    """The meaning of WATCHFILES_FORCE_POLLING, as watchfiles documents it."""
    return bool(setting) and str(setting).lower() not in {"false", "disable", "disabled"}
