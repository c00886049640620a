"""What one run was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .apps import App
    from .environments import Environment
    from .servers import Library, Server


@dataclass(frozen=True)
class Settings:
    """What is measured, how often, and where things are.

    Attributes:
        environments: by their recipes' names.
        seed: of everything that a soak leaves to chance.
    """

    apps: tuple[App, ...]
    servers: tuple[Server, ...]
    packages: tuple[App, ...]
    libraries: tuple[Library, ...]
    environments: Mapping[str, Environment]
    edits: int
    starts: int
    rounds: int
    reloads: int
    faults: int
    seed: int
    results: Path
    scratch: Path

    def servers_of(self, app: App) -> tuple[Server, ...]:
        """Those that serve the app."""
        return tuple(server for server in self.servers if server.command_for(app))

    def project(self, app: App) -> Path:
        """The app's project, to be copied for each server."""
        return self.scratch / "projects" / app.name

    def environment(self, of: Server | Library) -> Environment:
        """The environment that a server or library runs in."""
        return self.environments[of.recipe.name]

    def version(self, of: Server | Library) -> str:
        """The installed version, as its distribution says."""
        return self.environment(of).versions.get(of.distribution, "?")
