"""A progress line that is gone when it is done, and modes that are as they were."""

import io
import os
import termios

import pytest

from firehot_server.supervisor import terminal
from firehot_server.supervisor.terminal import ProgressLine, TerminalModes

CLEAR = "\r\x1b[2K"


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    return Screen()


# -- the progress line


def test_each_text_overwrites_the_one_before(screen):
    """On the same line."""
    line = ProgressLine(screen)
    line.show("Preloading a")
    line.show("Preloading b")

    assert screen.getvalue() == f"{CLEAR}Preloading a{CLEAR}Preloading b"


def test_the_line_leaves_no_trace(screen):
    """Where it was shown; cleared twice is cleared once."""
    line = ProgressLine(screen)
    line.clear()
    line.show("Preloading a")
    line.clear()
    line.clear()

    assert screen.getvalue() == f"{CLEAR}Preloading a{CLEAR}"


@pytest.mark.parametrize(("length", "shown"), [(18, 18), (19, 19), (20, 19), (200, 19)])
def test_the_line_is_cut_to_the_width_of_the_terminal(screen, length, shown):
    """A line that wraps could not be overwritten."""
    ProgressLine(screen).show("x" * length)

    assert screen.getvalue() == CLEAR + "x" * shown


def test_on_anything_but_a_terminal_there_is_no_line():
    """A log file stays free of it."""
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show("Preloading a")
    line.clear()

    assert stream.getvalue() == ""


def test_a_terminal_that_is_gone_is_not_written_to_again(screen):
    """Nobody looks, and the server goes on."""
    line = ProgressLine(screen)
    line.show("a")
    attempts = []

    def fail(text):
        attempts.append(text)
        raise OSError(5, "Input/output error")

    screen.write = fail
    line.show("b")
    line.show("c")
    line.clear()

    assert len(attempts) <= 2


# -- modes


class Tty:
    """A pseudo-terminal, of which this process holds both ends."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        self.stream = os.fdopen(self.slave, "r")

    @property
    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def turn_echo_off(self):
        modes = termios.tcgetattr(self.slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)

    def hang_up(self):
        if self.master is not None:
            os.close(self.master)
            self.master = None


@pytest.fixture
def tty(monkeypatch):
    """The terminal of this process; the test run's own is out of reach."""
    tty = Tty()
    monkeypatch.setattr("sys.stdin", tty.stream)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    yield tty
    tty.hang_up()
    tty.stream.close()


@pytest.fixture
def controlling(monkeypatch, tty):
    """The terminal is the controlling one, as it is for a process that was started from a shell."""
    real = os.tcgetpgrp

    def tcgetpgrp(fd):
        return os.getpgrp() if fd == tty.slave and tty.master is not None else real(fd)

    monkeypatch.setattr(os, "tcgetpgrp", tcgetpgrp)
    return tty


def test_modes_are_restored(controlling):
    """A debugger that was killed may have left the terminal without echo."""
    with TerminalModes():
        controlling.turn_echo_off()
        assert not controlling.echoes

    assert controlling.echoes


def test_modes_are_restored_after_an_error(controlling):
    """However the server ends."""

    def fail():
        controlling.turn_echo_off()
        raise LookupError

    with pytest.raises(LookupError), TerminalModes():
        fail()

    assert controlling.echoes


def test_modes_that_did_not_change_are_not_set(controlling, monkeypatch):
    """To set them would wait for the output to drain."""

    def refuse(*arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(terminal.termios, "tcsetattr", refuse)
    with TerminalModes() as modes:
        assert not modes.is_gone


def test_modes_are_restored_on_a_terminal_that_is_not_the_controlling_one(tty):
    """Process managers start their children in sessions of their own, with the terminal as stdin all the same."""
    with TerminalModes() as modes:
        assert not modes.is_gone
        tty.turn_echo_off()

    assert tty.echoes


def test_a_terminal_that_was_closed_is_gone(controlling):
    """And leaving raises nothing."""
    with TerminalModes() as modes:
        assert not modes.is_gone
        controlling.hang_up()
        assert modes.is_gone


def test_stderr_will_do_if_stdin_is_no_terminal(controlling, monkeypatch):
    """As with `command < /dev/null`."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stderr", controlling.stream)
    with TerminalModes():
        controlling.turn_echo_off()

    assert controlling.echoes


@pytest.mark.parametrize("stdin", ["text", "closed", "none"])
def test_without_a_terminal_there_is_nothing_to_restore(monkeypatch, stdin):
    """Neither is it gone: a SIGHUP is a reload then."""
    stream = None if stdin == "none" else io.StringIO()
    if stdin == "closed":
        stream.close()
    monkeypatch.setattr("sys.stdin", stream)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with TerminalModes() as modes:
        assert not modes.is_gone
