"""Streams that have no end of their own: a reload ends them, and their clients come back to new code."""

from __future__ import annotations

import itertools
import time
from contextlib import aclosing, closing
from http import HTTPStatus
from typing import TYPE_CHECKING

from .answers import Origin, check_unmixed, failure_in, origin_of, read_versions, refusal
from .judge import Verdict
from .site import RETRY_PAUSE
from .websocket import SERVICE_RESTART, SWITCHING_PROTOCOLS, Opcode, receive, send, shake_hands
from .wire import Lost, body, connect, read_body, read_head, request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from .site import Site
    from .websocket import Frame
    from .wire import Wire

EVENTS, SOCKET = "events", "socket"

MESSAGE_PAUSE = 0.05
"""Seconds between two WebSocket messages."""

_END_OF_EVENT = b"\n\n"


async def events(site: Site) -> None:
    """Follow server-sent events; when they end, ask again at once."""
    await _again(site, EVENTS, _follow_events)


async def messages(site: Site) -> None:
    """Send WebSocket messages and take their answers; when it is closed, open another at once."""
    await _again(site, SOCKET, _exchange_messages)


async def _again(site: Site, name: str, client: Callable[[Site, Wire, float], Awaitable[bool]]) -> None:
    """Run a client until the end. It tells whether there was a stream; if not, it does not ask again at once."""
    while not site.is_stopping:
        begun = time.perf_counter()
        try:
            with closing(await connect(site.port)) as wire:
                was_stream = await client(site, wire, begun)
        except Lost as error:
            site.failed(name, begun, error)
            was_stream = False
        if not was_stream:
            await site.pause(RETRY_PAUSE)


async def _follow_events(site: Site, wire: Wire, begun: float) -> bool:
    await wire.write(request("GET", f"/events?seq={site.number()}", {}))
    head = await read_head(wire)
    if head.status != HTTPStatus.OK:
        origin = failure_in(head, await read_body(wire, head)) or origin_of(head)
        site.answered(EVENTS, begun, wire.arrived, origin)
        return False
    origin = origin_of(head)
    count = 0
    async with aclosing(_events_in(body(wire, head))) as stream:
        async for event in stream:
            _check_event(event, count, origin)
            if count == 0:
                site.answered(EVENTS, begun, wire.arrived, origin)
            count += 1
            if site.is_stopping:
                break
    site.lasted(EVENTS, wire.arrived, origin)
    return True


async def _events_in(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(_END_OF_EVENT)
        for event in whole:
            yield event
    if rest:
        raise Lost(Verdict.CUT, f"an event is cut: {rest!r}")


def _check_event(event: bytes, count: int, origin: Origin) -> None:
    _, number, versions = event.decode().split(" ")
    if number != str(count):
        raise Lost(Verdict.OUT_OF_ORDER, f"event {number}, expected {count}")
    check_unmixed(origin, versions)


async def _exchange_messages(site: Site, wire: Wire, begun: float) -> bool:
    head, text = await shake_hands(wire, "/socket")
    if head.status != SWITCHING_PROTOCOLS:
        site.answered(SOCKET, begun, wire.arrived, failure_in(head, text) or refusal(head))
        return False
    last: Origin | None = None
    for count in itertools.count():
        if site.is_stopping:
            break
        await send(wire, Opcode.TEXT, str(count).encode())
        frame = await receive(wire)
        if frame.opcode is not Opcode.TEXT:
            _check_close(frame)
            break
        origin = _check_message(frame, count, last)
        if last is None:
            site.answered(SOCKET, begun, wire.arrived, origin)
        last = origin
        await site.pause(MESSAGE_PAUSE)
    if last is not None:
        site.lasted(SOCKET, wire.arrived, last)
    return True


def _check_close(frame: Frame) -> None:
    if frame.close_code != SERVICE_RESTART:
        raise Lost(Verdict.CUT, f"closed with {frame.close_code}")


def _check_message(frame: Frame, count: int, last: Origin | None) -> Origin:
    number, versions = frame.payload.decode().split(" ")
    if number != str(count):
        raise Lost(Verdict.OUT_OF_ORDER, f"message {number}, expected {count}")
    origin = last or Origin(read_versions(versions))
    check_unmixed(origin, versions)
    return origin
