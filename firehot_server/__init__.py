"""firehot_server: a development server that reloads in the time a fork takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firehot_server.errors import FirehotError
    from firehot_server.launch import run
    from firehot_server.supervisor.reload import FirehotReload

__all__ = ["FirehotError", "FirehotReload", "run"]

_HOMES = {
    "FirehotError": "firehot_server.errors",
    "FirehotReload": "firehot_server.supervisor.reload",
    "run": "firehot_server.launch",
}


def __getattr__(name: str) -> Any:
    # Loaded on use: the template and the workers import this package too, and need none of it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
