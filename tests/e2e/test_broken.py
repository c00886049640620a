"""Code that does not work is answered, shown, and healed by the next save; nothing the project does ends the server."""

import contextlib
import signal
import socket
import sys

import pytest

from tests.support import processes
from tests.support.waiting import until

BROKEN = {
    "syntax error": ("TEXT = (\n", "SyntaxError"),
    "import error": ("import no_such_module\nTEXT = ''\n", "No module named 'no_such_module'"),
    "exception": ("TEXT = 1 / 0\n", "ZeroDivisionError"),
    "sys.exit": ("import sys\nsys.exit(3)\n", "sys.exit(3)"),
    "os._exit": ("import os\nos._exit(7)\n", "exited with status 7"),
    "segfault": ("import ctypes\nctypes.string_at(0)\n", "SIGSEGV"),
    "killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL"),
    "endless": ("while True:\n    pass\n", "did not end within 1 s"),
    "keyboard interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "recursion": ("def f():\n    f()\nf()\n", "RecursionError"),
}
# These leave no traceback.
PLACE = "The last module that it began to import was service.py."
BROKEN |= {kind: (BROKEN[kind][0], BROKEN[kind][1], PLACE) for kind in ("os._exit", "segfault", "killed", "endless")}


def test_broken_edits_are_shown_and_healed(serve, project):
    """Each kind of broken edit: a 500 that says why, the supervisor unharmed, the next good save served."""
    server = serve("--startup-timeout", "1")
    for count, (kind, (source, *expected)) in enumerate(BROKEN.items(), start=1):
        project.write("service.py", source)
        server.wait_log("Answering 500 with this failure", count)
        response = server.get()
        assert response.status_code == 500, kind
        assert all(each in response.text for each in expected), kind
        assert "service.py changed" in response.text, kind
        project.say(f"healed of {kind}")
        until(lambda: server.get().status_code == 200, "the healed app")
        assert server.text() == f"healed of {kind}"


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_first_start_is_shown_and_healed(serve, project, broken):
    """The same when the server starts with broken code: it never refuses, and heals."""
    source, *expected = broken
    project.write("service.py", source)
    server = serve("--startup-timeout", "1")
    response = server.get()
    assert response.status_code == 500
    assert all(each in response.text for each in expected)
    project.say("healed")
    until(lambda: server.get().status_code == 200, "the healed app")
    assert server.text() == "healed"


@pytest.mark.parametrize(
    "ends",
    ["while True: pass", "os.kill(os.getpid(), signal.SIGKILL)", "os._exit(7)"],
    ids=["never", "killed", "exits"],
)
def test_an_import_of_many_modules_that_breaks_off_is_healed_where_it_did(serve, project, ends):
    """Of what it has read until then the supervisor knows, though it was told of it while it did something else."""
    server = serve()
    *many, last = [f"part{number}" for number in range(40)]
    for name in many:
        project.write(f"{name}.py", "")
    project.write(f"{last}.py", f"import os, signal\nos.mkdir('reached')\n{ends}\n")
    project.write("service.py", "".join(f"import {name}\n" for name in (*many, last)) + "TEXT = 'two'\n")
    until((project.folder / "reached").exists, "the import to get there")

    project.write(f"{last}.py", "")
    until(lambda: server.get().status_code == 200, "the healed app")
    assert server.text() == "two"


def test_requests_that_wait_get_the_failure(serve, project):
    """A request held during the reload is answered with the failure, not dropped."""
    server = serve()
    project.write("service.py", "import time\ntime.sleep(0.5)\n1 / 0\n")
    until(lambda: server.get().status_code == 500, "the held request's answer")


def test_the_failure_speaks_html_json_and_text(serve, project):
    """By Accept: a page for browsers, JSON for programs, plain text otherwise."""
    server = serve()
    project.write("service.py", "TEXT = 1 / 0\n")
    server.wait_generation(2)
    page = server.get(headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "ZeroDivisionError" in page.text
    assert "service.py" in page.text
    data = server.get(headers={"accept": "application/json"})
    assert data.json()["error"].startswith("ZeroDivisionError")
    assert data.json()["frames"][-1]["line"] == 1
    assert data.json()["cause"] == "service.py changed"
    text = server.get(headers={"accept": "*/*"})
    assert text.headers["content-type"].startswith("text/plain")
    assert {r.status_code for r in (page, data, text)} == {500}


def test_the_traceback_has_no_frame_of_ours(serve, project):
    """The user sees the user's code, from the app module on."""
    server = serve()
    project.write("service.py", "TEXT = 1 / 0\n")
    server.wait_generation(2)
    traceback = server.get(headers={"accept": "application/json"}).json()["traceback"]
    assert "firehot_server" not in traceback
    assert "importlib" not in traceback
    assert traceback.index("app.py") < traceback.index("service.py")
    assert "firehot_server" not in server.log.partition("Traceback")[2]


LIFESPAN = """
import contextlib
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

@contextlib.asynccontextmanager
async def lifespan(app):
    service.start()
    yield

async def index(request):
    return PlainTextResponse("fine")

app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
"""


def test_an_exception_in_lifespan_startup(serve, project):
    """It is shown like any other failure, once, and healed."""
    project.write("app.py", LIFESPAN)
    project.write("service.py", "def start(): pass\n")
    server = serve()
    project.write("service.py", "def start(): raise OSError('no database')\n")
    server.wait_log("Answering 500")
    response = server.get()
    assert response.status_code == 500
    assert "OSError: no database" in response.text
    assert server.log.count("OSError: no database") == 1
    project.write("service.py", "def start(): pass\n")
    until(lambda: server.get().status_code == 200, "the healed app")


def test_a_lifespan_startup_that_never_ends(serve, project):
    """The startup deadline covers lifespan, too."""
    project.write("app.py", LIFESPAN)
    project.write("service.py", "def start(): pass\n")
    server = serve("--startup-timeout", "1")
    project.write("service.py", "import time\ndef start(): time.sleep(60)\n")
    server.wait_log("The lifespan startup did not end within 1 s")
    assert server.get().status_code == 500
    project.write("service.py", "def start(): pass\n")
    until(lambda: server.get().status_code == 200, "the healed app")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("nosuch:app", 'Could not import module "nosuch".'),
        ("app:nosuch", 'Attribute "nosuch" not found in module "app".'),
        ("app", 'must be in format "<module>:<attribute>"'),
        ("shop/main:app", "Name the module as an import statement does: shop.main:app."),
    ],
)
def test_an_app_that_does_not_exist(serve, app, expected):
    """Answered with the clear sentence, by the same page."""
    server = serve(app=app)
    response = server.get()
    assert response.status_code == 500
    assert expected in response.text
    assert server.log.count(expected) == 1


def test_a_missing_app_module_heals_when_it_appears(serve, project):
    """The folder in which the app belongs is watched although nothing was read."""
    server = serve(app="later:app")
    assert server.get().status_code == 500
    project.write("later.py", "from app import app\n")
    until(lambda: server.get().status_code == 200, "the app that appeared")


def test_an_app_dir_that_is_missing_heals_when_it_appears(serve, project):
    """The sentence names the folder, which is looked for from then on."""
    server = serve("--app-dir", "later", app="inner:app")
    said = "The folder where it is looked for first, later, does not exist: check --app-dir."
    assert said in server.log
    assert said in server.get().text
    project.write("later/inner.py", "from app import app\n")
    project.write("later/app.py", (project.folder / "app.py").read_text().replace("service.TEXT", "'found'"))
    until(lambda: server.get().status_code == 200, "the app that appeared")
    assert server.text() == "found"


@pytest.mark.parametrize("is_editable", [False, True])
def test_a_missing_package_heals_when_it_is_installed(serve, project, tmp_path, is_editable):
    """No save is needed."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = tmp_path / "base" / "lib" / version / "site-packages"
    installed.mkdir(parents=True)
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(f"import site\nsite.addsitedir({str(installed)!r})\n")
    project.write("service.py", "import library\nTEXT = library.TEXT\n")
    server = serve(environment={"PYTHONUSERBASE": str(tmp_path / "base"), "PYTHONPATH": str(start)})
    assert "No module named 'library'" in server.get().text
    if is_editable:
        source = tmp_path / "library" / "src"
        source.mkdir(parents=True)
        (installed / "library.pth").write_text(f"{source}\n")
    else:
        source = installed
        (installed / "library-1.dist-info").mkdir()
    (source / "library.py").write_text("TEXT = 'installed'\n")
    until(lambda: server.get().status_code == 200, "the installed package")
    assert server.text() == "installed"
    server.wait_log("packages were installed, from a new interpreter")


@pytest.mark.parametrize("text", ["one", "two"], ids=["the same", "another"])
def test_a_save_after_a_failure_tries_again(serve, project, text):
    """Though it is what it was, or was not read because something before it has failed: the world may be mended."""
    connects = "import socket\nsocket.create_connection(('127.0.0.1', {port})).close()\n"
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = outside.getsockname()[1]
        project.write("app.py", connects.format(port=port) + (project.folder / "app.py").read_text())
        server = serve()
        assert server.text() == "one"
        outside.close()
        project.write("app.py", "# edited\n" + (project.folder / "app.py").read_text())
        server.wait_log("Answering 500 with this failure")
        stack.enter_context(socket.create_server(("127.0.0.1", port)))
        project.say(text)
        server.wait_log(r"service.py saved, from the template .generation 3.")
        assert server.text() == text


def test_a_broken_factory(serve, project):
    """What an app factory raises is the failure; not uvicorn's exit."""
    project.write("app.py", "def make():\n    raise TypeError('wrong arguments')\n")
    server = serve("--factory", app="app:make")
    assert "wrong arguments" in server.get().text


def test_a_worker_that_dies_while_serving_is_replaced(serve, project):
    """kill -9 of the worker: another takes over, and says so."""
    server = serve()
    processes_before = processes.descendants(server.pid)
    worker = server.worker_pid
    import os

    os.kill(worker, signal.SIGKILL)
    server.wait_log("The worker was killed by SIGKILL while it was serving")
    assert server.text() == "one"
    assert worker in processes_before
    project.say("two")
    until(lambda: server.text() == "two", "the edit after the death")


def test_an_app_that_crashes_on_every_request_gets_a_page(serve, project):
    """After a few deaths in a row the failure page answers instead of another victim."""
    project.write(
        "app.py",
        "import os\nasync def app(scope, receive, send):\n    if scope['type'] == 'http': os._exit(9)\n",
    )
    server = serve()

    def answer():
        try:
            return server.get().status_code == 500
        except Exception:
            return False

    until(answer, "the page")
    assert "exited with status 9" in server.get().text
    project.write("app.py", "from starlette.responses import PlainTextResponse\napp = PlainTextResponse('ok')\n")
    until(lambda: server.get().status_code == 200, "the healed app")


def test_the_template_may_die(serve, project):
    """kill -9 of the template: the worker goes on, another template is made, edits are served."""
    server = serve()
    import os

    os.kill(server.template_pid, signal.SIGKILL)
    server.wait_log("The template was killed by SIGKILL; starting another")
    assert server.text() == "one"
    project.say("two")
    until(lambda: server.text() == "two", "the edit after the template's death")


def test_the_failure_worker_may_die(serve, project):
    """kill -9 of the failure worker: the failure goes on being answered."""
    server = serve()
    project.write("service.py", "1 / 0\n")
    server.wait_generation(2)
    assert server.get().status_code == 500
    import os

    os.kill(server.worker_pid, signal.SIGKILL)
    server.wait_log("SIGKILL")
    assert "ZeroDivisionError" in server.get().text
    project.say("two")
    until(lambda: server.get().status_code == 200, "the healed app")


def test_an_app_that_needs_a_running_loop(serve, project):
    """Imported inside the event loop, as uvicorn does, and said once."""
    project.write(
        "service.py",
        "import asyncio\nloop = asyncio.get_running_loop()\nTEXT = type(loop).__name__\n",
    )
    server = serve()
    assert server.text() == "Loop"
    project.write(
        "service.py",
        "import asyncio\nloop = asyncio.get_running_loop()\nTEXT = 'again'\n",
    )
    server.wait_generation(2)
    assert server.text() == "again"
    assert server.log.count("needs a running event loop") == 1


def test_a_loop_fetched_at_import_is_the_one_that_runs(serve, project):
    """`asyncio.get_event_loop()` at module level gives the serving loop, as under uvicorn."""
    project.write(
        "app.py",
        "import asyncio, warnings\n"
        "from starlette.responses import PlainTextResponse\n"
        "with warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')\n"
        "    loop = asyncio.get_event_loop()\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        same = loop is asyncio.get_running_loop()\n"
        "        await PlainTextResponse(str(same))(scope, receive, send)\n",
    )
    assert serve().text() == "True"
