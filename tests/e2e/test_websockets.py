"""WebSockets cannot move: they are closed with 1012, "service restart", and their clients find new code."""

import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support import processes
from tests.support.gate import Gate
from tests.support.waiting import until

APP = """
import asyncio, os, time
import service

async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    if scope["path"] == "/shy":
        open("asked", "w").close()
        while not os.path.exists("accept"):
            await asyncio.sleep(0.005)
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": service.TEXT})
    match scope["path"]:
        case "/listens":
            while (await receive())["type"] != "websocket.disconnect":
                pass
        case "/listens-on":
            while True:
                await receive()
        case "/talks":
            while True:
                await asyncio.sleep(0.01)
                await send({"type": "websocket.send", "text": "still " + service.TEXT})
        case "/shy" | "/sleeps":
            await asyncio.sleep(60)
        case "/thread":
            await asyncio.to_thread(time.sleep, 60)
"""


@pytest.fixture(params=["websockets", "websockets-sansio", "wsproto"])
def server(serve, project, request):
    project.write("app.py", APP)
    return serve("--ws", request.param, "--timeout-graceful-shutdown", "1")


def url(server, path):
    return f"ws://127.0.0.1:{server.port}{path}"


def code_of_the_end(websocket):
    """That with which the server closes; what it said before is read."""
    try:
        while True:
            websocket.recv(timeout=20)
    except ConnectionClosed as error:
        return error.rcvd and error.rcvd.code


@pytest.mark.parametrize("path", ["/listens", "/listens-on", "/talks", "/sleeps", "/thread"])
def test_websockets_are_closed_at_once(server, project, path):
    """From the hold on, whatever their handler does; the reload does not wait for it."""
    with Gate() as gate, connect(url(server, path)) as websocket:
        assert websocket.recv(timeout=20) == "one"
        project.write("service.py", f"{gate.source}TEXT = 'two'\n")
        gate.wait()
        assert code_of_the_end(websocket) == 1012
        gate.open()
        with connect(url(server, "/listens")) as again:
            assert again.recv(timeout=20) == "two"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio", "wsproto"])
def test_a_client_that_talks_all_the_time_hears_of_the_end(serve, project, ws, loop):
    """What it sends meanwhile does not take the close frame from it."""
    project.write("app.py", APP)
    server = serve("--ws", ws, "--loop", loop, "--timeout-graceful-shutdown", "1")
    with connect(url(server, "/listens-on")) as websocket:
        assert websocket.recv(timeout=20) == "one"

        def talk():
            try:
                while True:
                    websocket.send("x" * 1000)
            except ConnectionClosed:
                pass

        talking = threading.Thread(target=talk)
        talking.start()
        project.say("two")
        assert code_of_the_end(websocket) == 1012
        talking.join(20)


def test_a_websocket_that_is_opened_during_the_hold_waits(server, project):
    """In the listening socket, for the new code."""
    with Gate() as gate:
        project.write("service.py", f"{gate.source}TEXT = 'two'\n")
        gate.wait()
        said = []

        def ask():
            with connect(url(server, "/listens"), open_timeout=20) as websocket:
                said.append(websocket.recv(timeout=20))

        asking = threading.Thread(target=ask)
        asking.start()
        gate.open()
        asking.join(20)
    assert said == ["two"]


def test_a_handshake_that_is_under_way_is_completed_first(server, project):
    """Refusing it with a 500 would say that the app is broken."""
    codes = []

    def ask():
        with connect(url(server, "/shy"), open_timeout=20) as websocket:
            assert websocket.recv(timeout=20) == "one"
            codes.append(code_of_the_end(websocket))

    asking = threading.Thread(target=ask)
    with Gate() as gate:
        asking.start()
        until((project.folder / "asked").exists, "the app to be asked")
        project.write("service.py", f"{gate.source}TEXT = 'two'\n")
        gate.wait()
        gate.open()
        server.wait_generation(2)
        (project.folder / "accept").touch()
        asking.join(20)
    assert codes == [1012]


@pytest.mark.parametrize("server", ["websockets-sansio"], indirect=True)
@pytest.mark.parametrize("path", ["/sleeps?room=3", "/thread?room=3"])
def test_a_handler_that_does_not_end_is_named_at_the_deadline(server, project, path):
    """And does not keep the old worker longer than that."""
    old = server.worker_pid
    with connect(url(server, path)) as websocket:
        assert websocket.recv(timeout=20) == "one"
        project.say("two")
        assert code_of_the_end(websocket) == 1012
        server.wait_log(rf"WEBSOCKET {path} was still running after 1 s; cancelled".replace("?", r"\?"))
    until(lambda: not processes.is_alive(old), "the old worker to be gone")
