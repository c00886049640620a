"""Preloading: import third-party modules one by one, and tell what must be left to the worker."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from firehot_server.messages import Preloading, Skipped
from firehot_server.template.audit import Auditor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def preload(modules: Iterable[str], announce: Callable[[Preloading], None]) -> tuple[Skipped, ...]:
    """Import each module in turn.

    Args:
        modules: dotted names, in the order in which to import them.
        announce: called before each import that is not yet done, so that a module which hangs or kills the process
            is known.

    Returns:
        What could not be preloaded and why. Never raises for what a module does.
    """
    wanted = tuple(modules)
    auditor = Auditor()
    skipped = []
    for number, name in enumerate(wanted, start=1):
        if name not in sys.modules:
            announce(Preloading(name, number, len(wanted)))
            skipped += _preload_one(name, auditor)
    return tuple(skipped)


def _preload_one(name: str, auditor: Auditor) -> list[Skipped]:
    loaded = set(sys.modules)
    reason = _import(name)
    if found := auditor.check():
        return [Skipped(name, "; ".join(found), lasting=True)]
    if reason:
        return [Skipped(name, reason, lasting=_left_traces(name, loaded))]
    return []


def _import(name: str) -> str | None:
    """Why the import failed; None when it did not."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # a module may raise anything, SystemExit included; it is named, not raised
        return _describe(error)
    return None


def _left_traces(name: str, loaded_before: set[str]) -> bool:
    """Half of the package stayed behind: a second import would not run what a first one runs."""
    top = name.partition(".")[0]
    return any(module.partition(".")[0] == top for module in sys.modules.keys() - loaded_before)


def _describe(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0][:200] if lines else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
