"""`--on-error keep`: while the newest code fails, the code before it answers, and says so."""

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.test_streams import STREAMS

HEADER = "x-firehot-failure"


@pytest.fixture
def keep(serve, project):
    return lambda *options: serve("--on-error", "keep", *options)


def test_the_code_before_answers_and_says_so(keep, project):
    """With the traceback in the terminal; the next save heals it."""
    server = keep()
    project.write("service.py", "TEXT = missing\n")
    server.wait_log(r"Answering as before, by generation 1, until the next save .*\(generation 2\)")

    response = server.get()
    assert (response.text, response.headers[HEADER]) == ("one", "2")
    assert "NameError: name 'missing' is not defined" in server.log

    project.write("service.py", "TEXT = missing_as_well\n")
    server.wait_generation(3)
    assert (server.get().text, server.get().headers[HEADER]) == ("one", "3")

    project.say("four")
    server.wait_generation(4)
    response = server.get()
    assert response.text == "four"
    assert HEADER not in response.headers


def test_connections_that_were_held_are_answered(keep, project):
    """The same connection before, during and after."""
    server = keep("--timeout-keep-alive", "30")
    with httpx.Client(base_url=server.url, timeout=30, limits=httpx.Limits(max_connections=1)) as client:
        client.get("/")
        address = client.get("/").extensions["network_stream"].get_extra_info("client_addr")
        for generation in (2, 3):
            project.write("service.py", f"TEXT = missing_{generation}\n")
            response = client.get("/")  # held, or before it was noticed
            assert response.text == "one"
            server.wait_generation(generation)
            response = client.get("/")
            assert (response.text, response.headers[HEADER]) == ("one", str(generation))
        assert response.extensions["network_stream"].get_extra_info("client_addr") == address


def test_websockets_and_streams_stay_with_code_that_is_kept(keep, project):
    """Nothing was replaced, so nothing is closed."""
    project.write("app.py", STREAMS)
    server = keep()
    with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        project.write("service.py", "TEXT = missing\n")
        server.wait_generation(2)
        websocket.send("hello")
        assert websocket.recv() == "one: hello"
    with connect(f"ws://127.0.0.1:{server.port}/socket") as websocket:
        assert websocket.response.headers[HEADER] == "2"


LIFESPAN = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

@asynccontextmanager
async def lifespan(app):
    service.start()
    yield
    print("shutdown of", service.TEXT, flush=True)

async def index(request):
    return PlainTextResponse(service.TEXT)

app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
"""


def start_up(project, text, start="pass"):
    project.write("service.py", f"TEXT = {text!r}\ndef start():\n    {start}\n")


def test_code_whose_start_up_fails_is_covered_too(keep, project):
    """The old worker is not ended before the new one is ready."""
    project.write("app.py", LIFESPAN)
    start_up(project, "one")
    server = keep()
    start_up(project, "two", "raise RuntimeError('no such table')")
    server.wait_generation(2)

    response = server.get()
    assert (response.text, response.headers[HEADER]) == ("one", "2")
    assert "no such table" in server.log
    assert "shutdown of one" not in server.log

    start_up(project, "three")
    server.wait_generation(3)
    assert server.text() == "three"
    server.wait_log("shutdown of one")


def test_the_first_code_has_none_before_it(keep, project):
    """Then the failure is the answer; the code that heals it is kept from then on."""
    project.write("service.py", "TEXT = missing\n")
    server = keep()
    assert server.get().status_code == 500

    project.say("two")
    server.wait_generation(2)
    project.write("service.py", "TEXT = missing\n")
    server.wait_generation(3)
    assert server.text() == "two"


def test_code_that_is_kept_ends_with_the_server(keep, project):
    """As any worker."""
    server = keep()
    project.write("service.py", "TEXT = missing\n")
    server.wait_generation(2)
    server.stop()
    assert server.process.returncode == 0
