"""Which modules the template preloads: what is wanted, less what the user or experience excludes."""

from __future__ import annotations

import abc
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from firehot_server.discovery.locate import Locator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firehot_server.config import Settings
    from firehot_server.supervisor.memory import Memory

logger = logging.getLogger("firehot")

# How reasons begin that may have to do with another package.
_LACKING = ("ImportError", "ModuleNotFoundError")
_GONE = "ModuleNotFoundError: No module named"


class Preloads(abc.ABC):
    """Decides and remembers.

    Args:
        settings: what the user excludes.
        memory: what earlier runs found out.
        path: the `sys.path` of the template.
    """

    def __init__(self, settings: Settings, memory: Memory, path: tuple[str, ...]) -> None:
        self._settings = settings
        self._memory = memory
        self._path = path
        self._announced: set[str] = set()

    @abc.abstractmethod
    def batches(self) -> Iterator[tuple[str, ...]]:
        """What a new template is to import, in order. It imports one batch while the next is found out."""

    @abc.abstractmethod
    def tell(self, module: str, reason: str) -> None:
        """Say that a module is not preloaded, and what that costs."""

    @abc.abstractmethod
    def settled(self) -> None:
        """A template is ready: nothing more is found out for now. Say what has not been said yet."""

    def packages(self) -> list[str]:
        """The top-level third-party packages that are preloaded, for people."""
        names = dict.fromkeys(name.partition(".")[0] for name in self.wanted(self._memory.static))
        return [name for name in names if not name.startswith("_")]

    def reject(self, module: str, reason: str) -> None:
        """Leave this module out from now on, and say so once."""
        self.reject_all([(module, reason)])

    def reject_all(self, reasons: Iterable[tuple[str, str]]) -> None:
        """The same of several, each with its reason."""
        for module, reason in reasons:
            if module in self._memory.learned and reason == f"{_GONE} {module.partition('.')[0]!r}":
                self._memory.learned.remove(module)  # a worker had it once, before its package was removed
                continue
            self._memory.rejected[module] = (reason, self._stamp(module, reason))
            self._announce(module, reason)
        self._save()

    def _announce(self, module: str, reason: str) -> None:
        if module not in self._announced:
            self._announced.add(module)
            self.tell(module, reason)

    def forget(self, modules: Iterable[str]) -> None:
        """These were learned, but cannot be preloaded."""
        unwanted = set(modules)
        self._memory.learned = [name for name in self._memory.learned if name not in unwanted]
        self._save()

    def wanted(self, modules: Iterable[str]) -> tuple[str, ...]:
        """Those that neither the user nor experience excludes, each once."""
        return tuple(m for m in dict.fromkeys(modules) if not self._settings.excludes(m) and not self._is_rejected(m))

    def _is_rejected(self, module: str) -> bool:
        reason, stamp = self._memory.rejected.get(module, ("", ""))
        if not stamp:
            return False
        if stamp != self._stamp(module, reason):
            del self._memory.rejected[module]  # it was updated, or what it lacks was installed: worth another try
            return False
        self._announce(module, reason)
        return True

    def _stamp(self, module: str, reason: str) -> str:
        located = Locator(self._path).find(module)
        if located is None or located.file is None:
            return "?"  # nothing will show that it was updated
        try:
            status = Path(located.file).stat()
        except OSError:
            return "?"
        stamp = f"{status.st_mtime_ns}:{status.st_size}"
        return f"{stamp}:{self._last_installation()}" if reason.startswith(_LACKING) else stamp

    def _last_installation(self) -> int:
        """When something last came into a folder of installed packages, or went."""
        folders = (Path(entry) for entry in self._path if entry.endswith(("site-packages", "dist-packages")))
        return max((folder.stat().st_mtime_ns for folder in folders if folder.is_dir()), default=0)

    def _save(self) -> None:
        try:
            self._memory.save()
        except OSError as error:
            self.cannot_keep(error.strerror or str(error))

    def cannot_keep(self, reason: str) -> None:
        """The cache folder cannot be written: that costs time, nothing else."""
        logger.debug("Cannot write to the cache folder (%s)", reason)
