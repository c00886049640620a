"""What the system has no more of: files that may be open, room on the disk, a clock that can be relied on."""

import os
import signal
import subprocess
import sys

import httpx
import pytest

from tests.support.raw_http import Client, get
from tests.support.waiting import until

LEAKS = """
import asyncio
import os
import service

held = []

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/leak":
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
    if scope["path"] == "/slow":
        await asyncio.sleep(2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": service.TEXT.encode()})
"""

# A project whose import takes a while, in many files: there will be checkpoints.
FILES = 20
SLOW = "import time\ntime.sleep(0.01)\nVALUE = {!r}\n"

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execvp(sys.argv[2], sys.argv[2:])
"""

MOUNTS = ["unshare", *(["--user", "--map-root-user"] if os.getuid() else []), "--mount"]
FILL = 'mount -t tmpfs -o size=4k none "$XDG_CACHE_HOME" && head -c 9999 /dev/zero > "$XDG_CACHE_HOME/fill" 2>&-'
FULL_DISK = [*MOUNTS, "sh", "-c", f'{FILL}; exec "$@"', "sh"]


def limited_files(number):
    return [sys.executable, "-c", LIMITED, str(number)]


def may_mount(folder):
    command = [*MOUNTS, "mount", "-t", "tmpfs", "none", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def answer(server):
    """Status and body, if there is an answer: there may be no room for connections that are open as a worker leaves."""
    try:
        response = server.get()
    except httpx.TransportError:
        return None, ""
    return response.status_code, response.text


@pytest.fixture
def many_files(project):
    names = [f"part{number}" for number in range(FILES)]
    for name in names:
        project.write(f"{name}.py", SLOW.format("one"))
    project.write("service.py", "".join(f"import {name}\n" for name in names) + f"TEXT = {names[-1]}.VALUE\n")
    return names


@pytest.mark.parametrize("number", [24, 32, 64])
def test_few_files_may_be_open(serve, project, many_files, number):
    """The server does without what it has no descriptors for (connections that wait, checkpoints), and says so."""
    server = serve(before=limited_files(number))
    for text in ("two", "three", "four"):
        project.replace(f"{many_files[-1]}.py", SLOW.format(text))
        until(lambda text=text: answer(server) == (200, text), f"{text!r} to be answered")
    project.replace(f"{many_files[0]}.py", "1 / 0\n")
    until(lambda: answer(server)[0] == 500, "the failure")
    project.replace(f"{many_files[0]}.py", SLOW.format("healed"))
    until(lambda: answer(server) == (200, "four"), "the app")
    assert "and it is ended" not in server.log
    assert ("No checkpoints: only 24 files may be open here (ulimit -n)." in server.log) is (number == 24)


@pytest.mark.parametrize("number", [8, 12, 19])
def test_too_few_files_may_be_open(project, number):
    """One sentence, at once."""
    command = [*limited_files(number), sys.executable, "-m", "firehot_server", "app:app", "--reload", "--port", "0"]
    result = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=30)
    sentence = f"Error: only {number} files may be open here (ulimit -n); the server needs 20 at least.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", sentence)


def test_few_files_and_connections_that_are_open(serve, project):
    """As many move as there is room for."""
    server = serve(before=limited_files(64))
    with Client(("127.0.0.1", server.port)) as client:
        for text in ("two", "three", "four"):
            client.send(get("/"))
            assert client.answer().status == 200
            project.say(text)
            client.send(get("/"))
            until(lambda text=text: server.text() == text, f"{text!r} to be served")
            assert client.answer().status == 200
    assert "were closed instead of moved" not in server.log


def test_few_files_and_a_template_that_is_killed(serve, project):
    """There is room for another one, and for a look at who is stopped."""
    server = serve(before=limited_files(24))
    os.kill(server.template_pid, signal.SIGKILL)
    server.wait_log("Preloaded ", 2)
    project.say("two")
    until(lambda: answer(server) == (200, "two"), "the edit to be answered")
    os.kill(server.worker_pid, signal.SIGSTOP)
    server.wait_log("The worker was stopped")


def test_an_app_that_opens_all_the_files_it_may(serve, project):
    """Who connects when there is none left waits for the next save, whose worker has none of them open.

    With asyncio; libuv, below uvloop, closes connections for which there is no descriptor.
    """
    project.write("app.py", LEAKS)
    server = serve("--loop", "asyncio", before=limited_files(200))
    assert server.text("/leak") == "one"
    address = ("127.0.0.1", server.port)
    with Client(address) as last, Client(address) as client:  # the first has what that request has left
        last.send(get("/"))
        assert last.answer().text == "one"
        client.send(get("/"))
        server.wait_log(r"Connections wait: Too many open files in process \d+\. ")
        project.say("two")
        assert client.answer().text == "two"
        last.send(get("/"))
        assert last.answer().text == "two"
    assert server.log.count("Too many open files") <= 2  # of `last`, too, if it came before the other had gone
    assert "Traceback" not in server.log


def test_no_files_left_and_no_listening_socket_any_more(serve, project):
    """asyncio means to accept again after a second; by then a worker that still has a request to answer does not."""
    project.write("app.py", LEAKS)
    server = serve("--loop", "asyncio", before=limited_files(200))
    address = ("127.0.0.1", server.port)
    with Client(address) as slow, Client(address) as last:
        slow.send(get("/slow"))
        last.send(get("/leak"))
        assert last.answer().text == "one"
        with Client(address) as client:
            client.send(get("/"))
            server.wait_log("Connections wait: ")
            project.say("two")
            assert client.answer().text == "two"
            assert slow.answer().text == "one"
    assert "Traceback" not in server.log


def test_a_full_disk_for_caches(serve, project, tmp_path):
    """Said once; reloads take what they take without."""
    if not may_mount(tmp_path):
        pytest.skip("this user may not mount anything")
    for number in range(30):
        project.write(f"part{number}.py", f"VALUE = {'x' * 1000!r}\n")
    imports = "".join(f"import part{number}\n" for number in range(30))
    project.write("service.py", f"{imports}TEXT = 'one'\n")
    server = serve(before=FULL_DISK, environment={"PYTHONDONTWRITEBYTECODE": ""})
    for text in ("two", "three"):
        project.write("service.py", f"{imports}TEXT = {text!r}\n")
        until(lambda text=text: server.text() == text, f"{text!r} to be answered")
    assert server.log.count("No space left on device") == 1
    assert "Traceback" not in server.log


CLOCK = """
import time

def _jumping(clock=time.time, path={path!r}):
    with open(path) as file:
        return clock() + float(file.read())

time.time = _jumping
"""


def test_a_clock_that_jumps(serve, project, tmp_path):
    """By years, either way, between saves and while a connection is open: nothing waits for it to be right again."""
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CLOCK.format(path=str(offset)))
    project.write("app.py", "import time\n" + (project.folder / "app.py").read_text())
    server = serve(environment={"PYTHONPATH": str(tmp_path / "site")})
    with Client(("127.0.0.1", server.port)) as client:
        for number, years in enumerate((-5, 20, -20, 0), start=2):
            aside = tmp_path / "aside"
            aside.write_text(str(years * 365 * 86400))
            aside.replace(offset)
            project.say(str(number))
            server.wait_generation(number)
            client.send(get("/"))
            assert client.answer().text == str(number)
    assert "WARNING" not in server.log
