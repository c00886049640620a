"""The worker's side of its control channel."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from firehot_server.errors import ChannelClosed, Deadline

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from firehot_server.messages import Message
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

    def send(self, message: Message) -> None:
        """Tell the supervisor. Without a supervisor this process has no reason to live: it ends."""
        try:
            with self._lock:
                self._ties.channel.send(message)
                self._ties.channel.flush_within(_SEND_SECONDS)
        except (ChannelClosed, Deadline):
            os._exit(1)

    def post(self, message: Message) -> None:
        """Tell the supervisor when it listens; this process does not wait for that."""
        try:
            with self._lock:
                self._ties.channel.send(message)
        except ChannelClosed:
            os._exit(1)

    def deliver(self, message: Message) -> None:
        """Tell the supervisor something large, for which it may have no time as long as it likes."""
        try:
            with self._lock:
                self._ties.channel.send(message)
                self._ties.channel.flush_within(None)
        except ChannelClosed:
            os._exit(1)

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
