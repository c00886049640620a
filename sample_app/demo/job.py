"""The job of the demonstration: which species was seen most, on the invented sightings."""

from __future__ import annotations

from datetime import UTC, datetime

from sample_app.models import Sighting
from sample_app.seed import seed_sightings

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def best_species() -> str:
    """The species with the most birds, and over how many days its trend is taken."""
    from sample_app import trends  # here, so that whoever only starts the job does not load pandas

    seen = [
        Sighting(number, new.species, new.place, new.count, new.note, moment)
        for number, (new, moment) in enumerate(seed_sightings(NOW))
    ]
    found = trends.compute_trends(seen, NOW.date(), trends.TREND_WINDOW)
    return f"{found.species[0].species}, {found.species[0].birds} birds (trend over {found.window} days)"
