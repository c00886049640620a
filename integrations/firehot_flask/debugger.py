"""Werkzeug's debugger, in a process that the next save replaces."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from werkzeug.debug import DebuggedApplication, get_machine_id, get_pin_and_cookie_name
from werkzeug.wrappers import Request, Response

from firehot_flask.logs import werkzeug_logger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from firehot_flask.launch import Launch

# The PIN is made of these, which their modules remember. The template asks first: so it is the same after each reload.
uuid.getnode()
get_machine_id()

_LOST = "The code has been reloaded since this page was made, and its frames are gone: load the page again."


class Debugger:
    """Catches what the app raises, and shows it.

    The real one is made by the first request: it has memory that is shared between processes, and a process that has
    such is not fit to be a checkpoint.
    """

    def __init__(self, app: WSGIApplication, launch: Launch) -> None:
        self._app = app
        self._launch = launch
        self._lock = threading.Lock()
        self._debugger: _Debugger | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            debugger = self._debugger = self._debugger or _Debugger(self._app, self._launch)
        return debugger(environ, start_response)

    def announce(self) -> None:
        """Print the PIN."""
        logger = werkzeug_logger()
        logger.warning(" * Debugger is active!")
        pin, _ = get_pin_and_cookie_name(self._app)
        if pin is None:
            logger.warning(" * Debugger PIN disabled. DEBUGGER UNSECURED!")
        else:
            logger.info(" * Debugger PIN: %s", pin)


class _Debugger(DebuggedApplication):
    def __init__(self, app: WSGIApplication, launch: Launch) -> None:
        super().__init__(app, evalex=True, pin_logging=False)  # else it prints the PIN here, after each reload
        self.pin_logging = True
        self.secret = launch.secret  # of the page that is open in a browser, too: it may still ask for the PIN
        self.trusted_hosts.append(launch.host)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        arguments = Request(environ).args
        is_command = arguments.get("__debugger__") == "yes" and "frm" in arguments
        if is_command and arguments.get("frm", type=int) not in self.frames:
            return Response(_LOST, status=410)(environ, start_response)
        return super().__call__(environ, start_response)
