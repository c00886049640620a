"""Waits on every control channel at once, and delivers what they say."""

from __future__ import annotations

import functools
import selectors
from typing import TYPE_CHECKING, Protocol

from firehot_server.errors import ChannelClosed, ChannelGarbled
from firehot_server.messages import close_descriptors

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from firehot_server.channel import Channel
    from firehot_server.messages import Message
    from firehot_server.supervisor.processes import Process


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Switchboard:
    """A selector over processes and other sources. Close it with `close`."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._selector = selectors.DefaultSelector()
        self._routes: dict[Channel, tuple[Process, Callable[[Message], None], Callable[[], None]]] = {}

    def listen(self, source: HasFileno, on_readable: Callable[[], None]) -> None:
        """Call back whenever there is something to read."""
        self._selector.register(source, selectors.EVENT_READ, on_readable)

    def attach(self, process: Process, on_message: Callable[[Message], None], on_eof: Callable[[], None]) -> None:
        """Deliver a process's messages, then the end of its channel."""
        self._routes[process.channel] = (process, on_message, on_eof)
        self._selector.register(process.channel, _wanted(process), functools.partial(self._serve, process.channel))

    def redirect(self, process: Process, on_message: Callable[[Message], None], on_eof: Callable[[], None]) -> None:
        """What comes over this channel, also what has arrived already, goes elsewhere from now on."""
        self._routes[process.channel] = (process, on_message, on_eof)

    def _serve(self, channel: Channel) -> None:
        process = self._routes[channel][0]
        self._flush(process)
        for message in self._receive(process):
            if self.is_attached(process):
                self._routes[channel][1](message)
            else:
                close_descriptors(message)  # it was released by what it said before
        if channel.at_eof and self.is_attached(process):
            if channel.has_lost_descriptors:
                self.logger.error("Too many open files: what process %d sent is lost, and it is ended.", process.pid)
            on_eof = self._routes[channel][2]
            self.detach(process)
            on_eof()

    def _receive(self, process: Process) -> list[Message]:
        try:
            return process.channel.receive_available()
        except ChannelGarbled as error:  # project code may write anything to any descriptor of its process
            self.logger.error("Process %d does not make sense any more (%s); ended.", process.pid, error)
            process.cut()
            return []

    def is_attached(self, process: Process | None) -> bool:
        """Its messages are delivered, and its end has not come yet: so it will report how its children end."""
        attached = self._selector.get_map()  # None: closed
        return process is not None and bool(attached) and process.channel.fileno() >= 0 and process.channel in attached

    def drain(self, process: Process) -> None:
        """Deliver what has already arrived, now."""
        if self.is_attached(process):
            self._selector.get_key(process.channel).data()

    def detach(self, process: Process) -> None:
        """Deliver no more of what a process says."""
        if self.is_attached(process):
            self._selector.unregister(process.channel)
            del self._routes[process.channel]

    def release(self, process: Process) -> None:
        """Forget a process, and close its channel; this ends it if it lives."""
        self.detach(process)
        process.close()

    def send(self, process: Process, message: Message) -> None:
        """Send without waiting; that the process is gone is learned from its end, not here."""
        try:
            process.channel.send(message)
        except ChannelClosed:
            return
        self._flush(process)

    def turn(self, timeout: float | None) -> None:
        """Wait for whatever comes first, up to `timeout` seconds, and deliver it."""
        self.deliver(self.wait(timeout))

    def wait(self, timeout: float | None) -> list[selectors.SelectorKey]:
        """Wait for whatever comes first, up to `timeout` seconds; what is to be delivered.

        The one method that may run while another thread uses the others, but for `close`.
        """
        return [key for key, _ in self._selector.select(timeout)]

    def deliver(self, ready: list[selectors.SelectorKey]) -> None:
        """Deliver what `wait` found, but for what was detached meanwhile."""
        for key in ready:
            attached = self._selector.get_map()
            if attached and attached.get(key.fd) is key:
                key.data()

    def close(self) -> None:
        """Stop waiting."""
        self._selector.close()
        self._routes.clear()

    def _flush(self, process: Process) -> None:
        try:
            process.channel.flush()
        except ChannelClosed:
            return
        if self.is_attached(process):
            key = self._selector.get_key(process.channel)
            if key.events != _wanted(process):
                self._selector.modify(process.channel, _wanted(process), key.data)


def _wanted(process: Process) -> int:
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if process.channel.wants_write else 0)
