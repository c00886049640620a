"""A new Django project with its admin, as `django-admin startproject` makes it, and one app with one view."""

from __future__ import annotations

from .apps import MARKER, App

DJANGO_VERSIONS = (
    "django==6.1.3; python_version >= '3.12'",  # what a new Wagtail site asks for
    "django==5.2.19; python_version < '3.12'",  # the last that there is for these
)

_COMMAND = ("python", "manage.py", "runserver", "{port}")
RUNSERVER = {"firehot": _COMMAND, "runserver": _COMMAND}
"""The same command; whose it is depends on what is installed."""

_VIEWS = f"""\
from django.http import HttpRequest, JsonResponse

{MARKER}


def version(request: HttpRequest) -> JsonResponse:
    return JsonResponse({{"version": VERSION}})
"""

_URLS = """\
from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("version", views.version),
]
"""

# On top of what `startproject` has made, which holds a secret key of its own.
_SETTINGS = """\
from importlib.util import find_spec

from mysite.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
if find_spec("firehot_django"):
    INSTALLED_APPS = ["firehot_django", *INSTALLED_APPS]
"""

_MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.local")
    execute_from_command_line(sys.argv)
"""

DJANGO = App(
    name="django",
    requirements=DJANGO_VERSIONS,
    files={"shop/views.py": _VIEWS, "mysite/urls.py": _URLS, "mysite/local.py": _SETTINGS, "manage.py": _MANAGE},
    edited="shop/views.py",
    commands=(
        ("django-admin", "startproject", "mysite", "."),
        ("python", "manage.py", "startapp", "shop"),
        ("python", "manage.py", "migrate", "--verbosity", "0"),
    ),
    starts=False,
    served_by=RUNSERVER,
)
