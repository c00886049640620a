"""What the user has given to flask itself, before the name of our command."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.cli import ScriptInfo

DEFAULT_APPS = ("wsgi.py", "app.py")
"""Where flask looks for an app if nobody says where it is."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line and the environment say.

    Attributes:
        app: where the app is, as `--app` takes it; None: FLASK_APP says so, which a file may have set, or nobody.
        files: the files, or the modules, that may have the app at present.
        set_debug_flag: FLASK_DEBUG decides over the app's debug flag, as it does but for some scripts.
        debug_is_option: FLASK_DEBUG was set by `--debug` or `--no-debug`.
        env_file: the absolute path of `--env-file`.
        dotenv: `.env` and `.flaskenv` are loaded.
    """

    app: str | None
    files: tuple[str, ...]
    set_debug_flag: bool
    debug_is_option: bool
    env_file: str | None
    dotenv: bool

    @classmethod
    def to(cls, context: click.Context, info: ScriptInfo) -> Given:
        """To flask, above the context of our command.

        Raises:
            click.UsageError: a script of the project's own makes the app, in a way that no other process can repeat.
        """
        contexts = tuple(_lineage(context))
        app = info.app_import_path if _is_option(contexts, "app") else None
        if info.create_app is not None:
            app = _import_path(info.create_app)
        path = app or info.app_import_path
        return cls(
            app=app,
            files=DEFAULT_APPS if path is None else (re.split(r":(?![\\/])", path, maxsplit=1)[0],),
            set_debug_flag=info.set_debug_flag,
            debug_is_option=_is_option(contexts, "debug"),
            env_file=_env_file(contexts),
            dotenv=info.load_dotenv_defaults,
        )


def _lineage(context: click.Context | None) -> Iterator[click.Context]:
    while context is not None:
        yield context
        context = context.parent


def _is_option(contexts: tuple[click.Context, ...], name: str) -> bool:
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for context in contexts)


def _env_file(contexts: tuple[click.Context, ...]) -> str | None:
    """flask's option keeps its value to itself."""
    path = None
    for context in contexts:
        source = context.get_parameter_source("env_file")
        if source is ParameterSource.COMMANDLINE:
            path = context.command.make_parser(context).parse_args(sys.argv[1:])[0].get("env_file")
        elif source is ParameterSource.ENVIRONMENT:
            path = os.environ.get(f"{context.auto_envvar_prefix}_ENV_FILE")
    return path and os.path.abspath(path)


def _import_path(function: Callable[..., Any]) -> str:
    """How `--app` would name this function."""
    name, module = getattr(function, "__qualname__", "?"), getattr(function, "__module__", "?")
    if not name.isidentifier():
        raise click.UsageError(
            f"The app is made by {module}.{name}, which another process cannot find: use a function of a module."
        )
    path = sys.modules["__main__"].__file__ if module == "__main__" else module
    return f"{path}:{name}"
