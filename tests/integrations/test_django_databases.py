"""Database connections of a Django project: none crosses a fork, none stays open after its request."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

import psycopg
import pytest

from tests.support import processes
from tests.support.django import Site, ask_in_threads, run
from tests.support.server import free_port
from tests.support.waiting import until

QUERIES_EARLY = """

from django.apps import AppConfig

class Shop(AppConfig):
    name = "shop"

    def ready(self):
        from shop.models import Item
        list(Item.objects.all())
"""
POSTGRESQL = """
DATABASES["default"] = {{
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
    "HOST": "127.0.0.1", "PORT": {port}, "OPTIONS": {options},
}}
"""


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.stop()


def open_files(pid):
    """What a process has open, by name."""
    folder = f"/proc/{pid}/fd"
    found = []
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"{folder}/{number}"))
    return found


def holders(site, name):
    """The processes of the server that have a file of this name open."""
    return [pid for pid in processes.descendants(site.server.pid) if any(name in file for file in open_files(pid))]


@pytest.mark.parametrize("mode", [[], ["--asgi"]], ids=["wsgi", "asgi"])
def test_sqlite(site, mode):
    """The checks and the app have asked the database; many threads do; in the end nobody has the file open."""
    site.write("shop/apps.py", QUERIES_EARLY)
    site.write("shop/middleware.py", "def middleware(get_response):\n    return get_response\n")
    settings = site.read("mysite/settings.py")
    site.write("mysite/settings.py", settings + 'MIDDLEWARE = [*MIDDLEWARE, "shop.middleware.middleware"]\n')
    site.serve(*mode)
    assert holders(site, "db.sqlite3") == []

    for text in ("two", "three"):
        ask_in_threads(site)
        until(lambda: holders(site, "db.sqlite3") == [], "all connections to be closed")
        site.reload(site.write, "shop/views.py", site.read("shop/views.py").replace("TEXT = ", f"TEXT = {text!r} or "))
    for number in range(2):
        site.reload(site.write, "shop/middleware.py", f"{site.read('shop/middleware.py')}# {number}\n")
    # Which of them pays depends on the machine; that one could wait shows that no connection was open.
    assert "from the checkpoint before " in site.server.log
    assert "No checkpoints" not in site.server.log


@pytest.fixture(scope="module")
def postgresql():
    """The port of a server of our own, where the machine has the programs."""
    programs = [shutil.which(name) for name in ("initdb", "postgres")]
    if None in programs:
        pytest.skip("PostgreSQL is not installed")
    initdb, postgres = programs
    who = {"user": "postgres"} if os.getuid() == 0 else {}  # it does not run as root
    if who and "postgres" not in [user.pw_name for user in pwd.getpwall()]:
        pytest.skip("PostgreSQL does not run as root, and there is no user for it")
    with tempfile.TemporaryDirectory(prefix="firehot-postgresql-") as folder:
        if who:
            shutil.chown(folder, "postgres")
        data, port = f"{folder}/data", free_port()
        made = subprocess.run(
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], capture_output=True, cwd=folder, **who
        )
        assert made.returncode == 0, made.stderr.decode()
        command = [postgres, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, **who) as server:
            try:
                until(lambda: b"ready to accept" in server.stdout.readline(), "PostgreSQL")
                yield port
            finally:
                server.send_signal(signal.SIGINT)
                server.stdout.read()


def sessions(port):
    """How many others are connected."""
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres") as connection:
        query = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        return connection.execute(query).fetchone()[0] - 1


@pytest.mark.parametrize("options", [{}, {"pool": True}], ids=["plain", "pool"])
def test_postgresql(site, postgresql, options):
    """The same with sockets; a pool of connections has threads, which stay behind as well."""
    settings = site.read("mysite/settings.py") + POSTGRESQL.format(port=postgresql, options=options)
    site.write("mysite/settings.py", settings)
    assert run(site.folder, "manage.py", "migrate", "--verbosity", "0") == (0, "")
    site.write("shop/apps.py", QUERIES_EARLY)
    site.serve()
    assert sessions(postgresql) == 0

    ask_in_threads(site)
    if not options:
        until(lambda: sessions(postgresql) == 0, "all connections to be closed")
    site.reload(site.edit, "shop/views.py", "TEXT = ", "TEXT = 'two' or ")
    ask_in_threads(site)
    said = site.reload(site.edit, "shop/views.py", "TEXT = 'two'", "TEXT = 'three'")

    assert "from the checkpoint before" in said
    assert site.server.text("/") == "hello three"
    assert "No checkpoints" not in site.server.log
