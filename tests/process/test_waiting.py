"""A process that waits to be forked: it answers orders, tells how its children end, and ends with its channel.

In forked children, over real channels and lifelines.
"""

import os
import signal
from functools import partial

import pytest

from firehot_server import lifeline
from firehot_server.channel import Channel
from firehot_server.errors import ChannelClosed
from firehot_server.messages import IGNORED_SIGNALS, Exited, Extend, Extended, Fork, Forked, Loaded, Preload
from firehot_server.ties import Ties
from firehot_server.waiting import Waiting, ignore_signals
from tests.support import processes
from tests.support.processes import forked
from tests.support.templates import Worker
from tests.support.waiting import SECONDS, until

# How a process ends whose lifeline was cut: the latter if it had not yet tied itself to it.
CUT = {-signal.SIGKILL, 128 + signal.SIGKILL}


# -- in the processes


def wait(ties, say=lambda ties: ()):
    """Answer orders; a copy tells what `say` finds, and ends as it is told."""
    waiting = Waiting(ties)
    for order in waiting.orders():
        match order:
            case Fork():
                if waiting.fork(order):
                    be_copy(ties, say)
            case Extend():
                offspring = ties.fork()
                if offspring is None:
                    waiting.begin_anew()
                else:
                    ends = {"channel": (offspring.channel,), "lifeline": (offspring.lifeline,)}
                    waiting.send(Extended(offspring.pid, **ends))
            case Preload():
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                waiting.rearm()
                waiting.send(Loaded(("x" * 100_000,)))


def be_copy(ties, say):
    try:
        ties.channel.send(Loaded(tuple(map(str, say(ties)))))
        ties.channel.flush_within(SECONDS)
        os._exit(ties.channel.receive().generation)
    except ChannelClosed:
        os._exit(0)


# -- in the test


class Process:
    """The waiting process, as the supervisor has it."""

    def __init__(self, child, channel, lifeline_fd):
        self.child = child
        self.channel = channel
        self.lifeline = lifeline_fd
        self.copies = []

    @property
    def pid(self):
        return self.child.pid

    def send(self, *messages):
        for message in messages:
            self.channel.send(message)
            self.channel.flush_within(SECONDS)

    def hear(self):
        return self.channel.receive(SECONDS)

    def fork(self):
        """A copy, which has said nothing yet."""
        self.send(Fork())
        return self.take(Forked)

    def take(self, kind):
        message = self.hear()
        assert isinstance(message, kind), message
        self.copies.append(Worker(message))
        return self.copies[-1]

    def exit_code(self):
        """How a child ended, as is told: its process id, and its exit code."""
        message = self.hear()
        assert isinstance(message, Exited), message
        return message.pid, os.waitstatus_to_exitcode(message.status)

    def close(self):
        self.channel.close()
        os.close(self.lifeline)
        for copy in self.copies:
            copy.end()


@pytest.fixture
def start():
    """Starts a process that waits."""
    ends = []

    def start(run=wait):
        ours, theirs = Channel.pair()
        read_end, write_end = lifeline.create()

        def live():
            ours.close()
            os.close(write_end)
            lifeline.tie(read_end)
            run(Ties(theirs, read_end))

        context = forked(live)
        process = Process(context.__enter__(), ours, write_end)
        theirs.close()
        os.close(read_end)
        ends.append((process, context))
        return process

    yield start
    for process, context in ends:
        process.close()
        context.__exit__(None, None, None)


@pytest.fixture
def waiting(start):
    return start()


def test_a_copy_speaks_over_a_channel_of_its_own(start):
    """It is a child of the process that waits, and is another one."""
    waiting = start(partial(wait, say=lambda ties: (os.getpid(), os.getppid())))
    copies = [waiting.fork(), waiting.fork()]
    assert [copy.hear() for copy in copies] == [Loaded((str(copy.pid), str(waiting.pid))) for copy in copies]
    assert sorted(processes.children(waiting.pid)) == sorted(copy.pid for copy in copies)


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_end_of_a_copy_is_told(waiting, code):
    """With its status."""
    copy = waiting.fork()
    copy.begin(code)
    assert waiting.exit_code() == (copy.pid, code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, signal.SIGUSR2])
def test_the_end_by_a_signal_is_told(waiting, number):
    """With the signal."""
    copy = waiting.fork()
    copy.hear()
    os.kill(copy.pid, number)
    assert waiting.exit_code() == (copy.pid, -number)


def test_orders_that_come_at_once_are_answered_one_by_one(start):
    """By the process that waits: a copy is not asked what its parent was asked."""
    waiting = start(partial(wait, say=lambda _: ("copy",)))
    for _ in range(5):
        waiting.channel.send(Fork())
    waiting.channel.flush_within(SECONDS)
    copies = [waiting.take(Forked) for _ in range(5)]
    assert [copy.hear() for copy in copies] == [Loaded(("copy",))] * 5
    for copy in copies:
        copy.begin(0)
    assert sorted(waiting.exit_code() for _ in copies) == sorted((copy.pid, 0) for copy in copies)
    assert processes.children(waiting.pid) == []


def test_copies_that_end_at_the_same_time_are_all_told_of(waiting):
    """Each once, and none is left as a zombie."""
    copies = [waiting.fork() for _ in range(20)]
    for copy in copies:
        copy.cut()
    told = [waiting.exit_code() for _ in copies]
    assert sorted(pid for pid, _ in told) == sorted(copy.pid for copy in copies)
    assert {code for _, code in told} <= CUT
    assert processes.children(waiting.pid) == []


def test_copies_leave_nothing_open(waiting):
    """The process that waits has as many descriptors as before."""
    waiting.fork().begin(0)
    waiting.exit_code()
    before = processes.open_descriptors(waiting.pid)
    for _ in range(20):
        waiting.fork().begin(0)
        waiting.exit_code()
    assert processes.open_descriptors(waiting.pid) == before


def test_a_copy_has_its_own_ties_only(start):
    """Not those of its parent: else the end of the one would not be seen while the other lives."""

    def run(ties):
        before = ties.descriptors

        def say(ties):
            return len(ties.descriptors), any(map(processes.is_open, before - ties.descriptors)), ties.mask

        wait(ties, say)

    waiting = start(run)
    copy = waiting.fork()
    assert copy.hear() == Loaded(("2", "False", "set()"))
    until(
        lambda: processes.open_descriptors(copy.pid) == processes.open_descriptors(waiting.pid) - 2,
        "the same descriptors in both, but for the pipe by which a process that waits is woken",
    )


def test_a_process_that_waits_ends_with_its_channel(waiting):
    """The supervisor is gone; but a copy has a channel of its own."""
    copy = waiting.fork()
    copy.hear()
    waiting.channel.close()
    assert waiting.child.wait() == 0
    assert processes.is_alive(copy.pid)
    copy.channel.close()
    until(lambda: not processes.is_alive(copy.pid), "the end of the copy")


def test_lifelines_are_cut_one_by_one(waiting):
    """That of a copy ends the copy, that of the process ends the process."""
    first, second = waiting.fork(), waiting.fork()
    second.hear()
    first.cut()
    assert waiting.exit_code()[0] == first.pid
    assert processes.is_alive(second.pid)
    os.close(waiting.lifeline)
    waiting.lifeline = os.open(os.devnull, os.O_RDONLY)
    assert waiting.child.wait() == -signal.SIGKILL
    assert processes.is_alive(second.pid)


def test_a_copy_that_waits_as_well(waiting):
    """It answers its own orders, and tells of its own children; its parent goes on with its own."""
    waiting.send(Extend(()))
    copy = waiting.take(Extended)
    copy.channel.send(Fork())
    grandchild = Worker(copy.hear())
    waiting.copies.append(grandchild)
    sibling = waiting.fork()
    assert processes.children(copy.pid) == [grandchild.pid]
    assert sorted(processes.children(waiting.pid)) == sorted([copy.pid, sibling.pid])
    grandchild.begin(4)
    sibling.begin(5)
    assert waiting.exit_code() == (sibling.pid, 5)
    assert copy.hear() == Exited(grandchild.pid, 4 << 8)
    copy.channel.close()
    assert waiting.exit_code() == (copy.pid, 0)


def test_what_an_import_does_to_the_handler_is_undone(waiting):
    """The ends of children are seen again after `rearm`."""
    copy = waiting.fork()
    waiting.send(Preload(()))
    assert isinstance(waiting.hear(), Loaded)
    copy.begin(7)
    assert waiting.exit_code() == (copy.pid, 7)


def test_what_it_says_while_nobody_listens_arrives_later(waiting):
    """It does not wait for that: it answers what else it is asked."""
    for _ in range(50):
        waiting.send(Preload(()))
    waiting.send(Fork())
    until(lambda: len(processes.children(waiting.pid)) == 1, "the copy")
    assert [type(waiting.hear()) for _ in range(50)] == [Loaded] * 50
    waiting.take(Forked)


# -- signals


def blocked():
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_signals_of_the_group_wait_until_the_copy_is_ready(start):
    """They are blocked from the fork on, whatever becomes of them; in the process that waits they are not."""
    waiting = start(partial(wait, say=lambda ties: [set(IGNORED_SIGNALS) <= blocked(), *sorted(ties.mask)]))
    assert waiting.fork().hear() == Loaded(("True",))

    def run(ties):
        ignore_signals()
        wait(ties)

    waiting = start(run)
    copy = waiting.fork()
    for number in IGNORED_SIGNALS:
        os.kill(waiting.pid, number)
        os.kill(copy.pid, number)
    copy.begin(3)
    assert waiting.exit_code() == (copy.pid, 3)
    waiting.channel.close()
    assert waiting.child.wait() == 0


def handle(*_arguments):
    pass


@pytest.mark.parametrize("former", [signal.SIG_DFL, signal.SIG_IGN, handle])
def test_a_copy_has_the_handler_that_was_there_before(start, former):
    """Of ended children, and with it no descriptor that wakes."""

    def run(ties):
        signal.signal(signal.SIGCHLD, former)
        wait(ties, lambda _: (signal.getsignal(signal.SIGCHLD) == former, signal.set_wakeup_fd(-1)))

    assert start(run).fork().hear() == Loaded(("True", "-1"))


@pytest.mark.parametrize("disposition", [signal.SIG_DFL, signal.default_int_handler, handle])
def test_what_was_done_about_each_signal_is_remembered(disposition):
    """So that a copy can do it again."""

    def run():
        for number in IGNORED_SIGNALS:
            signal.signal(number, disposition)
        former = ignore_signals()
        now = {signal.getsignal(number) for number in IGNORED_SIGNALS}
        return set(former) == set(IGNORED_SIGNALS), set(former.values()) == {disposition}, now == {signal.SIG_IGN}

    assert processes.in_fork(run) == (True, True, True)
