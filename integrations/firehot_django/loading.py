"""From a project to an application that is ready to answer: what Django's `runserver` does before it serves."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Tags, registry, run_checks
from django.core.management.base import BaseCommand
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import get_resolver
from django.utils.crypto import get_random_string

from firehot_django.access import AccessLog
from firehot_django.databases import MigrationsCheck, close_connections
from firehot_django.wsgi import WSGIServer
from firehot_server import generation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.core.management.commands.runserver import Command

    from firehot_django.asgi import Application

__traceback_hide__ = True


def load(command: Command, options: Mapping[str, Any]) -> Application:
    """Check the project, and say what there is to say of it: more at the first time than after each reload.

    All that does not depend on views comes before the URLconf is imported. After an edit of a view, it has been done.

    Raises:
        SystemCheckError: a check has found an error.
    """
    is_checked = not options["skip_checks"]
    try:
        if _is_first() and is_checked:
            command.stdout.write("Performing system checks...\n\n")
            command.stdout.flush()
        _enable_server_loggers()
        close_connections()  # that apps have opened
        _load_templates()
        handler = command.get_handler(**options)
        if is_checked:
            _warm_up_checks()
        migrations = MigrationsCheck(command)
        close_connections()
        if getattr(settings, "ROOT_URLCONF", None):
            _ = get_resolver().url_patterns
        if is_checked:
            command.check(**BaseCommand.get_check_kwargs(command, options), display_num_errors=_is_first())
        migrations.warn()
    finally:
        close_connections()
    _renew_browser_reload()
    if _is_first():
        command.on_bind(command.port)
    command.stdout.flush()
    return AccessLog(handler if options["use_asgi"] else WSGIServer(handler, threading=options["use_threading"]))


def _is_first() -> bool:
    """To be asked again after each import: a checkpoint goes on there, in another generation."""
    return generation() in (None, 1)


def _renew_browser_reload() -> None:
    """django-browser-reload knows a process by what it drew at random when it was imported: copies share that."""
    views: Any = sys.modules.get("django_browser_reload.views")
    if views is not None:
        views.version_id = get_random_string(32)


def _enable_server_loggers() -> None:
    """A project's LOGGING disables all loggers that it does not name, unless it says otherwise."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).disabled = False


def _warm_up_checks() -> None:
    """Run those that need no URLconf, for what models cache thereby. What they find is found again."""
    run_checks(tags=registry.registry.tags_available() - {Tags.urls})


def _load_templates() -> None:
    """Libraries of tags, and folders of templates."""
    for backend in engines.all():
        if isinstance(backend, DjangoTemplates):
            for loader in backend.engine.template_loaders:
                list(getattr(loader, "get_dirs", list)())
