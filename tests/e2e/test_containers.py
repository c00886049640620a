"""What a container is to a server: it is process 1, nobody types, files come from elsewhere, a user is a number."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from firehot_server.messages import DEFAULT_DRAIN_SECONDS
from firehot_server.supervisor.machine import GRACE_SECONDS
from tests.support import docker, processes
from tests.support.server import Project, Server, free_port
from tests.support.waiting import until

NAMESPACE = ["unshare", *(["--user", "--map-root-user"] if os.getuid() else [])]
PROCESS_1 = [*NAMESPACE, "--pid", "--fork", "--kill-child", "--mount-proc"]
NAMELESS = ["unshare", "--user", "--map-user=4321", "--map-group=4321"]

# What `docker stop` waits for before it sends SIGKILL, in seconds.
DOCKER_SECONDS = 10

APP = """
import asyncio, os, subprocess, sys, time
import service

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    text = service.TEXT
    if scope["path"] == "/wait":
        open("begun", "w").close()
        await asyncio.sleep(600)
    if scope["path"] == "/block":
        open("begun", "w").close()
        time.sleep(600)
    if scope["path"] == "/orphan":
        subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 &"])
    if scope["path"] == "/print":
        print("printed by the app")
        while not os.path.exists("seen"):
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""


def is_permitted(command):
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


needs_process_1 = pytest.mark.skipif(not is_permitted(PROCESS_1), reason="a PID namespace is not permitted")
needs_nameless = pytest.mark.skipif(not is_permitted(NAMELESS), reason="a user namespace is not permitted")


@pytest.fixture(autouse=True)
def _app(project):
    project.write("app.py", APP)


class Contained(Server):
    """The command as process 1 of a namespace of its own."""

    def __init__(self, project, *arguments, **options):
        super().__init__(project, *arguments, before=PROCESS_1, **options)

    @property
    def pid(self):
        """As seen from outside; that of `unshare`, when process 1 is gone."""
        return next(iter(processes.children(self.process.pid)), self.process.pid)

    def send(self, number):
        os.kill(self.pid, number)


@pytest.fixture
def contain(project):
    """Start the command on `project` as process 1; it is stopped."""
    started = []

    def start(*arguments, **options):
        started.append(Contained(project, *arguments, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def begin(project):
    """Begin a request of which nobody expects an answer."""
    threads = []

    def ask(url):
        try:
            httpx.get(url, timeout=60)
        except httpx.HTTPError:
            pass  # the server has ended

    def start(server, path):
        threads.append(threading.Thread(target=ask, args=(f"{server.url}{path}",)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(60)


# ---------------------------------------------------------------- process 1


@needs_process_1
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["docker stop", "Ctrl-C"])
@pytest.mark.parametrize("path", [None, "/wait", "/block"])
def test_a_signal_ends_process_1(contain, project, begin, number, path):
    """Within the drain deadline, whatever requests do; with the exit status that uvicorn's reloader has."""
    server = contain("--timeout-graceful-shutdown", "1")
    if path:
        begin(server, path)
        until((project.folder / "begun").exists, "the request to begin")
    server.send(number)
    assert server.wait_end() == 0
    assert "Stopping reloader process [1]" in server.log


def test_everything_has_ended_before_docker_loses_patience():
    """By default: requests that never end are given less than that."""
    assert DEFAULT_DRAIN_SECONDS + GRACE_SECONDS < DOCKER_SECONDS


@needs_process_1
def test_a_signal_ends_process_1_before_it_serves(contain):
    """While it loads itself: without a handler, the kernel would not deliver the signal to process 1."""
    server = contain(wait=False)
    server.wait_log("Started reloader process")
    server.send(signal.SIGTERM)
    assert server.wait_end() in (0, 128 + signal.SIGTERM)


@needs_process_1
def test_an_edit_reloads_in_process_1(contain, project):
    """As elsewhere."""
    server = contain()
    for number in range(2, 5):
        project.say(str(number))
        server.wait_generation(number)
        assert server.text() == str(number)


@needs_process_1
def test_process_1_reaps_orphans(contain, project):
    """What the app's children leave running becomes a child of process 1, and no zombie when it ends."""
    server = contain()
    for _ in range(3):
        server.get("/orphan")
    orphans = until(lambda: named(server.pid, "sleep", 3), "the orphans to be children of process 1")
    for orphan in orphans:
        os.kill(orphan, signal.SIGKILL)
    until(lambda: not any(map(processes.state, orphans)), "the orphans to be reaped")
    assert server.text() == "one"


def named(parent, name, count):
    """Process ids of so many children of this name; none, if there are not so many."""
    found = [pid for pid in processes.children(parent) if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"]
    return found if len(found) == count else []


@needs_process_1
def test_process_1_still_hears_how_its_own_children_end(contain, project):
    """A template that dies is no orphan: the log says what killed it, and another one is started."""
    server = contain()
    template = server.template_pid
    os.kill(template, signal.SIGKILL)
    server.wait_log("The template was killed by SIGKILL; starting another")
    project.say("two")
    until(lambda: server.text() == "two", "the edit to be served")
    until(lambda: processes.state(template) is None, "the template to be reaped")


@needs_process_1
def test_orphans_end_with_process_1(contain, project):
    """The kernel ends a namespace with its process 1."""
    server = contain()
    server.get("/orphan")
    (orphan,) = until(lambda: named(server.pid, "sleep", 1), "the orphan to be a child of process 1")
    server.send(signal.SIGTERM)
    assert server.wait_end() == 0
    assert not processes.is_alive(orphan)


# ---------------------------------------------------------------- nobody types


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}], ids=["", "forced", "none"])
def test_without_a_terminal_there_are_no_control_codes(serve, project, variables):
    """Neither colours nor a line that is overwritten, at start, reload, failure and end. uvicorn asks no variable."""
    server = serve(environment=variables)
    server.text()
    project.write("service.py", "1 / 0\n")
    server.wait_generation(2)
    assert server.get().status_code == 500
    project.say("healed")
    server.wait_generation(3)
    server.stop()
    control = set(map(chr, range(32))) - {"\n"}
    assert not control & set(server.log)
    assert "ZeroDivisionError" in server.log


@pytest.mark.parametrize("option", ["--access-log", "--no-access-log"])
def test_what_the_app_prints_is_seen_at_once(serve, project, begin, option):
    """While its request is still running, though standard output is no terminal and Python keeps it buffered."""
    server = serve(option, environment={"PYTHONUNBUFFERED": ""})
    begin(server, "/print")
    server.wait_log("^printed by the app$|\nprinted by the app\n")
    project.write("seen", "")


def test_what_the_app_prints_before_it_dies_is_seen(serve, project):
    """While it is imported, and whatever ends it: nothing was left in a buffer."""
    project.write("app.py", f"print('importing')\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n{APP}")
    server = serve(environment={"PYTHONUNBUFFERED": ""}, wait=False)
    server.wait_log(r"generation 1\)")
    assert "importing\n" in server.log


# ---------------------------------------------------------------- a user who is a mere number


@needs_nameless
@pytest.mark.parametrize("home", ["/", "/nosuch", None])
def test_a_user_without_a_home_folder(project, monkeypatch, home):
    """HOME unset, or of somebody else: no cache is kept, which is said once; nothing is in the project."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    before = sorted(project.folder.iterdir())
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **({} if home is None else {"HOME": home})}
    server = Server(project, before=NAMELESS, environment=environment)
    try:
        project.say("two")
        server.wait_generation(2)
        assert server.text() == "two"
    finally:
        server.stop()
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log
    warnings = [line for line in server.log.splitlines() if "WARNING" in line]
    assert all("Cannot write to the cache folder" in line for line in warnings)
    assert len(warnings) <= 1
    assert sorted(path for path in project.folder.iterdir() if path.name != "port.txt") == before


# ---------------------------------------------------------------- files that come from elsewhere


def send_by_tar(project, text):
    """As `docker compose watch` does: an archive is unpacked over what is there. tar removes each file before."""
    outside = Project(project.folder.parent / "outside")
    outside.say(text)
    os.utime(outside.folder / "service.py", (1_700_000_000, 1_700_000_000))
    archive = subprocess.run(["tar", "-c", "service.py"], cwd=outside.folder, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(project.folder)], input=archive.stdout, check=True)


@pytest.mark.skipif(not shutil.which("tar"), reason="there is no tar")
def test_files_that_are_sent_into_the_container_reload(serve, project):
    """With the time of modification that they have outside, which is always the same."""
    server = serve()
    for number in range(10, 20):
        send_by_tar(project, str(number))
        until(lambda number=number: server.get().text == str(number), "the file to be served")


@pytest.fixture
def fuse(project, tmp_path):
    """A folder `outside`, and the project as a view of it, through a file system in user space."""
    if not shutil.which("bindfs") or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("there is no bindfs")
    outside = tmp_path / "outside"
    project.folder.rename(outside)
    project.folder.mkdir()
    mounted = subprocess.run(["bindfs", str(outside), str(project.folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"bindfs: {mounted.stderr}")
    yield Project(outside)
    subprocess.run(["fusermount3", "-u", "-z", str(project.folder)], check=True)


def test_edits_outside_a_shared_mount_are_found(fuse, project, serve):
    """Where no event comes of them; one line says that they are looked for. Of quick saves the last one counts."""
    server = serve()
    server.wait_log(f"Polling for edits below {project.folder}: events may not come through a mount of type fuse")
    for number in range(10, 30):
        fuse.say(str(number))
    until(lambda: server.get().text == "29", "the last edit to be served")
    fuse.replace("service.py", "TEXT = '30'\n")
    until(lambda: server.get().text == "30", "an atomic save to be served")
    fuse.write("service.py", "1 / 0\n")
    until(lambda: server.get().status_code == 500, "the failure")
    fuse.say("healed")
    until(lambda: server.get().text == "healed", "the end of the failure")
    assert server.log.count("Polling for edits") == 1


def test_the_user_may_forbid_to_look(fuse, project, serve):
    """Then edits count that are made on this side of the mount."""
    server = serve(environment={"WATCHFILES_FORCE_POLLING": "false"})
    fuse.say("outside")
    project.say("inside")
    server.wait_generation(2)
    until(lambda: server.text() == "inside", "the edit to be served")
    assert "Polling" not in server.log


def test_the_user_may_want_to_look(project, serve):
    """On whatever mount. What is saved twice in one second is served."""
    server = serve(environment={"WATCHFILES_FORCE_POLLING": "1"})
    for number in range(10, 40):
        project.say(str(number))
    until(lambda: server.get().text == "39", "the last edit to be served")
    server.wait_log("Polling for edits, as WATCHFILES_FORCE_POLLING asks")


# ---------------------------------------------------------------- the files in integrations/docker


@needs_process_1
def test_the_container_without_a_container(contain, project, monkeypatch, tmp_path):
    """The command of the image as process 1, asked by the health check: well, and not well while the code is broken."""
    monkeypatch.setenv("SAMPLE_APP_DATABASE", str(tmp_path / "sample.sqlite3"))
    shutil.copytree(
        docker.ROOT / "sample_app", project.folder / "sample_app", ignore=shutil.ignore_patterns("*.sqlite3*")
    )
    port = str(free_port())
    name, *arguments = [port if word == "8000" else word for word in docker.command()]
    script, option, code = docker.health_check("app")

    def is_well():
        return subprocess.run([sys.executable, option, code.replace(":8000/", f":{port}/")]).returncode == 0

    server = contain(module=[str(Path(sys.executable).with_name(name)), *arguments])
    assert script == "python"
    assert is_well()
    page = project.folder / "sample_app" / "routes" / "pages.py"
    source = page.read_text()
    page.write_text(f"{source}\n1 / 0\n")
    server.wait_generation(2)
    assert not is_well()
    page.write_text(source)
    server.wait_generation(3)
    assert is_well()
    server.send(signal.SIGTERM)
    assert server.wait_end() == 0
