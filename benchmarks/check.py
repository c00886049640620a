"""Demands on the figures, for a person who runs `--check`. Nothing asserts times by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .report import ENGINE_FIGURES, LIBRARY_OURS, LIBRARY_PEER, OURS, counterpart, find, share_of_time, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .report import ColdRow, EngineRow, ReloadRow


@dataclass(frozen=True)
class Demand:
    """A limit to the figure of that name, or to the ratio to a peer's, on one app or package or (None) on each."""

    subject: str | None
    name: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Demand:
        """Read `name=LIMIT` or `subject:name=LIMIT`.

        >>> Demand.parse("heavy:uvicorn=50")
        Demand(subject='heavy', name='uvicorn', limit=50.0)
        """
        who, equals, limit = text.partition("=")
        subject, colon, name = who.rpartition(":")
        if not equals or not name or (colon and not subject):
            raise ValueError(f"{text!r} is not name=LIMIT or subject:name=LIMIT")
        return cls(subject or None, name, float(limit))


def reload_shortfalls(app: str, rows: Sequence[ReloadRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's reloads owe: no lost edit, no failed and no stale request, and the ratios (at least)."""
    ours = find(rows, OURS)
    if ours is None:
        yield f"reload {app}: {OURS} was not measured"
        return
    yield from (f"reload {app}: {note}" for note in ours.notes)
    for what, count in (("failed", ours.failures.total()), ("stale", ours.stale), ("lost", ours.lost)):
        if count:
            yield f"reload {app}: {count} {what}"
    for demand in _concerning(app, demands):
        ratio = times_faster(ours, find(rows, demand.name))
        if ratio is None or ratio < demand.limit:
            yield f"reload {app}: {_show(ratio)} times {demand.name}, wanted {demand.limit:g}"


def memory_shortfalls(app: str, rows: Sequence[ReloadRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's waiting processes owe: their memory (at most); that it is unknown is a shortfall, too."""
    for demand in _concerning(app, demands):
        row = find(rows, demand.name)
        megabytes = row.waiting.megabytes if row and row.waiting else None
        if megabytes is None or megabytes > demand.limit:
            yield f"reload {app}: {_show(megabytes)} MB wait, wanted {demand.limit:g}"


def cold_shortfalls(app: str, rows: Sequence[ColdRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's cold starts owe: the time relative to the peer's (at most), with and without a cache."""
    ours = [row for row in rows if row.server == OURS]
    if not ours:
        yield f"cold {app}: {OURS} was not measured"
    for row in ours:
        yield from (f"cold {app}: {row.label}: {note}" for note in row.notes)
        for demand in _concerning(app, demands):
            share = share_of_time(row, counterpart(row, rows, demand.name))
            if share is None or share > demand.limit:
                takes = f"{_show(share)} of {demand.name}'s time"
                yield f"cold {app}: {row.label}: {takes}, wanted {demand.limit:g}"


def engine_shortfalls(package: str, rows: Sequence[EngineRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one package's figures owe: that ours has them all, and the times relative to the peer's (at most)."""
    ours = next((row for row in rows if row.library == LIBRARY_OURS), None)
    if ours is None:
        yield f"engine {package}: {LIBRARY_OURS} was not measured"
        return
    yield from (f"engine {package}: {note}" for note in ours.notes)
    yield from (f"engine {package}: {name}: {reason}" for name, reason in ours.failures.items())
    for demand in _concerning(package, demands):
        share = ENGINE_FIGURES[demand.name].share(rows)
        if share is None or share > demand.limit:
            yield f"engine {package}: {demand.name}: {_show(share)} of {LIBRARY_PEER}'s time, wanted {demand.limit:g}"


def _concerning(subject: str, demands: Sequence[Demand]) -> Iterator[Demand]:
    return (demand for demand in demands if demand.subject in (None, subject))


def _show(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2f}"
