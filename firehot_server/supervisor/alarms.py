"""Timers by name, for a loop that asks how long it may sleep."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

Name = TypeVar("Name")


class Alarms(Generic[Name]):
    """Deadlines on a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._due: dict[Name, float] = {}

    def set(self, name: Name, due: float) -> None:
        """(Re)start a timer."""
        self._due[name] = due

    def start(self, name: Name, seconds: float | None) -> None:
        """(Re)start a timer that runs out so many seconds from now; None: stop it."""
        if seconds is None:
            self.cancel(name)
        else:
            self.set(name, time.monotonic() + seconds)

    def is_set(self, name: Name) -> bool:
        """Whether this timer runs."""
        return name in self._due

    def cancel(self, name: Name) -> None:
        """Stop a timer, if it runs."""
        self._due.pop(name, None)

    def postpone(self, seconds: float) -> None:
        """All of them: for so long, nobody could do what they are the deadlines of."""
        self._due = {name: due + seconds for name, due in self._due.items()}

    def pop_due(self, now: float) -> list[Name]:
        """Timers that have run out, earliest first."""
        due = sorted((when, index) for index, when in enumerate(self._due.values()) if when <= now)
        names = list(self._due)
        expired = [names[index] for _, index in due]
        for name in expired:
            del self._due[name]
        return expired

    def seconds_left(self, now: float) -> float | None:
        """Until the next one; None where there is none."""
        return max(min(self._due.values()) - now, 0.0) if self._due else None
