"""Have packages been installed, upgraded or removed? Then the template holds what is no longer there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firehot_server.discovery.origin import Origins

_RECORDS = (".dist-info", ".egg-info", ".egg-link", ".pth")


def installation_stamp(origins: Origins) -> frozenset[tuple[str, int]]:
    """Every installer's records: path and modification time, in nanoseconds. Equal stamps: nothing was installed."""
    return frozenset(record for folder in origins.installed for record in _records(folder))


def _records(folder: str) -> list[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            return [(e.path, e.stat().st_mtime_ns) for e in entries if e.name.endswith(_RECORDS)]
    except OSError:
        return []  # not every such folder exists, and what is removed meanwhile shows next time
