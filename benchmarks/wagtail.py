"""A new Wagtail site, as `wagtail start` makes it, with one view of its own."""

from __future__ import annotations

from dataclasses import replace

from .apps import MARKER, App
from .django import DJANGO_VERSIONS, RUNSERVER

_REQUIREMENTS = ("wagtail==8.0.1", *DJANGO_VERSIONS)

_VIEWS = f"""\
from django.http import HttpRequest, JsonResponse

{MARKER}


def version(request: HttpRequest) -> JsonResponse:
    return JsonResponse({{"version": VERSION}})
"""

# The project's template has one for WSGI only.
_ASGI = """\
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.dev")

application = get_asgi_application()
"""

# As the template has it, with the view of `home` added.
_URLS = """\
from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.documents import urls as wagtaildocs_urls

from home import views as home_views
from search import views as search_views

urlpatterns = [
    path("django-admin/", admin.site.urls),
    path("admin/", include(wagtailadmin_urls)),
    path("documents/", include(wagtaildocs_urls)),
    path("search/", search_views.search, name="search"),
    path("version", home_views.version),
]

if settings.DEBUG:
    from django.conf.urls.static import static
    from django.contrib.staticfiles.urls import staticfiles_urlpatterns

    urlpatterns += staticfiles_urlpatterns()
    urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)

urlpatterns += [path("", include(wagtail_urls))]
"""

WAGTAIL = App(
    name="wagtail",
    requirements=_REQUIREMENTS,
    files={"home/views.py": _VIEWS, "mysite/asgi.py": _ASGI, "mysite/urls.py": _URLS},
    edited="home/views.py",
    target="mysite.asgi:application",
    commands=(("wagtail", "start", "mysite", "."), ("python", "manage.py", "migrate", "--verbosity", "0")),
)

# The project's development settings read it last.
_LOCAL = """\
from importlib.util import find_spec

from .base import INSTALLED_APPS

if find_spec("firehot_django"):
    INSTALLED_APPS = ["firehot_django", *INSTALLED_APPS]
"""

WAGTAIL_RUNSERVER = replace(
    WAGTAIL,
    name="wagtail-runserver",
    files={**WAGTAIL.files, "mysite/settings/local.py": _LOCAL},
    starts=False,
    served_by=RUNSERVER,
)
