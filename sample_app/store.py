"""Sightings in SQLite: the only module that knows SQL."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import astuple
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sample_app.models import Sighting
from sample_app.seed import seed_sightings

if TYPE_CHECKING:
    from pathlib import Path

    from sample_app.models import NewSighting

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE sighting (
    id INTEGER PRIMARY KEY,
    species TEXT NOT NULL,
    place TEXT NOT NULL,
    count INTEGER NOT NULL,
    note TEXT NOT NULL,
    seen_at TEXT NOT NULL
)
"""
INSERT = "INSERT INTO sighting (species, place, count, note, seen_at) VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT id, species, place, count, note, seen_at FROM sighting"
LARGEST_ID = 2**63 - 1


class Store:
    """An open database. Its methods block for as long as SQLite does: call them from a worker thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, and fill it if it is new."""
        # Requests run in several threads; the lock gives each its turn on the one connection.
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # During a reload the old worker may still be writing: readers must not wait for it.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._create_once()

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    def add(self, new: NewSighting) -> Sighting:
        """Store a sighting made now."""
        seen_at = datetime.now(UTC)
        with self._lock:
            row = self._connection.execute(INSERT + " RETURNING id", (*astuple(new), _encode(seen_at))).fetchone()
        return Sighting(row[0], new.species, new.place, new.count, new.note, seen_at)

    def get(self, sighting_id: int) -> Sighting | None:
        """Return one sighting, or None if there is none of that number."""
        if sighting_id > LARGEST_ID:  # SQLite would raise OverflowError
            return None
        found = self._select("WHERE id = ?", sighting_id)
        return found[0] if found else None

    def latest(self, limit: int, species: str | None = None) -> list[Sighting]:
        """Return the newest sightings first, of one species if it is given."""
        return self._select(
            "WHERE ?1 IS NULL OR species = ?1 COLLATE NOCASE ORDER BY seen_at DESC, id DESC LIMIT ?2",
            species,
            limit,
        )

    def since(self, start: datetime) -> list[Sighting]:
        """Return the sightings from that moment on, oldest first."""
        return self._select("WHERE seen_at >= ? ORDER BY seen_at", _encode(start))

    def count(self, since: datetime | None = None) -> int:
        """Count the sightings, all of them or those from a moment on."""
        start = _encode(since) if since else ""
        with self._lock:
            row = self._connection.execute("SELECT count(*) FROM sighting WHERE seen_at >= ?", (start,)).fetchone()
        return int(row[0])

    def _select(self, condition: str, *parameters: object) -> list[Sighting]:
        with self._lock:
            rows = self._connection.execute(f"{SELECT} {condition}", parameters).fetchall()
        return [_decode(*row) for row in rows]

    def _create_once(self) -> None:
        # Two workers may start at the same moment: the one that gets the write lock first fills the file.
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                self._connection.execute(SCHEMA)
                rows = ((*astuple(new), _encode(seen_at)) for new, seen_at in seed_sightings(datetime.now(UTC)))
                self._connection.executemany(INSERT, rows)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _decode(sighting_id: int, species: str, place: str, count: int, note: str, seen_at: str) -> Sighting:
    return Sighting(sighting_id, species, place, count, note, datetime.fromisoformat(seen_at))


def _encode(moment: datetime) -> str:
    # One format for all rows, so that comparing texts compares moments.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
