"""What changes outside while the server runs (files, packages, the working folder), and when that is to reload."""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firehot_server.supervisor.held import Held
from firehot_server.supervisor.installation import Installation
from firehot_server.supervisor.plan import INTERPRETER, TEMPLATE
from firehot_server.supervisor.watcher import Degraded, Polled, Touched, Watching
from firehot_server.supervisor.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.discovery.origin import Origins
    from firehot_server.stamps import Stamped
    from firehot_server.supervisor.alarms import Alarms
    from firehot_server.supervisor.edits import Edit
    from firehot_server.supervisor.ledger import Ledger
    from firehot_server.supervisor.machine import Machine
    from firehot_server.supervisor.pauses import Prospects
    from firehot_server.supervisor.watcher import Watcher
    from firehot_server.supervisor.working_folder import WorkingFolder

logger = logging.getLogger("uvicorn.error")

# An import that takes longer than this gets its new folders watched meanwhile, in seconds.
_WATCH_SECONDS = 0.2

# What an import reads is laid down; so often is looked what there is of it, and, while that is nothing new, less and
# less often down to this, in seconds.
_LOOK_SECONDS = 0.02
_MOST_PATIENCE = 0.5

# How long a file may stay empty between being truncated and being written, in seconds.
_HALF_WRITTEN_SECONDS = 0.03

# How often is looked whether somebody still writes a file, in seconds.
_WRITERS_SECONDS = 0.002

# After an edit: how soon, and then how often, is looked whether folders were removed or replaced, too, in seconds.
_FOLDERS_SECONDS = 0.1
_NEXT_FOLDERS_SECONDS = 1.0

# While a failure is shown, how often is looked whether what it lacks was installed, in seconds.
_INSTALLATION_SECONDS = 0.5

# What a worker has imported is compared with what is there some time later, when nobody waits any more, in seconds.
_IMPORTED_SECONDS = 0.3

# The clock by which a kernel dates files is behind the one that tells the time, by so many seconds at most.
_TICK_SECONDS = 0.01

_REPLACED = "the working directory was replaced"


@dataclass(frozen=True, slots=True)
class Reload:
    """It is time for one.

    Attributes:
        cause: for people.
        position: of the first thing in the read log that changed.
        is_settled: nobody writes to these files any more; else `on_settled` will tell.
        added_folders: what is on `sys.path` now in addition.
    """

    cause: str
    position: int
    is_settled: bool
    added_folders: tuple[str, ...]


class Changes:
    """Notices them, and judges whether they matter by what was read.

    Args:
        ledger: what was read.
        watcher: tells of files.
        machine: is asked how far the present worker is.
        prospects: is told what was edited.
        alarms: those of which the names are functions are called when they are due.
        working_folder: that of the server.
        origins: knows the folders into which packages are installed.
        delay: seconds to wait after each event for the next one.
        hear: takes in whatever workers have said by now. Somebody may have said that it writes these files itself.
        on_reload: there is reason to.
        on_settled: nobody writes to the files of the last reload any more.
    """

    def __init__(
        self,
        ledger: Ledger,
        watcher: Watcher,
        machine: Machine,
        prospects: Prospects,
        alarms: Alarms[Any],
        working_folder: WorkingFolder,
        origins: Origins,
        delay: float,
        *,
        hear: Callable[[], None],
        on_reload: Callable[[Reload], None],
        on_settled: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._machine = machine
        self._prospects = prospects
        self._alarms = alarms
        self._working_folder = working_folder
        self._origins = origins
        self._delay = delay
        self._hear = hear
        self._on_reload = on_reload
        self._on_settled = on_settled
        self._watching: frozenset[str] = frozenset()
        self._pending: set[str] = set()
        """Touched, and not judged yet."""
        self._writers = Writers()
        self._installation = Installation(origins)
        self._held = Held()
        self._is_folder_gone = False
        self._failed_at = math.inf
        """Since when (`time.time`) the failure of the newest code has been known; for ever: it has not failed."""
        self._cause = ""
        """Of the last reload."""
        self._patience = _LOOK_SECONDS
        """How long to wait until it is looked again what an import has read."""

    # -- what the rest of the server does

    def template_starts(self) -> None:
        """It imports packages as they are now."""
        self._installation = Installation(self._origins)
        self._held.clear()

    def imported(self, files: tuple[Stamped, ...]) -> None:
        """A template, or the newest worker, has these files of other people's packages."""
        self._held.add(files)
        self._alarms.start(self.look_at_held, _IMPORTED_SECONDS)

    def look_at_held(self) -> None:
        """Has a package been edited in place? Bit by bit, while a worker imports, or nobody waits for anything."""
        self._held.look_anew()
        self._alarms.start(self._look_on, 0.0)

    def import_begins(self) -> None:
        """What a worker reads will be there soon."""
        self._alarms.start(self._look_at_reads, _LOOK_SECONDS)

    def failure_is_shown(self) -> None:
        """From now on more is a reason to try again than a change of what was read."""
        self._failed_at = time.time()
        self._alarms.start(self._look_at_installation, _INSTALLATION_SECONDS)

    # -- files

    def update_watch(self) -> None:
        """Watch what the ledger wants watched. While a worker imports, that grows by the module: gather."""
        if not self._is_watch_due:
            return
        if not self._watching or not self._machine.is_importing:
            self._watch()
        elif not self._alarms.is_set(self._watch):
            self._alarms.start(self._watch, _WATCH_SECONDS)

    @property
    def _is_watch_due(self) -> bool:
        return self._ledger.places.wanted() != self._watching or self._ledger.places.is_watch_broken

    def _watch(self) -> None:
        if self._is_watch_due:
            self._watching = self._ledger.places.wanted()
            self._ledger.places.is_watch_broken = False
            self._watcher.watch(self._watching)

    def take_notices(self) -> None:
        """The watcher has something to tell, or somebody else woke this process."""
        notices = self._watcher.take()
        if notices:
            self._hear()
        for notice in notices:
            match notice:
                case Touched():
                    self._touched(notice.paths)
                case Watching():
                    self.noticed(self._ledger.watching(notice.folders))
                case Degraded():
                    logger.warning(notice.text)
                case Polled():
                    logger.info(notice.text)

    def _touched(self, paths: frozenset[str]) -> None:
        self._pending |= paths
        delay = self._delay
        if self._ledger.looks_half_written(self._pending):
            delay = max(delay, _HALF_WRITTEN_SECONDS)
        if delay <= 0:
            self._judge_pending()
        elif not self._alarms.is_set(self._judge_pending) or any(map(self._ledger.matters, paths)):
            # Not for each: a log file that is being written must not put it off for ever.
            self._alarms.start(self._judge_pending, delay)

    def _judge_pending(self) -> None:
        self._alarms.cancel(self._judge_pending)
        touches, self._pending = self._pending, set()
        self.noticed(self._ledger.touch(touches))
        if self._is_folder_gone or not self._watching.isdisjoint(touches):
            self._look_at_folders()

    def _look_at_reads(self) -> None:
        before = self._ledger.position
        self._hear()
        self._cause = ""
        """Of the last reload."""
        self._patience = _LOOK_SECONDS if self._ledger.position > before else min(2 * self._patience, _MOST_PATIENCE)
        if self._machine.is_importing:
            self._alarms.start(self._look_at_reads, self._patience)

    def judge_suspects(self) -> None:
        """What was read is something else by now. Perhaps the app has written it itself; it says so before it does."""
        while self._ledger.has_suspects:
            self._hear()
            self.noticed(self._ledger.judge_suspects())

    def noticed(self, edit: Edit) -> bool:
        """Reload, if this is one; whether it is."""
        for path in edit.idle:
            logger.debug("%s: the same content, or nothing has read it; no reload", self._shorten(path))
        if edit:
            names = [self._ledger.module_of(path) or path for path in edit.paths]
            self._prospects.edited(names, late=edit.position >= self._ledger.imported)
            self._alarms.start(self._look_at_folders, _FOLDERS_SECONDS)
            self.reload(edit.describe(self._shorten), edit.position, edit.paths)
            return True
        again = next(filter(self._asks_for_another_try, edit.idle), None)
        if again is not None:
            self.reload(f"{self._shorten(again)} saved", TEMPLATE.position, (again,))
        return again is not None

    def _asks_for_another_try(self, path: str) -> bool:
        """A module that was saved since the failure. It may be the same, or not what has failed; but what was amiss
        outside may be mended.
        """
        if not self._ledger.module_of(path):
            return False
        try:
            return os.stat(path).st_mtime > self._failed_at - _TICK_SECONDS
        except OSError:
            return False

    # -- folders and packages

    def _look_at_folders(self) -> None:
        """No event tells that a folder in which a process works, as all of these do, was removed or replaced."""
        where = self._working_folder.look()
        if where == "gone" and not self._is_folder_gone:
            path = self._working_folder.path
            logger.warning("The working directory, %s, is gone; the server waits for it to be back.", path)
        self._is_folder_gone = where == "gone"
        self.noticed(self._ledger.touch(self._ledger.places.replaced()))
        if where == "back":
            self.reload(_REPLACED, INTERPRETER.position)
        elif self._is_folder_gone or self._machine.is_failing:
            self._alarms.start(self._look_at_folders, _NEXT_FOLDERS_SECONDS)

    def _look_at_installation(self) -> None:
        """The failure may be for want of a package."""
        if self._failed_at == math.inf:
            return
        if self._installation.has_changed():
            self.reload("", INTERPRETER.position)
        else:
            self._alarms.start(self._look_at_installation, _INSTALLATION_SECONDS)

    def _look_on(self) -> None:
        edited, goes_on = self._held.look_on()
        if edited:
            cause = f"{self._cause}, " if self._machine.is_importing else ""
            self._reload(f"{cause}{self._shorten(edited)} changed", INTERPRETER.position)
        elif goes_on:
            self._alarms.start(self._look_on, 0.0)

    # -- the reload

    def reload(self, cause: str, position: int, paths: tuple[str, ...] = ()) -> None:
        """For this cause; also for one that nothing here has noticed.

        Args:
            position: of the first thing in the read log that is not what it was.
            paths: the files that may still be being written.
        """
        self._held.forgive()
        self._reload(cause, position, paths)

    def _reload(self, cause: str, position: int, paths: tuple[str, ...] = ()) -> None:
        self._failed_at = math.inf
        added: tuple[str, ...] = ()
        if self._working_folder.look() == "back":  # what was noticed may be the first sign of it
            cause = f"{cause}, {_REPLACED}"
            position = INTERPRETER.position
        if self._installation.has_changed():
            cause = f"{cause}, packages were installed".removeprefix(", ")
            position = INTERPRETER.position
            added = self._installation.added_folders()
        is_settled = not self._writers.begin(paths, time.monotonic())
        self._alarms.start(self._look_at_writers, None if is_settled else _WRITERS_SECONDS)
        self._cause = cause
        self._on_reload(Reload(cause, position, is_settled, added))

    def _look_at_writers(self) -> None:
        """When nobody writes any more: is what was read what is there now?"""
        if self._writers.are_busy(time.monotonic()):
            self._alarms.start(self._look_at_writers, _WRITERS_SECONDS)
            return
        self._hear()
        if not self.noticed(self._ledger.touch(self._writers.take())):
            self._on_settled()

    def _shorten(self, path: str) -> str:
        return self._working_folder.shorten(path)
