"""What uvicorn's --reload options say of a path; the meaning of every pattern is uvicorn's own.

And what an integration says, in terms of its framework: files one by one, and patterns for whole paths.
"""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.supervisors.watchfilesreload import FileFilter

from firehot_server.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn import Config

_PRUNED = frozenset({"__pycache__", "node_modules", "site-packages"})


class ReloadRules:
    """Built from a uvicorn configuration, and from our own settings."""

    def __init__(self, config: Config, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.extra_files = frozenset(settings.extra_files)
        """They count as read by the app before anything else."""
        self._exclude_patterns = settings.exclude_patterns
        self._filter = FileFilter(config)
        self._includes = list(config.reload_includes)
        self._roots = tuple(f"{os.path.realpath(root)}/" for root in config.reload_dirs)
        self._excludes = list(config.reload_excludes)
        self._excluded_folders = tuple(f"{os.path.realpath(folder)}/" for folder in config.reload_dirs_excludes)
        self._is_everywhere = list(config.reload_dirs) == [Path.cwd()]

    @property
    def folders_to_search(self) -> list[str]:
        """Every folder in which --reload-include may match something; none without that option."""
        return [folder for root in self._roots for folder in _walk(root)] if self._includes else []

    def allows(self, path: str) -> bool:
        """A change of this file may reload: not excluded, and below a --reload-dir where one is given."""
        return bool(self._filter(Path(path))) and self._is_within(path)

    def allows_data(self, path: str) -> bool:
        """The same of a file that the app has read as data: it need not look like Python, and may be hidden."""
        is_excluded = any(Path(path).match(pattern) for pattern in self._excludes)
        is_within = os.path.realpath(path).startswith(self._excluded_folders)
        return not (is_excluded or is_within) and self._is_within(path)

    def insists(self, path: str) -> bool:
        """A change of this file reloads even if nothing has read it."""
        return any(Path(path).match(pattern) for pattern in self._includes) and self.allows(path)

    def _is_within(self, path: str) -> bool:
        if any(fnmatch(path, pattern) for pattern in self._exclude_patterns):
            return False
        return self._is_everywhere or path in self.extra_files or os.path.realpath(path).startswith(self._roots)


def is_pruned(folder: str) -> bool:
    """Nothing of the project lies there: hidden, generated, or a virtual environment."""
    path = Path(folder)
    return path.name in _PRUNED or path.name.startswith(".") or (path / "pyvenv.cfg").exists()


def _walk(root: str) -> Iterator[str]:
    for folder, children, _ in os.walk(root):
        yield folder.rstrip("/") or "/"
        children[:] = [name for name in children if not is_pruned(f"{folder}/{name}")]
