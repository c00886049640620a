"""The packages whose imports the libraries isolate: applications, laid out as packages with functions to call."""

from __future__ import annotations

import re
from dataclasses import replace

from .apps import HEAVY, App
from .generated import FILES300

ADDED = "sortedcontainers"
"""What an edit adds an import of: pure Python, installed for this alone, imported by nothing else."""

ADDED_REQUIREMENT = f"{ADDED}==2.4.0"

_CALLS = """\
import sys


def nothing() -> None:
    pass


def echo(data: bytes) -> bytes:
    return data


def import_app() -> str:
    from . import app

    return app.__name__


def is_loaded(module: str) -> bool:
    return module in sys.modules
"""


def as_package(app: App) -> App:
    """The application as a package of its own name, with the module `calls` in it."""
    own = "|".join(sorted({file.partition("/")[0].removesuffix(".py") for file in app.files}))
    files = {file: _import_from_package(source, app.name, own) for file, source in app.files.items()}
    files |= {"__init__.py": "", "calls.py": _CALLS}
    return replace(
        app,
        files={f"{app.name}/{file}": source for file, source in files.items()},
        edited=f"{app.name}/{app.edited}",
        target=f"{app.name}.{app.target}",
    )


def _import_from_package(source: str, package: str, own: str) -> str:
    source = re.sub(rf"^from ({own})\b", rf"from {package}.\1", source, flags=re.MULTILINE)
    return re.sub(rf"^import ({own})$", rf"from {package} import \1", source, flags=re.MULTILINE)


def with_added_import(source: str) -> str:
    """A module's text that imports `ADDED` first."""
    return f"import {ADDED}\n{source}"


PACKAGES = {app.name: as_package(app) for app in (HEAVY, FILES300)}
