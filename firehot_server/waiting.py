"""A process that waits to be forked, as template and checkpoints do: it answers orders and reaps its children."""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

from firehot_server.messages import IGNORED_SIGNALS, Exited, Forked, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firehot_server.messages import Fork, Message
    from firehot_server.ties import Ties


class Waiting:
    """This process from now on, until it goes on in a copy of itself.

    Args:
        ties: its channel brings orders, and takes what it has to say.
    """

    def __init__(self, ties: Ties) -> None:
        self._ties = ties
        self._wakeup = _ChildWakeup()
        self._inbox: deque[Message] = deque()

    def orders(self) -> Iterator[Message]:
        """What the supervisor asks for, until it is gone.

        Raises:
            ChannelClosed: it went while it was being told something.
        """
        while True:
            self._wakeup.wait(self._ties)
            self._ties.channel.flush()
            self._report_exits()
            self._inbox += self._ties.channel.receive_available()
            while self._inbox:
                yield self._inbox.popleft()
            if self._ties.channel.at_eof:
                return

    def fork(self, order: Fork) -> bool:
        """Answer it: True in the copy, which waits no longer."""
        try:
            offspring = self._ties.fork()
        except OSError as error:
            self.send(Refused(str(error)))
            return False
        if offspring is None:
            self.leave()
            self._ties.is_favourite = order.is_favourite
            return True
        self.send(Forked(offspring.pid, channel=(offspring.channel,), lifeline=(offspring.lifeline,)))
        return False

    def send(self, message: Message) -> None:
        """Without waiting: whoever listens may be busy elsewhere, for as long as it likes."""
        self._ties.channel.send(message)

    def rearm(self) -> None:
        """Again be told of ended children: an imported module may have taken the handler for itself."""
        self._wakeup.arm()

    def leave(self) -> None:
        """This process is another now, or a copy: it was not asked what was asked, and its children are not its own."""
        self._inbox.clear()
        self._wakeup.close()

    def begin_anew(self) -> None:
        """This process is a copy that waits, too: it has children of its own to come, and orders of its own."""
        self.leave()
        self._wakeup = _ChildWakeup()

    def _report_exits(self) -> None:
        for pid, status in _reap():
            self.send(Exited(pid, status))


def ignore_signals() -> dict[signal.Signals, Any]:
    """Leave those that are sent to the whole process group to the supervisor; what was done about each before."""
    return {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED_SIGNALS}


class _ChildWakeup:
    """Wakes when a child ends: the signal handler only writes to a pipe."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._former_handler: Any = signal.getsignal(signal.SIGCHLD)
        self._former_fd = signal.set_wakeup_fd(-1)
        self.arm()

    def arm(self) -> None:
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def wait(self, ties: Ties) -> None:
        """Until the channel has something to read, takes what it did not take before, or a child has ended."""
        poll = select.poll()
        poll.register(ties.channel, select.POLLIN | (select.POLLOUT if ties.channel.wants_write else 0))
        poll.register(self._read_end, select.POLLIN)
        poll.poll()
        try:
            os.read(self._read_end, 512)
        except BlockingIOError:
            pass  # it was the channel

    def close(self) -> None:
        """As it was before this was made."""
        signal.set_wakeup_fd(self._former_fd)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if self._former_handler is None else self._former_handler)
        os.close(self._read_end)
        os.close(self._write_end)


def _reap() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status
