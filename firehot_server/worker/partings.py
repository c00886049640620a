"""Connections that end with this worker: each is told so in its protocol's own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from firehot_server.worker.requests import request_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Leaving(set[Any]):
    """A set that calls `left` whenever a member may have left it."""

    def __init__(self, left: Callable[[], None]) -> None:
        super().__init__()
        self._left = left

    def discard(self, member: Any) -> None:
        super().discard(member)
        self._left()

    def remove(self, member: Any) -> None:
        super().remove(member)
        self._left()


def dismiss(connection: Any) -> None:
    """Close one of uvicorn's connections: now, if it is idle, else after its response. WebSockets close with 1012."""
    if connection.transport.is_closing():
        return
    cycle = getattr(connection, "cycle", None)
    if cycle is not None and not cycle.response_started:
        cycle.default_headers = [*cycle.default_headers, CLOSE_HEADER]  # h11's would close without having said so
    if getattr(connection, "cycles", None) and not connection.shutdown_requested:
        connection.conn.close()  # HTTP/2: GOAWAY at once, not after the last response
        connection.flush()
    try:
        connection.shutdown()
    except (
        Exception
    ):  # a protocol's state in which it has no way to say so, such as a WebSocket that is refused just now
        connection.transport.close()


def is_gone(connection: Any) -> bool:
    """It is closed, but for the client's part in that."""
    return bool(connection.transport.is_closing()) and not _unsent_bytes(connection.transport)


def _unsent_bytes(transport: Any) -> int:
    """In this process. What asyncio's TLS has encrypted lies in the transport of the socket, which it does not show."""
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    try:
        size: int = transport.get_write_buffer_size()
    except AttributeError:  # asyncio's TLS again: closed twice, it shows nothing any more
        return 0
    return size + (inner.get_write_buffer_size() if inner is not None else 0)


def has_answered(connection: Any) -> bool:
    """An HTTP connection that has brought a request; one of HTTP/2 always has."""
    return getattr(connection, "cycle", None) is not None or hasattr(connection, "cycles")


def is_accepted(websocket: Any) -> bool:
    """Its handshake is complete, and it is not closing."""
    event = getattr(websocket, "handshake_completed_event", None)
    complete = websocket.handshake_complete if event is None else event.is_set()
    return bool(complete) and not websocket.transport.is_closing()


def unsent(connections: Iterable[Any]) -> list[str]:
    """The request lines of complete responses of which something has not left yet."""
    cycles = [getattr(c, "cycle", None) for c in connections if _unsent_bytes(c.transport)]
    return [request_line(cycle.scope) for cycle in cycles if cycle is not None and cycle.response_complete]
