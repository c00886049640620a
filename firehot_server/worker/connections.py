"""Keep-alive connections that can move to the next worker.

A connection between two requests has no state but its socket and the bytes of requests that have not begun. Both are
handed over, so that the client never learns that the process behind its connection changed. For those bytes to be known
exactly, none of a request is given to the app while another one runs, or while the supervisor wants requests to wait.
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable


class Movable:
    """Mixed into one of uvicorn's HTTP protocol classes: keeps what a new process would have to be told."""

    transport: asyncio.Transport
    connections: set[Any]
    flow: Any
    cycle: Any
    conn: Any
    is_held: Callable[[], bool]
    """Asks, at this very moment, whether the supervisor wants new requests to wait for new code."""
    freed: Callable[[], None]
    """Called when a connection can move that could not before."""
    was_used: bool = False
    """It has brought a request before, perhaps to an earlier process: between requests it times out."""

    @property
    def received(self) -> bytes:
        """Bytes of requests that have not begun."""
        raise NotImplementedError

    @property
    def is_idle(self) -> bool:
        """No request is running, and all of the last response has left."""
        return self._is_resting and self.transport.get_write_buffer_size() == 0

    @property
    def _is_resting(self) -> bool:
        is_http = self in self.connections  # not yet closed, nor another protocol's by now
        return is_http and not self.transport.is_closing() and self._is_answered and not self._is_receiving

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    @property
    def _is_receiving(self) -> bool:
        """Some of a request's body is still to come, though its response may be complete."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self._look()

    def on_response_complete(self) -> None:
        self.was_used = True
        super().on_response_complete()  # type: ignore[misc]
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        self._look()

    def eof_received(self) -> bool | None:
        if self._is_resting and self.is_held():
            return True  # the new process will read the end, too; what came before it is to be answered there
        result: bool | None = super().eof_received()  # type: ignore[misc]
        return result

    def _look(self) -> None:
        if self._is_resting and self.is_held():
            self.rest()

    def rest(self) -> None:
        """Between requests: stop reading, and do not time out meanwhile. What the client sends waits in the kernel."""
        if not self._is_resting:
            return
        self.transport.pause_reading()
        cast("Any", self)._unset_keepalive_if_required()
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)  # so that `resume_writing` tells when all of it has left
        else:
            self.freed()

    def take_up(self) -> None:
        """After a hold: read again, and begin with what has come meanwhile."""
        if not self._is_resting:
            return
        self.transport.set_write_buffer_limits()
        self.transport.resume_reading()
        if self.was_used:
            self.await_request()
        self._go_on()

    def _go_on(self) -> None:
        """Parse what is here already."""
        raise NotImplementedError

    def await_request(self) -> None:
        """Begin to time out, as after a response."""
        protocol = cast("Any", self)
        if self._is_resting and not self.is_held():
            handler = protocol.timeout_keep_alive_handler
            protocol.timeout_keep_alive_task = protocol.loop.call_later(protocol.timeout_keep_alive, handler)

    def duplicate(self) -> int:
        """A new descriptor of this connection's socket.

        Raises:
            OSError: this process is at its limit of open files.
        """
        return os.dup(self.transport.get_extra_info("socket").fileno())


class MovableByEvents(Movable):
    """For h11, whose parser stops behind each request until it is told to go on, and shows what it holds."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn.next_event = functools.partial(self._next_event, self.conn.next_event)

    @property
    def received(self) -> bytes:
        return bytes(self.conn.trailing_data[0])

    @property
    def _is_receiving(self) -> bool:
        return self.conn.their_state is not h11.IDLE

    def _next_event(self, next_event: Callable[[], Any]) -> Any:
        if self.conn.their_state is h11.IDLE and self.received and self.is_held():
            return h11.NEED_DATA
        return next_event()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]
        self._look()

    def _go_on(self) -> None:
        if self.received:
            cast("Any", self).handle_events()


# What ends a request whose length was not told in advance; also elsewhere in the body of one that comes in chunks.
_BLANK_LINE = re.compile(rb"\n\r?\n")


class MovableByCallbacks(Movable):
    """For httptools, whose parser neither stops nor shows what it holds, but calls back.

    It gets what arrives in pieces, of which none goes beyond the end of a request.
    """

    headers: list[tuple[bytes, bytes]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head = b""
        """What the parser has of a request whose head is not complete."""
        self._rest = memoryview(b"")
        """What the parser has not got yet."""
        self._line_end = b""
        """The last two bytes that the parser got, while a blank line is being looked for."""
        self._body_left: int | None = None
        """Bytes of the body that are still to come, where the request said how many."""
        self._is_in_body = False
        self._is_parsing = False

    @property
    def received(self) -> bytes:
        return self._head + bytes(self._rest)

    @property
    def _is_receiving(self) -> bool:
        return self._is_in_body

    def data_received(self, data: bytes) -> None:
        self._rest = memoryview(bytes(self._rest) + data)
        self._parse()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse()

    def _go_on(self) -> None:
        self._parse()

    def _parse(self) -> None:
        """Give the parser what it may have now; the rest waits, and no more is read."""
        if self._is_parsing:
            return  # an app that answers at once, in the middle of it
        self._is_parsing = True
        while self._rest and self._may_go_on:
            size = self._piece()
            piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
            if not self._is_in_body:
                self._head += piece
            super().data_received(piece)  # type: ignore[misc]
        self._is_parsing = False
        if self not in self.connections:
            self._rest = memoryview(b"")  # a WebSocket by now, or closed
        elif self._rest:
            self.flow.pause_reading()

    @property
    def _may_go_on(self) -> bool:
        if self.transport.is_closing() or self not in self.connections:
            return False
        return self._is_in_body or (self._is_answered and not self.is_held())

    def _piece(self) -> int:
        """How many bytes do not go beyond the end of a request; its end is the end of them, if it is in reach."""
        if self._body_left is not None:
            self._line_end = b""
            return min(self._body_left, len(self._rest))
        before = self._line_end
        seam = _BLANK_LINE.search(before + bytes(self._rest[:2]))
        found = seam or _BLANK_LINE.search(self._rest)
        self._line_end = b"" if found else (before + bytes(self._rest[-2:]))[-2:]
        if found is None:
            return len(self._rest)
        return found.end() - len(before) if seam else found.end()

    # -- what the parser calls

    def on_headers_complete(self) -> None:
        self._head = b""
        self._is_in_body = True
        self._body_left = next((int(value) for name, value in self.headers if name == b"content-length"), None)
        super().on_headers_complete()  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        if self._body_left is not None:
            self._body_left -= len(body)
        super().on_body(body)  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._body_left = None
        super().on_message_complete()  # type: ignore[misc]


def make_movable(
    protocol_class: type[asyncio.Protocol], is_held: Callable[[], bool], freed: Callable[[], None]
) -> type[asyncio.Protocol]:
    """A subclass of an HTTP protocol class whose connections can be handed over.

    Args:
        is_held: asked before every request and for every new connection.
        freed: called when a connection can move that could not before.

    A class that is not one of uvicorn's own HTTP/1.1 implementations (a user's, HTTP/2) is returned as it is.
    """
    kind: type[Movable]
    if issubclass(protocol_class, H11Protocol):
        kind = MovableByEvents
    elif hasattr(protocol_class, "on_message_begin") and hasattr(protocol_class, "_unset_keepalive_if_required"):
        kind = MovableByCallbacks
    else:
        return protocol_class
    hooks = {"is_held": staticmethod(is_held), "freed": staticmethod(freed)}
    return type(f"Movable{protocol_class.__name__}", (kind, protocol_class), hooks)


def idle(connections: Iterable[object]) -> list[Movable]:
    """Those that can move now."""
    return [c for c in connections if isinstance(c, Movable) and c.is_idle]
