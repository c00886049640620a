"""Who is who among the processes of a running server, seen from outside."""

import os
import threading
from pathlib import Path

import httpx

from tests.support import processes
from tests.support.waiting import until


def parent(pid):
    """The process that this one was forked of."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def checkpoint(server):
    """The one that was resumed last, when there is one: of those that the worker comes of, the one with a stand-by."""

    def find():
        line = list(_checkpoints_above(server, server.worker_pid))
        return next((pid for pid in line if any(_waits(server, child) for child in processes.children(pid))), None)

    return until(find, "a checkpoint with a stand-by")


def _checkpoints_above(server, pid):
    while (pid := parent(pid)) not in (server.template_pid, server.pid, 1):
        yield pid


def standbys_of(server, pid):
    """Children that wait to be told what to be; when there is one."""
    return until(lambda: [child for child in processes.children(pid) if _waits(server, child)], f"a stand-by of {pid}")


def _waits(server, pid):
    return processes.is_alive(pid) and not server.listens(pid) and not processes.children(pid)


def session(server):
    """Every process that belongs to the server, wherever in the tree: it has a session of its own."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _session_of(entry) == server.pid:
            members.append(int(entry))
    return members


def _session_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return None  # it has just ended


class Clients:
    """Ask again and again over fresh connections, a few at a time; `refused` collects what must never happen."""

    def __init__(self, server, number=2, path="/"):
        self._server = server
        self._path = path
        self._is_over = threading.Event()
        self.refused = []
        self.statuses = set()
        self._threads = [threading.Thread(target=self._ask) for _ in range(number)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        while not self._is_over.is_set():
            try:
                self.statuses.add(self._server.get(self._path).status_code)
            except httpx.ConnectError as error:
                self.refused.append(error)
            except httpx.HTTPError:
                pass  # the process that had taken the request was killed
            self._is_over.wait(0.02)
