"""What ties a process to the supervisor, its channel and its lifeline; and the fork that gives a copy its own."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from dataclasses import dataclass

from firehot_server import lifeline
from firehot_server.audit import count_native_threads
from firehot_server.channel import Channel
from firehot_server.messages import IGNORED_SIGNALS
from firehot_server.output import flush_output


@dataclass(frozen=True, slots=True)
class Offspring:
    """A process that was just forked: what the supervisor needs to have of it, to be sent there."""

    pid: int
    channel: int
    lifeline: int


class Ties:
    """Those of this process.

    Args:
        channel: its end of the control channel.
        lifeline_fd: its end of its lifeline, which it is tied to already.
    """

    def __init__(self, channel: Channel, lifeline_fd: int) -> None:
        self.channel = channel
        self._lifeline_fd = lifeline_fd
        self.mask: set[int] = set()
        """In a copy: the signals that were blocked before the fork."""
        self.is_favourite = False
        """In a copy that was ordered: it will probably be needed next."""

    @property
    def descriptors(self) -> frozenset[int]:
        """The numbers of those that this process has open for its ties."""
        return self.channel.descriptors | {self._lifeline_fd}

    def fork(self) -> Offspring | None:
        """Fork: the offspring, in the parent; None in the copy, whose ties are its own from then on.

        The copy has `IGNORED_SIGNALS` blocked: what comes before it has its own dispositions is kept for then. See
        `mask`.

        Raises:
            OSError: the system refuses another process, or its descriptors; all is as before.
        """
        with contextlib.ExitStack() as undo:
            ours, theirs = Channel.pair()
            undo.callback(ours.close)
            undo.callback(theirs.close)
            read_end, write_end = lifeline.create()
            undo.callback(os.close, read_end)
            undo.callback(os.close, write_end)
            flush_output()
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
            undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
            pid = _fork()
            undo.pop_all()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            ours.close()
            os.close(read_end)
            return Offspring(pid, theirs.detach(), write_end)
        theirs.close()
        os.close(write_end)
        lifeline.tie(read_end)
        self.channel.close()
        os.close(self._lifeline_fd)
        ours.take_over()
        self.channel, self._lifeline_fd, self.mask = ours, read_end, mask
        return None


def _fork() -> int:
    """Where threads of native code run, Python 3.12 warns; what survives a fork was allowed by the audit."""
    if count_native_threads() == 1:
        return os.fork()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return os.fork()
