"""What one run was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .apps import App
    from .environments import Environment
    from .servers import Server


@dataclass(frozen=True)
class Settings:
    """What is measured, how often, and where things are. `environments` is keyed by a recipe's name."""

    apps: tuple[App, ...]
    servers: tuple[Server, ...]
    environments: Mapping[str, Environment]
    edits: int
    starts: int
    results: Path
    scratch: Path

    def environment(self, server: Server) -> Environment:
        """The environment that a server runs in."""
        return self.environments[server.recipe.name]

    def version(self, server: Server) -> str:
        """A server's installed version, as its distribution says."""
        return self.environment(server).versions.get(server.distribution, "?")
