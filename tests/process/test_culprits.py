"""Who left something behind that no copy may share: file and line. In forked children, as audit hooks are for ever."""

import _thread
import os
import sys
import threading

import pytest

from firehot_server.worker.audit_events import AuditEvents
from firehot_server.worker.culprits import Culprits
from tests.support.files import write
from tests.support.processes import in_fork

SOCKET, THREAD = ("it left a socket open",), ("it left a thread running (poll)",)
FILE, PROCESS = ("it left a file for writing open",), ("it left a child process running",)
PIPE = ("it left a pipe open",)
TEMPORARY = ("it made temporary files",)


@pytest.fixture
def project(tmp_path):
    """A folder for first-party modules."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


class Scene:
    """A process that runs the project's code, and listens."""

    def __init__(self, project):
        self._project = project
        self.events = AuditEvents()
        self.culprits = Culprits(lambda path: path.startswith(f"{project}/"))
        self.culprits.listen(self.events)
        sys.path.insert(0, str(project))

    def run(self, source, name="app.py"):
        """Run this as a file of the project."""
        exec(compile(source, f"{self._project}/{name}", "exec"), {"__name__": "app"})

    def accused(self, findings):
        """File and line."""
        trace = self.culprits.of(findings)
        return trace and (trace.path.removeprefix(f"{self._project}/"), trace.line)


def accused(project, findings, *sources):
    """Who did it, in a process that runs these."""

    def run():
        scene = Scene(project)
        for source in sources:
            scene.run(source)
        return scene.accused(findings)

    return in_fork(run)


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        ("import socket\nkept = socket.socket()\n", SOCKET),
        ("import threading\nthreading.Thread(target=int).start()\n", THREAD),
        ("import _thread\n_thread.start_new_thread(int, ())\n", THREAD),
        ("\nkept = open('/dev/null', 'w')\n", FILE),
        ("\nkept = open('/dev/null', 'a')\n", FILE),
        ("import os\nkept = os.open('/dev/null', os.O_RDWR)\n", FILE),
        ("import sqlite3\nkept = sqlite3.connect(':memory:')\n", FILE),
        ("import subprocess\nsubprocess.Popen(['true']).wait()\n", PROCESS),
        ("import os\nos.waitpid(os.posix_spawnp('true', ['true'], os.environ), 0)\n", PROCESS),
        ("import os\nos.fork() or os._exit(0)\n", PROCESS),
        ("import os\nkept = os.pipe()\n", PIPE),
        ("import multiprocessing\nkept = multiprocessing.Pipe(False)\n", PIPE),
        ("import tempfile\nkept = tempfile.TemporaryDirectory()\n", TEMPORARY),
        ("import tempfile\nkept = tempfile.NamedTemporaryFile()\n", TEMPORARY),
    ],
)
def test_the_line_that_did_it(project, source, findings):
    """Of the project, whoever was called to do it."""
    assert accused(project, findings, source) == ("app.py", 2)


def test_the_line_that_called_who_did_it(project, tmp_path):
    """The project's innermost: the rest is somebody else's code."""
    write(tmp_path / "installed/library.py", "import socket\ndef connect():\n    return socket.socket()\n")
    source = "import library\ndef helper():\n    return library.connect()\n\nkept = helper()\n"

    def run():
        sys.path.insert(0, str(tmp_path / "installed"))
        scene = Scene(project)
        scene.run(source)
        return scene.accused(SOCKET)

    assert in_fork(run) == ("app.py", 3)


@pytest.mark.parametrize("mark", ["", "__traceback_hide__ = True\n"], ids=["the project", "an integration"])
def test_an_installed_module_that_is_imported_by_nobody_of_the_project(project, tmp_path, mark):
    """It is named itself; an integration imports it, which is no part of the project, though it may lie there."""
    write(tmp_path / "installed/library.py", "import socket\n\nkept = socket.socket()\n")

    def run():
        sys.path.insert(0, str(tmp_path / "installed"))
        scene = Scene(project)
        scene.run(f"{mark}import library\n", name="integration.py")
        return scene.accused(SOCKET)

    accused_one = ("integration.py", 1) if not mark else (str(tmp_path / "installed/library.py"), 3)
    assert in_fork(run) == accused_one


def test_what_nobody_of_the_project_did(project):
    """A library's own thread has done it: there is no line to name."""

    def run():
        scene = Scene(project)
        thread = threading.Thread(target=sys.audit, args=("socket.__new__", None, 2, 1, 0))
        thread.start()
        thread.join()
        return scene.accused(SOCKET)

    assert in_fork(run) == ("", 0)


def test_bytecode_that_an_import_writes(project, tmp_path):
    """Nobody has left that open."""
    write(tmp_path / "installed/library.py", "")

    def run():
        sys.dont_write_bytecode = False
        sys.path.insert(0, str(tmp_path / "installed"))
        scene = Scene(project)
        scene.run("import library\n\nkept = open('/dev/null', 'w')\n")
        return scene.accused(FILE)

    assert in_fork(run) == ("app.py", 3)
    assert (tmp_path / "installed/__pycache__").exists()


@pytest.mark.parametrize(
    ("findings", "line"),
    [(SOCKET, 3), (PROCESS, 2), (FILE, 4), (FILE + SOCKET, 3), (PROCESS + FILE, 2)],
)
def test_the_first_that_fits_what_was_found(project, findings, line):
    """Whatever else was done before."""
    source = (
        "import socket, subprocess\n"
        "subprocess.run(['true'])\n"
        "one = socket.socket()\n"
        "two = open('/dev/null', 'w')\n"
        "three = socket.socket()\n"
    )

    assert accused(project, findings, source) == ("app.py", line)


def test_nobody_is_accused_of_what_nobody_was_seen_doing(project):
    """A pipe, of which no event tells: an innocent line would send the user astray."""
    assert accused(project, ("it left a pipe open",), "import socket\none = socket.socket()\n") is None


def test_nothing_was_done(project):
    """Then there is nobody to name."""
    assert accused(project, SOCKET, "open(__import__('os').devnull).close()\n") is None


def test_what_was_undone_before_the_last_checkpoint(project):
    """That is no trace any more: the process was fit to be copied."""

    def run():
        scene = Scene(project)
        scene.run("import socket\nsocket.socket().close()\n", "early.py")
        scene.culprits.acquit()
        before = scene.accused(SOCKET)
        scene.run("import socket\n\nkept = socket.socket()\n", "late.py")
        return before, scene.accused(SOCKET)

    assert in_fork(run) == (None, ("late.py", 3))


def test_what_is_done_when_nobody_listens_any_more(project):
    """The app is imported: what it does then is its own business, and costs nothing."""

    def run():
        former = (vars(threading).get("_start_new_thread"), _thread.start_new_thread, os.pipe)
        scene = Scene(project)
        scene.culprits.ignore(scene.events)
        scene.run("import socket, threading\nkept = socket.socket()\nthreading.Thread(target=int).start()\n")
        accused = scene.accused(SOCKET), scene.accused(THREAD)
        is_as_before = (vars(threading).get("_start_new_thread"), _thread.start_new_thread, os.pipe) == former
        return accused, dict(scene.events._handlers), is_as_before

    assert in_fork(run) == ((None, None), {}, True)


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        ("import tempfile\nkept = tempfile.mkdtemp(dir=FOLDER)\n", TEMPORARY),
        ("import tempfile\nkept = tempfile.mkstemp(dir=FOLDER)\n", TEMPORARY),
        ("import tempfile, os\nos.rmdir(tempfile.mkdtemp(dir=FOLDER))\n", ()),
        ("import tempfile\nwith tempfile.TemporaryDirectory(dir=FOLDER): pass\n", ()),
        ("import tempfile\nwith tempfile.NamedTemporaryFile(dir=FOLDER): pass\n", ()),
        ("import tempfile\nwith tempfile.TemporaryFile(dir=FOLDER): pass\n", ()),
        ("import tempfile\n", ()),
    ],
)
def test_temporary_files(project, tmp_path, source, findings):
    """They forbid a copy for as long as they are there: each process would remove them at its end."""

    def run():
        scene = Scene(project)
        scene.run(source.replace("FOLDER", repr(str(tmp_path))))
        return scene.culprits.temporary_findings

    assert in_fork(run) == findings


def test_temporary_files_are_remembered_for_as_long_as_they_are_there(project, tmp_path):
    """Also when the process was copied since: unlike other traces, they are still the reason."""

    def run():
        scene = Scene(project)
        scene.run(f"import tempfile\n\nkept = tempfile.mkdtemp(dir={str(tmp_path)!r})\n")
        scene.culprits.acquit()
        return scene.culprits.temporary_findings, scene.accused(TEMPORARY)

    assert in_fork(run) == (TEMPORARY, ("app.py", 3))
