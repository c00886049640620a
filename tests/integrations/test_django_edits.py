"""Edits of a Django project while `manage.py runserver` serves it: with a reload, without one, broken and healed."""

import itertools

import httpx
import pytest

from tests.support.django import Site, run, write_catalogue


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server for all tests of this module."""
    site = Site(tmp_path_factory.mktemp("django"))
    site.serve(environment={"DJANGO_RUNSERVER_HIDE_WARNING": "true"})
    yield site
    site.stop()


@pytest.fixture
def site(served):
    """The same; afterwards its files are what they were, and it serves them."""
    names = ("manage.py", "mysite/settings.py", "mysite/urls.py", "shop/views.py", "shop/models.py")
    kept = {name: served.read(name) for name in names}
    yield served
    for name, source in kept.items():
        if served.read(name) != source:
            served.reload(served.write, name, source)
    served.until_text("/", "hello one")


MIDDLEWARE = """
class Middleware:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        response = self.get_response(request)
        response["X-Middleware"] = "shop"
        return response
"""
EDITS = {
    "view": ("shop/views.py", 'TEXT = "one"', 'TEXT = "two"', "/", "hello two"),
    "URLconf": ("mysite/urls.py", 'path("", views', 'path("there", views', "/there", "hello one"),
    "settings": ("mysite/settings.py", 'GREETING = "hello"', 'GREETING = "good day"', "/", "good day one"),
    "model": ("shop/models.py", "max_length=80)", 'max_length=80)\n    ICON = "i"', "/", "hello one"),
    "manage.py": ("manage.py", "import os\n", "import os\nos.environ['WHO'] = 'me'\n", "/", "hello one"),
}


@pytest.mark.parametrize(("name", "old", "new", "path", "expected"), EDITS.values(), ids=EDITS)
def test_an_edit_is_served(site, name, old, new, path, expected):
    """The next generation has it, and says no more than that it was reloaded."""
    said = site.reload(site.edit, name, old, new)

    assert site.server.text(path) == expected
    assert f"{name} changed" in said
    assert "Quit the server" not in said
    assert "System check" not in said


def test_an_event_stream_ends_and_does_not_delay_the_reload(site):
    """Its client comes again, and meets the new code; its thread goes on with it no longer."""
    with httpx.stream("GET", f"{site.server.url}/endless?type=text/event-stream", timeout=30) as response:
        parts = response.iter_text()
        assert next(parts)
        said = site.reload(site.edit, "shop/views.py", '"one"', '"two"')
        for _ in parts:
            pass

    assert "still running" not in said
    assert site.server.text() == "hello two"


def test_browsers_are_told_of_a_reload(site):
    """By django-browser-reload, whose value for a process is drawn when it is imported: before what is edited."""
    site.write("django_browser_reload/views.py", "import secrets\nversion_id = secrets.token_hex()\n")
    site.reload(site.write, "shop/models.py", f"import django_browser_reload.views\n{site.read('shop/models.py')}")
    views = site.read("shop/views.py").replace(
        "settings.GREETING}", "sys.modules['django_browser_reload.views'].version_id}"
    )
    site.reload(site.write, "shop/views.py", f"import sys\n{views}")
    seen = {site.server.text().split()[0]}

    for old, new in itertools.pairwise(["one", "two", "three"]):
        said = site.reload(site.edit, "shop/views.py", f'"{old}"', f'"{new}"')
        seen.add(site.server.text().split()[0])

    assert "from the checkpoint" in said
    assert len(seen) == 3


def test_a_new_middleware(site):
    """A module that nobody imported, and settings that name it."""
    site.write("shop/middleware.py", MIDDLEWARE)
    site.reload(site.edit, "mysite/settings.py", "MIDDLEWARE = [", 'MIDDLEWARE = [\n    "shop.middleware.Middleware",')

    assert site.server.get("/").headers["X-Middleware"] == "shop"


def test_a_new_app_with_models_and_migrations(site):
    """Made by `startapp`, migrated while the server runs; until then Django warns at each reload."""
    assert run(site.folder, "manage.py", "startapp", "blog")[0] == 0
    site.write("blog/models.py", "from django.db import models\n\nclass Post(models.Model):\n    pass\n")
    site.reload(site.edit, "mysite/settings.py", '"shop"]', '"shop", "blog"]')
    assert run(site.folder, "manage.py", "makemigrations", "blog")[0] == 0
    site.server.wait_log(r"You have 1 unapplied migration\(s\).*blog\.\nRun 'python manage.py migrate' to apply them.")
    site.server.wait_log(r"Reloaded in .*blog/migrations/")
    assert "unapplied" in site.reload(site.edit, "shop/views.py", '"one"', '"two"')

    assert run(site.folder, "manage.py", "migrate")[0] == 0
    assert "unapplied" not in site.reload(site.edit, "shop/models.py", "max_length=80", "max_length=81")
    assert "unapplied" not in site.reload(site.edit, "shop/views.py", '"two"', '"three"')
    assert site.server.text("/") == "hello three"
    assert run(site.folder, "manage.py", "migrate", "blog", "zero")[0] == 0
    assert "unapplied" in site.reload(site.edit, "shop/views.py", '"three"', '"four"')


def test_a_first_folder_of_templates(site):
    """Django looks for an app's only once: it takes a reload."""
    assert run(site.folder, "manage.py", "startapp", "wiki")[0] == 0
    site.reload(site.edit, "mysite/settings.py", '"shop"]', '"shop", "wiki"]')
    assert site.server.get("/page/wiki.html").status_code == 500

    site.reload(site.write, "wiki/templates/wiki.html", "the wiki")

    assert site.server.text("/page/wiki.html") == "the wiki"


def test_a_warning_of_the_checks_is_shown_at_each_reload(site):
    """As Django does."""
    said = site.reload(site.edit, "mysite/settings.py", '"assets"]', '"assets", BASE_DIR / "nowhere"]')
    assert "staticfiles.W004" in said

    assert "staticfiles.W004" in site.reload(site.edit, "shop/views.py", '"one"', '"two"')


BROKEN = {
    "syntax of a view": ("shop/views.py", 'TEXT = "one"', 'TEXT = "one', "SyntaxError", "TEXT = "),
    "name in a view": ("shop/views.py", 'TEXT = "one"', "TEXT = nothing", "NameError", "nothing"),
    "URLconf": ("mysite/urls.py", "views.page", "views.paeg", "AttributeError", "paeg"),
    "model": ("shop/models.py", "models.CharField", "models.CharFeild", "AttributeError", "CharFeild"),
    "check": ("shop/models.py", "max_length=80", "max_length=0", "SystemCheckError", "fields.E121"),
    "settings": ("mysite/settings.py", 'GREETING = "hello"', "GREETING = hello", "NameError", "hello"),
    "app": ("mysite/settings.py", '"shop"]', '"shopp"]', "ModuleNotFoundError", "shopp"),
    "configuration": ("mysite/settings.py", "'mysite.urls'", "'shop.admin'", "ImproperlyConfigured", "urlpatterns"),
    "hosts": ("mysite/settings.py", "DEBUG = True", "DEBUG = False", "CommandError", "ALLOWED_HOSTS"),
    "script": ("manage.py", "execute_from_command_line(sys.argv)", "pass", "RuntimeError", "execute_from_command_line"),
}


@pytest.mark.parametrize(("name", "old", "new", "kind", "word"), BROKEN.values(), ids=BROKEN)
def test_a_broken_edit_is_a_page_and_heals(site, name, old, new, kind, word):
    """A 500 that says what, whatever asks; the next save mends it."""
    good = site.read(name)
    site.reload(site.edit, name, old, new)

    answer = site.server.get("/", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert kind in answer.json()["error"]
    assert word in answer.text
    assert f"{name} changed" in answer.text
    assert "firehot_django" not in answer.text  # no frames of ours

    site.reload(site.write, name, good)
    assert site.server.text("/") == "hello one"


# -- without a reload


@pytest.fixture(params=[True, False], ids=["debug", "no debug"])
def settled(request, site):
    """Django caches templates in both; nothing that a test does is to reload."""
    if not request.param:
        site.reload(site.edit, "mysite/settings.py", "DEBUG = True\n\nALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['*']")
        assert site.server.get("/static/site.css").status_code == 404  # as under Django's own
    generation = site.generation
    yield site
    assert site.generation == generation


WHOLE = '{% extends "base.html" %}{% block body %}whole 1, {% include "part.html" %}{% endblock %}'


def test_an_edited_template_shows_in_the_next_request(settled):
    """Itself, and those that it extends and includes."""
    settled.write("templates/base.html", "base 1, {% block body %}{% endblock %}")
    settled.write("templates/part.html", "part 1")
    settled.write("templates/whole.html", WHOLE)
    assert settled.server.text("/page/whole.html") == "base 1, whole 1, part 1"

    for name, expected in (
        ("part", "base 1, whole 1, part 2"),
        ("base", "base 2, whole 1, part 2"),
        ("whole", "base 2, whole 2, part 2"),
    ):
        settled.edit(f"templates/{name}.html", f"{name} 1", f"{name} 2")
        assert settled.server.text("/page/whole.html") == expected


def test_edits_in_a_row_show(settled):
    """However fast: of the same size, in place and by renaming."""
    for number in range(20):
        save = settled.replace if number % 2 else settled.write
        save("templates/quick.html", f"number {number:02}")
        assert settled.server.text("/page/quick.html") == f"number {number:02}"


def test_a_template_comes_and_goes(settled):
    """It was missing; another takes its place; it is broken; it is removed."""
    path = "/page/late.html"
    assert settled.server.get(path).status_code == 500

    settled.write("shop/templates/late.html", "of the app")
    assert settled.server.text(path) == "of the app"
    settled.write("templates/late.html", "in front of it")
    assert settled.server.text(path) == "in front of it"
    settled.write("templates/late.html", "{% nothing %}")
    assert settled.server.get(path).status_code == 500
    (settled.folder / "templates/late.html").unlink()
    assert settled.server.text(path) == "of the app"
    (settled.folder / "shop/templates/late.html").unlink()
    assert settled.server.get(path).status_code == 500


def test_an_edited_catalogue_shows_in_the_next_request(settled):
    """One that comes, changes, and goes."""
    catalogue = settled.folder / "locale/de/LC_MESSAGES/django.mo"
    assert settled.server.text("/translated") == "Good morning"

    write_catalogue(catalogue, {"Good morning": "Guten Morgen"})
    assert settled.server.text("/translated") == "Guten Morgen"
    write_catalogue(catalogue, {"Good morning": "Guten Tag"})
    assert settled.server.text("/translated") == "Guten Tag"
    catalogue.unlink()
    assert settled.server.text("/translated") == "Good morning"
