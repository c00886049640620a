"""Have packages been installed, upgraded or removed? Then the template holds what is no longer there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firehot_server.discovery.origin import Origins

_RECORDS = (".dist-info", ".egg-info", ".egg-link", ".pth")


class Installation:
    """The installers' records, as they were when this was made.

    Args:
        origins: knows the folders into which packages are installed.
    """

    def __init__(self, origins: Origins) -> None:
        self._folders = {folder: _modified(folder) for folder in origins.installed}
        self._records = {folder: _records(folder) for folder in self._folders}

    def has_changed(self) -> bool:
        """Whether a record came, went or was replaced. Looks closer only where a folder's own time has changed."""
        return any(
            _modified(folder) != modified and _records(folder) != self._records[folder]
            for folder, modified in self._folders.items()
        )

    def added_folders(self) -> tuple[str, ...]:
        """What `.pth` files that came or were replaced add to `sys.path`, as those of an editable installation do."""
        return tuple(
            entry
            for folder, before in self._records.items()
            for name, _ in sorted(_records(folder) - before)
            if name.endswith(".pth")
            for entry in _entries(folder, name)
        )


def _entries(folder: str, name: str) -> list[str]:
    """The folders that a `.pth` file names; its lines that are code run in each new interpreter."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    paths = [os.path.join(folder, line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    return [path for path in paths if os.path.isdir(path)]


def _modified(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0  # not every such folder exists


def _records(folder: str) -> frozenset[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            return frozenset((e.name, e.stat().st_mtime_ns) for e in entries if e.name.endswith(_RECORDS))
    except OSError:
        return frozenset()
