"""Signals arrive as data."""

import os
import select
import signal
import threading

import pytest

from firehot_server.supervisor.signals import SignalPipe
from tests.support.processes import forked, in_fork, open_descriptors
from tests.support.waiting import SECONDS, until

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def signals():
    with SignalPipe() as signals:
        yield signals


def is_readable(source, seconds=0):
    return bool(select.select([source], [], [], seconds)[0])


@pytest.mark.parametrize("number", HANDLED, ids=lambda number: number.name)
def test_a_signal_wakes_and_is_taken_once(signals, number):
    """It interrupts nothing."""
    assert not is_readable(signals)
    signal.raise_signal(number)
    assert is_readable(signals, SECONDS)
    assert signals.take() == [number]
    assert not is_readable(signals)
    assert signals.take() == []


def test_signals_are_taken_in_order(signals):
    """Every one of them, as often as it came."""
    sent = [signal.SIGINT, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    for number in sent:
        signal.raise_signal(number)
    assert signals.take() == sent


def test_a_signal_from_another_process_wakes(signals):
    """Ctrl-C in a terminal, or `kill`."""
    parent = os.getpid()
    with forked(lambda: os.kill(parent, signal.SIGHUP)) as child:
        assert is_readable(signals, SECONDS)
        heard = []
        until(lambda: heard.extend(signals.take()) or signal.SIGHUP in heard, "SIGHUP")
        child.wait()
    assert heard == [signal.SIGHUP]


def test_waking_is_not_a_signal(signals):
    """Another thread wakes the selector; there is nothing to take."""
    thread = threading.Thread(target=signals.wake)
    thread.start()
    assert is_readable(signals, SECONDS)
    thread.join()
    assert signals.take() == []
    assert not is_readable(signals)


def test_a_full_pipe_stops_nobody(signals):
    """Far more wake-ups and signals than a pipe holds: neither waits nor is lost."""
    for _ in range(100_000):
        signals.wake()
    for _ in range(1000):
        signal.raise_signal(signal.SIGHUP)
    assert signals.take() == [signal.SIGHUP] * 1000
    assert not is_readable(signals)
    signals.wake()
    assert is_readable(signals)


def test_a_signal_while_taking_is_not_lost(signals):
    """It is taken now, or it wakes again."""
    parent = os.getpid()
    count = 2000

    def send():
        for _ in range(count):
            os.kill(parent, signal.SIGHUP)

    heard = []
    with forked(send) as child:
        until(lambda: child.poll() is not None or (is_readable(signals) and heard.extend(signals.take())), "the end")
    heard += signals.take()
    signal.raise_signal(signal.SIGHUP)
    assert is_readable(signals)
    assert signals.take()[-1] == signal.SIGHUP
    assert set(heard) >= {signal.SIGHUP}


def test_handlers_and_descriptors_are_as_before_afterwards():
    """Also the wake-up descriptor that somebody else had set."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def run():
        handlers = [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None]
        for number, handler in zip(HANDLED, handlers, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(write_end)
        before = open_descriptors("self")
        with SignalPipe():
            pass
        assert [signal.getsignal(number) for number in HANDLED] == handlers
        assert signal.set_wakeup_fd(-1) == write_end
        assert open_descriptors("self") == before

    in_fork(run)
    os.close(read_end)
    os.close(write_end)


def test_an_error_inside_leaves_nothing_changed():
    """As for any context manager."""
    before = [signal.getsignal(number) for number in HANDLED]
    with pytest.raises(ZeroDivisionError), SignalPipe():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_one_within_another():
    """The inner one takes what comes meanwhile, the outer one what comes afterwards."""
    with SignalPipe() as outer:
        with SignalPipe() as inner:
            signal.raise_signal(signal.SIGHUP)
            assert inner.take() == [signal.SIGHUP]
        signal.raise_signal(signal.SIGTERM)
        assert is_readable(outer)
        assert outer.take() == [signal.SIGTERM]


def test_its_descriptors_are_not_inherited(signals):
    """A program that is started has no part in it."""
    assert not os.get_inheritable(signals.fileno())
    assert not os.get_inheritable(signals._write_end)


def test_waking_afterwards_harms_nobody():
    """A thread that is late writes into no descriptor that has been given to somebody else meanwhile."""
    with SignalPipe() as signals:
        pass
    pipes = [os.pipe() for _ in range(3)]
    try:
        signals.wake()
        assert not any(is_readable(read_end) for read_end, _ in pipes), "it wrote into a foreign pipe"
    finally:
        for fd in (fd for ends in pipes for fd in ends):
            os.close(fd)
