"""The options of `manage.py runserver`, and the ways to start it."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support import processes
from tests.support.django import Site, run
from tests.support.waiting import ticks


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.stop()


WRONG = {
    "no address": (["nonsense"], 'CommandError: "nonsense" is not a valid port number or address:port pair.'),
    "not ours": (["192.0.2.1:8000"], "Error: That IP address can't be assigned to."),
    "no port": (["99999"], "Error: bind(): port must be 0-65535."),
}


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A project that nobody serves."""
    return Site(tmp_path_factory.mktemp("idle"))


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_served(idle, arguments, message):
    """Django's own words, and a status that is not 0."""
    status, output = run(idle.folder, "manage.py", "runserver", *arguments)

    assert status
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize("mode", [[], ["--noreload"]], ids=["reload", "noreload"])
def test_a_port_that_is_in_use(idle, mode):
    """Said in Django's words; the one that has it is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, output = run(idle.folder, "manage.py", "runserver", str(taken.getsockname()[1]), *mode)

    assert (status, "Error: That port is already in use.") == (1, output.strip().splitlines()[-1])


def test_options_that_leave_something_out(site):
    """No static files, no checks, one request at a time, and no more lines than warnings."""
    server = site.serve("--nostatic", "--skip-checks", "--nothreading", "--verbosity", "0", wait=False)
    server.wait_log("Quit the server")

    assert server.get("/static/site.css").status_code == 404
    assert "checks" not in server.log
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(server.text, ["/together?seconds=0.5"] * 3)) == ["alone"] * 3
    site.edit("shop/views.py", '"one"', '"two"')
    site.until_text("/", "hello two")
    assert "INFO" not in server.log


def test_insecure_serving_of_static_files(site):
    """Without DEBUG they are served only if that is asked for; over IPv6, and with colours."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    site.write("live.py", "from mysite.settings import *\nDEBUG = False\nALLOWED_HOSTS = ['*']\n")
    server = site.serve("--ipv6", "--insecure", "--settings", "live", "--force-color", "{port}")

    assert httpx.get(f"http://[::1]:{server.port}/static/site.css").status_code == 200
    assert f"http://[::1]:{server.port}/" in server.log
    assert "using settings 'live'" in server.log
    assert "\x1b[" in server.log
    site.edit("live.py", "DEBUG = False", "DEBUG = False\nGREETING = 'hi'")
    server.wait_generation(2)
    assert httpx.get(f"http://[::1]:{server.port}/").text == "hi one"


def test_no_reload(site):
    """One process, which no edit changes; Ctrl-C ends it."""
    server = site.serve("--noreload", wait=False)
    server.wait_log("Quit the server")
    assert server.text() == "hello one"
    assert processes.descendants(server.pid) == []

    site.edit("shop/views.py", '"one"', '"two"')
    assert server.text() == "hello one"
    assert server.get("/static/site.css").status_code == 200

    server.send(signal.SIGINT)
    assert server.wait_end() == 0
    assert '"GET / HTTP/1.1" 200 9' in server.log
    assert "Traceback" not in server.log


def test_a_failed_check_without_reload(site):
    """The command ends, as Django's does."""
    site.edit("shop/models.py", "max_length=80", "max_length=0")

    status, output = run(site.folder, "manage.py", "runserver", "--noreload", "0")

    assert (status, "SystemCheckError" in output, "fields.E121" in output) == (1, True, True)


def test_the_order_of_apps_decides(site):
    """Behind `django.contrib.staticfiles` the command is that app's."""
    settings = site.read("mysite/settings.py")
    site.write("mysite/settings.py", settings + 'INSTALLED_APPS = [*INSTALLED_APPS[1:], "firehot_django"]\n')

    server = site.serve(wait=False)

    server.wait_log("Watching for file changes with StatReloader")
    server.wait_log("Quit the server")


def test_where_there_is_no_fork(site):
    """Django's own reloader, and a server that answers the same."""
    site.write("shim/sitecustomize.py", "import os\ndel os.fork\n")
    server = site.serve(environment={"PYTHONPATH": str(site.folder / "shim")}, wait=False)

    server.wait_log("Watching for file changes with StatReloader")
    server.wait_log("Quit the server")
    assert server.text() == "hello one"
    site.edit("shop/views.py", '"one"', '"two"')
    for _ in ticks(1.5):  # its first look at the files may come only after the save
        if server.log.count("Quit the server") > 1:
            break
        (site.folder / "shop/views.py").touch()
    site.until_text("/", "hello two")


BROKEN = {
    "model": ("shop/models.py", "models.CharField", "models.CharFeild"),
    "check": ("shop/models.py", "max_length=80", "max_length=0"),
    "view": ("shop/views.py", 'TEXT = "one"', "TEXT = nothing"),
}
SAID = {"model": "CharFeild", "check": "fields.E121", "view": "NameError"}


@pytest.mark.parametrize("what", BROKEN)
def test_a_project_that_is_broken_at_the_start(site, what):
    """A page that says how, without control codes; and the address is in the terminal all the same."""
    name, good, bad = BROKEN[what]
    site.edit(name, good, bad)
    server = site.serve("--force-color", wait=False)
    server.wait_log("Answering 500")

    answer = server.get()
    assert (answer.status_code, SAID[what] in answer.text, "\x1b" in answer.text) == (500, True, False)
    assert f"http://127.0.0.1:{server.port}/" in server.log

    site.edit(name, bad, good)
    server.wait_generation(2)
    assert server.text() == "hello one"


def test_an_app_that_is_missing_at_the_start(site):
    """Then Django knows no app: its own server waits for the edit that mends it, and hands over."""
    settings = site.read("mysite/settings.py")
    site.write("mysite/settings.py", settings + 'INSTALLED_APPS = [*INSTALLED_APPS, "wiki"]\n')
    server = site.serve(wait=False)
    server.wait_log("No module named 'wiki'")

    for _ in ticks(0.5):  # it notices what changes after its first look, of which it does not tell
        site.write("mysite/settings.py", settings)
        if "generation 1)" in server.log:
            break

    assert server.text() == "hello one"


def test_python_m_django(site):
    """Without `manage.py`, and for all addresses of the machine."""
    where = ("--pythonpath", ".", "--settings", "mysite.settings")
    server = site.serve("0.0.0.0:{port}", *where, command=("-m", "django", "runserver"))

    assert server.text() == "hello one"
    assert f"http://0.0.0.0:{server.port}/" in server.log
    site.reload(site.edit, "shop/views.py", '"one"', '"two"')
    assert server.text() == "hello two"


SCRIPT = """
import os, sys
import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
os.environ["GREETING"] = "good evening"
django.setup()
call_command("runserver", sys.argv[1])
"""


def test_a_program_that_calls_the_command(site):
    """It is not run again by the workers, which have its variables."""
    site.write("serve.py", SCRIPT)
    site.edit("mysite/settings.py", 'GREETING = "hello"', 'GREETING = os.environ["GREETING"]')
    site.edit("mysite/settings.py", "from pathlib import Path\n\nINST", "import os\nfrom pathlib import Path\n\nINST")

    server = site.serve(command=("serve.py",))

    assert server.text() == "good evening one"
    site.reload(site.edit, "shop/views.py", '"one"', '"two"')
    assert server.text() == "good evening two"


ALONE = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(DEBUG=True, ROOT_URLCONF=__name__, INSTALLED_APPS=["firehot_django"])
urlpatterns = [path("", lambda request: HttpResponse("one"))]
execute_from_command_line([sys.argv[0], "runserver", *sys.argv[1:]])
"""


def test_a_project_of_one_file(site):
    """Settings, URLconf and views are in `__main__`; it has no database."""
    site.write("alone.py", ALONE)
    server = site.serve(command=("alone.py",))
    assert server.text() == "one"

    site.reload(site.edit, "alone.py", '"one"', '"two"')

    assert server.text() == "two"
    assert "unapplied" not in server.log


ENVIRONMENT = """
import os
from pathlib import Path

for line in (Path(__file__).parents[DEPTH] / "NAME").read_text().splitlines():
    name, _, value = line.partition("=")
    os.environ.setdefault(name, value)
"""


def test_variables_are_read_again(site):
    """From a file that the settings read, and one that `manage.py` reads: no old value is left of either."""
    site.write(".env", "GREETING=good\n")
    site.write("local.env", "WHO=me\n")
    site.write("manage.py", ENVIRONMENT.replace("DEPTH", "0").replace("NAME", "local.env") + site.read("manage.py"))
    settings = site.read("mysite/settings.py").replace('GREETING = "hello"', "")
    settings += ENVIRONMENT.replace("DEPTH", "1").replace("NAME", ".env")
    settings += "GREETING = f\"{os.environ['GREETING']} {os.environ.get('WHO')} {os.environ.get('RUN_MAIN')}\"\n"
    site.write("mysite/settings.py", settings)
    server = site.serve(environment={"SHELL_SAYS": "so"})
    assert server.text() == "good me true one"

    site.reload(site.write, ".env", "GREETING=better\n")
    assert server.text() == "better me true one"
    site.reload(site.write, "local.env", "")
    assert server.text() == "better None true one"

    server.send(signal.SIGINT)
    assert server.wait_end() == 0
