"""From hints to an edit: which of the touched paths really changed, and does it matter? Pure, but for `content`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Edit:
    """One batch of changed, added and removed files, sorted."""

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    """Touched, but of no consequence: the same content, or nothing has read it. Only files that could matter:
    to mention others would feed a log file in the project's folder with itself."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.added or self.removed)

    @property
    def paths(self) -> frozenset[str]:
        """All files that matter."""
        return frozenset((*self.changed, *self.added, *self.removed))

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

    def insists(self, path: str) -> bool:
        """A change of this file reloads even if nothing has read it."""


def judge(
    touched: Iterable[str],
    *,
    reads: Mapping[str, bytes | None],
    known: frozenset[str],
    content: Callable[[str], bytes | None],
    rules: Rules,
) -> Edit:
    """Sort touched paths into an edit.

    Args:
        touched: files or folders.
        reads: what the present generation has read: path → digest, None where there was no such file.
        known: files that were there before, read or not.
        content: the digest of a file now; None where there is no such file.
    """
    changed: list[str] = []
    added: list[str] = []
    removed: list[str] = []
    idle: list[str] = []
    for path in sorted(_expand(touched, reads)):
        if not (rules.insists(path) or rules.allows(path)):
            continue  # before anything is opened: it may be a pipe, or a database of many gigabytes
        digest = content(path)
        before = reads.get(path)
        is_new = path not in reads and path not in known
        if digest is None:
            lost = before is not None or (rules.insists(path) and not is_new)
            (removed if lost else idle).append(path)
        elif path in reads and before is None:
            added.append(path)
        elif path in reads:
            (changed if digest != before else idle).append(path)
        elif is_new:
            added.append(path)
        else:
            (changed if rules.insists(path) else idle).append(path)
    return Edit(tuple(changed), tuple(added), tuple(removed), tuple(idle))


def _expand(touched: Iterable[str], reads: Mapping[str, bytes | None]) -> set[str]:
    """A folder that came, went or was renamed stands for every file in it that was read."""
    paths = set(touched)
    unread = tuple(f"{path}/" for path in paths if path not in reads)
    return paths | {path for path in reads if path.startswith(unread)}
