"""When an import should leave a checkpoint. Pure: it is told the time, and decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

    from firehot_server.messages import Pauses

# What the first fork is taken to cost, in seconds, until one was measured.
_FORK_SECONDS: Final = 0.002
# A wanted place is worth a fork if as many times as much import lies between it and the last checkpoint.
_WORTH: Final = 2.0
# While it is not known how long the import will take: the next checkpoint after such a part of what it took until now.
_GROWTH: Final = 1 / 8
# Where it is known: so many intervals.
_INTERVALS: Final = 12


@dataclass(slots=True)
class Pacing:
    """The books of one import, from its beginning: a copy that goes on from a checkpoint goes on with them.

    All times are in seconds; `now` is any monotonic clock's.
    """

    plan: Pauses
    now: float
    imported: float = 0.0
    """Import, without the time of forks and of waiting."""
    since: float = 0.0
    """That part of it which came after the last checkpoint (or the template)."""
    forking: float = 0.0
    """What all forks took."""
    taken: int = 0
    copied: int = 0
    """Bytes that copies have written to since they were forked, and which checkpoints therefore hold alone."""

    def advance(self, now: float) -> None:
        """The import went on until now."""
        self.imported += now - self.now
        self.since += now - self.now
        self.now = now

    def is_due(self, *, wanted: bool) -> bool:
        """Whether to leave a checkpoint here.

        Args:
            wanted: an edit of what is about to be read is likely.
        """
        if self.taken >= self.plan.number or self.copied >= self.plan.memory:
            return False
        cost = self._fork_seconds
        if self.since >= max(cost / self.plan.share, self._spacing):
            return True
        return wanted and self.since >= _WORTH * cost and self.forking + cost <= self.plan.share * self._whole

    def paused(self, now: float, copied: int) -> None:
        """A fork was made, which took until now.

        Args:
            copied: bytes that this process has written to since the fork before.
        """
        self.forking += now - self.now
        self.now = now
        self.taken += 1
        self.copied += copied
        self.since = 0.0

    def resume(self, plan: Pauses, now: float) -> None:
        """This process is a copy that goes on after a while, by another plan."""
        self.plan = plan
        self.now = now

    @property
    def _fork_seconds(self) -> float:
        return self.forking / self.taken if self.taken else _FORK_SECONDS

    @property
    def _whole(self) -> float:
        return max(self.imported, self.plan.expected or 0.0)

    @property
    def _spacing(self) -> float:
        return self.imported * _GROWTH if self.plan.expected is None else self.plan.expected / _INTERVALS
