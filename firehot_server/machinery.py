"""Standing in for functions of the import system."""

from __future__ import annotations

from typing import Any, Final, TypeVar

Function = TypeVar("Function")

MACHINERY: Final = "<frozen importlib._bootstrap_external>"
"""The file of the functions that find and load modules, as frames have it."""


def as_machinery(function: Function) -> Function:
    """Make this a function of the import system, for who looks at frames.

    Python leaves such frames out of tracebacks, but only where no other stands between them: else a program that shows
    a failed import, or keeps its traceback as a text, would have something else than it has without us.
    """
    python_function: Any = function
    python_function.__code__ = python_function.__code__.replace(co_filename=MACHINERY)
    return function
