"""Waiting, without a thread of our own: whoever waits delivers what the processes say, for all who wait."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from firehot_server.errors import Deadline, EnvironmentEnded
from firehot_server.messages import DEFERRED_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import SelectorKey

    from firehot_server.supervisor.alarms import Alarms
    from firehot_server.supervisor.switchboard import Switchboard

_HELD: Final = frozenset(DEFERRED_SIGNALS)


class Pump:
    """A lock and a way to wait with it. Several threads may wait; one of them at a time turns the switchboard.

    No thread is started: a program that has one cannot fork without a warning (Python 3.12). Signal handlers of the
    program run while it waits, and not while something is half done: an exception from one would leave it so.

    Args:
        switchboard: is used with the lock held only.
        alarms: their names are called when they are due.

    Example:
        ```python
        with pump:
            order_a_process()
            pump.wait(lambda: has_come, "a process to be forked", seconds=30.0)
        ```
    """

    def __init__(self, switchboard: Switchboard, alarms: Alarms[Callable[[], None]]) -> None:
        self._switchboard = switchboard
        self._alarms = alarms
        self._condition = threading.Condition(threading.Lock())
        self._masks: list[set[int]] = []
        """The main thread's signal masks, to be restored."""
        self._turning: int | None = None
        """The thread that waits for the switchboard."""
        self._closed = ""
        """Why nothing is delivered any more."""
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake_end, False)
        switchboard.listen(_Descriptor(self._wake_end), self._woken)

    def __enter__(self) -> None:
        self._hold_signals()
        self._condition.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._condition.release()
        self._let_signals()

    def wait(self, is_done: Callable[[], bool], awaited: str, seconds: float | None = None) -> None:
        """Give up the lock until `is_done()`, which is asked with the lock held.

        Args:
            awaited: what is waited for, as in "waited 5 s for ...".
            seconds: None waits for ever; 0 delivers what is there.

        Raises:
            Deadline: it was not done in time.
            EnvironmentEnded: it will not be done, for the pump is closed.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        is_late = False
        while not is_done():
            if self._closed:
                raise EnvironmentEnded(self._closed)
            if is_late and seconds is not None:
                raise Deadline(awaited, seconds)
            self._let_happen(self._seconds_left(deadline))
            self._ring()
            is_late = deadline is not None and time.monotonic() >= deadline

    def catch_up(self) -> None:
        """Deliver what has arrived, without waiting."""
        if not self._closed and self._turning is None:
            self._switchboard.turn(0)

    @property
    def is_closed(self) -> bool:
        """Nothing is delivered any more."""
        return bool(self._closed)

    def close(self, reason: str) -> None:
        """Deliver nothing any more. Everybody who waits is told so; needs the lock."""
        self._closed = reason
        os.write(self._wake, b"\0")
        while self._turning not in (None, threading.get_ident()):
            self._condition.wait()
        self._switchboard.close()
        self._close_pipe()
        self._condition.notify_all()

    def disown(self, reason: str) -> None:
        """The same in a copy of the process, by fork, whose original goes on: without the lock, which may be held."""
        self._closed = reason
        self._condition = threading.Condition(threading.Lock())
        self._masks.clear()
        self._switchboard.close()
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._wake_end)
        os.close(self._wake)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_end, 512)

    def _seconds_left(self, deadline: float | None) -> float | None:
        now = time.monotonic()
        left = [max(deadline - now, 0.0)] if deadline is not None else []
        alarm = self._alarms.seconds_left(now)
        return min([*left, alarm] if alarm is not None else left, default=None)

    def _let_happen(self, seconds: float | None) -> None:
        thread = threading.get_ident()
        if self._turning not in (None, thread):
            self._let_signals()
            try:
                self._condition.wait(seconds)  # another thread delivers, and wakes this one
            finally:
                self._hold_signals()
            return
        former, self._turning = self._turning, thread  # the same thread again: in a signal handler, while it waits
        try:
            ready = self._select(seconds)
            if not self._closed:
                self._switchboard.deliver(ready)
        finally:
            self._turning = former
            self._condition.notify_all()
            if former is not None and not self._closed:
                os.write(self._wake, b"\0")  # what it waits for may have come just now

    def _select(self, seconds: float | None) -> list[SelectorKey]:
        self._condition.release()
        try:
            self._let_signals()
            return self._switchboard.wait(seconds)
        except (OSError, ValueError):
            if not self._closed:  # by a signal handler, meanwhile
                raise
            return []
        finally:
            try:
                self._hold_signals()
            finally:
                self._condition.acquire()

    def _hold_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # handlers run in the main thread only
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        except BaseException:  # of a handler that was due
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        self._masks.append(mask)

    def _let_signals(self) -> None:
        if threading.current_thread() is threading.main_thread() and self._masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop())

    def _ring(self) -> None:
        for ring in self._alarms.pop_due(time.monotonic()):
            ring()


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd
