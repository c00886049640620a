"""Where a change of what was read would be seen: the folders to watch, and the other names that files have there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from firehot_server.fingerprint import FOLDER
from firehot_server.supervisor.edits import affected
from firehot_server.supervisor.links import Links, is_within
from firehot_server.supervisor.rules import is_pruned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from firehot_server.supervisor.edits import Key


class Places:
    """Keeps the folders.

    Args:
        roots: those in which modules of the project are looked for first.
        others: more that are watched from the start.
        is_read: whether anything was read that depends on what is at a path.
    """

    def __init__(self, roots: Iterable[str], others: Iterable[str], is_read: Callable[[str], bool]) -> None:
        self._roots = [os.path.abspath(root) for root in roots]
        self._folders: set[str] = {*self._roots, *others}
        self._is_read = is_read
        self._links = Links()
        self._followed: set[str] = set()
        """Folders whose links are known."""
        self.appeared: set[str] = set()
        """Folders that came while their place was watched."""
        self._watched: frozenset[str] = frozenset()
        self._identities: dict[str, tuple[int, int] | None] = {}
        self._wanted: frozenset[str] = frozenset()
        self._wanted_for = -1
        self.is_watch_broken = False
        """A watched folder was replaced: the same folders must be watched anew."""

    def wanted(self) -> frozenset[str]:
        """What the watcher should watch now: the folders that exist, and the nearest parent of those that do not."""
        if self._wanted_for != len(self._folders):
            self._wanted = frozenset(_nearest_folder(folder) for folder in self._folders)
            self._wanted_for = len(self._folders)
        return self._wanted

    def watching(self, folders: frozenset[str]) -> frozenset[str]:
        """From now on these are watched; those of them that were not before."""
        fresh, self._watched = folders - self._watched, folders
        self._identities = {folder: _identity(folder) for folder in folders}
        return fresh

    def replaced(self) -> frozenset[str]:
        """Watched folders that are gone, or others by now."""
        return frozenset(folder for folder in self._watched if _identity(folder) != self._identities[folder])

    # -- what was read

    def add(self, key: Key, digest: bytes | None) -> None:
        """This was read: watch where it changes."""
        kind, path = key
        folder = os.path.dirname(path)
        self._add_folder(folder)
        if kind == "listing" or (kind == "lookup" and digest == FOLDER):
            self._add_folder(path)
        for link in self._links.inside(folder):
            if key in affected(link):
                self._follow(link)

    def _add_folder(self, folder: str) -> None:
        if folder not in self._followed:
            self._followed.add(folder)
            self._folders |= {folder, *self._project_folders_above(folder)}
            self._follow(folder)
            self._follow_links_in(folder)

    def _project_folders_above(self, folder: str) -> Iterator[str]:
        """It goes with each of them, and nobody who watches only that one would see it."""
        root = next((root for root in self._roots if is_within(folder, root)), folder)
        while len(folder) > len(root):
            folder = os.path.dirname(folder)
            yield folder

    def _follow(self, path: str) -> None:
        for place in self._links.follow(path):
            self._add_place(place)

    def _follow_links_in(self, folder: str) -> None:
        """Those that matter."""
        for link in self._links.inside(folder):
            if self._is_read(link):
                self._follow(link)

    def _add_place(self, place: str) -> None:
        """A link, or where one leads. Not those by which the project itself is reached."""
        folder = os.path.dirname(place)
        if not any(is_within(root, folder) and root != folder for root in self._roots):
            self._folders |= {folder, *self._project_folders_above(folder)}
        if os.path.isdir(place):
            self._folders.add(place)

    # -- what was touched

    def touched(self, paths: set[str]) -> set[str]:
        """The watcher saw something at these paths; the same, by the names by which it was read."""
        named = self.named(paths)
        if self._links.have_changed(paths):
            for place in self._links.follow_anew():
                self._add_place(place)
            named |= self.named(paths)
        for path in paths | named:
            self._notice_folder(path)
        for folder in {os.path.dirname(path) for path in paths | named}:
            self._follow_links_in(folder)
        return named

    def named(self, paths: Iterable[str]) -> set[str]:
        """These files by the names by which they were read, and what else depends on them."""
        found: set[str] = set()
        for path in paths:
            others = self._links.names(path)
            found |= {name for name in others if name in self._folders or self._is_read(name)}
            if not others or self._is_read(path) or not os.path.isfile(path):
                found.add(path)
        return found

    def elsewhere(self, path: str) -> str:
        """Where this path leads, if there are links on the way to it; else the path."""
        return self._links.end(path)

    def _notice_folder(self, path: str) -> None:
        gone = {folder for folder in self._watched if is_within(folder, path)}
        if gone:
            # It went, and may have come back since: then it is another folder, and its watch went with the first.
            self._watched -= gone
            self._wanted_for = -1
            self.is_watch_broken = True
        if os.path.isdir(path) and not is_pruned(path):
            self._add_folder(path)
            self._follow_links_in(path)
            self.appeared.add(path)
            self._wanted_for = -1


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path
