"""Errors that this package raises on purpose."""

from __future__ import annotations

from typing import Any


class FirehotError(Exception):
    """Base of every error of this package."""


class ChannelClosed(FirehotError):
    """The process at the other end of a control channel is gone."""


class ChannelGarbled(FirehotError):
    """What arrived on a control channel is no message."""


class Deadline(FirehotError, TimeoutError):
    """A wait took too long.

    Args:
        awaited: what was waited for, as in "waited 5 s for ...".
        seconds: how long.
    """

    def __init__(self, awaited: str, seconds: float) -> None:
        super().__init__(f"waited {seconds:g} s for {awaited}")
        self.awaited = awaited
        self.seconds = seconds

    def __reduce__(self) -> tuple[type[Deadline], tuple[str, float]]:
        return type(self), (self.awaited, self.seconds)


class IsolatedError(FirehotError):
    """A function raised in its process.

    The exception itself is the `__cause__`, where it can be pickled; the traceback of the process is shown as a note.

    Attributes:
        process_name: which process.
        type_name: the name of the exception's class, such as `"ValueError"`; empty where the process just ended.
        message: `str()` of the exception.
        traceback: the whole text that the interpreter would have printed; empty where the process just ended.
    """

    def __init__(self, process_name: str, type_name: str, message: str, traceback: str) -> None:
        super().__init__(f"{process_name} raised {type_name}{': ' if message else ''}{message}")
        self.process_name = process_name
        self.type_name = type_name
        self.message = message
        self.traceback = traceback
        if traceback:
            self.add_note(traceback.rstrip())

    def __reduce__(self) -> tuple[type[IsolatedError], tuple[Any, ...]]:
        return type(self), (self.process_name, self.type_name, self.message, self.traceback)


class IsolatedExit(IsolatedError):
    """A process ended without an answer: it was stopped or killed, or it exited.

    Attributes:
        how: in words, such as "was killed by SIGKILL".
        status: the exit status, negative for the signal that killed it; None where it is not known.
    """

    def __init__(self, process_name: str, how: str, status: int | None) -> None:
        super().__init__(process_name, "", "", "")
        self.args = (f"{process_name} {how} before it returned a value",)
        self.how = how
        self.status = status

    def __reduce__(self) -> tuple[type[IsolatedExit], tuple[Any, ...]]:
        return type(self), (self.process_name, self.how, self.status)


class CannotSend(FirehotError, TypeError):
    """A function or an argument of it cannot be sent to another process."""


class CannotPreload(FirehotError, ImportError):
    """A third-party module that the package imports cannot be imported by a template; the message names the file."""


class EnvironmentEnded(FirehotError):
    """The environment was closed, or belongs to another process, or its templates cannot be started."""


class NoFork(FirehotError, OSError):
    """This system cannot fork processes: whatever reloads there, it is not this package."""
