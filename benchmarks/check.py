"""Demands on the figures, for a person who runs `--check`. Nothing asserts times by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .report import OURS, find, times_faster

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

    def concerns(self, app: str) -> bool:
        """Whether it is about this app."""
        return self.app in (None, app)


def reload_shortfalls(rows: Sequence[ReloadRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's reloads owe: no lost edit, no failed and no stale request, and the ratios (at least)."""
    ours = find(rows, OURS)
    if ours is None or ours.median is None:
        yield f"reload: {OURS} was not measured"
        return
    for what, count in (("failed", ours.failures.total()), ("stale", ours.stale), ("lost", ours.lost)):
        if count:
            yield f"reload {ours.app}: {count} {what}"
    for demand in demands:
        if demand.concerns(ours.app):
            ratio = times_faster(ours, find(rows, demand.peer))
            if ratio is None or ratio < demand.ratio:
                yield f"reload {ours.app}: {_show(ratio)} times {demand.peer}, wanted {demand.ratio:g}"


def cold_shortfalls(rows: Sequence[ColdRow], demands: Sequence[Demand]) -> Iterator[str]:
    """What one app's cold starts owe: the time relative to the peer's (at most), with and without a cache."""
    ours = [row for row in rows if row.server.startswith(OURS)]
    for row in ours:
        for demand in demands:
            if demand.concerns(row.app):
                faster = times_faster(row, find(rows, demand.peer))
                if faster is None or 1 / faster > demand.ratio:
                    slower = None if faster is None else 1 / faster
                    yield (
                        f"cold {row.app}: {row.server} takes {_show(slower)} of {demand.peer}'s time, "
                        f"wanted {demand.ratio:g}"
                    )


def _show(ratio: float | None) -> str:
    return "an unknown number of" if ratio is None else f"{ratio:.2f}"
