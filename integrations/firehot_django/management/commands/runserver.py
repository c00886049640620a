"""`manage.py runserver`: Django's command, with a server that reloads by forking.

It runs twice: for the user, where it only starts the server, and in every process that serves.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.asgi import get_asgi_application
from django.core.management.commands.runserver import Command as RunserverCommand
from django.utils import autoreload
from django.utils.module_loading import import_string

from firehot_django.invocation import Invocation, Script
from firehot_django.loading import load
from firehot_django.service import server_options, service
from firehot_django.speech import said_by
from firehot_server import NoFork, generation, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.core.management.base import CommandParser

    from firehot_django.asgi import Application

__traceback_hide__ = True

_ERRORS: Final = {
    errno.EACCES: "You don't have permission to access that port.",
    errno.EADDRINUSE: "That port is already in use.",
    errno.EADDRNOTAVAIL: "That IP address can't be assigned to.",
}


class Command(RunserverCommand):  # type: ignore[misc]  # Django has no types
    """The command; its methods mean what they mean in Django."""

    help = "Starts a lightweight web server for development, which reloads in the time a fork takes."
    port: int | str
    application: Application
    """Made by `execute` in a process that serves."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Options of Django's command, those of `django.contrib.staticfiles`, and our own."""
        super().add_arguments(parser)
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Tells Django to NOT automatically serve static files at STATIC_URL.",
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            dest="insecure_serving",
            help="Allows serving static files even if DEBUG is False.",
        )
        parser.add_argument(
            "--asgi",
            action="store_true",
            dest="use_asgi",
            help="Serves ASGI_APPLICATION, WebSockets included, instead of WSGI_APPLICATION.",
        )

    def run(self, **options: Any) -> None:
        """Serve until Ctrl-C; in a process that is to serve, make the application."""
        self._interface = "ASGI" if options["use_asgi"] else "WSGI"
        if generation() is not None:
            self.application = load(self, options)
            return
        if options["use_reloader"]:
            self._serve(options)
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Serve without our reloader, in this process."""
        autoreload.raise_last_exception()
        listener = self._bind()
        application = load(self, options)
        server = uvicorn.Server(uvicorn.Config(application, **server_options(options, use_colors=self._uses_colors)))
        try:
            server.run([listener])
        except KeyboardInterrupt:
            self.stdout.write(options.get("shutdown_message", ""))
            sys.exit(0)

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """The application, WSGI or ASGI, and the static files with it where they are to be served."""
        use_asgi = options["use_asgi"]
        handler = _asgi_application() if use_asgi else super().get_handler(*args, **options)
        is_wanted = options["use_static_handler"] and apps.is_installed("django.contrib.staticfiles")
        if is_wanted and (settings.DEBUG or options["insecure_serving"]):
            return ASGIStaticFilesHandler(handler) if use_asgi else StaticFilesHandler(handler)
        return handler

    def on_bind(self, server_port: int) -> None:
        """Write the banner. Django's own knows one interface."""
        self.stdout.write(said_by(self, super().on_bind, server_port).replace("WSGI d", f"{self._interface} d"))

    def _serve(self, options: Mapping[str, Any]) -> None:
        """Go over to a clean process that serves; returns where there is no fork."""
        listener = self._bind()
        listener.set_inheritable(True)
        ours = Invocation(
            command=f"{type(self).__module__}.{type(self).__qualname__}",
            options={name: value for name, value in options.items() if isinstance(value, str | int | None)}
            | {"addrport": f"{f'[{self.addr}]' if self._raw_ipv6 else self.addr}:{self.port}"},
            settings=settings.SETTINGS_MODULE,
            script=Script.of_this_process() if self._called_from_command_line else None,
        )
        try:
            serve(service(ours, listener, use_colors=self._uses_colors))
        except NoFork:
            listener.close()

    def _bind(self) -> socket.socket:
        """A socket that listens, so that clients wait. Ends the process, with Django's words, where that cannot be."""
        listener = socket.socket(socket.AF_INET6 if self.use_ipv6 else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.addr, int(self.port)))
            listener.listen()
        except (OSError, OverflowError) as error:
            self.stderr.write(f"Error: {_ERRORS.get(getattr(error, 'errno', 0), error)}")
            sys.exit(1)
        self.port = listener.getsockname()[1]
        return listener

    @property
    def _uses_colors(self) -> bool:
        return bool(self.style.ERROR("") != "")


def _asgi_application() -> Any:
    path = getattr(settings, "ASGI_APPLICATION", None)
    return get_asgi_application() if path is None else import_string(path)
