"""Where the next import should leave checkpoints: before what was edited, and before what is likely to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from firehot_server.messages import Pauses

if TYPE_CHECKING:
    from collections.abc import Iterable

# So many of what was edited are remembered, and so many of what is likely are believed.
_RECENT: Final = 8
_LIKELY: Final = 3
# So many checkpoints at most.
_NUMBER: Final = 16
# Of the import's time. Measured, an import is slowed down by a few times what checkpoints are known to cost.
_SHARE: Final = 0.025
MEMORY: Final = 256 << 20
"""Bytes that all processes that wait may hold alone, together."""


@dataclass(slots=True)
class Prospects:
    """What is known of the next edits, and of the next import. Modules go by name, other files by path.

    Attributes:
        likely: what may be edited first, the likeliest first.
        seconds: what the whole import takes, if that is known.
        files: how many modules it reads, as far as the sources tell.
        affordable: how many checkpoints fit into the memory that they may have.
        openable: for how many the supervisor may have files open.
    """

    likely: tuple[str, ...] = ()
    seconds: float | None = None
    files: int = 0
    affordable: int = _NUMBER
    openable: int = _NUMBER
    _edited: dict[str, None] = field(default_factory=dict)
    """The most recent one last."""
    _was_late: bool = True
    """Before anything was edited: it may be of what is imported only after the start."""

    def edited(self, names: Iterable[str], *, late: bool) -> None:
        """These were edited just now.

        Args:
            late: all of them had only been read when the import was over.
        """
        for name in names:
            self._edited.pop(name, None)
            self._edited[name] = None
        self._was_late = late

    def pauses(self) -> Pauses:
        """For the next import."""
        recent = frozenset(list(self._edited)[-_RECENT:])
        return Pauses(
            edited=recent,
            likely=frozenset(self.likely[:_LIKELY]) - recent,
            at_end=self._was_late,
            seconds=self.seconds,
            files=self.files,
            number=min(self.affordable, self.openable, _NUMBER),
            share=_SHARE,
        )
