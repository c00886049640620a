"""Looking at processes from outside, by /proc; and forked children of the test."""

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

from tests.support.waiting import SECONDS, until


def children(pid):
    """The direct children of a process, zombies included."""
    found = []
    for task in _listing(f"/proc/{pid}/task"):
        try:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
        except OSError:
            pass  # that thread has just ended
    return found


def _listing(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []  # that process has just ended


def descendants(pid):
    """Every process below this one."""
    below = []
    for child in children(pid):
        below += [child, *descendants(child)]
    return below


def state(pid):
    """The letter of /proc/PID/stat: R, S, Z...; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def is_alive(pid):
    """The process exists and is no zombie."""
    return state(pid) not in (None, "Z")


def open_descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def descriptor_kinds(pid):
    """What a process has open, by number: "socket:[...]", "/dev/null"."""
    kinds = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[int(link.name)] = str(link.readlink())
        except OSError:
            pass  # the listing's own descriptor
    return kinds


def is_open(fd):
    """This process has a descriptor of this number."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Child:
    """A forked child of this process. It is ended and reaped by `end`, whatever it does."""

    def __init__(self, pid):
        self.pid = pid
        self._status = None

    def poll(self):
        """The exit code, negative for a signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self):
        """The exit code, negative for a signal."""
        until(lambda: self.poll() is not None, f"the end of process {self.pid}")
        return self._status

    def end(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


@contextlib.contextmanager
def forked(function, *arguments):
    """Run a function in a forked child, which then exits with status 0, or 1 where it raises."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        pid = os.fork()  # Python 3.12 warns where there are threads; those of the test are not wanted in the child
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    child = Child(pid)
    try:
        yield child
    finally:
        child.end()


def in_fork(function, *arguments):
    """What a function returns (or raises) in a forked child: for what must not happen to this process."""
    read_end, write_end = os.pipe()

    def answer():
        os.close(read_end)
        try:
            result = (function(*arguments), None)
        except BaseException as error:
            traceback.print_exc()
            result = (None, error)
        with open(write_end, "wb") as pipe:
            pickle.dump(result, pipe)

    with open(read_end, "rb") as pipe, forked(answer) as child:
        os.close(write_end)
        readable, _, _ = select.select([pipe], [], [], SECONDS)
        assert readable, f"the child {child.pid} did not answer"
        result, error = pickle.load(pipe)
        child.wait()
    if error is not None:
        raise error
    return result


def run_python(*arguments, **options):
    """Run a fresh interpreter of this environment to its end; its output."""
    finished = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=SECONDS, **options)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def sockets(pid):
    """A process's sockets, as /proc names them: `socket:[inode]`."""
    found = set()
    for number in _listing(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            pass  # it was closed just now
    return {link for link in found if link.startswith("socket:")}


def listening_sockets(port):
    """Those that listen on this port, as `sockets` names them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = [fields for fields in lines if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")]
    return {f"socket:[{fields[9]}]" for fields in listening}


def private_kilobytes(pid):
    """Memory that is this process's alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
