"""What forbids a fork in the middle of an import. In forked children, which have it to themselves."""

import os
import signal
import socket
import subprocess
import threading

import pytest

from firehot_server.audit import PauseAuditor
from tests.support.processes import in_fork


def paused(leave, *, ours=()):
    """What forbids a fork after this was done, in a process of its own."""

    def run():
        auditor = PauseAuditor(lambda: ours)
        kept = leave()
        found = auditor.check()
        del kept
        return found

    return in_fork(run)


def leave_dead_child():
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child


def leave_thread():
    thread = threading.Thread(target=threading.Event().wait, name="poll", daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("leave", "expected"),
    [
        (lambda: None, ()),
        (lambda: open(__file__).close(), ()),
        (lambda: os.open(os.devnull, os.O_RDWR), ()),
        (lambda: os.open(__file__, os.O_RDONLY), ("it left a file for reading open",)),
        (lambda: socket.socket(), ("it left a socket open",)),
        (lambda: os.pipe(), ("it left a pipe open",)),
        (lambda: signal.setitimer(signal.ITIMER_REAL, 1000), ("it left a timer running",)),
        (lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 1000), ("it left a timer running",)),
        (leave_thread, ("it left a thread running (poll)",)),
        (leave_dead_child, ("it left a child process running",)),
    ],
)
def test_what_forbids_a_fork_in_the_middle_of_an_import(leave, expected):
    """Whatever a copy would share, or lose."""
    assert paused(leave) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_WRONLY | os.O_APPEND, ()),
        (os.O_WRONLY, ("it left a file for writing open",)),
        (os.O_RDWR, ("it left a file for writing open",)),
    ],
)
def test_a_file_that_is_open_in_the_middle_of_an_import(tmp_path, flags, expected):
    """Two processes that append do not disturb each other; two that write do."""
    (tmp_path / "file").touch()

    assert paused(lambda: os.open(tmp_path / "file", flags)) == expected


def test_what_was_there_before_the_import_does_not_forbid_a_fork():
    """The template had it: it was audited then."""
    with socket.socket():
        assert paused(lambda: None) == ()


def test_what_a_copy_was_given_does_not_forbid_a_fork():
    """It goes on with what its parent had."""

    def run():
        auditor = PauseAuditor(tuple)
        with socket.socket():
            before = auditor.check()
            auditor.rebase()
            return before, auditor.check()

    assert in_fork(run) == (("it left a socket open",), ())


def test_the_channel_does_not_forbid_a_fork():
    """It is asked for anew each time, since a copy has another."""

    def run():
        ours = set()
        auditor = PauseAuditor(lambda: ours)
        with socket.socket() as own:
            ours.add(own.fileno())
            return auditor.check()

    assert in_fork(run) == ()
