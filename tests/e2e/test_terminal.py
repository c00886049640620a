"""What a person at a terminal sees and may do."""

import os
import pty
import re
import select
import signal
import sys
import termios
import time

import httpx
import pytest

from tests.support.server import free_port
from tests.support.waiting import until


class Terminal:
    """The command on a pseudo-terminal of its own, as its controlling terminal."""

    def __init__(self, project, *arguments):
        self.port = free_port()
        self.output = ""
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(project.folder)
            os.execv(
                sys.executable,
                [sys.executable, "-m", "firehot_server", "app:app", "--reload", "--port", str(self.port), *arguments],
            )
        self.pid = pid
        self.status = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def read(self):
        """Take in what was printed since."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                self.output += os.read(self.fd, 65536).decode()
            except OSError:
                break  # closed at the other end
        return self.output

    def wait(self, pattern):
        return until(lambda: re.search(pattern, self.read()), f"{pattern!r} on the terminal:\n{self.output}")

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_end(self):
        def ended():
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return pid

        until(ended, f"the end of the server:\n{self.output}")
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(project):
    opened = []

    def open_terminal(*arguments):
        opened.append(Terminal(project, *arguments))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


@pytest.fixture
def ask_in_background():
    import threading

    threads = []

    def ask(url, answers):
        thread = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=60).text))
        threads.append(thread)
        thread.start()

    yield ask
    for thread in threads:
        thread.join(60)


def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(terminal):
    """The key, not only the signal: it reaches every process of the group."""
    screen = terminal()
    screen.wait(r"generation 1\)")
    modes = termios.tcgetattr(screen.fd)
    screen.type("\x03")
    assert screen.wait_end() == 0
    assert termios.tcgetattr(screen.fd) == modes
    assert "Traceback" not in screen.output
    assert "Stopping reloader process" in screen.output


def test_progress_is_shown_and_gone(terminal, project):
    """On a terminal, a line shows which module is being preloaded, and is cleared."""
    screen = terminal()
    screen.wait(r"generation 1\)")
    assert re.search(r"Preloading starlette\S* \(\d+/\d+\)", screen.output)
    last = screen.output.rindex("Preloading")
    assert "\r\x1b[2K" in screen.output[last:]


def test_breakpoint_in_a_handler_works(terminal, project, ask_in_background):
    """The worker owns stdin: a debugger can be typed to, across its deadlines and an edit."""
    project.write(
        "app.py",
        "from starlette.responses import PlainTextResponse\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        answer = 'unset'\n"
        "        breakpoint()\n"
        "        await PlainTextResponse(answer)(scope, receive, send)\n",
    )
    screen = terminal("--timeout-graceful-shutdown", "1")
    screen.wait(r"generation 1\)")
    answers = []
    ask_in_background(screen.url, answers)
    screen.wait(r"\(Pdb\) ")
    assert "firehot_server" not in screen.output[screen.output.index("> ") :]
    project.write("app.py", (project.folder / "app.py").read_text().replace("        breakpoint()\n", ""))
    screen.wait(r"generation 2\)")
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 3, "the drain deadline to pass", 10)
    screen.type("answer = 'typed'\n")
    screen.type("continue\n")
    until(lambda: answers, "the answer of the debugged request")
    assert answers == ["typed"]
    assert httpx.get(screen.url).text == "unset"
    screen.type("\x03")
    assert screen.wait_end() == 0


def test_a_breakpoint_at_import_suspends_the_startup_deadline(terminal, project):
    """A person thinks longer than a deadline."""
    screen = terminal("--startup-timeout", "1")
    screen.wait(r"generation 1\)")
    project.write("service.py", "breakpoint()\nTEXT = 'after'\n")
    screen.wait(r"\(Pdb\) ")
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 2, "the startup deadline to pass", 10)
    screen.type("continue\n")
    screen.wait(r"generation 2\)")
    assert httpx.get(screen.url).text == "after"
    screen.type("\x03")
    assert screen.wait_end() == 0


def test_the_terminal_is_restored_after_a_killed_debugger(terminal, project, ask_in_background):
    """A worker that is killed in the middle of a prompt may leave the terminal without echo; we do not."""
    project.write(
        "app.py",
        "import sys, termios, time\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        modes = termios.tcgetattr(0)\n"
        "        modes[3] &= ~termios.ECHO\n"
        "        termios.tcsetattr(0, termios.TCSANOW, modes)\n"
        "        print('quiet', flush=True)\n"
        "        time.sleep(60)\n",
    )
    screen = terminal("--timeout-graceful-shutdown", "1")
    screen.wait(r"generation 1\)")
    modes = termios.tcgetattr(screen.fd)
    import threading

    def ask():
        with pytest.raises(httpx.HTTPError):
            httpx.get(screen.url, timeout=60)

    thread = threading.Thread(target=ask)
    thread.start()
    screen.wait("quiet")
    screen.type("\x03")
    assert screen.wait_end() == 0
    thread.join(30)
    assert termios.tcgetattr(screen.fd) == modes


def test_a_closed_terminal_is_the_end_not_a_reload(terminal):
    """SIGHUP because the window was closed: everything ends."""
    screen = terminal()
    screen.wait(r"generation 1\)")
    os.close(screen.fd)
    screen.fd = os.open(os.devnull, os.O_RDONLY)
    until(lambda: os.waitpid(screen.pid, os.WNOHANG)[0], "the end of the server")
    screen.status = 0
