"""From hints to an edit: which of the touched paths really changed, and does it matter? Pure, but for `now`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from firehot_server.supervisor.plan import NEVER, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from firehot_server.messages import Kind

    Key = tuple[Kind, str]
    """How something was read, and its path."""

Verb = Literal["changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the read log: what was found, and how many lines there are before."""

    digest: bytes | None
    position: int


@dataclass(frozen=True, slots=True)
class Edit:
    """One batch of changed, added and removed files, sorted."""

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    """Touched, but of no consequence: the same content, or nothing has read it. Only files that could matter:
    to mention others would feed a log file in the project's folder with itself."""
    position: int = NEVER
    """Of the first thing in the read log that changed."""
    silent: int = NEVER
    """The same of what changed, but is no reason to reload: excluded by the user's rules."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.removed)

    @property
    def paths(self) -> tuple[str, ...]:
        """All files that matter."""
        return (*self.changed, *self.added, *self.removed)

    def describe(self, shorten: Callable[[str], str]) -> str:
        """For people: `routes/users.py changed`, or `a.py changed, b.py added and 3 more`."""
        parts = [f"{shorten(path)} changed" for path in self.changed]
        parts += [f"{shorten(path)} added" for path in self.added]
        parts += [f"{shorten(path)} removed" for path in self.removed]
        shown = ", ".join(parts[:2])
        return f"{shown} and {len(parts) - 2} more" if len(parts) > 2 else shown


class Rules(Protocol):
    """What the user's --reload options say of a path."""

    def allows(self, path: str) -> bool:
        """A change of this file may reload."""

    def allows_data(self, path: str) -> bool:
        """The same of a file or folder that the app has read as data."""

    def insists(self, path: str) -> bool:
        """A change of this file reloads even if nothing has read it."""


def judge(
    touched: Iterable[str],
    *,
    reads: Mapping[Key, Entry],
    known: frozenset[str],
    now: Callable[[Key], bytes | None],
    rules: Rules,
) -> Edit:
    """Sort touched paths into an edit.

    Args:
        touched: files or folders.
        reads: the read log of the present generation, and what the template has read.
        known: files that were there before, read or not.
        now: what is found there at present.
    """
    verbs: dict[str, Verb] = {}
    idle: list[str] = []
    first = silent = NEVER
    for path in sorted(_expand(touched, reads)):
        named: dict[str, Verb] = {}
        for key, entry, found in _differences(path, reads, now):
            if not is_allowed(key, path, rules):
                silent = min(silent, entry.position)
            elif verb := _verb(key, path, entry.digest, found):
                first = min(first, entry.position)
                named = named or {_name(key, path, found or entry.digest): verb}
        if not named and rules.insists(path) and (named := _insisted(path, reads, known, now)):
            first = min(first, TEMPLATE.position)  # who has seen it, the log cannot tell
        verbs = {**named, **verbs}
        if not named and (rules.insists(path) or rules.allows(path)):
            idle.append(path)
    changed, added, removed = (_of_verb(verb, verbs) for verb in ("changed", "added", "removed"))
    return Edit(changed, added, removed, tuple(idle), first, silent)


def _differences(
    path: str, reads: Mapping[Key, Entry], now: Callable[[Key], bytes | None]
) -> Iterator[tuple[Key, Entry, bytes | None]]:
    """What was read, depends on this file or folder, and is something else now: that."""
    for key in affected(path):
        entry = reads.get(key)
        if entry is not None and (found := now(key)) != entry.digest:
            yield key, entry, found


def _of_verb(verb: str, verbs: Mapping[str, Verb]) -> tuple[str, ...]:
    return tuple(sorted(path for path, its in verbs.items() if its == verb))


def _name(key: Key, path: str, found: bytes | None) -> str:
    """For people: an import that looks for a module is about the file that it finds."""
    kind, read = key
    return path + os.fsdecode(found or b"").rstrip("/") if kind == "lookup" and path == read else path


def affected(path: str) -> Iterator[Key]:
    """What a worker may have read that depends on this file or folder."""
    folder, name = os.path.split(path)
    yield from _files(path)
    yield "look", path
    yield "lookup", path
    stem = name.partition(".")[0]
    if stem and stem != name:
        yield "lookup", os.path.join(folder, stem)
        if stem == "__init__":
            yield "lookup", folder
    yield "listing", path
    yield "listing", folder


def _files(path: str) -> tuple[Key, Key]:
    return ("module", path), ("data", path)


def is_allowed(key: Key, path: str, rules: Rules) -> bool:
    """A change of what was read, by way of this path, may reload."""
    kind, read = key
    if kind == "module":
        return rules.allows(read)
    return rules.allows_data(read) and rules.allows_data(path)


def _verb(key: Key, path: str, before: bytes | None, found: bytes | None) -> Verb | None:
    """None: the folder's names have changed, but not by this one."""
    kind, read = key
    if kind == "lookup":
        before, found = before or None, found or None  # NOTHING is none
    elif kind == "listing" and path != read:
        name = os.path.basename(path)
        was, is_there = name in names_of(before), name in names_of(found)
        return None if was == is_there else "added" if is_there else "removed"
    if before is None:
        return "added"
    return "removed" if found is None else "changed"


def _insisted(
    path: str, reads: Mapping[Key, Entry], known: frozenset[str], now: Callable[[Key], bytes | None]
) -> dict[str, Verb]:
    """What became of a file that nothing has read."""
    if any(key in reads for key in _files(path)):
        return {}
    is_there = now(("module", path)) is not None
    if path in known:
        return {path: "changed" if is_there else "removed"}
    return {path: "added"} if is_there else {}


def names_of(listing: bytes | None) -> frozenset[str]:
    """The names in `fingerprint.listing_of`."""
    return frozenset(name.rstrip("/") for name in os.fsdecode(listing or b"").split("\0") if name)


def _expand(touched: Iterable[str], reads: Mapping[Key, Entry]) -> set[str]:
    """A folder that came, went or was renamed stands for everything in it that was read."""
    paths = set(touched)
    below = tuple(f"{path}/" for path in paths if not any(key in reads for key in _files(path)))
    inside = {key: entry for key, entry in reads.items() if key[1].startswith(below)} if below else {}
    return paths | {path for (kind, path), entry in inside.items() if kind != "lookup" or _is_alone(path, entry, reads)}


def _is_alone(path: str, lookup: Entry, reads: Mapping[Key, Entry]) -> bool:
    """What was found here is not among the reads itself."""
    return ("module", path + os.fsdecode(lookup.digest or b"")) not in reads
