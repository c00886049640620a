"""firehot_server: a development server that reloads in the time a fork takes, and its engine as a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firehot_server.environment import Environment, IsolatedProcess, isolate_imports
    from firehot_server.errors import (
        CannotPreload,
        CannotSend,
        EnvironmentEnded,
        FirehotError,
        IsolatedError,
        IsolatedExit,
        NoFork,
    )
    from firehot_server.generations import generation
    from firehot_server.launch import run
    from firehot_server.service import Service, serve
    from firehot_server.supervisor.reload import FirehotReload

_HOMES = {
    "CannotPreload": "firehot_server.errors",
    "CannotSend": "firehot_server.errors",
    "Environment": "firehot_server.environment",
    "EnvironmentEnded": "firehot_server.errors",
    "FirehotError": "firehot_server.errors",
    "FirehotReload": "firehot_server.supervisor.reload",
    "IsolatedError": "firehot_server.errors",
    "IsolatedExit": "firehot_server.errors",
    "IsolatedProcess": "firehot_server.environment",
    "NoFork": "firehot_server.errors",
    "Service": "firehot_server.service",
    "generation": "firehot_server.generations",
    "isolate_imports": "firehot_server.environment",
    "run": "firehot_server.launch",
    "serve": "firehot_server.service",
}

__all__ = [
    "CannotPreload",
    "CannotSend",
    "Environment",
    "EnvironmentEnded",
    "FirehotError",
    "FirehotReload",
    "IsolatedError",
    "IsolatedExit",
    "IsolatedProcess",
    "NoFork",
    "Service",
    "generation",
    "isolate_imports",
    "run",
    "serve",
]


def __getattr__(name: str) -> Any:
    # Loaded on use: the template and the workers import this package too, and need none of it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
