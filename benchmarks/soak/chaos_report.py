"""What a run with faults found, as a table and for the file. Nothing here touches a process or a clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..report import OURS, number, render
from .judge import Verdict
from .report import KEPT_PROBLEMS, SHOWN_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .judge import Problem
    from .tree import Role

DEADLINE = 2.0
"""Seconds until the server has to answer again."""

ORPHAN_DEADLINE = 1.0
"""Seconds by which nothing is left of a server whose first process was killed."""

NEVER_EXCUSED = (Verdict.REFUSED, Verdict.DUPLICATED, Verdict.OUT_OF_ORDER, Verdict.STALE, Verdict.HALF_WRITTEN)
"""The problems that are none of a request's whose process was killed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, and what came of it.

    Attributes:
        in_reload: a file had just been saved; else one was saved soon after.
        answered: seconds until the first answer to a request that was begun after the fault; None: too many.
        reloaded: seconds from the fault, or from the save after it, to the first answer by the saved code.
    """

    role: Role
    signal: str
    in_reload: bool
    answered: float | None
    reloaded: float | None

    @property
    def is_survived(self) -> bool:
        """The server answered again, with new code, in time."""
        times = (self.answered, self.reloaded)
        return all(seconds is not None and seconds <= DEADLINE for seconds in times)


@dataclass(slots=True)
class ChaosRow:
    """One server and its faults. `orphans` is None if it did not come to that; `lag` is the most, in seconds, by which
    the load itself was late.
    """

    server: str
    version: str
    seed: int
    faults: list[Fault] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    orphans: int | None = None
    lag: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Verdict]:
        """How many of each problem; most of them are to be expected."""
        return Counter(problem.verdict for problem in self.problems)

    @property
    def unexpected(self) -> list[Problem]:
        """Those that no fault explains."""
        return [problem for problem in self.problems if problem.verdict in NEVER_EXCUSED]


def chaos_table(rows: Sequence[ChaosRow]) -> str:
    """What was done, and how long the server took to answer again, in seconds."""
    header = ["server", "fault", "of a", "times", "survived", "answers again max", "new code max"]
    return render(header, [line for row in rows for line in _chaos_lines(row)]) + _chaos_notes(rows)


def _chaos_lines(row: ChaosRow) -> Iterator[list[str]]:
    kinds = sorted({(fault.signal, fault.role) for fault in row.faults})
    for name, role in kinds:
        faults = [fault for fault in row.faults if (fault.signal, fault.role) == (name, role)]
        longest = (_longest(fault.answered for fault in faults), _longest(fault.reloaded for fault in faults))
        survived = sum(fault.is_survived for fault in faults)
        yield [row.server, name, role, str(len(faults)), str(survived), *longest]


def _longest(times: Iterable[float | None]) -> str:
    known = list(times)
    return "never" if None in known else number(max(filter(None, known), default=0.0))


def _chaos_notes(rows: Sequence[ChaosRow]) -> str:
    lines = []
    for row in rows:
        lines += [f"{row.server}: {note}" for note in row.notes]
        lines += [f"{row.server}: {count} {verdict.value}" for verdict, count in row.counts.items()]
        lines += [f"{row.server}: {problem}" for problem in row.unexpected[:SHOWN_PROBLEMS]]
        if row.orphans is not None:
            lines.append(f"{row.server}: {row.orphans} processes outlived the first by {ORPHAN_DEADLINE:g} s")
            lines.append(f"{row.server}: the load itself was late by {row.lag:.2f} s at most")
    return "".join(f"\n  {line}" for line in lines)


def chaos_shortfalls(rows: Sequence[ChaosRow]) -> Iterator[str]:
    """What ours owes: an answer in time after each fault, and nothing left in the end."""
    ours = next((row for row in rows if row.server == OURS), None)
    if ours is None or ours.orphans is None:
        yield f"chaos: {OURS} was not measured"
        return
    yield from (f"chaos: {note}" for note in ours.notes)
    for fault in ours.faults:
        if not fault.is_survived:
            yield f"chaos: {fault}"
    if ours.orphans:
        yield f"chaos: {ours.orphans} orphans"
    for verdict, count in Counter(problem.verdict for problem in ours.unexpected).items():
        yield f"chaos: {count} {verdict.value}"


def chaos_json(row: ChaosRow) -> dict[str, Any]:
    """Everything measured, for `--output`."""
    counts = {verdict.value: count for verdict, count in row.counts.items()}
    figures = {name: getattr(row, name) for name in ("server", "version", "seed", "orphans", "lag", "notes")}
    problems = [str(problem) for problem in row.problems[:KEPT_PROBLEMS]]
    return figures | {"counts": counts, "faults": [asdict(fault) for fault in row.faults], "problems": problems}
