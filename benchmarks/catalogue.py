"""All applications by their names, and what they need."""

from __future__ import annotations

from .apps import HEAVY, ORM, SMALL
from .django import DJANGO
from .flask import FLASK
from .generated import LARGE
from .wagtail import WAGTAIL, WAGTAIL_RUNSERVER

APPS = {app.name: app for app in (SMALL, HEAVY, ORM, *LARGE, WAGTAIL, DJANGO, WAGTAIL_RUNSERVER, FLASK)}

STARTED = tuple(app.name for app in APPS.values() if app.starts)
"""Those whose cold starts are measured."""


def all_requirements() -> tuple[str, ...]:
    """What any application needs. Every environment holds it all: picking an app never rebuilds one."""
    return tuple(sorted({requirement for app in APPS.values() for requirement in app.requirements}))
