"""What `manage.py runserver` was asked for, on its way from the command to the processes that serve."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "FIREHOT_DJANGO_INVOCATION"
"""Carries it. The project's code does not see it."""


@dataclass(frozen=True, slots=True)
class Script:
    """A program that runs Django's command line, such as `manage.py`."""

    name: str
    """Its path or, if it was run by `python -m`, its module's name."""
    is_module: bool

    @classmethod
    def of_this_process(cls) -> Script:
        """What runs here."""
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        if spec is not None and spec.parent:
            return cls(spec.name, is_module=True)
        return cls(os.path.abspath(sys.argv[0]), is_module=False)


@dataclass(frozen=True, slots=True)
class Invocation:
    """All of it is of JSON's types.

    Attributes:
        command: import string of the command's class: a project's may be derived from ours.
        options: what the command line says.
        settings: the settings module; None: the script has settings of its own.
        script: what ran the command; None: some program that called it as a function.
    """

    command: str
    options: Mapping[str, Any]
    settings: str | None
    script: Script | None

    @classmethod
    def take(cls) -> Invocation:
        """The one that this process was started for."""
        known = json.loads(os.environ.pop(VARIABLE))
        script = known.pop("script")
        return cls(**known, script=None if script is None else Script(**script))

    def write_down(self) -> str:
        """The variable's value."""
        return json.dumps(asdict(self))
