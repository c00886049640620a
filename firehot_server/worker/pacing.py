"""When an import should leave a checkpoint. Pure: it is told the time, and decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from firehot_server.messages import Pauses

# What a checkpoint is taken to cost, in seconds, until one was measured.
_SECONDS: Final = 0.004
# An audit that finds something is repeated after so much more import, and then after twice as much each time.
_PATIENCE: Final = 0.02
# Checkpoints at even spacing divide the import into so many parts.
_PARTS: Final = 7


@dataclass(slots=True)
class Pacing:
    """The books of one import, from its beginning: a copy that goes on from a checkpoint goes on with them.

    A checkpoint costs its fork, and then the copies of pages that the import writes to after it: both processes have
    them in common until then. All times are in seconds; `now` is any monotonic clock's.

    Args:
        now: when the import begins.
        copy_seconds: what it costs to write to a page for the first time.
    """

    plan: Pauses
    now: float
    copy_seconds: float
    imported: float = 0.0
    """Import, without the time of forks and of waiting."""
    since: float = 0.0
    """That part of it which came after the last checkpoint (or the template)."""
    cost: float = 0.0
    """What all checkpoints have cost."""
    taken: int = 0
    again: float = 0.0
    """How much must be imported before the process is audited once more: it was not fit to be copied."""
    patience: float = _PATIENCE
    copied: int = 0
    """Pages that were copied while the import went on, and which checkpoints therefore hold alone."""

    def advance(self, now: float) -> None:
        """The import went on until now."""
        self.imported += now - self.now
        self.since += now - self.now
        self.now = now

    def is_due(self, modules: int, *, edited: bool = False, likely: bool = False) -> bool:
        """Whether to leave a checkpoint here.

        Args:
            modules: how many were read until now.
            edited: what is about to be read was edited lately; it pays off at the next edit of it.
            likely: an edit of it is likely.
        """
        if self.taken >= self.plan.number or self.copied >= self.plan.pages or self.imported < self.again:
            return False
        cost, whole = self._cost_of_one, self._whole(modules)
        if edited:
            return self.since >= cost
        if self.cost + cost > self.plan.share * whole:
            return False
        return self.since >= (cost if likely else max(cost / self.plan.share, whole / _PARTS))

    @property
    def is_due_at_end(self) -> bool:
        """The same of the end of the import: there, a checkpoint is for edits of what is imported only later."""
        is_worth_it = self.plan.at_end or self.since >= self._cost_of_one / self.plan.share
        return is_worth_it and self.plan.number > 0

    def paused(self, now: float, copied: int) -> None:
        """A fork was made, which took until now.

        Args:
            copied: pages that this process had to copy since the fork before.
        """
        self.cost += now - self.now
        self.now = now
        self.since = 0.0
        self.patience = _PATIENCE
        if self.taken:
            self.copied += copied
            self.cost += copied * self.copy_seconds
        self.taken += 1

    def refused(self) -> None:
        """The process was not fit to be copied. What it has open it may close soon, or never."""
        self.again = self.imported + self.patience
        self.patience *= 2

    def resume(self, plan: Pauses, now: float) -> None:
        """This process is a copy that goes on after a while, by another plan."""
        self.plan = plan
        self.now = now

    @property
    def _cost_of_one(self) -> float:
        return self.cost / self.taken if self.taken else _SECONDS

    def _whole(self, modules: int) -> float:
        """What the whole import will take: what it took before, else by the share of its modules that were read."""
        if self.plan.seconds is not None:
            return max(self.plan.seconds, self.imported)
        return self.imported * max(self.plan.files / modules, 1.0) if modules else self.imported
