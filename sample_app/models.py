"""What a sighting is, and what makes one valid, whether it comes from the form or from the JSON API."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_COUNT = 9999
MAX_LENGTHS = {"species": 60, "place": 60, "note": 500}


class InvalidSightingError(Exception):
    """The visitor's input cannot become a sighting; `fields` says why, field by field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name} {problem}" for name, problem in fields.items()))
        self.fields = fields


@dataclass(frozen=True, slots=True)
class NewSighting:
    """A valid sighting that is not stored yet."""

    species: str
    place: str
    count: int
    note: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> NewSighting:
        """Check all fields before complaining, so that the visitor learns about every mistake at once."""
        problems: dict[str, str] = {}
        sighting = cls(
            species=_text(data, "species", problems, required=True),
            place=_text(data, "place", problems, required=True),
            count=_count(data, problems),
            note=_text(data, "note", problems, required=False),
        )
        if problems:
            raise InvalidSightingError(problems)
        return sighting


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stored sighting. `seen_at` is in UTC."""

    id: int
    species: str
    place: str
    count: int
    note: str
    seen_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return what the API and the WebSocket send."""
        return asdict(self) | {"seen_at": self.seen_at.isoformat()}


def _text(data: Mapping[str, object], name: str, problems: dict[str, str], *, required: bool) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or not _is_unicode(value):
        problems[name] = "must be text"
        return ""
    value = " ".join(value.split())
    if required and not value:
        problems[name] = "is required"
    elif len(value) > MAX_LENGTHS[name]:
        problems[name] = f"must have at most {MAX_LENGTHS[name]} characters"
    return value


def _is_unicode(value: str) -> bool:
    # JSON can smuggle in half a surrogate pair, which no database can store.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _count(data: Mapping[str, object], problems: dict[str, str]) -> int:
    value = data.get("count")
    try:
        # A form sends "3", JSON sends 3. True and 3.5 would pass int() too, and mean nothing here.
        count = int(value) if isinstance(value, str) or type(value) is int else 0
    except ValueError:
        count = 0
    if not 1 <= count <= MAX_COUNT:
        problems["count"] = f"must be a whole number from 1 to {MAX_COUNT}"
    return count
