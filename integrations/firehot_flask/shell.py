"""The environment as the shell has set it: without what flask has added from `.env` and the like by now."""

from __future__ import annotations

import os

from flask.cli import load_dotenv

_MARK = "FLASK_RUN_FROM_CLI"
"""flask sets it when its command begins: what it adds to `os.environ` later, by loading files, comes behind."""
_DEBUG = "FLASK_DEBUG"


def shell_environment(env_file: str | None, *, dotenv: bool, debug_is_option: bool) -> dict[str, str]:
    """`os.environ`, but for the variables that files have set.

    Which ones that are is found out by doing it again: a variable that has come since flask began, and comes back with
    the same value when the files are loaded, is theirs.

    Args:
        env_file: what `flask --env-file` was given.
        dotenv: `.env` and `.flaskenv` were loaded.
        debug_is_option: FLASK_DEBUG was set by `--debug` or `--no-debug`. Otherwise flask has only spelled it anew.
    """
    environment = dict(os.environ)
    names = list(environment)
    added = names[names.index(_MARK) + 1 :] if _MARK in names else []
    for name in added:
        del os.environ[name]
    load_dotenv(env_file, load_defaults=dotenv)
    from_files = {name for name in added if os.environ.get(name) == environment[name]}
    if _DEBUG in added and _DEBUG in os.environ and not debug_is_option:
        from_files.add(_DEBUG)
    os.environ.update(environment)
    return {name: value for name, value in environment.items() if name not in from_files}
