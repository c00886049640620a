"""What would hold up a reload elsewhere: open streams, WebSockets and uploads."""

import contextlib
import threading

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.raw_http import Client, get
from tests.support.waiting import until

STREAMS = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
import service

async def index(request):
    return PlainTextResponse(service.TEXT)

async def events(request):
    async def stream():
        number = 0
        while True:
            yield f"data: {service.TEXT} {number}\\n\\n"
            number += 1
            await asyncio.sleep(0.01)
    return StreamingResponse(stream(), media_type="text/event-stream")

async def download(request):
    async def stream():
        for number in range(20):
            yield f"{service.TEXT}{number} "
            await asyncio.sleep(0.05)
    return StreamingResponse(stream(), media_type="text/plain")

async def upload(request):
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(f"{service.TEXT} {size}")

async def socket(websocket):
    await websocket.accept()
    while True:
        await websocket.send_text(f"{service.TEXT}: {await websocket.receive_text()}")

app = Starlette(routes=[
    Route("/", index), Route("/events", events), Route("/download", download),
    Route("/upload", upload, methods=["POST"]), WebSocketRoute("/socket", socket),
])
"""


@pytest.fixture
def streams(serve, project):
    project.write("app.py", STREAMS)
    return serve


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_an_event_stream_ends_and_does_not_delay_the_reload(streams, project, http):
    """Its client sees a complete response and reconnects to new code; the old worker is not kept by it."""
    server = streams("--http", http, "--timeout-graceful-shutdown", "30")
    with httpx.stream("GET", f"{server.url}/events", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: one")
        project.say("two")
        server.wait_generation(2)
        for line in lines:
            assert "two" not in line
    assert server.text() == "two"
    assert "Exception" not in server.log
    with httpx.stream("GET", f"{server.url}/events", timeout=30) as response:
        assert next(response.iter_lines()).startswith("data: two")


@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio", "wsproto"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_websockets_are_closed_with_1012(streams, project, ws):
    """ "Service restart": the client knows to reconnect, and finds new code."""
    server = streams("--ws", ws, "--timeout-graceful-shutdown", "30")
    url = f"ws://127.0.0.1:{server.port}/socket"
    with connect(url) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "one: hello"
        project.say("two")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=20)
        assert caught.value.rcvd.code == 1012
    server.wait_generation(2)
    with connect(url) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "two: hello"


def test_a_download_finishes_on_the_code_it_started_with(streams, project):
    """A streaming response that runs during a reload arrives whole."""
    server = streams("--timeout-graceful-shutdown", "30")
    with httpx.stream("GET", f"{server.url}/download", timeout=30) as response:
        chunks = response.iter_text()
        first = next(chunks)
        project.say("two")
        server.wait_generation(2)
        assert server.text() == "two"
        text = first + "".join(chunks)
    assert text.split() == [f"one{number}" for number in range(20)]


def test_an_upload_finishes_on_the_code_it_started_with(streams, project):
    """A request body that arrives during a reload is received whole."""
    server = streams("--timeout-graceful-shutdown", "30")
    reloaded = threading.Event()

    def body():
        for number in range(20):
            yield b"x" * 10_000
            if number == 5:
                project.say("two")
                server.wait_generation(2)
                reloaded.set()

    response = httpx.post(f"{server.url}/upload", content=body(), timeout=30)
    assert reloaded.is_set()
    assert response.text == "one 200000"
    assert server.text() == "two"


def test_a_request_half_sent_is_answered_by_the_new_code(streams, project):
    """The first bytes of a request, received by the old worker, move with the connection."""
    import socket

    server = streams()
    with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        server.text()  # by then the worker has read those bytes
        project.say("two")
        server.wait_generation(2)
        sock.sendall(b"connection: close\r\n\r\n")
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    assert answer.endswith(b"two")


def test_many_idle_connections_move(streams, project):
    """More than one message can carry, and each still works."""
    server = streams("--timeout-keep-alive", "60")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(("127.0.0.1", server.port))) for _ in range(300)]
        for client in clients:
            client.send(get("/"))
            assert client.answer().text == "one"
        project.say("two")
        server.wait_generation(2)
        for client in clients:
            client.send(get("/"))
            assert client.answer().text == "two"


def test_a_request_sent_while_the_worker_imports_waits(streams, project):
    """On a kept connection: held in the kernel, then answered by the new code."""
    server = streams("--timeout-keep-alive", "60")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.get("/").text == "one"
        project.write("service.py", "import time\nopen('importing', 'w').close()\ntime.sleep(1)\nTEXT = 'two'\n")
        until((project.folder / "importing").exists, "the import to begin")
        assert client.get("/").text == "two"


def test_a_handler_that_blocks_the_loop_serves_nothing_stale_afterwards(serve, project):
    """While it blocks, the new worker serves; what waited at the old one is answered by the new code."""
    project.write(
        "app.py",
        "import time\n"
        "from pathlib import Path\n"
        "from starlette.responses import PlainTextResponse\n"
        "import service\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        if scope['path'] == '/block':\n"
        "            Path('blocked').touch()\n"
        "            time.sleep(1.5)\n"
        "        await PlainTextResponse(service.TEXT)(scope, receive, send)\n",
    )
    server = serve("--timeout-graceful-shutdown", "30")
    answers = []
    with httpx.Client(base_url=server.url, timeout=30) as kept:
        assert kept.get("/").text == "one"
        blocked = threading.Thread(target=lambda: answers.append(server.text("/block")))
        blocked.start()
        until((project.folder / "blocked").exists, "the blocking request to begin")
        project.say("two")
        server.wait_generation(2)
        assert server.text() == "two"
        assert kept.get("/").text == "two"
        blocked.join(30)
    assert answers == ["one"]
    assert server.text() == "two"
