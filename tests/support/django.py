"""A real Django project, as `startproject` and `startapp` make it, and the real `manage.py runserver` on it."""

import contextlib
import functools
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx

from tests.support.files import write_all
from tests.support.server import Project, Server
from tests.support.waiting import until

SETTINGS = """
from pathlib import Path

INSTALLED_APPS = ["firehot_django", *INSTALLED_APPS, "shop"]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
LOCALE_PATHS = [BASE_DIR / "locale"]
STATICFILES_DIRS = [BASE_DIR / "assets"]
GREETING = "hello"
"""

FILES = {
    "mysite/urls.py": """
        from django.contrib import admin
        from django.urls import path, re_path
        from shop import views

        urlpatterns = [
            path("", views.index),
            path("admin/", admin.site.urls),
            path("form", views.form),
            path("upload", views.upload),
            path("stream", views.stream),
            path("endless", views.endless),
            path("exits", views.exits),
            path("page/<str:name>", views.page),
            path("translated", views.translated),
            path("together", views.together),
            path("items", views.items),
            re_path("^meta(?P<rest>.*)$", views.meta),
        ]
        """,
    "shop/views.py": """
        import itertools
        import threading
        import time

        from django.conf import settings
        from django.db import connection
        from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
        from django.shortcuts import render
        from django.utils import translation
        from django.views.decorators.csrf import csrf_exempt
        from shop.models import Item

        TEXT = "one"
        barrier = threading.Barrier(3)
        endings = []

        def index(request):
            return HttpResponse(f"{settings.GREETING} {TEXT}")

        def form(request):
            if request.method == "POST":
                return HttpResponse(f"you said {request.POST['word']}")
            return render(request, "form.html")

        @csrf_exempt
        def upload(request):
            file = request.FILES["file"]
            return HttpResponse(f"{file.name} {file.size} {sum(map(len, file.chunks()))}")

        def stream(request):
            return StreamingHttpResponse(f"{number} " for number in range(1000))

        def exits(request):
            raise SystemExit(3)

        def endless(request):
            if request.GET.get("ended"):
                return JsonResponse(endings, safe=False)
            return StreamingHttpResponse(_count(), content_type=request.GET.get("type", "text/plain"))

        def _count():
            try:
                for number in itertools.count():
                    yield f"{number} "
                    time.sleep(0.005)
            finally:
                endings.append(number)

        def page(request, name):
            return render(request, name)

        def translated(request):
            with translation.override(request.GET.get("language", "de")):
                return HttpResponse(translation.gettext("Good morning"))

        def together(request):
            Item.objects.count()
            try:
                barrier.wait(float(request.GET["seconds"]))
            except threading.BrokenBarrierError:
                return HttpResponse("alone")
            return HttpResponse("together")

        def items(request):
            return HttpResponse(", ".join(Item.objects.order_by("name").values_list("name", flat=True)))

        @csrf_exempt
        def meta(request, rest):
            known = {name: repr(value) for name, value in request.META.items() if not callable(value)}
            told = {"path": request.path, "full": request.get_full_path(), "body": request.body.decode("latin-1")}
            return JsonResponse(told | {"type": request.content_type, "query": request.GET, "META": known})
        """,
    "shop/models.py": """
        from django.db import models

        class Item(models.Model):
            name = models.CharField(max_length=80)
        """,
    "shop/admin.py": """
        from django.contrib import admin
        from shop.models import Item

        admin.site.register(Item)
        """,
    "templates/form.html": """
        <form method="post">{% csrf_token %}<input name="word"></form>
        """,
    "shop/templates/shop/item.html": "an item\n",
    "locale/README": "translations\n",
    "assets/site.css": "body { color: teal }\n",
    "plain.py": """
        from mysite.settings import *

        INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "firehot_django"]
        """,
}


def run(folder, *arguments, **variables):
    """One command of Django, to its end; (status, output)."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


@functools.cache
def _template():
    """The folder of a project that is made once; the holder removes it at the end."""
    holder = tempfile.TemporaryDirectory(prefix="firehot-django-")
    folder = Path(holder.name)
    _succeed(folder, "-m", "django", "startproject", "mysite", ".")
    _succeed(folder, "manage.py", "startapp", "shop")
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + SETTINGS)
    write_all(folder, FILES)
    _succeed(folder, "manage.py", "makemigrations", "shop", "--verbosity", "0")
    _succeed(folder, "manage.py", "migrate", "--verbosity", "0")
    password = {"DJANGO_SUPERUSER_PASSWORD": "secret"}
    who = ("--username", "ann", "--email", "ann@example.com")
    _succeed(folder, "manage.py", "createsuperuser", "--noinput", *who, **password)
    return holder


def _succeed(folder, *arguments, **variables):
    status, output = run(folder, *arguments, **variables)
    assert status == 0, output


class Site(Project):
    """A copy of that project, and at most one server on it."""

    def __init__(self, root):
        super().__init__(root / "project")
        shutil.copytree(_template().name, self.folder)
        self._variables = {"XDG_CACHE_HOME": str(root / "cache")}
        self.server = None

    def serve(self, *arguments, command=("manage.py", "runserver"), environment=None, **options):
        """Start `manage.py runserver` on a free port; arguments may name it as `{port}`."""
        if not any("{port}" in argument for argument in arguments):
            arguments = ("{port}", *arguments)
        module = [sys.executable, *command, *arguments]
        self.server = Server(self, module=module, environment=self._variables | (environment or {}), **options)
        return self.server

    def stop(self):
        if self.server is not None:
            self.server.stop()

    def read(self, name):
        return (self.folder / name).read_text()

    def edit(self, name, old, new):
        """Put one text in the place of another; both must be there to be exchanged."""
        source = self.read(name)
        assert source.count(old) == 1, (old, source)
        self.write(name, source.replace(old, new))

    @property
    def generation(self):
        """The newest that the log tells of."""
        return int(re.findall(r"generation (\d+)\)", self.server.log)[-1])

    def reload(self, edit, *arguments):
        """Edit, and wait until the next generation serves, or one that superseded it, be it its failure; what has been
        logged since.
        """
        number, before = self.generation + 1, len(self.server.log)
        edit(*arguments)
        until(lambda: self.generation >= number, f"generation {number}")
        return self.server.log[before:]

    def until_text(self, path, expected):
        """Wait until a page says this."""
        until(lambda: self.server.get(path).text == expected, f"{expected!r} on {path}")

    @contextlib.contextmanager
    def logged_in(self):
        """A client that has an admin's session."""
        with httpx.Client(base_url=self.server.url, timeout=30) as client:
            page = client.get("/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
            form = {"username": "ann", "password": "secret", "csrfmiddlewaretoken": token, "next": "/admin/"}
            assert client.post("/admin/login/", data=form).status_code == 302
            yield client


def write_catalogue(path, messages):
    """A file as `compilemessages` makes it."""
    entries = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    ids = [key.encode() for key, _ in entries]
    texts = [text.encode() for _, text in entries]
    place = 28 + 16 * len(entries)
    tables, data = [], b""
    for strings in (ids, texts):
        for string in strings:
            tables += [len(string), place + len(data)]
            data += string + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_bytes(head + struct.pack(f"<{len(tables)}I", *tables) + data)
    aside.replace(path)


def ask_in_threads(site):
    """Three requests at the same time, each in a thread that has asked the database."""
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(site.server.text("/together?seconds=30"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == ["together"] * 3
