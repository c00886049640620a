"""What firehot_server itself can be told, beside uvicorn's options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the reloader.

    Attributes:
        startup_timeout: seconds that a worker may take from fork to ready: import and lifespan startup.
        preload_timeout: seconds that one third-party module may take to be preloaded.
        no_preload: modules that are left to the worker; `"*"` leaves all.
        checkpoints: leave some in the import of the project; else every reload imports all of it.
        env_file: the file whose variables were put into the environment; read again for a new template.
        environment: the variables of the shell, without those of `env_file`.
    """

    startup_timeout: float = 60.0
    preload_timeout: float = 30.0
    no_preload: tuple[str, ...] = ()
    checkpoints: bool = True
    env_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def excludes(self, module: str) -> bool:
        """Whether the user wants this module, or a package above it, left to the worker."""
        return any(name == "*" or module == name or module.startswith(f"{name}.") for name in self.no_preload)


def cache_folder() -> Path:
    """The user's cache folder for this package (on Linux `$XDG_CACHE_HOME/firehot`)."""
    return Path(platformdirs.user_cache_dir("firehot", appauthor=False))
