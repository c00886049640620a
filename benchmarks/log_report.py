"""The read log's cost: figures and their table. Nothing here touches a process or a clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .report import ABSENT, number, percentile, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Times(NamedTuple):
    """Milliseconds of one import: that have passed, and that this process had a CPU."""

    wall: float
    cpu: float


@dataclass
class LogRow:
    """One app, and how long each import of it took, without the log and with it."""

    app: str
    without: list[Times] = field(default_factory=list)
    logged: list[Times] = field(default_factory=list)

    @property
    def share(self) -> Times:
        """What an import takes with the log, as a part of what the one beside it takes without: p50 of all pairs.

        Of pairs, since the speed of a machine changes from one second to the next.
        """
        pairs = list(zip(self.logged, self.without, strict=True))
        return _median([Times(logged.wall / without.wall, logged.cpu / without.cpu) for logged, without in pairs])


def _median(times: Sequence[Times]) -> Times:
    return Times(percentile([each.wall for each in times], 50), percentile([each.cpu for each in times], 50))


def log_table(row: LogRow) -> str:
    """The table of one app."""
    header = ["app", "read log", "imports", "p50", "/ without", "CPU p50", "/ without"]
    wall, cpu = (f"{share:.3f}" for share in row.share)
    return render(
        header, [_cells(row, "without", row.without, ABSENT, ABSENT), _cells(row, "with", row.logged, wall, cpu)]
    )


def _cells(row: LogRow, log: str, times: Sequence[Times], *shares: str) -> list[str]:
    wall, cpu = (number(each) for each in _median(times))
    return [row.app, log, str(len(times)), wall, shares[0], cpu, shares[1]]


def log_json(row: LogRow) -> dict[str, Any]:
    """Everything measured, for `--output`, with the ratios derived from it."""
    return asdict(row) | {"share": row.share._asdict()}


def log_shortfalls(row: LogRow, limit: float | None) -> Iterator[str]:
    """What the log owes: the time of an import with it relative to one without (at most)."""
    if limit is not None and row.share.wall > limit:
        yield f"log {row.app}: {row.share.wall:.3f} of the time without, wanted {limit:g}"
