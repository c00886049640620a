"""Errors that this package raises on purpose."""

from __future__ import annotations


class FirehotError(Exception):
    """Base of every error of this package."""


class ChannelClosed(FirehotError):
    """The process at the other end of a control channel is gone."""


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
