"""From measurements to percentiles, ratios and tables. Nothing here touches a process or a clock."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .probe import Outcome
    from .waiting import Waiting

OURS = "firehot"
REFERENCES = ("uvicorn", "uvicorn-hmr")
"""The peers to compare with: the one that is replaced, and the fastest."""

FRAMEWORKS_OWN = ("runserver", "flask")
"""The peers of apps that their framework's own command serves."""

COLD_REFERENCES = ("uvicorn", "firehot-no-checkpoints")
"""The one that is replaced, and ours as it starts with nothing to do for later edits."""

LIBRARY_OURS, LIBRARY_PEER = "ours", "firehot"

ABSENT = "-"
FAILED = "failed"
NOT_SEEN = "not seen"
"""The reason that is shown in place of a time: `engine_driver` gives it for an import that came unnoticed."""


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
    """One server on one app. `first` is the edit after the start, kept apart from the `repeated` ones.

    `waiting` is what was there after the last of them, where it is known.
    """

    app: str
    server: str
    version: str
    first: Outcome | None = None
    repeated: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waiting: Waiting | None = None

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
    empty_cache: bool = False

    @property
    def label(self) -> str:
        """The server, and what it found."""
        return f"{self.server} (empty cache)" if self.empty_cache else self.server

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
    header = ["server", "version", "edits", "first", "p50", "p95", "max", "failed", "stale", "lost", "waiting MB"]
    header += [f"x {name}" for name in _references(rows)]
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
        number(row.first.milliseconds if row.first else None),
        *(number(percentile(times, percent) if times else None) for percent in (50, 95, 100)),
        str(row.failures.total()),
        str(row.stale),
        str(row.lost),
        ABSENT if row.waiting is None else f"{number(row.waiting.megabytes)} ({row.waiting.processes})",
        *(_ratio(times_faster(row, find(rows, name))) for name in _references(rows)),
    ]


def _references(rows: Sequence[ReloadRow]) -> tuple[str, ...]:
    return tuple(name for name in FRAMEWORKS_OWN if find(rows, name)) or REFERENCES


def cold_table(rows: Sequence[ColdRow]) -> str:
    """The table of one app's cold starts, with the notes below it."""
    header = ["server", "version", "starts", "p50", "min", "max", *(f"/ {name}" for name in COLD_REFERENCES)]
    return render(header, [_cold_cells(row, rows) for row in rows]) + _notes(rows)


def _cold_cells(row: ColdRow, rows: Sequence[ColdRow]) -> list[str]:
    times = row.milliseconds
    return [
        row.label,
        row.version,
        str(len(times)),
        number(row.median),
        number(min(times, default=None)),
        number(max(times, default=None)),
        *(_ratio(share_of_time(row, counterpart(row, rows, name))) for name in COLD_REFERENCES),
    ]


def counterpart(row: ColdRow, rows: Sequence[ColdRow], server: str) -> ColdRow | None:
    """The row of this server that found what `row` found, if there are two of it."""
    return find([other for other in rows if other.empty_cache == row.empty_cache], server) or find(rows, server)


def find(rows: Iterable[_AnyRow], server: str) -> _AnyRow | None:
    """The row of this server, if it was measured."""
    return next((row for row in rows if row.server == server), None)


@dataclass
class EngineRow:
    """One library on one package: the times of its measurements in milliseconds, and why there are none of some."""

    package: str
    library: str
    version: str
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """A line of the table: a percentile of one measurement's times."""

    measurement: str
    meaning: str
    percent: float = 50

    def of(self, row: EngineRow) -> float | None:
        """A library's figure. None if the measurement failed, even once: the times of the rest mean little then."""
        times = row.milliseconds.get(self.measurement)
        return percentile(times, self.percent) if times and self.measurement not in row.failures else None

    def share(self, rows: Sequence[EngineRow]) -> float | None:
        """Our figure as a part of the peer's; None where either is unknown, or quick because it did not look."""
        if self.measurement.startswith("update") and any(NOT_SEEN in row.failures.values() for row in rows):
            return None
        figures = {row.library: self.of(row) for row in rows}
        ours, peers = figures.get(LIBRARY_OURS), figures.get(LIBRARY_PEER)
        return None if ours is None or not peers else ours / peers

    def cell(self, row: EngineRow) -> str:
        """What the table shows of it."""
        reason = row.failures.get(self.measurement)
        if reason is None:
            return number(self.of(row))
        return reason if reason == NOT_SEEN else FAILED


ENGINE_FIGURES = {
    "enter": Figure("enter", "entering isolate_imports"),
    "first-call": Figure("first-call", "entering it, and the first call"),
    "round-trip": Figure("round-trip", "one call after another: p50"),
    "round-trip-p95": Figure("round-trip", "one call after another: p95", 95),
    "spaced": Figure("spaced", "a call after a pause: p50"),
    "spaced-p95": Figure("spaced", "a call after a pause: p95", 95),
    "import-app": Figure("import-app", "a call that imports the whole package"),
    "echo": Figure("echo", "a call that is given 5 MB and returns them"),
    "update": Figure("update", "update_environment, nothing changed"),
    "update-body": Figure("update-body", "update_environment, no import changed"),
    "update-import": Figure("update-import", "from a new import to a call that has it"),
}


def engine_table(rows: Sequence[EngineRow]) -> str:
    """The table of one package, a line for each figure, with the failures below it."""
    header = ["figure", "milliseconds for", *(f"{row.library} {row.version}" for row in rows), "ours / firehot"]
    lines = [
        [name, figure.meaning, *map(figure.cell, rows), _ratio(figure.share(rows))]
        for name, figure in ENGINE_FIGURES.items()
    ]
    return render(header, lines) + "".join(f"\n  {line}" for row in rows for line in _engine_notes(row))


def engine_json(row: EngineRow) -> dict[str, Any]:
    """Everything measured, for `--output`, with the figures derived from it."""
    return asdict(row) | {"figures": {name: figure.of(row) for name, figure in ENGINE_FIGURES.items()}}


def _engine_notes(row: EngineRow) -> Iterator[str]:
    yield from (f"{row.library}: {name}: {reason}" for name, reason in row.failures.items())
    yield from (f"{row.library}: {note}" for note in row.notes)


def number(value: float | None) -> str:
    if value is None:
        return ABSENT
    if value < 1:
        return f"{value:.2g}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _notes(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if isinstance(row, ReloadRow) and row.failures:
            kinds = ", ".join(f"{count} {kind}" for kind, count in row.failures.most_common())
            lines.append(f"{row.server}: failed: {kinds}, of {row.requests} requests")
        lines += [f"{row.label if isinstance(row, ColdRow) else row.server}: {note}" for note in row.notes]
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
