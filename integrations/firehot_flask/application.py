"""The app of a worker: the project's Flask app, found as `flask run` finds it, in an ASGI app.

The template imports this module, so it imports frameworks only; the project is imported by `create`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask.cli import NoAppException, ScriptInfo, load_dotenv
from flask.helpers import get_debug_flag

from firehot_flask.debugger import Debugger
from firehot_flask.gateway import Gateway
from firehot_flask.launch import Launch
from firehot_flask.logs import revive
from firehot_server import generation

if TYPE_CHECKING:
    from flask import Flask

__traceback_hide__ = True


def create() -> Gateway:
    """Make it, from what the command has left in the environment.

    Raises:
        NoAppException: there is no app, in flask's own words.
    """
    launch = Launch.take(os.environ)
    load_dotenv(launch.env_file, load_defaults=launch.dotenv)
    app = _load(launch)
    revive()
    if not (get_debug_flag() if launch.debugger is None else launch.debugger):
        return Gateway(app, launch)
    debugger = Debugger(app, launch)
    if generation() == 1:
        debugger.announce()
    return Gateway(debugger, launch)


def _load(launch: Launch) -> Flask:
    path = launch.app or os.environ.get("FLASK_APP") or None
    try:
        return ScriptInfo(path, set_debug_flag=launch.set_debug_flag).load_app()
    except NoAppException as error:
        problem = _to_show(error)
    raise problem


def _to_show(error: NoAppException) -> Exception:
    """The import error that flask tells as a text with a traceback in it; else what flask says, without its calls."""
    cause = error.__context__
    if isinstance(cause, ImportError) and cause.__traceback__ is not None and cause.__traceback__.tb_next is not None:
        return cause
    return error.with_traceback(None)
