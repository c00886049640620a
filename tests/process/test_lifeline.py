"""A lifeline ends its process, whatever that process does, and whoever else dies."""

import contextlib
import os
import re
import select
import signal
import threading
from itertools import repeat

import pytest

from firehot_server import lifeline
from tests.support.processes import forked, is_alive, open_descriptors, state
from tests.support.waiting import SECONDS, until


def sleep():
    signal.pause()


def spin():
    while True:
        pass


def sum_in_c():
    sum(range(10**18))


def match_in_c():
    re.match(r"(a+)+$", "a" * 200 + "b")


def consume_in_c():
    all(repeat(True))


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)
    spin()


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    spin()


def hold_the_gil_in_a_thread():
    threading.Thread(target=sum_in_c).start()
    signal.pause()


def refuse_to_exit():
    try:
        spin()
    finally:
        spin()


@pytest.fixture
def line():
    """A lifeline; what of it is still open at the end is closed."""
    read_end, write_end = lifeline.create()
    identity = os.fstat(read_end).st_ino
    yield read_end, write_end
    for fd in (read_end, write_end):
        try:
            if os.fstat(fd).st_ino == identity:
                os.close(fd)
        except OSError:
            pass  # the test has closed it


@contextlib.contextmanager
def tied(line, function, held=()):
    """A forked child that has tied itself to the lifeline, and goes on with `function`.

    `held`: further writing ends of this process, of which the child must not have copies.
    """
    read_end, write_end = line
    ready_end, tell_end = os.pipe()

    def live():
        for fd in (write_end, *held):
            os.close(fd)
        lifeline.tie(read_end)
        os.write(tell_end, b"1")
        function()

    with forked(live) as process:
        os.close(tell_end)
        assert told(ready_end) == b"1"
        os.close(ready_end)
        yield process


def told(read_end):
    """What was written into a pipe, waited for."""
    readable, _, _ = select.select([read_end], [], [], SECONDS)
    assert readable, "nothing came through the pipe"
    return os.read(read_end, 32)


@pytest.mark.parametrize(
    "function",
    [
        sleep,
        spin,
        sum_in_c,
        match_in_c,
        consume_in_c,
        ignore_signals,
        block_signals,
        hold_the_gil_in_a_thread,
        refuse_to_exit,
    ],
)
def test_cutting_ends_the_process(line, function):
    """By SIGKILL from the kernel: no Python code of the process has a say."""
    with tied(line, function) as process:
        assert process.poll() is None
        os.close(line[1])
        assert process.wait() == -signal.SIGKILL


def test_a_process_lives_while_its_lifeline_is_held(line):
    """Only the last holder's end cuts it."""
    copy = os.dup(line[1])
    with tied(line, sleep, held=[copy]) as process:
        os.close(line[1])
        os.kill(process.pid, signal.SIGCONT)
        assert process.poll() is None
        assert state(process.pid) in "RS"
        os.close(copy)
        assert process.wait() == -signal.SIGKILL


def test_a_stopped_process_is_ended(line):
    """Ctrl-Z or a debugger does not protect it."""
    with tied(line, sleep) as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: state(process.pid) == "T", "the process to stop")
        os.close(line[1])
        assert process.wait() == -signal.SIGKILL


def test_a_lifeline_that_was_cut_before_it_was_tied(line):
    """The process ends when it ties itself: its holder died in between."""
    read_end, write_end = line
    os.close(write_end)

    def live():
        lifeline.tie(read_end)
        sleep()

    with forked(live) as process:
        assert process.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_a_lifeline_that_is_cut_while_it_is_tied():
    """However the two meet, the process ends."""
    for _ in range(30):
        read_end, write_end = lifeline.create()

        def live(read_end=read_end, write_end=write_end):
            os.close(write_end)
            lifeline.tie(read_end)
            sleep()

        with forked(live) as process:
            os.close(write_end)
            assert process.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL)
        os.close(read_end)


def test_the_death_of_the_holder_ends_the_process():
    """SIGKILL leaves the holder no time for anything: its child ends all the same."""
    told_end, tell_end = os.pipe()

    def hold():
        read_end, write_end = lifeline.create()

        def live():
            os.close(write_end)
            lifeline.tie(read_end)
            os.write(tell_end, b"%d" % os.getpid())
            sum_in_c()

        with forked(live):
            os.close(read_end)
            sleep()

    with forked(hold) as holder:
        os.close(tell_end)
        pid = int(told(told_end))
        os.close(told_end)
        assert is_alive(pid)
        os.kill(holder.pid, signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        try:
            until(lambda: not is_alive(pid), "the end of the held process")
        finally:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_each_process_has_its_own(line):
    """Cutting one lifeline leaves its siblings, and the parent whose lifeline it is not, alone."""
    others = lifeline.create()
    with tied(line, sleep) as process, tied(others, sleep, held=[line[1]]) as other:
        os.close(line[1])
        assert process.wait() == -signal.SIGKILL
        assert other.poll() is None
        os.close(others[1])
        assert other.wait() == -signal.SIGKILL
    os.close(others[0])


def test_a_fork_of_a_tied_process_ties_itself_anew(line):
    """As the template's copies do: the copy ends with its own lifeline, and does not end its parent."""
    told_end, tell_end = os.pipe()
    second = lifeline.create()

    def live():
        def fork():
            os.close(second[1])
            lifeline.tie(second[0])
            os.close(line[0])
            os.write(tell_end, b"%d" % os.getpid())
            sleep()

        os.close(line[1])
        lifeline.tie(line[0])
        with forked(fork) as copy:
            os.close(second[0])
            os.close(second[1])
            assert copy.wait() == -signal.SIGKILL
            os.write(tell_end, b"survived")
            sleep()

    with forked(live) as process:
        os.close(tell_end)
        assert int(told(told_end))
        os.close(second[1])
        assert told(told_end) == b"survived"
        os.close(line[1])
        assert process.wait() == -signal.SIGKILL
    os.close(second[0])
    os.close(told_end)


def test_a_lifeline_is_not_inherited_by_programs():
    """A program that the holder starts would keep it from ever being cut."""
    before = open_descriptors("self")
    ends = lifeline.create()
    assert not any(map(os.get_inheritable, ends))
    for fd in ends:
        os.close(fd)
    assert open_descriptors("self") == before
