"""What a soak found, as tables and for the file. Nothing here touches a process or a clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..report import ABSENT, OURS, number, percentile, render
from .judge import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .judge import Problem
    from .resources import Resources, Usage
    from .run import Outcome

SHOWN_PROBLEMS = 10
"""Of ours, below the table; the file has `KEPT_PROBLEMS` of each."""

KEPT_PROBLEMS = 200

MAX_WAIT = 2.0
"""Times the reload's own time that all but one in a hundred of the requests may wait that met it."""

MORE_DESCRIPTORS, MORE_MEGABYTES = 8, 16.0
"""By which the supervisor and the template may grow from the first reloads to the end."""


@dataclass(slots=True)
class SoakRow:
    """One server under load. Without an outcome it never answered: the notes say why."""

    server: str
    version: str
    seed: int
    outcome: Outcome | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Verdict]:
        """How many of each problem."""
        return self.outcome.judgement.counts if self.outcome else Counter()

    @property
    def reloads(self) -> list[float]:
        """Milliseconds from each save to the first answer by its code or newer."""
        return [1000 * seconds for seconds in self.outcome.judgement.reload_seconds] if self.outcome else []

    @property
    def waits(self) -> list[float]:
        """Milliseconds that each quick request took that met a reload."""
        return [1000 * wait.request for wait in self.outcome.judgement.waits] if self.outcome else []

    @property
    def shares(self) -> list[float]:
        """The same, divided by what the reloads took that it met."""
        return [wait.request / wait.reloads for wait in self.outcome.judgement.waits] if self.outcome else []

    @property
    def lags(self) -> list[float]:
        """Milliseconds by which the load itself was late."""
        return [1000 * lag for lag in self.outcome.lags] if self.outcome else []


def counts_table(rows: Sequence[SoakRow]) -> str:
    """What was wrong with the answers, with samples below."""
    header = ["server", "version", "saves", "reloads", "requests", *(verdict.value for verdict in Verdict)]
    header += ["lost", "dropped"]
    return render(header, [_counts_cells(row) for row in rows]) + _notes(rows)


def _counts_cells(row: SoakRow) -> list[str]:
    outcome = row.outcome
    if outcome is None:
        return [row.server, row.version, *[ABSENT] * (5 + len(Verdict))]
    sizes = (len(outcome.saves), outcome.judgement.reloads, outcome.requests)
    problems = (*(row.counts[verdict] for verdict in Verdict), len(outcome.lost), outcome.drops)
    return [row.server, row.version, *(f"{size:,}" for size in (*sizes, *problems))]


def times_table(rows: Sequence[SoakRow]) -> str:
    """What reloads took and what requests waited for them, in milliseconds."""
    header = ["server", "", "p50", "p99", "max"]
    series = (("reload", "reloads"), ("wait", "waits"), ("wait / reload", "shares"), ("load's own lag", "lags"))
    lines = []
    for row in rows:
        for title, name in series:
            values = getattr(row, name)
            figures = [number(percentile(values, percent) if values else None) for percent in (50, 99, 100)]
            lines.append([row.server, title, *figures])
    return render(header, lines)


def resources_table(rows: Sequence[SoakRow]) -> str:
    """What the processes held after the first reloads, and at the end."""
    header = ["server", "of", "processes", "threads", "descriptors", "private MB"]
    return render(header, [line for row in rows for line in _resources_lines(row)])


def _resources_lines(row: SoakRow) -> Iterator[list[str]]:
    if row.outcome is None or row.outcome.early is None or row.outcome.late is None:
        return
    early, late = row.outcome.early, row.outcome.late
    second = "template" if row.server == OURS else "children"
    for title, name in (("first process", "first"), (second, "second"), ("all", "all")):
        before: Usage = getattr(early, name)
        after: Usage = getattr(late, name)
        pairs = (
            (before.processes, after.processes),
            (before.threads, after.threads),
            (before.descriptors, after.descriptors),
        )
        memory = f"{number(before.megabytes)} → {number(after.megabytes)}"
        yield [row.server, title, *(f"{then} → {now}" for then, now in pairs), memory]


def _notes(rows: Sequence[SoakRow]) -> str:
    lines = []
    for row in rows:
        lines += [f"{row.server}: {note}" for note in row.notes]
        if row.server == OURS:
            lines += [f"{row.server}: {problem}" for problem in _problems(row)[:SHOWN_PROBLEMS]]
    return "".join(f"\n  {line}" for line in lines)


def _problems(row: SoakRow) -> list[Problem]:
    return row.outcome.judgement.problems if row.outcome else []


def soak_shortfalls(rows: Sequence[SoakRow]) -> Iterator[str]:
    """What ours owes: none of any problem, no long wait, and no growth."""
    ours = next((row for row in rows if row.server == OURS), None)
    if ours is None or ours.outcome is None:
        yield f"soak: {OURS} was not measured"
        return
    yield from (f"soak: {note}" for note in ours.notes)
    yield from (f"soak: {count} {verdict.value}" for verdict, count in ours.counts.items())
    for what, count in (("lost", len(ours.outcome.lost)), ("dropped", ours.outcome.drops)):
        if count:
            yield f"soak: {count} {what}"
    share = percentile(ours.shares, 99) if ours.shares else None
    if share is None or share >= MAX_WAIT:
        yield f"soak: requests wait up to {number(share)} times as long as a reload takes, wanted {MAX_WAIT:g}"
    yield from _growth(ours.outcome.early, ours.outcome.late)


def _growth(early: Resources | None, late: Resources | None) -> Iterator[str]:
    if early is None or late is None:
        yield "soak: what the processes hold is unknown"
        return
    for name, before, after in (("supervisor", early.first, late.first), ("template", early.second, late.second)):
        if after.threads > before.threads:
            yield f"soak: the {name} grew from {before.threads} threads to {after.threads}"
        if after.descriptors > before.descriptors + MORE_DESCRIPTORS:
            yield f"soak: the {name} grew from {before.descriptors} descriptors to {after.descriptors}"
        if after.megabytes > before.megabytes + MORE_MEGABYTES:
            yield f"soak: the {name} grew from {before.megabytes:.0f} MB to {after.megabytes:.0f}"
    if late.zombies:
        yield f"soak: {late.zombies} processes have ended and were not reaped"


def soak_json(row: SoakRow) -> dict[str, Any]:
    """Everything measured, for `--output`, but for the answers that were right."""
    figures: dict[str, Any] = {"server": row.server, "version": row.version, "seed": row.seed, "notes": row.notes}
    if row.outcome is None:
        return figures
    outcome = row.outcome
    return figures | {
        "saves": len(outcome.saves),
        "reloads": outcome.judgement.reloads,
        "requests": outcome.requests,
        "counts": {verdict.value: count for verdict, count in row.counts.items()},
        "lost": outcome.lost,
        "farewells": outcome.farewells,
        "drops": outcome.drops,
        "reload milliseconds": row.reloads,
        "wait milliseconds": row.waits,
        "wait / reload": row.shares,
        "lag milliseconds": {str(percent): percentile(row.lags, percent) for percent in (50, 99, 100)},
        "resources": [None if each is None else asdict(each) for each in (outcome.early, outcome.late)],
        "problems": [str(problem) for problem in _problems(row)[:KEPT_PROBLEMS]],
    }
