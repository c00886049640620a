"""What is to be served: the command's options in the words of `firehot_server`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask.cli import prepare_import
from werkzeug.security import gen_salt

from firehot_flask.launch import Launch
from firehot_flask.logs import LOG_CONFIG
from firehot_flask.shell import shell_environment
from firehot_server import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from werkzeug.serving import BaseWSGIServer

    from firehot_flask.given import Given

_SECRET_LENGTH = 20


def make_service(
    given: Given, options: dict[str, Any], listener: BaseWSGIServer, certificate: tuple[str, str] | None
) -> Service:
    """Describe it.

    Args:
        options: those of the command, by name.
        listener: has the socket, whose descriptor is inherited.
        certificate: paths of a certificate and its key.
    """
    cert, key = certificate or (None, None)
    return Service(
        "firehot_flask.application:create",
        options={
            "factory": True,
            "fd": listener.fileno(),
            "interface": "asgi3",
            "lifespan": "off",
            "ws": "none",
            "proxy_headers": False,
            "log_config": LOG_CONFIG,
            "ssl_certfile": cert,
            "ssl_keyfile": key,
        },
        # As flask does before it imports the app; so the folder is on the path.
        roots=tuple(prepare_import(file) for file in given.files),
        environment=_environment(given, options, listener),
        extra_files=tuple(_extra_files(options["extra_files"] or ())),
        exclude_patterns=tuple(options["exclude_patterns"] or ()),
    )


def _environment(given: Given, options: dict[str, Any], listener: BaseWSGIServer) -> dict[str, str]:
    launch = Launch(
        app=given.app,
        set_debug_flag=given.set_debug_flag,
        env_file=given.env_file,
        dotenv=given.dotenv,
        debugger=options["debugger"],
        threads=options["with_threads"],
        host=options["host"],
        server=(str(listener.server_address[0]), str(listener.server_address[1])),
        secret=gen_salt(_SECRET_LENGTH),
    )
    environment = shell_environment(given.env_file, dotenv=given.dotenv, debug_is_option=given.debug_is_option)
    environment["WERKZEUG_RUN_MAIN"] = "true"  # by this, apps know the process that serves from the one that reloads
    launch.store(environment)
    return environment


def _extra_files(paths: Iterable[str]) -> Iterator[str]:
    """A folder stands for the Python files in it, as for Werkzeug."""
    for path in map(os.path.abspath, paths):
        yield from map(str, Path(path).rglob("*.py")) if os.path.isdir(path) else (path,)
