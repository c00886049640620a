"""Running `manage.py` in a worker: it sets variables and paths that the settings need, and can be edited."""

from __future__ import annotations

import io
import os
import runpy
import sys
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from django.core.management import ManagementUtility

if TYPE_CHECKING:
    from firehot_django.invocation import Script

__traceback_hide__ = True


class _Reached(BaseException):
    """The script has come to Django's command line."""


def run(script: Script) -> None:
    """Run a program as `__main__` up to the point where Django's command line would take over.

    Raises:
        RuntimeError: it does not come there.
    """
    original, ManagementUtility.execute = ManagementUtility.execute, _reach
    try:
        if script.is_module:
            runpy.run_module(script.name, run_name="__main__", alter_sys=True)
        elif os.path.isfile(script.name):
            _run_file(script.name)
        else:
            runpy.run_path(script.name, run_name="__main__")
    except _Reached:
        return
    finally:
        ManagementUtility.execute = original
    raise RuntimeError(f"{script.name} ended before it came to Django's execute_from_command_line().")


def _run_file(path: str) -> None:
    """What it defines stays in `__main__`, as in a program: it may be all of the project."""
    main = ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, vars(main))


def _reach(_utility: ManagementUtility) -> NoReturn:
    raise _Reached
