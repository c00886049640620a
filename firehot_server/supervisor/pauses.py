"""Where the next import should leave checkpoints: what was edited, most recent first, and what is likely to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firehot_server.messages import Pauses

if TYPE_CHECKING:
    from collections.abc import Iterable

# So many of what was edited are remembered.
_RECENT: Final = 8


class Likely:
    """What the next edits may be of: modules by name, other files by path."""

    def __init__(self) -> None:
        self._edited: dict[str, None] = {}
        """The most recent one last."""
        self._expected: float | None = None

    def edited(self, names: Iterable[str]) -> None:
        """These were edited just now."""
        for name in names:
            self._edited.pop(name, None)
            self._edited[name] = None

    def imported(self, seconds: float) -> None:
        """The import of the app takes so long, all of it."""
        if seconds:
            self._expected = seconds

    def pauses(self) -> Pauses:
        """For the next import."""
        recent = list(self._edited)[-_RECENT:]
        return Pauses(
            modules=frozenset(name for name in recent if "/" not in name),
            files=frozenset(name for name in recent if "/" in name),
            expected=self._expected,
        )
