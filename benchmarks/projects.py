"""The projects that the servers get copies of: laid out once, before anything is measured."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from .environments import SetupError
from .servers import environment_variables

if TYPE_CHECKING:
    from pathlib import Path

    from .apps import App
    from .environments import Environment

DEADLINE = 120.0
"""Seconds for one of an app's commands."""


def lay_out(app: App, environment: Environment, folder: Path, log: Path) -> None:
    """Make the app's project in `folder`: run its commands, then write its files.

    One environment does it for all: they hold the same versions of what the commands need.
    """
    folder.mkdir(parents=True)
    for name, *arguments in app.commands:
        _run([str(environment.scripts / name), *arguments], environment, folder, log)
    app.write(folder)


def _run(command: list[str], environment: Environment, folder: Path, log: Path) -> None:
    variables = environment_variables(environment, folder.parent / "cache", os.environ)
    variables["PYTHONDONTWRITEBYTECODE"] = "1"  # each server's first start finds as much of it: none
    try:
        with log.open("ab") as output:
            subprocess.run(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(f"{error}; its output is in {log}") from error
