"""Signals, as data: handlers only wake the loop."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from typing import Any

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_at_sigterm() -> None:
    """Until there is a better answer to it. The kernel does not deliver to process 1 of a container what it has no
    handler for, so that `docker stop` would wait for ten seconds.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


class SignalPipe:
    """While entered, signals wake a selector instead of interrupting anything; also wakes for other threads.

    Example:
        ```python
        with SignalPipe() as signals:
            select.select([signals], [], [])
            for number in signals.take(): ...
        ```
    """

    def __init__(self) -> None:
        self._arrived: deque[int] = deque()
        self._previous: dict[int, Any] = {}
        self._previous_fd = -1
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def __enter__(self) -> SignalPipe:
        self._previous_fd = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in _HANDLED:
            self._previous[number] = signal.signal(number, self._arrive)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._read_end)
        write_end, self._write_end = self._write_end, -1  # a late thread must not write into whatever comes next
        os.close(write_end)

    def fileno(self) -> int:
        return self._read_end

    def wake(self) -> None:
        """Wake the selector, from any thread."""
        try:
            os.write(self._write_end, b"\0")
        except (BlockingIOError, OSError):
            pass  # full: it will wake anyway; closed: nobody is left to wake

    def take(self) -> list[int]:
        """The signals since the last call."""
        try:
            while os.read(self._read_end, 4096):
                pass
        except BlockingIOError:
            pass  # empty
        taken = []
        while self._arrived:
            taken.append(self._arrived.popleft())
        return taken

    def _arrive(self, number: int, _frame: object) -> None:
        self._arrived.append(number)
