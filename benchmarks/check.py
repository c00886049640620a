"""Demands on the figures, for a person who runs `--check`. Nothing asserts times by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .report import OURS, find, share_of_time, times_faster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .report import ColdRow, ReloadRow


@dataclass(frozen=True)
class Demand:
    """Firehot's figure against a peer's, on one app or (None) on each."""

    app: str | None
    peer: str
    ratio: float

    @classmethod
    def parse(cls, text: str) -> Demand:
        """Read `peer=RATIO` or `app:peer=RATIO`.

        >>> Demand.parse("heavy:uvicorn=50")
        Demand(app='heavy', peer='uvicorn', ratio=50.0)
        """
        who, equals, ratio = text.partition("=")
        app, colon, peer = who.rpartition(":")
        if not equals or not peer or (colon and not app):
            raise ValueError(f"{text!r} is not peer=RATIO or app:peer=RATIO")
        return cls(app or None, peer, float(ratio))


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
        ratio = times_faster(ours, find(rows, demand.peer))
        if ratio is None or ratio < demand.ratio:
            yield f"reload {app}: {_show(ratio)} times {demand.peer}, wanted {demand.ratio:g}"


def cold_shortfalls(app: str, rows: Sequence[ColdRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's cold starts owe: the time relative to the peer's (at most), with and without a cache."""
    ours = [row for row in rows if row.server.startswith(OURS)]
    if not ours:
        yield f"cold {app}: {OURS} was not measured"
    for row in ours:
        yield from (f"cold {app}: {row.server}: {note}" for note in row.notes)
        for demand in _concerning(app, demands):
            share = share_of_time(row, find(rows, demand.peer))
            if share is None or share > demand.ratio:
                takes = f"{_show(share)} of {demand.peer}'s time"
                yield f"cold {app}: {row.server}: {takes}, wanted {demand.ratio:g}"


def _concerning(app: str, demands: Sequence[Demand]) -> Iterator[Demand]:
    return (demand for demand in demands if demand.app in (None, app))


def _show(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2f}"
