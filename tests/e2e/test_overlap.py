"""Whether the lifespans of two workers may overlap."""

import threading

import httpx
import pytest

from tests.support.server import ASGI, free_port
from tests.support.waiting import until

APP = """
import asyncio
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import os
import service

def note(what):
    with open("../notes.txt", "a") as file:
        file.write(f"{what}\\n")

@asynccontextmanager
async def lifespan(app):
    note(f"start {service.TEXT}")
    yield
    note(f"stop {service.TEXT}")

async def index(request):
    return PlainTextResponse(service.TEXT)

async def until_told():
    while not os.path.exists("../go"):
        await asyncio.sleep(0.005)

async def slow(request):
    note("running")
    await until_told()
    return PlainTextResponse(service.TEXT)

async def after():
    await until_told()
    note(f"background {service.TEXT}")

async def later(request):
    return PlainTextResponse(service.TEXT, background=BackgroundTask(after))

app = Starlette(routes=[Route("/", index), Route("/slow", slow), Route("/later", later)], lifespan=lifespan)
"""


class Notes:
    """What the app has done, in order."""

    def __init__(self, project):
        self.project = project
        self.path = project.folder.parent / "notes.txt"
        self.path.touch()

    @property
    def lines(self):
        return self.path.read_text().splitlines()

    def go(self):
        (self.project.folder.parent / "go").touch()


@pytest.fixture
def notes(project):
    project.write("app.py", APP)
    return Notes(project)


class Running:
    """A request in a thread."""

    def __init__(self, url):
        self.text = None
        self._thread = threading.Thread(target=self._ask, args=(url,))
        self._thread.start()

    def _ask(self, url):
        self.text = httpx.get(url, timeout=30).text

    def wait(self):
        self._thread.join(30)
        return self.text


@pytest.mark.parametrize("options", [[], ["--no-overlap"]])
def test_an_idle_worker_shuts_down_before_the_next_one_starts(serve, project, notes, options):
    """A lock, a port or a database file that only one process can have works."""
    server = serve(*options)
    project.say("two")
    server.wait_generation(2)

    assert notes.lines == ["start one", "stop one", "start two"]


def test_a_busy_worker_overlaps(serve, project, notes, until_noted):
    """Running requests do not delay a reload."""
    server = serve("--timeout-graceful-shutdown", "30")
    running = Running(f"{server.url}/slow")
    until_noted("running")
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    notes.go()

    assert running.wait() == "one"
    until_noted("stop one")
    assert notes.lines == ["start one", "running", "start two", "stop one"]


def test_without_overlap_the_next_one_waits(serve, project, notes, until_noted):
    """It is said; requests wait meanwhile and are answered by the new code."""
    server = serve("--no-overlap", "--timeout-graceful-shutdown", "30")
    running = Running(f"{server.url}/slow")
    until_noted("running")
    project.say("two")
    server.wait_log("Waiting for running requests of generation 1 to finish, for 30 s at most")
    waiting = Running(server.url)
    notes.go()

    assert running.wait() == "one"
    assert waiting.wait() == "two"
    assert notes.lines == ["start one", "running", "stop one", "start two"]


def test_without_overlap_the_deadline_ends_the_wait(serve, project, notes, until_noted):
    """The log names the request that was cancelled."""
    server = serve("--no-overlap", "--timeout-graceful-shutdown", "1")
    Running(f"{server.url}/slow")
    until_noted("running")
    project.say("two")
    server.wait_generation(2)

    assert server.text() == "two"
    assert "GET /slow was still running after 1 s; cancelled" in server.log
    assert notes.lines == ["start one", "running", "stop one", "start two"]


@pytest.mark.parametrize("options", [[], ["--no-overlap"]])
def test_background_tasks_of_finished_requests_run_to_their_end(serve, project, notes, until_noted, options):
    """On the code that began them."""
    server = serve("--timeout-graceful-shutdown", "30", *options)
    assert httpx.get(f"{server.url}/later", timeout=30).text == "one"
    project.say("two")
    if options:
        server.wait_log("Waiting for running requests of generation 1")
    notes.go()
    server.wait_generation(2)
    until_noted("background one")
    until_noted("stop one")


@pytest.fixture
def until_noted(notes):
    return lambda line: until(lambda: line in notes.lines, f"the note {line!r}")


@pytest.mark.parametrize("resource", ["port", "lock"])
def test_what_only_one_process_can_have_is_there_for_the_next_one(serve, project, resource):
    """Though it is taken at import: the worker before ends first, which is said once."""
    take = {
        "port": "import socket\nheld = socket.create_server(('127.0.0.1', {port}))\n",
        "lock": "import fcntl\nheld = open('one.lock', 'w')\nfcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
    }[resource].format(port=free_port())
    project.write("app.py", ASGI)
    project.write("service.py", f"{take}TEXT = 'one'\n")
    server = serve()
    assert server.text() == "one"
    for number, text in enumerate(("two", "three", "four"), start=2):
        project.write("service.py", f"{take}TEXT = {text!r}\n")
        server.wait_generation(number)
        assert server.text() == text
    assert server.log.count("may still be the previous worker's") == 1
    assert "Answering 500" not in server.log
