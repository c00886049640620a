"""Whatever is killed or stopped, at any step of a reload: the server recovers by itself, says so, refuses nobody."""

import os
import re
import signal
import socket

import pytest

from tests.support import family, processes
from tests.support.waiting import until

KILL, STOP = signal.SIGKILL, signal.SIGSTOP

# Imports for a while, so that checkpoints are worth it.
APP = """
import contextlib, os, time
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
time.sleep(0.06)
import service
time.sleep(0.06)

@contextlib.asynccontextmanager
async def lifespan(app):
    service.start()
    yield

async def index(request):
    return PlainTextResponse(service.TEXT)

async def slow(request):
    import anyio, pathlib
    pathlib.Path("begun").touch()
    await anyio.sleep(60)

app = Starlette(routes=[Route("/", index), Route("/slow", slow)], lifespan=lifespan)
"""
GOOD = """
TEXT = {text!r}
def start():
    pass
"""
# Says who it is, and waits until it may go on; not in the project, where files that it asks for would be read.
WAIT = """
import os, time
def wait():
    with open("../pid.draft", "w") as file:
        file.write(str(os.getpid()))
    os.replace("../pid.draft", "../pid")
    while not os.path.exists("../go"):
        time.sleep(0.005)
"""


class Scene:
    """A server, and the process that the fault is to hit."""

    def __init__(self, serve, project):
        project.write("app.py", APP)
        self.project = project
        self.say("one")
        options = ("--startup-timeout", "2", "--timeout-graceful-shutdown", "1", "--no-access-log")
        self.server = serve(*options)
        self.client = None

    def say(self, text, more=""):
        self.project.replace("service.py", GOOD.format(text=text) + more)

    def waiting_pid(self):
        """Of the process that runs `WAIT`."""
        path = self.project.folder.parent / "pid"
        until(path.exists, "the process that waits")
        return int(path.read_text())

    def go(self):
        self.project.write("../go", "")

    def reload(self):
        """Until a checkpoint waits before what is edited, and has a stand-by."""
        for number in range(2, 10):
            self.say(f"before {number}")
            self.server.wait_generation(number)
            if family.parent(self.server.worker_pid) != self.server.template_pid:
                break
        self.say("before")
        self.server.wait_generation(number + 1)
        family.standbys_of(self.server, family.checkpoint(self.server))

    def hit(self, pid, number):
        os.kill(pid, number)
        if number == STOP:
            until(lambda: processes.state(pid) == "T", "the process to be stopped")

    def close(self):
        if self.client is not None:
            self.client.close()

    # -- who is hit, and when

    def worker_serving(self):
        return self.server.worker_pid

    def worker_importing(self):
        self.say("new", WAIT + "wait()\n")
        return self.waiting_pid()

    def worker_starting(self):
        self.say("new", WAIT + "start = wait\n")
        return self.waiting_pid()

    def old_worker_draining(self):
        pid = self.server.worker_pid
        self.client = socket.create_connection(("127.0.0.1", self.server.port))
        self.client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until((self.project.folder / "begun").exists, "the slow request to begin")
        self.say("new")
        self.server.wait_generation(2)
        return pid

    def template_idle(self):
        return self.server.template_pid

    def template_forking(self):
        """It has been asked for a worker, and has none in advance."""
        template = self.server.template_pid
        for pid in family.standbys_of(self.server, template):
            self.hit(template, STOP)
            self.hit(pid, KILL)
        self.server.send(signal.SIGHUP)
        return template

    def checkpoint(self):
        self.reload()
        return family.checkpoint(self.server)

    def checkpoint_forking(self):
        pid = self.checkpoint()
        self.hit(pid, STOP)
        for standby in family.standbys_of(self.server, pid):
            self.hit(standby, KILL)
        self.say("new")
        return pid

    def standby(self):
        self.reload()
        return until(self._only_standby, "the one stand-by of the checkpoint")

    def _only_standby(self):
        pids = family.standbys_of(self.server, family.checkpoint(self.server))
        return pids[0] if len(pids) == 1 else None

    def failure_worker(self):
        self.say("broken", "1 / 0\n")
        self.server.wait_log("Answering 500")
        until(lambda: self.server.get().status_code == 500, "the failure")
        return self.server.worker_pid


def strangers(server):
    """The members of its session that are not below the supervisor."""
    return set(family.session(server)) - {server.pid, *processes.descendants(server.pid)}


STOPPED = r"{} does not answer: it is stopped \(SIGSTOP\); ended\."
HELD = r"The worker was stopped \(SIGSTOP or the like\) {}"
ENDED = r"{} has ended, unasked\. Somebody or something sent SIGKILL"


# Who is hit, by what; the line that tells of it; and what is answered then, without any further edit.
FAULTS = [
    ("worker_serving", KILL, r"was killed by SIGKILL while it was serving \(generation 1\); starting another", "one"),
    ("worker_serving", STOP, HELD.format(r"while it was serving \(generation 1\); starting another"), "one"),
    ("worker_importing", KILL, r"was killed by SIGKILL while the app was imported.*; trying again", "new"),
    ("worker_importing", STOP, HELD.format("while the app was imported.*; trying again"), "new"),
    ("worker_starting", KILL, r"was killed by SIGKILL before it could serve.*; trying again", "new"),
    ("worker_starting", STOP, HELD.format("before it could serve.*; trying again"), "new"),
    ("old_worker_draining", KILL, r"was killed by SIGKILL while it was finishing requests; those are lost", "new"),
    ("old_worker_draining", STOP, r"The worker of generation 1 did not end in time; killed", "new"),
    ("template_idle", KILL, r"The template was killed by SIGKILL; starting another", "one"),
    ("template_idle", STOP, STOPPED.format("The template"), "one"),
    ("template_forking", KILL, r"The template was killed by SIGKILL; starting another", "one"),
    ("template_forking", STOP, STOPPED.format("The template"), "one"),
    ("checkpoint", KILL, ENDED.format("The checkpoint before service"), "before"),
    ("checkpoint", STOP, STOPPED.format("The checkpoint before service"), "before"),
    ("checkpoint_forking", KILL, ENDED.format("The checkpoint before service"), "new"),
    ("checkpoint_forking", STOP, STOPPED.format("The checkpoint before service"), "new"),
    ("standby", KILL, ENDED.format("The stand-by of the checkpoint before service"), "before"),
    ("standby", STOP, STOPPED.format("A stand-by"), "before"),
    ("failure_worker", KILL, r"was killed by SIGKILL while it was serving \(generation 2\); starting another", 500),
    ("failure_worker", STOP, HELD.format(r"while it was serving \(generation 2\); starting another"), 500),
]


def test_what_had_not_begun_when_the_template_was_killed_is_forked_anew(serve, project):
    """And has as much time for it as any other: nothing is left to be said of the process that was to be it first."""
    scene = Scene(serve, project)
    server = scene.server
    project.replace("service.py", "import time\ntime.sleep(1.5)\n" + GOOD.format(text="slow"))
    server.wait_generation(2)
    template, worker = server.template_pid, server.worker_pid
    family.standbys_of(server, template)
    scene.hit(server.pid, STOP)  # so that it hears of all this at the same time
    scene.hit(template, STOP)
    for pid in set(processes.children(template)) - {worker}:
        scene.hit(pid, KILL)
    server.send(signal.SIGHUP)
    server.send(signal.SIGCONT)
    scene.hit(template, KILL)
    server.wait_generation(3)
    assert server.text() == "slow"
    assert "Answering 500" not in server.log


@pytest.mark.parametrize(
    ("who", "fault", "line", "answer"), FAULTS, ids=[f"{who}-{fault.name}" for who, fault, *_ in FAULTS]
)
def test_a_process_is_killed_or_stopped(request, serve, project, who, fault, line, answer):
    """The newest code or its failure is answered soon after; one line has said what happened; nothing is left; nobody
    was refused.
    """
    scene = Scene(serve, project)
    request.addfinalizer(scene.close)
    server = scene.server
    with family.Clients(server) as clients, server.log_shown():
        pid = getattr(scene, who)()
        scene.hit(pid, fault)
        scene.go()
        until(lambda: answer in (server.get().text, server.get().status_code), f"{answer!r} to be answered")
        scene.say("after")
        until(lambda: server.get().text == "after", "the next edit to be answered")
        if not re.search(line, server.log):  # what is stopped, and this edit did not need, is found by the next
            scene.say("later")
            until(lambda: server.get().text == "later", "the edit after that")
        server.wait_log(line)
        until(lambda: not processes.is_alive(pid), "the process that was hit to be gone")
    assert clients.refused == []
    assert clients.statuses <= {200, 500}
    until(lambda: all(map(server.listens, strangers(server))), "no orphan but the worker, if its checkpoint was killed")
    assert len(re.findall(line, server.log)) == 1, server.log
