"""Symbolic links: what is read through one changes elsewhere, at the link or where it leads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# As many links in a row as Linux follows.
_MOST = 40


class Links:
    """The links on the ways to files and folders that were read."""

    def __init__(self) -> None:
        self._ways: dict[str, tuple[str, ...]] = {}
        """Path, as it was read → every link on the way to it, and where that leads; empty, if there is none."""
        self._readers: dict[str, set[str]] = {}
        """Link → the paths that lead over it."""
        self._sources: dict[str, set[str]] = {}
        """Where links lead → the paths that do."""
        self._inside: dict[str, frozenset[str]] = {}
        """Folder → the links in it, as paths."""

    def follow(self, path: str) -> tuple[str, ...]:
        """Where else a change of what is at this path would be seen: in the folders of these."""
        if path not in self._ways:
            self._ways[path] = _way(path)
            self._enter(path)
        return self._ways[path]

    def _enter(self, path: str) -> None:
        way = self._ways[path]
        for link in way[:-1]:
            self._readers.setdefault(link, set()).add(path)
        for end in way[-1:]:
            self._sources.setdefault(end, set()).add(path)

    def inside(self, folder: str) -> frozenset[str]:
        """The links in a folder, when it was last looked into."""
        if folder not in self._inside:
            self._inside[folder] = _links_in(folder)
        return self._inside[folder]

    def have_changed(self, paths: Iterable[str]) -> bool:
        """Something is another at these paths; whether a link is, perhaps. Then all ways must be followed anew."""
        return any([self._has_changed(path) for path in paths])  # noqa: C419 - each of them

    def _has_changed(self, path: str) -> bool:
        if os.path.islink(path):
            self._inside.pop(os.path.dirname(path), None)
        elif not any(is_within(place, path) for place in (*self._ways, *self._readers, *self._sources)):
            return False
        for folder in [folder for folder in self._inside if is_within(folder, path)]:
            del self._inside[folder]
        return True

    def follow_anew(self) -> set[str]:
        """What `follow` returns now, of all that was followed."""
        self._readers.clear()
        self._sources.clear()
        for path in self._ways:
            self._ways[path] = _way(path)
            self._enter(path)
        return {place for way in self._ways.values() for place in way}

    def end(self, path: str) -> str:
        """Where this path leads."""
        for head, tail in _splits(path):
            if self._ways.get(head):
                return os.path.join(self._ways[head][-1], tail).rstrip(os.sep)
        return path

    def names(self, path: str) -> set[str]:
        """Other paths by which what is here was read; also what is read over a link that is here, or below."""
        found: set[str] = set()
        if not self._sources:
            return found
        for place in {path, self.end(path)}:
            found.add(place)
            for head, tail in _splits(place):
                found |= {os.path.join(source, tail).rstrip(os.sep) for source in self._sources.get(head, ())}
            for places in (self._readers, self._sources):
                found.update(*(paths for below, paths in places.items() if is_within(below, place)))
        return found - {path}


def is_within(path: str, folder: str) -> bool:
    """It is that folder, or lies below it."""
    return path == folder or path.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """The path and each folder on the way to it, with the rest; from the deepest on."""
    tail = ""
    while True:
        yield path, tail
        path, name = os.path.split(path)
        if not name:
            return
        tail = os.path.join(name, tail)


def _way(path: str) -> tuple[str, ...]:
    links: list[str] = []
    here, ahead = "", path.split(os.sep)[:0:-1]
    while ahead:
        name = ahead.pop()
        if name == os.pardir:
            here = os.path.dirname(here)
        elif name not in ("", os.curdir):
            here, target = f"{here}{os.sep}{name}", _target(f"{here}{os.sep}{name}")
            if target is not None and len(links) < _MOST:
                links.append(here)
                here = "" if target.startswith(os.sep) else os.path.dirname(here)
                ahead += target.split(os.sep)[::-1]
    return (*links, here or os.sep) if links else ()


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None  # no link


def _links_in(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.path for entry in entries if entry.is_symlink())
    except OSError:
        return frozenset()
