"""Orphans: a process whose parent has ended becomes a child of process 1, which has to reap it. In a container that may
be the supervisor.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Self


class Orphans:
    """While entered, `reap` reaps them, and the end of one wakes `signal.set_wakeup_fd`; does nothing in any other
    process.
    """

    def __init__(self) -> None:
        self._is_needed = os.getpid() == 1
        self._previous: Any = None

    def __enter__(self) -> Self:
        if self._is_needed:
            self._previous = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_needed:
            signal.signal(signal.SIGCHLD, self._previous)

    def reap(self, known: Callable[[], Container[int]], tell: Callable[[int, int], None]) -> None:
        """Reap those that have ended.

        Args:
            known: tells the process ids of children that others reap.
            tell: called with each process id and its `waitpid` status.
        """
        while self._is_needed:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid in known():
                return  # who reaps that one looks here again
            tell(*os.waitpid(ended.si_pid, 0))
