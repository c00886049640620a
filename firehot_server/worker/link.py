"""The worker's side of its control channel."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING

from firehot_server.errors import ChannelClosed, Deadline

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from firehot_server.channel import Channel
    from firehot_server.messages import Message, Reads
    from firehot_server.ties import Ties

# How long the supervisor may take to read what a worker says, in seconds.
_SEND_SECONDS = 30.0


class Link:
    """Sends from any thread (lazy imports may run in one); receives in one place at a time.

    Args:
        ties: whose channel is used; after a fork, the copy's own.
    """

    def __init__(self, ties: Ties) -> None:
        self._ties = ties
        self._lock = threading.Lock()
        self._answer: Callable[[Message], None] = _unexpected

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[Channel]:
        """One at a time. Without a supervisor this process has no reason to live: it ends."""
        try:
            with self._lock:
                yield self._ties.channel
        except (ChannelClosed, Deadline):
            os._exit(1)

    def send(self, message: Message) -> None:
        """Tell the supervisor."""
        with self._speaking() as channel:
            channel.send(message)
            channel.flush_within(_SEND_SECONDS)

    def lay_down(self, reads: Reads) -> None:
        """Tell the supervisor what it needs not know at once; before all that is sent after this."""
        with self._speaking() as channel:
            channel.lay_down(reads)

    def end_laying_down(self) -> None:
        """No more of it."""
        with self._speaking() as channel:
            channel.end_laying_down()

    def post(self, message: Message) -> None:
        """Tell the supervisor when it listens; this process does not wait for that."""
        with self._speaking() as channel:
            channel.send(message)

    def deliver(self, message: Message) -> None:
        """Tell the supervisor something large, for which it may have no time as long as it likes."""
        with self._speaking() as channel:
            channel.send(message)
            channel.flush_within(None)

    def has_arrived(self) -> bool:
        """Something, or the end of the supervisor, can be received without waiting."""
        poll = select.poll()
        poll.register(self._ties.channel, select.POLLIN)
        return bool(poll.poll(0))

    def receive(self) -> Message:
        """Wait for the supervisor's next message; the supervisor keeps the deadline, by ending this process."""
        try:
            return self._ties.channel.receive()
        except ChannelClosed:
            os._exit(1)

    def listen(self, loop: asyncio.AbstractEventLoop, answer: Callable[[Message], None]) -> None:
        """Call `answer` for every message, in the event loop."""
        self._answer = answer
        loop.add_reader(self._ties.channel.fileno(), self.hear)
        loop.call_soon(self.hear)  # what was read together with an earlier message wakes nobody any more

    def deafen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Undo `listen`."""
        loop.remove_reader(self._ties.channel.fileno())

    def hear(self) -> None:
        """Answer what has arrived, without waiting."""
        for message in self._ties.channel.receive_available():
            self._answer(message)
        if self._ties.channel.at_eof:
            os._exit(1)


def _unexpected(message: Message) -> None:
    raise AssertionError(message)
