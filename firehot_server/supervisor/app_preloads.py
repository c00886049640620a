"""What a server's template preloads: the server stack, what the app's static imports reach, and what workers really
loaded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from uvicorn.config import HTTP_PROTOCOLS, LIFESPAN, LOOP_FACTORIES, WS_PROTOCOLS, Config

from firehot_server.config import cache_folder
from firehot_server.discovery.locate import Locator
from firehot_server.discovery.reach import reach
from firehot_server.supervisor.preloads import Preloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firehot_server.config import Settings
    from firehot_server.discovery.origin import Origins
    from firehot_server.supervisor.memory import Memory

logger = logging.getLogger("uvicorn.error")


class AppPreloads(Preloads):
    """For one app and one configuration of the server."""

    def __init__(
        self, config: Config, settings: Settings, memory: Memory, origins: Origins, path: tuple[str, ...]
    ) -> None:
        super().__init__(settings, memory, path)
        self._config = config
        self._origins = origins
        self._untold: dict[str, dict[str, str]] = {}
        """Top-level package → module → why it is not preloaded; not said yet."""
        self._unkept: set[str] = set()
        self.files: tuple[str, ...] = ()
        """The project's files that static imports of the app reach."""

    def batches(self) -> Iterator[tuple[str, ...]]:
        """The server, and then the app, whose files are read while the server is imported."""
        yield self.wanted(server_stack(self._config, self._path))
        yield self._app_modules()

    def _app_modules(self) -> tuple[str, ...]:
        module = str(self._config.app).partition(":")[0]
        reached = reach(
            module,
            *self._settings.roots,
            path=self._path,
            origins=self._origins,
            include_deferred=self._config.factory,
        )
        found, self.files = reached.third_party, reached.first_party_files
        if set(self._memory.static) - set(found):
            self._memory.learned.clear()  # an import was removed: what it dragged in may be needed no more
        self._memory.static = list(found)
        return self.wanted([*found, *self._memory.learned])

    def tell(self, module: str, reason: str) -> None:
        self._untold.setdefault(module.partition(".")[0], {})[module] = reason

    def settled(self) -> None:
        """One line for each package: of a large one that needs settings, hundreds of modules may be left out."""
        for package, reasons in self._untold.items():
            module, reason = next(iter(reasons.items()))
            if len(reasons) == 1:
                logger.info("Not preloaded: %s (%s). Each reload imports it again.", module, reason)
                continue
            what = f"{len(reasons)} modules of {package}, {module} the first"
            logger.info("Not preloaded: %s (%s). Each reload imports them again.", what, reason)
            for module, reason in reasons.items():
                logger.debug("Not preloaded: %s (%s)", module, reason)
        self._untold.clear()

    def cannot_keep(self, reason: str) -> None:
        """Once for each reason, whoever found it."""
        if reason not in self._unkept:
            self._unkept.add(reason)
            what = "the next start finds out again what to preload, and reloads compile all of your code"
            logger.warning("Cannot write to the cache folder %s (%s): %s.", cache_folder(), reason, what)

    def learn(self, modules: Iterable[str]) -> tuple[str, ...]:
        """Remember what a worker had to import itself; what of it is worth adding to the template now."""
        # What was rejected is looked at again for the next template; here, requests wait.
        known = {*self._memory.learned, *self._memory.static, *self._memory.rejected}
        new = list(self.wanted(name for name in modules if name not in known))
        if new:
            self._memory.learned += new
            self._save()
        return tuple(new)


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
