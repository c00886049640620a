"""Importing the app, and saying well why it could not be."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

import uvicorn.config
import uvicorn.importer
from uvicorn.importer import ImportFromStringError, import_from_string

from firehot_server.failure.report import Failure, capture, sentence_only
from firehot_server.location import HIDDEN, PACKAGE

if TYPE_CHECKING:
    from firehot_server.discovery.origin import Origins

_PACKAGE = f"{PACKAGE}/"
_IMPORTERS = frozenset({importlib.__file__, uvicorn.importer.__file__, uvicorn.config.__file__})
_NO_LOOP = ("no running event loop", "no current event loop")


class NeedsRunningLoop(Exception):
    """The app's import asked for the running event loop."""


class AppFailed(Exception):
    """The app could not be imported or started."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.headline)
        self.failure = failure


def import_app(config: uvicorn.Config, origins: Origins, *, in_loop: bool) -> None:
    """Import the app and let uvicorn's configuration wrap it (`config.load()`).

    Args:
        in_loop: the event loop is running already.

    Raises:
        AppFailed: whatever the app's import raised, `SystemExit` included.
        NeedsRunningLoop: only where `in_loop` is false.
    """
    try:
        import_from_string(config.app)
        config.load()
    except ImportFromStringError as error:
        raise AppFailed(_not_found(config, str(error))) from None
    except BaseException as error:
        if not in_loop and _asks_for_loop(error):
            raise NeedsRunningLoop from error
        raise AppFailed(describe(error, origins)) from None
    if not in_loop and _made_event_loop():
        raise NeedsRunningLoop


def describe(error: BaseException, origins: Origins) -> Failure:
    """The failure that the user will read, without frames of this package, and of an integration that says so."""
    error = _cause(error)
    return capture(
        error.with_traceback(_without_marked(error.__traceback__)), is_first_party=origins.is_first_party, hide=_is_ours
    )


def _without_marked(trace: TracebackType | None) -> TracebackType | None:
    """Leave out frames with a local or global variable of the name `HIDDEN`."""
    calls = []
    while trace is not None:
        calls.append(trace)
        trace = trace.tb_next
    for call in reversed(calls):
        frame = call.tb_frame
        if HIDDEN not in frame.f_locals and HIDDEN not in frame.f_globals:
            trace = TracebackType(trace, call.tb_frame, call.tb_lasti, call.tb_lineno)
    return trace


def _is_ours(path: str) -> bool:
    """Frames between the start of the process and the user's code, which tell the user nothing."""
    return path.startswith((_PACKAGE, "<frozen importlib")) or path in _IMPORTERS


def _not_found(config: uvicorn.Config, message: str) -> Failure:
    module, _, attribute = str(config.app).partition(":")
    if not module or not attribute:
        advice = "Name the app as <module>:<attribute>, for example main:app."
    elif "Attribute" in message:
        advice = f"Define {attribute} in that module, or name another attribute."
    elif os.sep in module:
        name = module.removesuffix(".py").strip(os.sep).replace(os.sep, ".")
        advice = f"Name the module as an import statement does: {name}:{attribute}."
    elif not os.path.isdir(sys.path[0] or os.curdir):
        folder = sys.path[0] or "the working directory"
        advice = f"The folder where it is looked for first, {folder}, does not exist: check --app-dir."
    else:
        advice = "Check the name, the current folder and --app-dir."
    return sentence_only(message, advice)


def _cause(error: BaseException) -> BaseException:
    """uvicorn exits where an app factory raises TypeError; the reader wants that error."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, TypeError):
        frames = traceback.extract_tb(error.__traceback__)
        if frames and frames[-1].filename == uvicorn.config.__file__:
            return error.__context__
    return error


def _asks_for_loop(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_LOOP)


def _made_event_loop() -> bool:
    """`asyncio.get_event_loop()` at import made a loop other than the one that will run (until Python 3.13)."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or sys.version_info >= (3, 14):
        return False
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    return getattr(getattr(policy, "_local", None), "_loop", None) is not None
