"""What the old worker still has to do when it is replaced, and how it parts from clients that cannot move."""

import contextlib
import ssl

import pytest
import trustme

from tests.support import processes
from tests.support.gate import Gate
from tests.support.raw_http import Client, get, post
from tests.support.waiting import until

APP = """
import asyncio, os, time
import anyio.to_thread
import service

async def wait_for(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.005)

async def answer(send, body, *headers):
    headers = [(b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

async def stream(send, content_type):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
    while True:
        await send({"type": "http.response.body", "body": service.TEXT.encode(), "more_body": True})
        await asyncio.sleep(0.01)

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    match scope["path"]:
        case "/big":
            await answer(send, b"x" * 20_000_000)
        case "/slow":
            open("slow", "w").close()
            await wait_for("release")
            await answer(send, service.TEXT.encode())
        case "/late":
            open("slow", "w").close()
            await wait_for("release")
            await stream(send, b"text/event-stream")
        case "/push":
            await stream(send, b"multipart/x-mixed-replace; boundary=frame")
        case "/thread":
            await asyncio.to_thread(time.sleep, 60)
        case "/function":
            await anyio.to_thread.run_sync(time.sleep, 60)  # as frameworks do with functions that are not async
        case "/block":
            open("slow", "w").close()
            time.sleep(60)
        case "/background":
            await answer(send, service.TEXT.encode())
            await asyncio.sleep(60)
        case "/refused":
            await answer(send, b"refused")
        case _:
            await answer(send, service.TEXT.encode())
"""

HTTP = pytest.mark.parametrize("http", ["h11", "httptools"])
IMPLEMENTATIONS = [("h11", "asyncio"), ("httptools", "uvloop")]


@pytest.fixture
def authority(tmp_path):
    """A certificate for localhost: the options that serve it, and a context that trusts it."""
    ca = trustme.CA()
    path = tmp_path / "certificate.pem"
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return ("--ssl-certfile", str(path)), context


@pytest.fixture
def drained(serve, project):
    """Starts a server on `APP`."""
    project.write("app.py", APP)
    return serve


def address(server):
    return ("127.0.0.1", server.port)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("http", "loop"), IMPLEMENTATIONS)
def test_a_client_that_reads_slowly_gets_all_of_its_response(drained, project, authority, http, loop, encrypted):
    """The app is done with it; the old worker stays until the last byte has left."""
    options, context = authority if encrypted else ((), None)
    server = drained("--http", http, "--loop", loop, "--timeout-graceful-shutdown", "30", *options)
    old = server.worker_pid
    with Client(address(server), context) as client:
        client.send(get("/big"))
        server.wait_log("GET /big")
        project.say("two")
        server.wait_generation(2)
        with Client(address(server), context) as other:
            other.send(get("/"))
            assert other.answer().text == "two"
        assert processes.is_alive(old)
        assert len(client.answer().body) == 20_000_000
    until(lambda: not processes.is_alive(old), "the old worker to be gone")
    assert not [words for words in ("cut off", "cancelled", "did not end in time") if words in server.log]


def test_a_client_that_does_not_read_is_cut_off_at_the_deadline(drained, project):
    """The log names its request."""
    server = drained("--timeout-graceful-shutdown", "1")
    old = server.worker_pid
    with Client(address(server)) as client:
        client.send(get("/big?page=2"))
        server.wait_log("GET /big")
        project.say("two")
        server.wait_generation(2)
        until(lambda: not processes.is_alive(old), "the old worker to be gone")
    assert "GET /big?page=2: its client has not read all of the response within 1 s; cut off" in server.log


@HTTP
def test_tls_connections_are_told_to_come_again(drained, project, authority, http):
    """They close while idle, from the hold on; a running response says that it is the last one."""
    options, context = authority
    server = drained("--http", http, "--timeout-graceful-shutdown", "30", *options)
    idle, running = Client(address(server), context), Client(address(server), context)
    with Gate() as gate, idle, running:
        idle.send(get("/"))
        assert idle.answer().text == "one"
        running.send(get("/slow"))
        until((project.folder / "slow").exists, "the slow request to begin")
        project.write("service.py", f"{gate.source}TEXT = 'two'\n")
        gate.wait()
        assert idle.rest() == b""
        (project.folder / "release").touch()
        answer = running.answer()
        assert (answer.text, answer.headers["connection"]) == ("one", "close")
        assert running.rest() == b""
        gate.open()
        with Client(address(server), context) as again:
            again.send(get("/"))
            assert again.answer().text == "two"


@HTTP
@pytest.mark.parametrize("path", ["/push", "/late"])
def test_endless_streams_are_ended(drained, project, http, path):
    """Whatever is endless by definition, and what begins to be while the old worker drains: it delays nothing."""
    server = drained("--http", http, "--timeout-graceful-shutdown", "3")
    with Client(address(server)) as client:
        client.send(get(path))
        if path == "/late":
            until((project.folder / "slow").exists, "the slow request to begin")
        else:
            server.wait_log("GET /push")
        project.say("two")
        server.wait_generation(2)
        (project.folder / "release").touch()
        client.send(get("/", close=True))
        assert client.rest().endswith(b"two")


def test_a_background_task_does_not_keep_its_connection(drained, project):
    """The response is complete: the connection moves."""
    server = drained("--timeout-graceful-shutdown", "3")
    with Client(address(server)) as client:
        client.send(get("/background"))
        assert client.answer().text == "one"
        project.say("two")
        server.wait_generation(2)
        client.send(get("/"))
        assert client.answer().text == "two"


def test_an_upload_that_was_refused_early_is_received_to_its_end(drained, project):
    """Closing would take the answer from the client; the connection moves behind the body."""
    server = drained("--timeout-graceful-shutdown", "60")
    old = server.worker_pid
    with Client(address(server)) as client:
        client.send(post("/refused", size=1_000_000), b"x" * 500_000)
        assert client.answer().text == "refused"
        project.say("two")
        server.wait_generation(2)
        assert processes.is_alive(old)
        client.send(b"x" * 500_000, get("/"))
        assert client.answer().text == "two"
    until(lambda: not processes.is_alive(old), "the old worker to be gone")


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/slow?a=b", ["GET /slow?a=b was still running after 1 s; cancelled"]),
        ("/function?a=b", ["GET /function?a=b was still running after 1 s; cancelled"]),
        ("/thread?a=b", ["GET /thread?a=b was still running after 1 s; cancelled", "did not end in time; killed"]),
        ("/block?a=b", ["did not end in time; killed", "GET /block?a=b was still .* its worker was killed by SIGKILL"]),
    ],
)
def test_the_deadline_names_the_request(drained, project, path, lines):
    """It is cancelled; where that does not help (a thread, a blocked event loop), its process is killed."""
    server = drained("--timeout-graceful-shutdown", "1")
    old = server.worker_pid
    with Client(address(server)) as client:
        client.send(get(path))
        with contextlib.suppress(AssertionError):
            until((project.folder / "slow").exists, "the request to begin", 0.5)
        project.say("two")
        server.wait_generation(2)
        with Client(address(server)) as other:
            other.send(get("/"))
            assert other.answer().text == "two"
        until(lambda: not processes.is_alive(old), "the old worker to be gone")
    for line in lines:
        server.wait_log(line.replace("?", r"\?"))
    assert "Traceback" not in server.log
    assert ("Cancelled at " in server.log) == (path != "/block?a=b"), server.log
