"""What the engine is told: how to make the application, and what its processes are to find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

from firehot_django import invocation
from firehot_django.logs import log_config
from firehot_server import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from socket import socket

    from firehot_django.invocation import Invocation

_GRACE_SECONDS = 5


def service(ours: Invocation, listener: socket, *, use_colors: bool) -> Service:
    """Serves on a socket that listens and is inherited."""
    options = {"factory": True, "fd": listener.fileno(), "reload_excludes": ["*.mo"]}  # requests look at those
    return Service(
        "firehot_django.application:make",
        options=options | server_options(ours.options, use_colors=use_colors),
        roots=tuple(_roots()),
        environment=_environment(ours),
    )


def server_options(options: Mapping[str, Any], *, use_colors: bool) -> dict[str, Any]:
    """Arguments of `uvicorn.run`, with and without reload."""
    return {
        "interface": "asgi3",
        "lifespan": "auto" if options["use_asgi"] else "off",
        "proxy_headers": False,  # the project's settings say whom it trusts
        "access_log": False,
        "log_config": log_config(options["verbosity"], use_colors=use_colors),
        "timeout_graceful_shutdown": _GRACE_SECONDS,
    }


def _roots() -> Iterator[str]:
    """Modules of the project that import much. An installed app's would not be imported without the project."""
    if settings.SETTINGS_MODULE is not None:
        yield settings.SETTINGS_MODULE
    for name in ("ROOT_URLCONF", "WSGI_APPLICATION", "ASGI_APPLICATION"):
        value = getattr(settings, name, None)
        if isinstance(value, str):
            yield value if name == "ROOT_URLCONF" else value.rpartition(".")[0]
    for app in apps.get_app_configs():
        if "site-packages" not in app.path and "dist-packages" not in app.path:
            yield from (f"{app.name}.{module}" for module in ("apps", "models", "admin"))


def _environment(ours: Invocation) -> dict[str, str]:
    """The variables of the shell, without those that the project has set: it will set them again, perhaps otherwise."""
    variables = dict(os.environ) if ours.script is None else _variables_of_shell()
    if ours.options["no_color"]:
        variables["DJANGO_COLORS"] = "nocolor"
    if ours.settings is not None:
        variables[ENVIRONMENT_VARIABLE] = ours.settings
    return variables | {
        DJANGO_AUTORELOAD_ENV: "true",  # by which projects know the process that serves
        invocation.VARIABLE: ours.write_down(),
    }


def _variables_of_shell() -> dict[str, str]:
    import psutil  # in no process that serves

    try:
        return dict(psutil.Process().environ())
    except psutil.Error:  # the system does not tell
        return dict(os.environ)
