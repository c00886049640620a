"""Invented sightings for a new database, so that the first page has something to show."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from sample_app.models import NewSighting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

DAYS = 60
WEEKEND = (5, 6)

# Species, place, how many are seen together at most, what people write about them.
HABITS = (
    ("Kingfisher", "River weir", 2, ("A blue flash, upstream", "Fishing from the willow")),
    ("Grey heron", "River weir", 3, ("Motionless for ten minutes", "")),
    ("Barn owl", "Old quarry", 1, ("Hunting at dusk", "Calling from the ledge")),
    ("Swift", "Church tower", 24, ("Screaming party around the tower", "")),
    ("Goldfinch", "North meadow", 14, ("On the thistles", "A charm of them", "")),
    ("Reed warbler", "Reed bed", 5, ("Singing, well hidden", "")),
    ("Lapwing", "North meadow", 30, ("Tumbling display flights", "Flock heading south")),
    ("Wren", "Old quarry", 2, ("Louder than its size allows", "")),
)


def seed_sightings(now: datetime) -> Iterator[tuple[NewSighting, datetime]]:
    """Yield sightings of the last weeks, day by day: always the same ones for the same `now`."""
    generator = random.Random(2024)
    for days_ago in range(DAYS, -1, -1):
        day = now - timedelta(days=days_ago)
        busy = day.weekday() in WEEKEND
        hours_ago = sorted(
            (generator.uniform(0, 12) for _ in range(generator.randint(2, 8 if busy else 4))), reverse=True
        )
        for hours in hours_ago:
            species, place, most, notes = generator.choice(HABITS)
            new = NewSighting(species, place, generator.randint(1, most), generator.choice(notes))
            yield new, day - timedelta(hours=hours)
