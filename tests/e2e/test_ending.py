"""The end: graceful, complete, and with uvicorn's exit codes."""

import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from tests.support import family, processes
from tests.support.waiting import ticks, until

SLOW = """
import asyncio, contextlib, pathlib
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    with open("shutdown.txt", "a") as file:
        file.write(f"{service.TEXT} ended\\n")

async def index(request):
    return PlainTextResponse(service.TEXT)

async def slow(request):
    pathlib.Path("begun").touch()
    await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse(f"slow {service.TEXT}")

app = Starlette(routes=[Route("/", index), Route("/slow", slow)], lifespan=lifespan)
"""


@pytest.fixture
def slow_request(project):
    """Begins a request that takes a while; its answer arrives in the list."""
    threads = []

    def begin(server, seconds):
        answers = []

        def ask():
            try:
                answers.append(httpx.get(f"{server.url}/slow?seconds={seconds}", timeout=60).text)
            except httpx.HTTPError as error:
                answers.append(error)

        (project.folder / "begun").unlink(missing_ok=True)
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
        until((project.folder / "begun").exists, "the slow request to begin")
        return answers

    yield begin
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_gracefully(serve, project, number):
    """Ctrl-C and SIGTERM: lifespan shutdown runs, status 0, nothing is left."""
    project.write("app.py", SLOW)
    server = serve()
    server.send(number)
    assert server.wait_end() == 0
    assert (project.folder / "shutdown.txt").read_text() == "one ended\n"
    assert "Stopping reloader process" in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_process_group_is_the_supervisors(serve, project, number):
    """As a terminal and some process managers send it: what waits does not end by itself, and nothing is said of it."""
    server = serve()
    family.standbys_of(server, server.template_pid)
    os.killpg(server.pid, number)
    assert server.wait_end() == 0
    assert "has ended" not in server.log
    assert "killed" not in server.log


def test_ctrl_c_waits_for_a_running_request(serve, project, slow_request):
    """A request that runs when Ctrl-C comes is answered."""
    project.write("app.py", SLOW)
    server = serve()
    answers = slow_request(server, 1)
    server.send(signal.SIGINT)
    server.wait_log("Waiting for running requests to finish")
    assert server.wait_end() == 0
    until(lambda: answers == ["slow one"], "the answer")


def test_ctrl_c_waits_no_longer_than_the_drain_deadline(serve, project, slow_request):
    """What still runs at the deadline is named and cancelled."""
    project.write("app.py", SLOW)
    server = serve("--timeout-graceful-shutdown", "1")
    slow_request(server, 60)
    server.send(signal.SIGINT)
    assert server.wait_end(20) == 0
    assert "GET /slow?seconds=60 was still running after 1 s; cancelled" in server.log


def test_ctrl_c_twice_ends_at_once(serve, project, slow_request):
    """The second Ctrl-C does not wait."""
    project.write("app.py", SLOW)
    server = serve("--timeout-graceful-shutdown", "50")
    slow_request(server, 60)
    server.send(signal.SIGINT)
    server.wait_log("Waiting for running requests")
    server.send(signal.SIGINT)
    assert server.wait_end(10) == 0


def test_ctrl_c_while_the_template_preloads(serve):
    """Before anything is ready."""
    server = serve(wait=False)
    server.wait_log("Started reloader process")
    server.send(signal.SIGINT)
    assert server.wait_end() == 0
    assert "Stopping reloader process" in server.log


INTERRUPTED = """
import sys

class Command:
    def __getattr__(self, name):
        raise KeyboardInterrupt

sys.modules["firehot_server.cli"] = Command()
sys.argv[1:] = ["app:app", "--reload"]
from firehot_server.entry import main
main()
"""


def test_ctrl_c_while_the_command_is_loaded():
    """Ended as by the signal, without a traceback; the template, which has begun by then, does not stay."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_ctrl_c_during_a_reload(serve, project):
    """While a worker hangs in its import."""
    server = serve()
    project.write("service.py", "open('importing', 'w').close()\nimport time\ntime.sleep(60)\n")
    until((project.folder / "importing").exists, "the import to begin")
    server.send(signal.SIGINT)
    assert server.wait_end() == 0


def test_ctrl_c_in_a_broken_state(serve, project):
    """While the failure worker answers."""
    server = serve()
    project.write("service.py", "1 / 0\n")
    server.wait_generation(2)
    assert server.get().status_code == 500
    server.send(signal.SIGINT)
    assert server.wait_end() == 0


def test_ctrl_c_with_a_handler_that_blocks_the_loop(serve, project, slow_request):
    """A handler that never yields is killed after the deadline."""
    project.write("app.py", SLOW.replace("await asyncio.sleep", "__import__('time').sleep"))
    server = serve("--timeout-graceful-shutdown", "1")
    slow_request(server, 60)
    server.send(signal.SIGINT)
    assert server.wait_end(20) == 0
    assert "does not answer: its event loop is blocked" in server.log
    assert "Waiting for running requests to finish. (CTRL+C to force quit)" in server.log
    assert "did not end in time; killed" in server.log


@pytest.mark.parametrize(
    "source", ["TEXT = 'idle'\n", "import time\ntime.sleep(60)\n", "while True: pass\n", "1 / 0\n"]
)
def test_no_process_outlives_a_killed_supervisor(serve, project, source):
    """kill -9 of the supervisor: everything is gone within two seconds, whatever it was doing."""
    project.write("app.py", "open('importing', 'w').close()\n" + (project.folder / "app.py").read_text())
    project.write("service.py", source)
    server = serve(wait=False)
    until((project.folder / "importing").exists, "the import to begin")
    members = processes.descendants(server.pid)
    assert len(members) >= 2
    server.send(signal.SIGKILL)
    server.process.wait(5)
    until(lambda: not any(map(processes.is_alive, members)), "every process to be gone", 2)


def test_a_running_request_finishes_on_the_code_it_started_with(serve, project, slow_request):
    """A reload overlaps with it: new requests get new code at once."""
    project.write("app.py", SLOW)
    server = serve()
    old = server.worker_pid
    answers = slow_request(server, 2)
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    assert answers == []
    assert processes.is_alive(old)
    until(lambda: answers, "the slow answer")
    assert answers == ["slow one"]
    until(lambda: not processes.is_alive(old), "the old worker to be gone")
    assert server.worker_pid in processes.descendants(server.pid)


def test_a_request_beyond_the_drain_deadline_is_cancelled(serve, project, slow_request):
    """The old worker never outlives the drain deadline."""
    project.write("app.py", SLOW)
    server = serve("--timeout-graceful-shutdown", "1")
    old = server.worker_pid
    slow_request(server, 60)
    project.say("two")
    server.wait_generation(2)
    until(lambda: not processes.is_alive(old), "the old worker to be gone")
    assert "GET /slow?seconds=60 was still running after 1 s; cancelled" in server.log


def test_lifespan_shutdown_of_an_idle_worker_comes_before_the_next_startup(serve, project):
    """So an exclusive resource (here a lock that refuses a second holder) survives reloads."""
    project.write(
        "app.py",
        """
import contextlib, os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

@contextlib.asynccontextmanager
async def lifespan(app):
    os.close(os.open("lock", os.O_CREAT | os.O_EXCL))
    yield
    os.unlink("lock")

async def index(request):
    return PlainTextResponse(service.TEXT)

app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
""",
    )
    server = serve()
    for number in range(2, 12):
        project.say(str(number))
        server.wait_generation(number)
        assert server.text() == str(number)


def settled(look):
    """What is seen when it has not changed for a while."""
    seen = []
    for _ in ticks(0.05):
        seen = [*seen[-9:], look()]
        if len(seen) == 10 and len(set(seen)) == 1:
            return seen[0]
    raise AssertionError(f"it does not come to rest: {seen}")


@pytest.mark.parametrize("arguments", [(), ("--no-checkpoints",)], ids=["checkpoints", "none"])
def test_the_exit_of_a_worker_leaves_no_zombie_and_no_descriptor(serve, project, arguments):
    """After many reloads the supervisor and the template hold what they held after a few, and as many processes."""
    server = serve(*arguments)
    (template,) = processes.children(server.pid)

    def held():
        """What is open, but for the channel and the lifeline that the supervisor has of each process."""
        members = processes.descendants(server.pid)
        return processes.open_descriptors(server.pid) - 2 * len(members), processes.open_descriptors(template)

    def reload_to(first, last):
        for number in range(first, last):
            project.say(str(number))
            server.wait_generation(number)
        until(lambda: server.text() == str(last - 1), "the last version")

    reload_to(2, 8)
    early = settled(held)
    reload_to(8, 40)
    until(lambda: held() == early, "what was held before, no more and no less")
    # template, worker, two stand-bys, and so many checkpoints at most, however slow the import is here
    assert len(processes.descendants(server.pid)) <= 4 + 16
    until(lambda: "Z" not in {processes.state(pid) for pid in processes.descendants(server.pid)}, "no zombie")


POOL = """
from concurrent.futures import ProcessPoolExecutor
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

pool = ProcessPoolExecutor(2)

def index(request):
    return PlainTextResponse(pool.submit(str.upper, service.TEXT).result(20))

app = Starlette(routes=[Route("/", index)])
"""


def test_a_pool_of_processes_ends_with_its_worker(serve, project):
    """As it does where Python ends: at once, and nothing of it is left."""
    project.write("app.py", POOL)
    server = serve()
    session = set(family.session(server))
    for number, text in enumerate(("two", "three"), start=2):
        assert server.text() in ("ONE", "TWO")
        session |= set(family.session(server))
        project.say(text)
        server.wait_generation(number)
    assert server.text() == "THREE"
    session |= set(family.session(server))
    server.stop()
    until(lambda: not any(map(processes.is_alive, session)), "the processes of all pools to be gone", 5)
    assert "did not end in time" not in server.log


SLOW_THREAD = """
import os, threading, time

TEXT = "one"

def send():
    while not os.path.exists("go"):
        time.sleep(0.01)
    open("done", "x").close()

threading.Thread(target=send, name="mailing").start()
"""


def test_a_thread_that_is_no_daemon_is_waited_for(serve, project):
    """What it does is not lost, up to the deadline; the reload does not wait."""
    project.write("service.py", SLOW_THREAD)
    server = serve()
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    assert not (project.folder / "done").exists()
    server.wait_log("Waiting for threads that are no daemons: mailing")
    (project.folder / "go").touch()
    until((project.folder / "done").exists, "the thread's work to be done")
    assert "did not end in time" not in server.log
