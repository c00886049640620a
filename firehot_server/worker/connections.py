"""Keep-alive connections that can move to the next worker.

A connection between two requests has no state but its socket and the bytes of a request that has not fully arrived.
Both are handed over, so that the client never learns that the process behind its connection changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from firehot_server.messages import Connection, Handoff

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator


# Connections in one message: the kernel takes 253 descriptors, and half as many are open twice meanwhile.
_BATCH = 64


class Movable:
    """Mixed into one of uvicorn's HTTP protocol classes: keeps what a new process would have to be told."""

    transport: asyncio.Transport
    cycle: Any
    conn: Any
    is_held: Callable[[], bool]
    """Asks, at this very moment, whether the supervisor wants new requests to wait for new code."""
    received: bytes = b""
    """Bytes of a request whose head is not complete yet."""
    brought: bytes = b""
    """What an earlier process received of a request: it comes before anything that this process reads."""
    _has_unknown_rest = False
    """The parser holds the beginning of a request that came in one piece with the one before."""

    @property
    def is_idle(self) -> bool:
        """No request is running, all of the last response has left, and nothing is held that cannot be told."""
        return (
            self._is_between_requests
            and not self._has_unknown_rest
            and not self.transport.is_closing()
            and self.transport.get_write_buffer_size() == 0
        )

    @property
    def _is_between_requests(self) -> bool:
        # A response may be complete before the request's body is; the rest of that is no new request.
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        if self.brought:
            self.data_received(self.brought)
        if self.is_held():
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        was_between = self._is_between_requests
        if was_between and self.is_held():
            # The hold was noticed just now: a handler had blocked the event loop. This request is for the new code.
            self.received += data
            self.rest()
            return
        super().data_received(data)  # type: ignore[misc]
        if was_between and self.cycle is cycle:
            self.received += data
        else:
            self.received = b""
            self._has_unknown_rest = self._parser_holds_more()

    def _parser_holds_more(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def rest(self) -> None:
        """Stop reading, and do not time out meanwhile: what the client sends waits in the kernel."""
        self.transport.pause_reading()
        cast("Any", self)._unset_keepalive_if_required()

    def duplicate(self) -> int:
        """A new descriptor of this connection's socket."""
        return os.dup(self.transport.get_extra_info("socket").fileno())


class MovableByCallbacks(Movable):
    """For httptools, whose parser does not show what it holds but calls back where messages begin and end."""

    _is_in_message = False

    def on_message_begin(self) -> None:
        self._is_in_message = True
        super().on_message_begin()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._is_in_message = False
        super().on_message_complete()  # type: ignore[misc]

    def _parser_holds_more(self) -> bool:
        return self._is_in_message and not self.cycle.more_body


def make_movable(protocol_class: type[asyncio.Protocol], is_held: Callable[[], bool]) -> type[asyncio.Protocol]:
    """A subclass of an HTTP protocol class whose connections can be handed over.

    Args:
        is_held: asked before every request and for every new connection.

    A class that is not one of uvicorn's own HTTP/1.1 implementations (a user's, HTTP/2) is returned as it is.
    """
    if issubclass(protocol_class, H11Protocol):
        kind = Movable
    elif hasattr(protocol_class, "on_message_begin") and hasattr(protocol_class, "_unset_keepalive_if_required"):
        kind = MovableByCallbacks
    else:
        return protocol_class
    return type(f"Movable{protocol_class.__name__}", (kind, protocol_class), {"is_held": staticmethod(is_held)})


def idle(connections: Iterable[object]) -> list[Movable]:
    """Those that can move now."""
    return [c for c in connections if isinstance(c, Movable) and c.is_idle]


def stationary(connections: Iterable[Any]) -> list[Any]:
    """HTTP connections that have answered before and cannot move (TLS): their next request needs a new one."""
    return [c for c in connections if not isinstance(c, Movable) and getattr(c, "cycle", None) is not None]


def batches(connections: list[Movable]) -> Iterator[tuple[list[Movable], Handoff]]:
    """Messages that carry these connections, some in each, so that few descriptors are needed at a time.

    Raises:
        OSError: this process is at its limit of open files; the connections that were not yielded cannot move.
    """
    for start in range(0, len(connections), _BATCH):
        part = connections[start : start + _BATCH]
        received = tuple(Connection(received=c.received) for c in part)
        yield part, Handoff(received, sockets=tuple(c.duplicate() for c in part))
