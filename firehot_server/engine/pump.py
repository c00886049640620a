"""Waiting, without a thread of our own: whoever waits delivers what the processes say, for all who wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from firehot_server.errors import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.supervisor.alarms import Alarms
    from firehot_server.supervisor.switchboard import Switchboard


class Pump:
    """A lock and a way to wait with it. Several threads may wait; one of them at a time turns the switchboard.

    No thread is started: a program that has one cannot fork without a warning (Python 3.12).

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
        self._is_turned = False

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._condition.release()

    def wait(self, is_done: Callable[[], bool], awaited: str, seconds: float | None = None) -> None:
        """Give up the lock until `is_done()`, which is asked with the lock held.

        Args:
            awaited: what is waited for, as in "waited 5 s for ...".
            seconds: None waits for ever.

        Raises:
            Deadline: it was not done in time.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not is_done():
            now = time.monotonic()
            if deadline is not None and seconds is not None and now >= deadline:
                raise Deadline(awaited, seconds)
            self._let_happen(self._seconds_left(now, deadline))
            self._ring()

    def catch_up(self) -> None:
        """Deliver what has arrived, without waiting."""
        if not self._is_turned:
            self._switchboard.turn(0)

    def _seconds_left(self, now: float, deadline: float | None) -> float | None:
        left = [deadline - now] if deadline is not None else []
        alarm = self._alarms.seconds_left(now)
        return min([*left, alarm] if alarm is not None else left, default=None)

    def _let_happen(self, seconds: float | None) -> None:
        if self._is_turned:
            self._condition.wait(seconds)  # another thread delivers, and wakes this one
            return
        self._is_turned = True
        try:
            self._condition.release()
            try:
                ready = self._switchboard.wait(seconds)
            finally:
                self._condition.acquire()
            self._switchboard.deliver(ready)
        finally:
            self._is_turned = False
            self._condition.notify_all()

    def _ring(self) -> None:
        for ring in self._alarms.pop_due(time.monotonic()):
            ring()
