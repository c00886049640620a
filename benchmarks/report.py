"""From measurements to percentiles, ratios and tables. Nothing here touches a process or a clock."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .probe import Outcome

OURS = "firehot"
REFERENCES = ("uvicorn", "uvicorn-hmr")
"""The peers to compare with: the one that is replaced, and the fastest."""

ABSENT = "-"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie, interpolated between the two nearest.

    >>> percentile([10.0, 20.0, 30.0], 50)
    20.0
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclass
class ReloadRow:
    """One server on one app. `first` is the edit after the start, kept apart from the `repeated` ones."""

    app: str
    server: str
    version: str
    first: Outcome | None = None
    repeated: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        """All edits: a failure counts wherever it happens, even where the time does not."""
        return [*([] if self.first is None else [self.first]), *self.repeated]

    @property
    def milliseconds(self) -> list[float]:
        """The times of the repeated edits that were answered."""
        return [outcome.milliseconds for outcome in self.repeated if outcome.milliseconds is not None]

    @property
    def median(self) -> float | None:
        """p50 of the repeated edits, if any was answered."""
        return percentile(self.milliseconds, 50) if self.milliseconds else None

    @property
    def lost(self) -> int:
        """Edits that the server never answered with the new code."""
        return sum(outcome.milliseconds is None for outcome in self.outcomes)

    @property
    def stale(self) -> int:
        """Requests begun after the grace and answered by old code."""
        return sum(outcome.stale for outcome in self.outcomes)

    @property
    def failures(self) -> Counter[str]:
        """Failed requests by kind."""
        return sum((Counter(outcome.failures) for outcome in self.outcomes), Counter())

    @property
    def requests(self) -> int:
        """Requests made around all edits."""
        return sum(outcome.requests for outcome in self.outcomes)


@dataclass
class ColdRow:
    """The cold starts of one server on one app, in milliseconds to the first answer."""

    app: str
    server: str
    version: str
    milliseconds: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        """The median start, if any succeeded."""
        return statistics.median(self.milliseconds) if self.milliseconds else None


Row = ReloadRow | ColdRow
_AnyRow = TypeVar("_AnyRow", ReloadRow, ColdRow)


def times_faster(row: Row, reference: Row | None) -> float | None:
    """How many times the row's median fits into the reference's; None where either is unknown."""
    if reference is None or reference.median is None or not row.median:
        return None
    return reference.median / row.median


def share_of_time(row: Row, reference: Row | None) -> float | None:
    """The row's median as a part of the reference's; None where either is unknown."""
    faster = times_faster(row, reference)
    return None if faster is None else 1 / faster


def reload_table(rows: Sequence[ReloadRow]) -> str:
    """The table of one app's reloads, with the notes below it."""
    header = ["server", "version", "edits", "first", "p50", "p95", "max", "failed", "stale", "lost"]
    header += [f"x {name}" for name in REFERENCES]
    return render(header, [_reload_cells(row, rows) for row in rows]) + _notes(rows)


def as_json(row: Row) -> dict[str, Any]:
    """Everything measured, for `--output`, with the figures derived from it."""
    figures: dict[str, Any] = {"median": row.median}
    if isinstance(row, ReloadRow):
        figures |= {"failures": dict(row.failures), "stale": row.stale, "lost": row.lost}
    return asdict(row) | figures


def _reload_cells(row: ReloadRow, rows: Sequence[ReloadRow]) -> list[str]:
    times = row.milliseconds
    return [
        row.server,
        row.version,
        f"{len(times)}/{len(row.repeated)}",
        _number(row.first.milliseconds if row.first else None),
        *(_number(percentile(times, percent) if times else None) for percent in (50, 95, 100)),
        str(row.failures.total()),
        str(row.stale),
        str(row.lost),
        *(_ratio(times_faster(row, find(rows, name))) for name in REFERENCES),
    ]


def cold_table(rows: Sequence[ColdRow]) -> str:
    """The table of one app's cold starts, with the notes below it."""
    header = ["server", "version", "starts", "p50", "min", "max", "time / uvicorn's"]
    return render(header, [_cold_cells(row, rows) for row in rows]) + _notes(rows)


def _cold_cells(row: ColdRow, rows: Sequence[ColdRow]) -> list[str]:
    times = row.milliseconds
    return [
        row.server,
        row.version,
        str(len(times)),
        _number(row.median),
        _number(min(times, default=None)),
        _number(max(times, default=None)),
        _ratio(share_of_time(row, find(rows, "uvicorn"))),
    ]


def find(rows: Iterable[_AnyRow], server: str) -> _AnyRow | None:
    """The row of this server, if it was measured."""
    return next((row for row in rows if row.server == server), None)


def _number(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _notes(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if isinstance(row, ReloadRow) and row.failures:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.failures.most_common())
            lines.append(f"{row.server}: failed: {kinds}, of {row.requests} requests")
        lines += [f"{row.server}: {note}" for note in row.notes]
    return "".join(f"\n  {line}" for line in lines)


def render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it reads well in a terminal too. The first two columns are text."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    rule = ["-" * width if column < 2 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
