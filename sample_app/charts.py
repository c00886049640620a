"""Where bars and lines go in an SVG: the template only writes down what this module has computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sample_app.trends import DayTrend

WIDTH = 840
HEIGHT = 240
GAP = 3
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class Bar:
    """One day's column; `label` is what a visitor reads when pointing at it."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars per day, a line through the averages, and grid lines as pairs of height and number."""

    bars: list[Bar]
    line: str
    grid: list[tuple[float, int]]
    width: int = WIDTH
    height: int = HEIGHT


def draw(days: Sequence[DayTrend]) -> Chart:
    """Scale the days to the size of the chart."""
    top = max(1, *(day.birds for day in days))
    step = next((step for step in STEPS if top / step <= 5), STEPS[-1])
    top = -(-top // step) * step
    slot = WIDTH / len(days)

    def height(value: float) -> float:
        return round(value / top * HEIGHT, 1)

    bars = [
        Bar(
            x=round(index * slot + GAP / 2, 1),
            y=HEIGHT - height(day.birds),
            width=round(slot - GAP, 1),
            height=height(day.birds),
            label=f"{day.day:%a %d %B}: {day.birds} birds, average {day.average}",
        )
        for index, day in enumerate(days)
    ]
    points = (f"{(index + 0.5) * slot:.1f},{HEIGHT - height(day.average):.1f}" for index, day in enumerate(days))
    grid = [(HEIGHT - height(value), value) for value in range(0, top + 1, step)]
    return Chart(bars, " ".join(points), grid)
