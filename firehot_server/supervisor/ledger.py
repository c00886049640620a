"""The ledger: the read log of the present generation, and where a change of what is in it would be seen.

Events from the watcher are hints. An edit is a difference between what was read and what is there now, so a save
before the watch began, between two watches or during a reload is found all the same, and a save that changes nothing
is none.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import FrozenImporter
from typing import TYPE_CHECKING

from firehot_server.fingerprint import EMPTY, FINGERPRINTS, NOTHING, data_digest_of
from firehot_server.supervisor.edits import Edit, Entry, affected, is_allowed, judge, names_of
from firehot_server.supervisor.plan import INTERPRETER, NEVER
from firehot_server.supervisor.rules import ReloadRules, is_pruned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firehot_server.messages import Read
    from firehot_server.supervisor.edits import Key


class Ledger:
    """Keeps books of reads and folders.

    Args:
        rules: the user's --reload options.
        roots: folders that are watched from the start: those in which modules of the project are looked for first.
    """

    def __init__(self, rules: ReloadRules, roots: Iterable[str]) -> None:
        self._rules = rules
        self.worker = 0
        """The one whose reads count."""
        self.imported = NEVER
        """What is at this position and behind was read when the import was over."""
        self._reads: dict[Key, Entry] = {}
        """In the order of their positions."""
        self._modules: dict[str, str] = {}
        """Path → the name that it was imported by, of whatever was ever read."""
        self._template_reads: dict[Key, Entry] = {}
        self._there: set[str] = set()
        """Names of modules that the project had when the template was started."""
        self._template_has: frozenset[str] = frozenset()
        self._template_names: frozenset[str] = frozenset()
        """Those of its modules that the project would come before, if it had them."""
        self._written: set[str] = set()
        """Files that the app writes itself: were they to reload it, its own saves would."""
        self._doubt = NEVER
        """The position of the first thing that changed without being a reason to reload."""
        self._touched: set[Key] = set()
        self._aliases: dict[str, str] = {}
        self._real_folders: dict[str, str] = {}
        self._known: set[str] = set()
        self._appeared: set[str] = set()
        self._watched: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()
        self._wanted_for = -1
        self.is_watch_broken = False
        """A watched folder was replaced: the same folders must be watched anew."""
        self.roots = [os.path.abspath(root) for root in roots]
        self.folders: set[str] = {*self.roots, *rules.folders_to_search}

    @property
    def position(self) -> int:
        """How much has been read."""
        return len(self._reads)

    @property
    def doubt(self) -> int:
        """The position from which on the log no longer says what is there, though nothing of it is a reason to reload:
        what the rules exclude, and what the app has written itself.
        """
        own = self._written | {os.path.dirname(path) for path in self._written}
        reads = [(key, entry) for key, entry in self._reads.items() if key[1] in own]
        return min([self._doubt, *(entry.position for key, entry in reads if _found(key) != entry.digest)])

    def begin(self, worker: int, position: int = 0) -> None:
        """A new worker goes on from this position; only its reads count from now on."""
        self.worker = worker
        for key in reversed([key for key, entry in self._reads.items() if entry.position >= position]):
            del self._reads[key]
        self._touched = set()
        self.imported = NEVER
        self._doubt = self._doubt if self._doubt < position else NEVER

    def read(self, worker: int, read: Read) -> Edit:
        """A worker has read something, or looked for it in vain; an edit, if it was touched since."""
        if worker != self.worker:
            return Edit()
        key = (read.kind, read.path)
        former = self._reads.get(key)
        if former is not None and former.digest != read.digest:
            self._doubt = min(self._doubt, former.position)  # who waits in between has read what it was then
        self._reads[key] = Entry(read.digest, self.position if former is None else former.position)
        if read.module:
            self._modules[read.path] = read.module
        self._watch(key)
        return self._judge([read.path]) if key in self._touched else Edit()

    def module_of(self, path: str) -> str:
        """The name by which this file was imported, if it was; else empty."""
        return self._modules.get(path, "")

    def written(self, path: str) -> bool:
        """The app writes this file: it is no longer a reason to reload. Whether that is news."""
        was_read = path not in self._written and (("data", path) in self._reads or ("look", path) in self._reads)
        self._written.add(path)
        return was_read

    def template_starts(self, reads: Iterable[str]) -> None:
        """A template is about to be started that depends on these files."""
        self._template_reads = {}
        self._there = {name.partition(".")[0] for root in self.roots for name in _names(root)}
        for path in reads:
            self._template_reads[("data", path)] = Entry(data_digest_of(path), INTERPRETER.position)
            self._watch(("data", path))

    def template_holds(self, names: frozenset[str]) -> None:
        """It has modules of these names, which imports would look for in the project first."""
        if names is not self._template_has:
            self._template_has = names
            self._template_names = frozenset(n for n in names if n not in self._there and not _is_built_in(n))

    def touch(self, paths: Iterable[str]) -> Edit:
        """The watcher gave these hints."""
        paths = {self._as_read(path) for path in paths}
        self._touched |= {key for path in paths for key in affected(path)}
        self._notice_folders(paths)
        return self._judge(paths)

    def _as_read(self, path: str) -> str:
        """The link through which the present generation has read this file, if it has."""
        reads = self._all_reads()
        if any(key in reads for key in affected(path)):
            return path
        folder, name = os.path.split(path)
        return self._aliases.get(path) or os.path.join(self._aliases.get(folder, folder), name)

    def matters(self, path: str) -> bool:
        """Whether an edit of this file could reload."""
        rules, reads = self._with_own(), self._all_reads()
        read = any(key in reads and is_allowed(key, path, rules) for key in affected(path))
        return read or self._rules.allows(path) or self._rules.insists(path)

    def looks_half_written(self, paths: Iterable[str]) -> bool:
        """One of these is empty now and was not when it was read: a save in place truncates before it writes."""
        reads = self._all_reads()
        files = [key for path in paths for key in affected(path) if key[0] in ("module", "data") and key in reads]
        return any(reads[key].digest not in (None, EMPTY) and self._now(key) == EMPTY for key in files)

    def watching(self, folders: frozenset[str]) -> Edit:
        """From now on these are watched: what changed before that?"""
        fresh, self._watched = folders - self._watched, folders
        missed = {path for _, path in self._all_reads() if path in fresh or os.path.dirname(path) in fresh}
        for folder in fresh:
            files = _files(folder)
            for path in files:
                self._look_behind_template(path)
            if folder in self._appeared:
                missed |= files
            else:
                self._known |= files
        missed |= {path for _, path in self._template_reads}
        return self._judge(missed)

    def _judge(self, paths: Iterable[str]) -> Edit:
        """What really changed, as `edits.judge` has it; the result is taken note of."""
        paths = list(paths)
        for path in paths:
            self._look_behind_template(path)
        edit = judge(
            paths, reads=self._all_reads(), known=frozenset(self._known), now=self._now, rules=self._with_own()
        )
        self._known |= {*edit.added, *edit.changed}
        self._known -= {*edit.removed, *(path for path in edit.idle if not os.path.exists(path))}
        self._doubt = min(self._doubt, edit.silent)
        return edit

    def _look_behind_template(self, path: str) -> None:
        """Where a module would be found that the template took from elsewhere, there was none when it did."""
        folder, name = os.path.split(path)
        stem = name.partition(".")[0]
        if folder in self.roots and stem in self._template_names:
            self._template_reads[("lookup", os.path.join(folder, stem))] = Entry(NOTHING, INTERPRETER.position)

    def _now(self, key: Key) -> bytes | None:
        kind, path = key
        if kind == "listing" and key in self._reads:
            return self._without_own(path, self._reads[key].digest, _found(key))
        return _found(key)

    def _without_own(self, folder: str, before: bytes | None, found: bytes | None) -> bytes | None:
        """A listing that differs only by files which the app has made itself, or removed, is the same."""
        if found is None or before is None or found == before:
            return found
        differing = names_of(found) ^ names_of(before)
        return before if all(os.path.join(folder, name) in self._written for name in differing) else found

    def _with_own(self) -> _WithOwn:
        return _WithOwn(self._rules, frozenset(path for _, path in self._template_reads), self._written)

    def _all_reads(self) -> dict[Key, Entry]:
        return {**self._reads, **self._template_reads}

    def _watch(self, key: Key) -> None:
        kind, path = key
        folder = os.path.dirname(path)
        self._watch_folder(folder)
        if kind == "listing":
            self._watch_folder(path)
        elif kind != "lookup" and os.path.islink(path):
            real = os.path.realpath(path)
            self._aliases[real] = path
            self.folders.add(os.path.dirname(real))

    def _watch_folder(self, folder: str) -> None:
        self.folders.add(folder)
        if folder not in self._real_folders:
            real = self._real_folders[folder] = os.path.realpath(folder)
            if real != folder:
                self._aliases[real] = folder
                self.folders.add(real)

    def _notice_folders(self, paths: Iterable[str]) -> None:
        for path in paths:
            if path in self._watched:
                # It went, and may have come back since: then it is another folder, and its watch went with the first.
                self._watched -= {path}
                self._wanted_for = -1
                self.is_watch_broken = True
            if os.path.isdir(path) and not is_pruned(path):
                self.folders.add(path)
                self._appeared.add(path)
                self._wanted_for = -1

    def wanted_folders(self) -> frozenset[str]:
        """What the watcher should watch now: the folders that exist, and the nearest parent of those that do not."""
        if self._wanted_for != len(self.folders):
            self._wanted = frozenset(_nearest_folder(folder) for folder in self.folders)
            self._wanted_for = len(self.folders)
        return self._wanted


class _WithOwn:
    """The user's rules, which are about the app's files: not about the template's, nor those that the app writes."""

    def __init__(self, rules: ReloadRules, template_reads: frozenset[str], written: set[str]) -> None:
        self._rules = rules
        self._template_reads = template_reads
        self._written = written

    def allows(self, path: str) -> bool:
        return path in self._template_reads or self._rules.allows(path)

    def allows_data(self, path: str) -> bool:
        if path in self._template_reads:
            return True
        return path not in self._written and self._rules.allows_data(path)

    def insists(self, path: str) -> bool:
        return self._rules.insists(path)


def _found(key: Key) -> bytes | None:
    kind, path = key
    return FINGERPRINTS[kind](path)


def _is_built_in(name: str) -> bool:
    """Found before any folder is looked at."""
    return name in sys.builtin_module_names or FrozenImporter.find_spec(name) is not None


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.path for entry in entries if not entry.is_dir()}
    except OSError:
        return set()
