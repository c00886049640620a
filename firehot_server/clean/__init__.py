"""How a process of ours starts that is to hold nothing of the project."""

from __future__ import annotations

import subprocess
import sys

from firehot_server.location import PACKAGE


def command(module: str, *arguments: str) -> list[str]:
    """What to run for a clean interpreter in which `module.main(*arguments)` is called.

    The same executable, flags and warning options as this process has.
    """
    return [sys.executable, *_interpreter_flags(), str(PACKAGE / "clean"), str(PACKAGE.parent), module, *arguments]


def _interpreter_flags() -> list[str]:
    # What multiprocessing uses for the same purpose, in every supported version of Python; it knows most -X options.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    given = {flag.partition("=")[0] for flag in flags}
    for name, value in sys._xoptions.items():
        if name not in given:
            flags += ["-X", name if value is True else f"{name}={value}"]
    return flags
