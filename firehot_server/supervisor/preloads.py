"""What the template preloads: the server stack, what the app's static imports reach, and what workers really loaded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.config import HTTP_PROTOCOLS, LIFESPAN, LOOP_FACTORIES, WS_PROTOCOLS, Config

from firehot_server.discovery.locate import Locator
from firehot_server.discovery.reach import reach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firehot_server.config import Settings
    from firehot_server.discovery.origin import Origins
    from firehot_server.supervisor.memory import Memory

logger = logging.getLogger("uvicorn.error")


class Preloads:
    """Decides and remembers."""

    def __init__(
        self, config: Config, settings: Settings, memory: Memory, origins: Origins, path: tuple[str, ...]
    ) -> None:
        self._config = config
        self._settings = settings
        self._memory = memory
        self._origins = origins
        self._path = path
        self._announced: set[str] = set()

    def app_modules(self) -> tuple[str, ...]:
        """Modules that the app will import, in order. Reads first-party files, runs none."""
        module = str(self._config.app).partition(":")[0]
        found = reach(module, path=self._path, origins=self._origins, include_deferred=self._config.factory).third_party
        if set(self._memory.static) - set(found):
            self._memory.learned.clear()  # an import was removed: what it dragged in may be needed no more
        self._memory.static = list(found)
        return self.wanted([*found, *self._memory.learned])

    def packages(self) -> list[str]:
        """The top-level third-party packages that are preloaded, for people."""
        names = dict.fromkeys(name.partition(".")[0] for name in self.wanted(self._memory.static))
        return [name for name in names if not name.startswith("_")]

    def reject(self, module: str, reason: str) -> None:
        """Leave this module out from now on, and say so once."""
        self._memory.rejected[module] = (reason, self._stamp(module))
        self.announce(module, reason)
        self._save()

    def announce(self, module: str, reason: str) -> None:
        """Name a module that is left to the worker, once."""
        if module not in self._announced:
            self._announced.add(module)
            logger.info("Not preloaded: %s (%s). Each reload imports it again.", module, reason)

    def learn(self, modules: Iterable[str]) -> tuple[str, ...]:
        """Remember what a worker had to import itself; what of it is worth adding to the template now."""
        known = {*self._memory.learned, *self._memory.static}
        new = [name for name in self.wanted(modules) if name not in known]
        if new:
            self._memory.learned += new
            self._save()
        return tuple(new)

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
        if stamp != self._stamp(module):
            del self._memory.rejected[module]  # it was updated: worth another try
            return False
        self.announce(module, reason)
        return True

    def _stamp(self, module: str) -> str:
        located = Locator(self._path).find(module)
        if located is None or located.file is None:
            return "?"  # nothing will show that it was updated
        try:
            status = Path(located.file).stat()
        except OSError:
            return "?"
        return f"{status.st_mtime_ns}:{status.st_size}"

    def _save(self) -> None:
        try:
            self._memory.save()
        except OSError as error:
            logger.debug("Cannot remember what to preload: %s", error)


def server_stack(config: Config, path: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that uvicorn will load for this configuration."""
    targets = [
        HTTP_PROTOCOLS.get(config.http, config.http) if isinstance(config.http, str) else None,
        WS_PROTOCOLS.get(config.ws, config.ws) if isinstance(config.ws, str) else None,
        LOOP_FACTORIES.get(config.loop, config.loop),
        LIFESPAN[config.lifespan],
    ]
    modules = [target.partition(":")[0] for target in targets if target]
    if config.interface == "wsgi":
        modules.append("a2wsgi")
    wanted = ("uvicorn", "uvicorn.server", *modules, *_implementations(modules))
    locator = Locator(path)
    return tuple(name for name in wanted if locator.find(name) is not None)


def _implementations(modules: list[str]) -> list[str]:
    """What the `auto` loop factory imports only when it is called."""
    return ["uvloop", "uvicorn.loops.uvloop"] if "uvicorn.loops.auto" in modules else []
