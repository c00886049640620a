"""Running an app from Python, as uvicorn does."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
from typing import TYPE_CHECKING, Any, ParamSpec

import uvicorn

from firehot_server.config import Settings
from firehot_server.supervisor.reload import FirehotReload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firehot_server.supervisor.processes import TemplateProcess

Parameters = ParamSpec("Parameters")

logger = logging.getLogger("uvicorn.error")


@contextlib.contextmanager
def reloading_with(settings: Settings, template: TemplateProcess | None = None) -> Iterator[None]:
    """Inside, `uvicorn.run(..., reload=True)` and uvicorn's command reload with `FirehotReload`.

    uvicorn's own code thus reads the options, binds the socket, warns and cleans up; only the class that reloads is
    another. Where there is no fork, it stays uvicorn's.
    """
    # The package's attribute of that name is the click command.
    module: Any = importlib.import_module("uvicorn.main")
    if not hasattr(os, "fork"):
        logger.warning("This system has no fork: reloading with uvicorn's own reloader.")
        yield
        return

    original = module.ChangeReload
    module.ChangeReload = functools.partial(FirehotReload, settings=settings, template=template)
    try:
        yield
    finally:
        module.ChangeReload = original


def _with_signature_of(
    _original: Callable[Parameters, None],
) -> Callable[[Callable[..., None]], Callable[Parameters, None]]:
    def decorate(function: Callable[..., None]) -> Callable[Parameters, None]:
        return functools.update_wrapper(function, _original, assigned=("__signature__", "__annotations__"))

    return decorate


@_with_signature_of(uvicorn.run)
def run(*args: object, **kwargs: object) -> None:
    """`uvicorn.run`, with a reloader that forks: the same arguments, the same exit codes.

    Example:
        ```python
        if __name__ == "__main__":
            firehot_server.run("app:app", reload=True)
        ```
    """
    kwargs.setdefault("reload_delay", 0.0)
    env_file = kwargs.get("env_file")
    settings = Settings(env_file=env_file, environment=dict(os.environ))  # type: ignore[arg-type]
    with reloading_with(settings):
        uvicorn.run(*args, **kwargs)  # type: ignore[arg-type]
