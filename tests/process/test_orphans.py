"""Process 1 of a container reaps what it has not started itself. In forked children, which take themselves for it."""

import os
import signal
import subprocess

import pytest

from firehot_server.supervisor import orphans
from firehot_server.supervisor.orphans import Orphans
from tests.support import processes
from tests.support.processes import in_fork
from tests.support.waiting import until


@pytest.fixture
def process_1(monkeypatch):
    """Forked children are process 1."""
    monkeypatch.setattr(orphans.os, "getpid", lambda: 1)


def start(*command):
    process = subprocess.Popen(command)
    process.returncode = 0  # nobody waits for it but those that the test is about
    return process.pid


def ended(*command):
    """The process id of one that has ended and was not reaped."""
    pid = start(*command)
    until(lambda: processes.state(pid) == "Z", "its end")
    return pid


def reap(*known):
    """The exit codes that were told, in order."""
    told = []
    with Orphans() as entered:
        entered.reap(lambda: known, lambda pid, status: told.append((pid, os.waitstatus_to_exitcode(status))))
    return told


def test_what_has_ended_is_reaped_and_told(process_1):
    """All of it, with its status; nothing that lives."""

    def run():
        alive, first, second = start("sleep", "600"), ended("sh", "-c", "exit 3"), ended("true")
        try:
            return sorted(reap()) == sorted([(first, 3), (second, 0)]), processes.is_alive(alive), reap()
        finally:
            os.kill(alive, signal.SIGKILL)
            os.waitpid(alive, 0)

    assert in_fork(run) == (True, True, [])


def test_those_that_others_reap_are_left_to_them(process_1):
    """Their status is theirs; what ended after them is reaped when they are gone."""

    def run():
        known, orphan = ended("sh", "-c", "exit 3"), ended("true")
        assert (known, 3) not in reap(known)
        assert os.waitstatus_to_exitcode(os.waitpid(known, 0)[1]) == 3
        reap(known)
        return processes.state(orphan)

    assert in_fork(run) is None


def test_an_end_wakes_who_listens(process_1):
    """By the descriptor that signals wake."""

    def run():
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)
        with Orphans():
            os.waitpid(ended("true"), 0)
            return os.read(read_end, 1)

    assert in_fork(run) == bytes([signal.SIGCHLD])


def test_no_other_process_reaps():
    """Whoever started it may wait for children of its own."""

    def run():
        pid = ended("true")
        return reap(), processes.state(pid), signal.getsignal(signal.SIGCHLD)

    assert in_fork(run) == ([], "Z", signal.SIG_DFL)


def test_nothing_to_reap(process_1):
    """No child at all."""
    assert in_fork(reap) == []
