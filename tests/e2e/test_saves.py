"""Saves at any moment, in any number, in any pieces: the last one is served, by one worker, and never half of one."""

import fcntl
import random
import threading
import time

import httpx
import pytest

from tests.support import processes
from tests.support.waiting import SECONDS, until


def pause(seconds):
    """A file is written, or a person types, in real time."""
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun >= seconds, "a moment", seconds + SECONDS)


def assert_one_worker(server):
    """All others have ended, whatever they were doing."""
    until(lambda: sum(map(server.listens, processes.descendants(server.pid))) == 1, "exactly one worker that listens")


def test_the_last_of_many_saves_wins(serve, project):
    """At gaps of 0 to 40 ms, in place and by renaming: whatever was superseded is ended."""
    server = serve("--no-access-log")
    chance = random.Random(7)
    for round_ in range(12):
        for number in range(chance.randrange(2, 8)):
            save = chance.choice([project.write, project.replace])
            save("service.py", f"TEXT = '{round_}.{number}'\n")
            pause(chance.random() * 0.04)
        project.replace("service.py", f"TEXT = '{round_} last'\n")
        until(lambda r=round_: server.get().text == f"{r} last", "the last save")
        assert_one_worker(server)
        assert server.text() == f"{round_} last"


IMPORTING = """
import os, time
def pause(where):
    open(f"../{where}", "w").close()
    while os.path.exists(f"../{where}") and not os.path.exists("../go"):
        time.sleep(0.002)
pause("importing")
TEXT = "slow"
"""

LIFESPAN = """
import contextlib
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

@contextlib.asynccontextmanager
async def lifespan(app):
    getattr(service, "pause", lambda where: None)("starting")
    yield
    getattr(service, "pause", lambda where: None)("ending")

async def index(request):
    return PlainTextResponse(service.TEXT)

app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
"""


@pytest.mark.parametrize("step", ["importing", "starting", "ending"])
def test_a_save_in_the_middle_of_a_reload(serve, project, step):
    """While the new worker imports, while it starts, and while the old one still ends."""
    project.write("app.py", LIFESPAN)
    server = serve()
    project.write("service.py", IMPORTING)
    if step == "ending":
        for earlier in ("importing", "starting"):
            until((project.folder.parent / earlier).exists, earlier)
            (project.folder.parent / earlier).unlink()
        until(lambda: server.get().text == "slow", "the slow one")
        project.say("superseded")
    elif step == "starting":
        until((project.folder.parent / "importing").exists, "the import")
        (project.folder.parent / "importing").unlink()
    until((project.folder.parent / step).exists, step)
    project.say("last")
    (project.folder.parent / "go").touch()
    until(lambda: server.get().text == "last", "the save in the middle")
    assert_one_worker(server)


@pytest.mark.parametrize("when", ["preloading", "importing", "ready"])
def test_a_save_around_the_start(serve, project, when):
    """Before anything is watched, and in the instant after start-up."""
    project.write("service.py", IMPORTING)
    server = serve(wait=False)
    if when == "preloading":
        server.wait_log("Started reloader process")
    else:
        until((project.folder.parent / "importing").exists, "the import")
    if when == "ready":
        (project.folder.parent / "go").touch()
        server.wait_generation(1)
    project.say("last")
    (project.folder.parent / "go").touch()
    until(lambda: server.get().text == "last", "the save")
    assert_one_worker(server)


def test_a_save_between_two_watches(serve, project):
    """Each of these imports a module of another folder, so the set of what is watched changes with every reload."""
    for number in range(10):
        project.write(f"part{number}/code.py", f"TEXT = 'old {number}'\n")
    server = serve("--no-access-log")
    for number in range(10):
        project.write("service.py", f"from part{number}.code import TEXT\n")
        project.write(f"part{number}/code.py", f"TEXT = 'new {number}'\n")
        until(lambda n=number: server.get().text == f"new {n}", "the second save")
        project.write(f"part{number}/code.py", f"TEXT = 'newer {number}'\n")
        until(lambda n=number: server.get().text == f"newer {n}", "the third save")


class Watchful:
    """A client that asks without end, and keeps whatever it was answered."""

    def __init__(self, server):
        self._server = server
        self._is_over = threading.Event()
        self.answers = set()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._is_over.set()
        self._thread.join()

    def _ask(self):
        with httpx.Client(timeout=SECONDS) as client:
            while not self._is_over.is_set():
                self.answers.add(client.get(self._server.url).text)


IMPORTED = "open('../imported', 'w').close()\n"
# A file that somebody writes is waited for so long, and a little longer, in seconds.
PROMISED = 0.2
# A file that is gone for so long may be missed, in seconds.
GONE = 0.022
PIECES = {
    "truncated": "",
    "half of the definitions": f"{IMPORTED}TEXT = 'half'\n",
    "half a line": f"{IMPORTED}TEXT = 'half'",
    "more than there was": f"{IMPORTED}TEXT = 'half'\n" + "# a long comment\n" * 100,
    "broken": f"{IMPORTED}1 / 0\n",
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
def test_a_file_written_in_two_pieces(serve, project, piece):
    """What somebody is still writing never shows in an answer, be it valid or not.

    Where the system does not tell who has a file open, that is promised for 20 ms only.
    """
    server = serve("--no-access-log")
    imported = project.folder.parent / "imported"
    with Watchful(server) as client:
        for number in range(15):
            begun = time.monotonic()
            with (project.folder / "service.py").open("w") as file:
                file.write(piece)
                file.flush()
                if IMPORTED in piece and hasattr(fcntl, "F_SETLEASE"):
                    until(imported.exists, "the import of what is there by now")
                    imported.unlink()
                pause(0.015)
                file.seek(0)
                file.write(f"TEXT = 'whole {number}'\n#")
                file.truncate()
            took = time.monotonic() - begun
            until(lambda n=number: server.get().text == f"whole {n}", f"version {number}")
            if took > PROMISED:
                client.answers.clear()  # this machine is busy
    assert client.answers <= {"one", *(f"whole {number}" for number in range(15))}


def test_a_file_that_is_removed_and_written_anew(serve, project):
    """As `git checkout` does: the app must not be answered without it, though it can do without."""
    project.write("service.py", "try:\n    from extra import TEXT\nexcept ImportError:\n    TEXT = 'without'\n")
    project.write("extra.py", "TEXT = '0'\n")
    server = serve("--no-access-log")
    with Watchful(server) as client:
        for number in range(1, 15):
            begun = time.monotonic()
            (project.folder / "extra.py").unlink()
            pause(0.018)
            project.write("extra.py", f"TEXT = '{number}'\n")
            took = time.monotonic() - begun
            until(lambda n=number: server.get().text == str(n), f"version {number}")
            if took > GONE:
                client.answers.clear()  # this machine is busy
    assert "without" not in client.answers


def test_who_keeps_a_file_open_does_not_keep_the_server_waiting(serve, project):
    """As an editor, or `cat > service.py`, may: what was written is served all the same."""
    server = serve()
    with (project.folder / "service.py").open("w") as file:
        for number in range(3):
            file.seek(0)
            file.write(f"TEXT = '{number}'\n")
            file.flush()
            until(lambda n=number: server.get().text == str(n), f"version {number}")
