"""What can be set from outside, read once, when the application is built."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE_DIR = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Settings:
    """The application's settings; the defaults serve a first try without any set-up."""

    database: Path = PACKAGE_DIR / "sample.sqlite3"
    pulse_seconds: float = 1.0

    @classmethod
    def from_environment(cls) -> Settings:
        """Take `SAMPLE_APP_DATABASE` into account, so that tests and demos keep their own data."""
        database = os.environ.get("SAMPLE_APP_DATABASE")
        return cls(database=Path(database)) if database else cls()
