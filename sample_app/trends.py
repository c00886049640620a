"""Statistics with pandas: the import that makes a cold start slow, and that a warm reload does not repeat."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sample_app.models import Sighting

TREND_WINDOW = 7
DAYS_SHOWN = 42


@dataclass(frozen=True, slots=True)
class DayTrend:
    """How many birds were seen on a day, and on average in the days up to it."""

    day: date
    birds: int
    average: float


@dataclass(frozen=True, slots=True)
class SpeciesTrend:
    """How often a species was seen in the last window of days, compared with the window before."""

    species: str
    birds: int
    recent: int
    before: int

    @property
    def change(self) -> int:
        """How many birds more (or fewer) than in the window before."""
        return self.recent - self.before


@dataclass(frozen=True, slots=True)
class Trends:
    """All that the trends page shows."""

    window: int
    days: list[DayTrend]
    species: list[SpeciesTrend]

    def to_json(self) -> dict[str, Any]:
        """Return what the API sends."""
        days = [asdict(day) | {"day": day.day.isoformat()} for day in self.days]
        return {"window": self.window, "days": days, "species": [asdict(each) for each in self.species]}


def first_moment(today: date, window: int) -> datetime:
    """Return where to start reading: early enough for the first day's average to be a full one."""
    return datetime.combine(today - timedelta(days=DAYS_SHOWN + window - 2), time(), UTC)


def compute_trends(sightings: Sequence[Sighting], today: date, window: int) -> Trends:
    """Count birds per day and per species, and smooth the days with a moving average."""
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime([each.seen_at.date() for each in sightings]),
            "species": pd.Series([each.species for each in sightings], dtype="object"),
            "birds": pd.Series([each.count for each in sightings], dtype="int64"),
        }
    )
    return Trends(window, _by_day(frame, today, window), _by_species(frame, today, window))


def _by_day(frame: pd.DataFrame, today: date, window: int) -> list[DayTrend]:
    calendar = pd.date_range(end=pd.Timestamp(today), periods=DAYS_SHOWN + window - 1)
    birds = frame.groupby("day")["birds"].sum().reindex(calendar, fill_value=0)
    averages = birds.rolling(window).mean().round(1)
    table = pd.DataFrame({"birds": birds, "average": averages}).tail(DAYS_SHOWN)
    return [DayTrend(row.Index.date(), int(row.birds), float(row.average)) for row in table.itertuples()]


def _by_species(frame: pd.DataFrame, today: date, window: int) -> list[SpeciesTrend]:
    age = (pd.Timestamp(today) - frame["day"]).dt.days
    table = pd.DataFrame(
        {
            "species": frame["species"],
            "birds": frame["birds"],
            "recent": frame["birds"].where(age < window, 0),
            "before": frame["birds"].where((age >= window) & (age < 2 * window), 0),
        }
    )
    totals = table.groupby("species").sum().sort_values("birds", ascending=False)
    return [
        SpeciesTrend(str(row.Index), int(row.birds), int(row.recent), int(row.before)) for row in totals.itertuples()
    ]
