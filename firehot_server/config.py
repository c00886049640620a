"""What firehot_server itself can be told, beside uvicorn's options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Mapping

OnError = Literal["page", "keep"]
"""What answers while the newest code fails: a page with the failure, or the code before."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the reloader.

    Attributes:
        startup_timeout: seconds that a worker may take from fork to ready: import and lifespan startup.
        preload_timeout: seconds that one third-party module may take to be preloaded.
        no_preload: modules that are left to the worker; `"*"` leaves all.
        checkpoints: leave some in the import of the project; else every reload imports all of it.
        overlap: a new worker may start while the one before it finishes running requests.
        on_error: what answers while the newest code fails.
        roots: modules of the project from which static imports lead to what is preloaded, beside the app's own.
        extra_files: absolute paths of files of which a change reloads, though nothing may have read them.
        exclude_patterns: `fnmatch` patterns for absolute paths; what one of them matches does not reload.
        env_file: the file whose variables were put into the environment; read again for a new template.
        environment: the variables of the shell, without those of `env_file`.
    """

    startup_timeout: float = 60.0
    preload_timeout: float = 30.0
    no_preload: tuple[str, ...] = ()
    checkpoints: bool = True
    overlap: bool = True
    on_error: OnError = "page"
    roots: tuple[str, ...] = ()
    extra_files: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()
    env_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def excludes(self, module: str) -> bool:
        """Whether the user wants this module, or a package above it, left to the worker."""
        return any(name == "*" or module == name or module.startswith(f"{name}.") for name in self.no_preload)


def cache_folder() -> Path:
    """The user's cache folder for this package (on Linux `$XDG_CACHE_HOME/firehot`).

    Where the user has none, as a number without a name in a container, it is a path at which nothing can be kept.
    """
    try:
        folder = Path(platformdirs.user_cache_dir("firehot", appauthor=False))
    except RuntimeError:  # no home folder; of older versions, "~/.cache" as it stands
        folder = Path()
    return folder if folder.is_absolute() else Path(os.devnull, "firehot")
