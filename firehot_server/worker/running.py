"""Is a module of the project running, and in which threads?"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RunningModules:
    """Entered by each thread for as long as it runs a module of the project; again for one that this one imports.

    Args:
        changed: called when the first one begins, and when the last one has ended.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._number = 0
        self._own = threading.local()
        self._bystanders: frozenset[int] = frozenset()
        """Threads that were there before the first of them."""

    def __enter__(self) -> None:
        self._own.depth = getattr(self._own, "depth", 0) + 1
        with self._lock:
            self._number += 1
            if self._number == 1:
                self._bystanders = frozenset(sys._current_frames())
                self._changed()

    def __exit__(self, *exc_info: object) -> None:
        self._own.depth -= 1
        with self._lock:
            self._number -= 1
            if self._number == 0:
                self._changed()

    def __bool__(self) -> bool:
        """Any is running."""
        return self._number > 0

    @property
    def is_here(self) -> bool:
        """In this thread, or in one that may have started it."""
        if not self._number:
            return False
        return getattr(self._own, "depth", 0) > 0 or threading.get_ident() not in self._bystanders
