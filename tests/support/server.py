"""Runs the real command on a project in a temporary folder, and talks to it."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support import processes
from tests.support.waiting import until

# By default each client reads those of the whole world, which takes longer than the request.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

ASGI = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import service

async def index(request):
    return PlainTextResponse(service.TEXT)

app = Starlette(routes=[Route("/", index)])
"""


class Project:
    """A folder of source files."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def write(self, name, text):
        """Save in place."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def replace(self, name, text):
        """Save as editors do: write aside, then rename."""
        aside = self.folder / f".{name.replace('/', '_')}.swp"
        aside.write_text(text)
        aside.replace(self.folder / name)

    def say(self, text):
        """Make the app of `ASGI` answer with this text."""
        self.write("service.py", f"TEXT = {text!r}\n")


class Server:
    """The running command. Its output goes to `log_path`, which pytest keeps with the temporary folder."""

    def __init__(
        self, project, *arguments, app="app:app", environment=None, module=None, before=(), wait=True, listen=True
    ):
        self.project = project
        self.log_path = project.folder.parent / "server.log"
        self.port = free_port() if listen else None
        address = ["--port", str(self.port)] if listen else []
        (project.folder / "port.txt").write_text(str(self.port))
        if module:
            address = []
            module = [part.replace("{port}", str(self.port)) for part in module]
        command = module or [sys.executable, "-m", "firehot_server", app, "--reload", *address]
        self._log = self.log_path.open("w")
        self.process = subprocess.Popen(
            [*before, *command, *arguments],
            cwd=project.folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "", **(environment or {})},
            start_new_session=True,
        )
        try:
            if wait:
                self.wait_log(r"generation 1\)")
        except BaseException:
            self.stop()
            raise

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text()

    def get(self, path="/", **options):
        """One request over a fresh connection."""
        return httpx.get(f"{self.url}{path}", timeout=30, **{"verify": NO_CERTIFICATES, **options})

    def head(self, path="/"):
        """The same without a body."""
        return httpx.head(f"{self.url}{path}", timeout=30, verify=NO_CERTIFICATES)

    def text(self, path="/"):
        """The body of a successful answer."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.text

    def wait_log(self, pattern, count=1):
        """Wait until the log has `count` lines that match, and return the last match."""

        def find():
            assert self.process.poll() is None or re.search(pattern, self.log), self.log
            found = list(re.finditer(pattern, self.log))
            return found[-1] if len(found) >= count else None

        with self.log_shown():
            return until(find, f"{pattern!r} in the log")

    @contextlib.contextmanager
    def log_shown(self):
        """With what fails."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- log:\n{self.log}") from None

    def wait_generation(self, number):
        """Wait until this generation serves, the app or its failure."""
        return self.wait_log(rf"generation {number}\)")

    @property
    def worker_pid(self):
        """The process below the supervisor that has its listening socket, too."""
        return until(lambda: next(filter(self.listens, processes.descendants(self.pid)), None), "a worker that accepts")

    def listens(self, pid):
        """Whether a process has the socket that listens on this server's port."""
        return bool(processes.listening_sockets(self.port) & processes.sockets(pid))

    @property
    def template_pid(self):
        """The process that the supervisor spawned."""
        (pid,) = processes.children(self.pid)
        return pid

    def send(self, number):
        self.process.send_signal(number)

    def wait_end(self, seconds=30):
        """The exit status, with the check that nothing was left behind."""
        family = processes.descendants(self.pid)
        status = self.process.wait(seconds)
        until(lambda: not any(map(processes.is_alive, family)), "every process to be gone", 5)
        return status

    def stop(self):
        """Ctrl-C, as often as needed."""
        if self.process.poll() is None:
            family = processes.descendants(self.pid)
            self.send(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                raise AssertionError(f"Ctrl-C did not end the server:\n{self.log}") from None
            finally:
                self._log.close()
            until(lambda: not any(map(processes.is_alive, family)), "every process to be gone", 5)
        self._log.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
