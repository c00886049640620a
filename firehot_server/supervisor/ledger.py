"""The ledger: what the present generation has read, and where a change of it would be seen.

Events from the watcher are hints. An edit is a difference between what was read and what is there now, so a save
before the watch began, between two watches or during a reload is found all the same, and a save that changes nothing
is none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from firehot_server.fingerprint import EMPTY, data_digest_of, digest_of
from firehot_server.supervisor.edits import Edit, judge
from firehot_server.supervisor.rules import ReloadRules, is_pruned

if TYPE_CHECKING:
    from collections.abc import Iterable


class Ledger:
    """Keeps books of reads and folders.

    Args:
        rules: the user's --reload options.
        roots: folders that are watched from the start.
    """

    def __init__(self, rules: ReloadRules, roots: Iterable[str]) -> None:
        self._rules = rules
        self._worker = 0
        self._reads: dict[str, bytes | None] = {}
        self._template_reads: dict[str, bytes | None] = {}
        self._data: set[str] = set()
        """Those of the reads that are no modules."""
        self._written: set[str] = set()
        """Data files that the app writes itself: were they to reload it, its own saves would."""
        self._touched: set[str] = set()
        self._aliases: dict[str, str] = {}
        self._known: set[str] = set()
        self._appeared: set[str] = set()
        self._watched: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()
        self._wanted_for = -1
        self.is_watch_broken = False
        """A watched folder was replaced: the same folders must be watched anew."""
        self.folders: set[str] = {*map(os.path.abspath, roots), *rules.folders_to_search}

    @property
    def template_reads(self) -> frozenset[str]:
        """Files on which the template depends."""
        return frozenset(self._template_reads)

    def begin(self, worker: int) -> None:
        """A new worker starts reading; only its reads count from now on."""
        self._worker = worker
        self._reads = {}
        self._data = set()
        self._touched = set()

    def read(self, worker: int, path: str, digest: bytes | None, *, is_data: bool = False) -> Edit:
        """A worker has read a file, or looked for it (None); an edit, if the file was touched since."""
        if worker != self._worker or path in self._written:
            return Edit()
        if is_data:
            self._data.add(path)
        self._reads[path] = digest
        self._watch_file(path)
        return self.judge([path]) if path in self._touched else Edit()

    def written(self, path: str) -> bool:
        """The app writes this file: it is no longer a reason to reload. Whether that is news."""
        was_read = path in self._data and path not in self._written
        self._written.add(path)
        if path in self._data:
            self._reads.pop(path, None)
            self._data.discard(path)
        return was_read

    def template_read(self, path: str) -> None:
        """A template is about to be started that depends on this file."""
        self._template_reads[path] = digest_of(path)
        self._watch_file(path)

    def add_folders(self, folders: Iterable[str]) -> None:
        """Modules may appear in these."""
        self.folders.update(map(os.path.abspath, folders))

    def touch(self, paths: Iterable[str]) -> Edit:
        """The watcher gave these hints."""
        paths = {self._as_read(path) for path in paths}
        self._touched |= paths
        self._notice_folders(paths)
        return self.judge(paths)

    def _as_read(self, path: str) -> str:
        """The link through which the present generation has read this file, if it has."""
        reads = self._all_reads()
        link = self._aliases.get(path, path)
        return link if link in reads and path not in reads else path

    def matters(self, path: str) -> bool:
        """Whether an edit of this file could reload."""
        return self._with_reads().allows(path) or self._rules.insists(path)

    def looks_half_written(self, paths: Iterable[str]) -> bool:
        """One of these is empty now and was not when it was read: a save in place truncates before it writes."""
        reads = self._all_reads()
        return any(reads.get(path) not in (None, EMPTY) and self._content(path) == EMPTY for path in paths)

    def watching(self, folders: frozenset[str]) -> Edit:
        """From now on these are watched: what changed before that?"""
        fresh, self._watched = folders - self._watched, folders
        missed = {path for path in self._all_reads() if os.path.dirname(path) in fresh}
        for folder in fresh:
            files = _files(folder)
            if folder in self._appeared:
                missed |= files
            else:
                self._known |= files
        return self.judge(missed)

    def judge(self, paths: Iterable[str]) -> Edit:
        """What really changed, as `edits.judge` has it; the result is taken note of."""
        edit = judge(
            paths,
            reads=self._all_reads(),
            known=frozenset(self._known),
            content=self._content,
            rules=self._with_reads(),
        )
        self._known |= {*edit.added, *edit.changed}
        self._known -= {*edit.removed, *(path for path in edit.idle if not os.path.exists(path))}
        return edit

    def _content(self, path: str) -> bytes | None:
        return data_digest_of(path) if path in self._data else digest_of(path)

    def _with_reads(self) -> _WithReads:
        return _WithReads(self._rules, self.template_reads, self._data)

    def _all_reads(self) -> dict[str, bytes | None]:
        return {**self._template_reads, **self._reads}

    def _watch_file(self, path: str) -> None:
        self.folders.add(os.path.dirname(path))
        real = os.path.realpath(path)
        if real != path:
            self._aliases[real] = path
            self.folders.add(os.path.dirname(real))

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


class _WithReads:
    """The user's rules, and whatever the template and the app have read: the rules are about Python files."""

    def __init__(self, rules: ReloadRules, template_reads: frozenset[str], data: set[str]) -> None:
        self._rules = rules
        self._template_reads = template_reads
        self._data = data

    def allows(self, path: str) -> bool:
        if path in self._data:
            return self._rules.allows_data(path)
        return path in self._template_reads or self._rules.allows(path)

    def insists(self, path: str) -> bool:
        return self._rules.insists(path)


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.path for entry in entries if not entry.is_dir()}
    except OSError:
        return set()
