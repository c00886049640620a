"""The ledger: the read log of the present generation.

Events from the watcher are hints. An edit is a difference between what was read and what is there now, so a save
before the watch began, between two watches or during a reload is found all the same, and a save that changes nothing
is none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from firehot_server.fingerprint import EMPTY, FINGERPRINTS, data_digest_of
from firehot_server.supervisor.edits import Edit, Entry, affected, is_allowed, judge, names_of
from firehot_server.supervisor.places import Places
from firehot_server.supervisor.plan import INTERPRETER, NEVER, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firehot_server.messages import Read
    from firehot_server.supervisor.edits import Key
    from firehot_server.supervisor.rules import ReloadRules


class Ledger:
    """Keeps books of what was read.

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
        self._extra_reads: dict[Key, Entry] = {}
        """Files that count as read first by each worker that is forked of the template."""
        self._written: set[str] = set()
        """Files that the app writes itself: were they to reload it, its own saves would."""
        self._doubt = NEVER
        """The position of the first thing that changed without being a reason to reload."""
        self._touched: set[Key] = set()
        self._fresh: set[str] = set()
        """Folders that are watched only since the worker began: what it read before is told perhaps after that."""
        self._suspects: set[str] = set()
        self._known: set[str] = set()
        self.places = Places(roots, rules.folders_to_search, self._is_read)

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
        if position == TEMPLATE.position:
            self._read_extra_files()
        for key in reversed([key for key, entry in self._reads.items() if entry.position >= position]):
            del self._reads[key]
        self._touched = set()
        self._fresh = set()
        self._suspects = set()
        self.imported = NEVER
        self._doubt = self._doubt if self._doubt < position else NEVER

    def _read_extra_files(self) -> None:
        for path in self._rules.extra_files:
            entry = Entry(data_digest_of(path), TEMPLATE.position)
            self._extra_reads["data", path] = entry
            self.places.add(("data", path), entry.digest)

    def read(self, worker: int, read: Read) -> None:
        """A worker has read something, or looked for it in vain; see `suspects`."""
        if worker != self.worker:
            return
        key = (read.kind, read.path)
        former = self._reads.get(key)
        if former is not None and former.digest != read.digest:
            self._doubt = min(self._doubt, former.position)  # who waits in between has read what it was then
        self._reads[key] = Entry(read.digest, self.position if former is None else former.position)
        if read.module:
            self._modules[read.path] = read.module
        self.places.add(key, read.digest)
        if self._may_have_changed(key) and self._now(key) != read.digest:
            self._suspects.add(read.path)

    @property
    def last_module(self) -> str:
        """The path of the module that the worker was the last to read; empty: none."""
        return next((path for kind, path in reversed(self._reads) if kind == "module"), "")

    @property
    def has_suspects(self) -> bool:
        """Something that a worker has read is not what it was: an edit, unless that one says that it has written it."""
        return bool(self._suspects)

    def judge_suspects(self) -> Edit:
        """The edit that they are, if they are one; then there are none."""
        suspects, self._suspects = self._suspects, set()
        return self._judge(suspects)

    def _may_have_changed(self, key: Key) -> bool:
        """Since it was read."""
        kind, path = key
        end = self.places.elsewhere(path)
        is_touched = key in self._touched or (kind, end) in self._touched
        return is_touched or not self._fresh.isdisjoint((path, os.path.dirname(path), end, os.path.dirname(end)))

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
        self._doubt = NEVER
        for path in reads:
            self._template_has_read(("data", path), data_digest_of(path))

    def template_looked(self, reads: Iterable[Read]) -> Edit:
        """In these places of the project its imports have looked for modules, and found none: an edit, if there is one
        by now.
        """
        looked = {(read.kind, read.path): read.digest for read in reads}
        for key, digest in looked.items():
            self._template_has_read(key, digest)
        folders = {os.path.dirname(path) for _, path in looked}
        there = (os.path.join(folder, name) for folder in folders for name in _names(folder))
        return self._judge(path for path in there if not looked.keys().isdisjoint(affected(path)))

    def _template_has_read(self, key: Key, digest: bytes | None) -> None:
        self._template_reads[key] = Entry(digest, INTERPRETER.position)
        self.places.add(key, digest)

    def touch(self, paths: Iterable[str]) -> Edit:
        """The watcher gave these hints."""
        paths = set(paths)
        named = self.places.touched(paths)
        self._touched |= {key for path in paths | named for key in affected(path)}
        return self._judge(named)

    def _is_read(self, path: str) -> bool:
        logs = (self._reads, self._template_reads, self._extra_reads)
        return any(key in log for key in affected(path) for log in logs)

    def matters(self, path: str) -> bool:
        """Whether an edit of this file could reload."""
        rules, reads = self._with_own(), self._all_reads()
        named = self.places.named([path])
        read = any(key in reads and is_allowed(key, name, rules) for name in named for key in affected(name))
        return read or self._rules.allows(path) or self._rules.insists(path)

    def looks_half_written(self, paths: Iterable[str]) -> bool:
        """One of these is empty now, or gone, and was not when it was read: a save in place truncates before it writes,
        and some remove the file first.
        """
        reads = self._all_reads()
        keys = {key for path in self.places.named(paths) for key in affected(path) if key[0] in ("module", "data")}
        files = keys & reads.keys()
        return any(reads[key].digest not in (None, EMPTY) and self._now(key) in (None, EMPTY) for key in files)

    def watching(self, folders: frozenset[str]) -> Edit:
        """From now on these are watched: what changed before that?"""
        fresh = self.places.watching(folders)
        named = fresh | self.places.named(fresh)
        self._fresh |= named
        missed = {path for _, path in self._all_reads() if path in named or os.path.dirname(path) in named}
        for folder in fresh:
            files = _files(folder)
            if folder in self.places.appeared:
                missed |= files
            else:
                self._known |= files
        return self._judge(missed)

    def _judge(self, paths: Iterable[str]) -> Edit:
        """What really changed, as `edits.judge` has it; the result is taken note of."""
        edit = judge(
            paths, reads=self._all_reads(), known=frozenset(self._known), now=self._now, rules=self._with_own()
        )
        self._known |= {*edit.added, *edit.changed}
        self._known -= {*edit.removed, *(path for path in edit.idle if not os.path.exists(path))}
        self._doubt = min(self._doubt, edit.silent)
        return edit

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
        return {**self._reads, **self._extra_reads, **self._template_reads}


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
