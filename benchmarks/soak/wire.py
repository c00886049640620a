"""HTTP/1.1 as a client that notes when each byte came, and what became of the connection."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from .judge import Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping

_Result = TypeVar("_Result")

DEADLINE = 15.0
"""Seconds to wait for what comes next. Longer than any server's reload: to be held until then is no failure."""

_END_OF_HEAD = b"\r\n\r\n"
_NEW_LINE = b"\r\n"


class Lost(Exception):
    """The connection is of no more use. `verdict` says what that means for a request that had no answer yet."""

    def __init__(self, verdict: Verdict, note: str = "") -> None:
        super().__init__(note or verdict.value)
        self.verdict = verdict
        self.note = note


class Wire(asyncio.Protocol):
    """A connection, with what has come and was not taken yet. `arrived` is when the last of it came."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.arrived = 0.0
        self.is_over = False
        """Nothing more will come."""
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.arrived = time.perf_counter()
        self._news.set()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if not self.is_over:
            self.is_over, self._error = True, error
            self.arrived = time.perf_counter()
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Send; waits while the other side does not take it.

        Raises:
            Lost: it does not take it for too long.
        """
        self.transport.write(data)
        await in_time(self._writable.wait())

    def close(self) -> None:
        """Close, whatever is still to be sent or received."""
        self.transport.abort()

    async def more(self) -> None:
        """Wait until something has come.

        Raises:
            Lost: nothing will, or it takes too long.
        """
        if self.is_over:
            raise self.lost(Verdict.CUT)
        await self.news()

    async def news(self) -> None:
        """Wait until something has come, or the connection has ended.

        Raises:
            Lost: it takes too long.
        """
        self._news.clear()
        await in_time(self._news.wait())

    def lost(self, verdict: Verdict) -> Lost:
        """How the connection ended, for who had waited for more."""
        return Lost(verdict, f"{verdict.value}: {self._error!r}" if self._error else f"{verdict.value}: closed")

    async def take(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.received) < size:
            await self.more()
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def take_until(self, end: bytes) -> bytes:
        """All up to and with `end`."""
        while (place := self.received.find(end)) < 0:
            await self.more()
        return await self.take(place + len(end))


async def in_time(awaitable: Awaitable[_Result]) -> _Result:
    """Wait, but not for ever."""
    try:
        return await asyncio.wait_for(awaitable, DEADLINE)
    except TimeoutError:
        raise Lost(Verdict.TIMED_OUT, f"nothing for {DEADLINE:g} s") from None


async def connect(port: int) -> Wire:
    """A fresh connection.

    Raises:
        Lost: there is none to be had.
    """
    try:
        _, wire = await in_time(asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port))
    except ConnectionRefusedError as error:
        raise Lost(Verdict.REFUSED) from error
    except OSError as error:
        raise Lost(Verdict.RESET, f"no connection: {error!r}") from error
    return wire


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers, these in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def closes(self) -> bool:
        """No other answer will come over this connection."""
        return self.headers.get("connection", "").lower() == "close"


def request(method: str, path: str, headers: Mapping[str, str], *, keep_alive: bool = False) -> bytes:
    """The head of a request."""
    connection = "keep-alive" if keep_alive else "close"
    lines = {"Host": "127.0.0.1", "Connection": connection, **headers}
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode()


async def read_head(wire: Wire) -> Head:
    """The head of the next answer.

    Raises:
        Lost: there is no answer, or less than its head.
    """
    try:
        head = await wire.take_until(_END_OF_HEAD)
    except Lost:
        raise wire.lost(Verdict.CUT if wire.received else Verdict.RESET) from None
    lines = head.decode("latin-1").split("\r\n")
    try:
        status = int(lines[0].split(" ", 2)[1])
        return Head(status, {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:-2])})
    except (ValueError, IndexError):
        raise Lost(Verdict.WRONG, f"no HTTP: {lines[0]!r}") from None


async def body(wire: Wire, head: Head) -> AsyncGenerator[bytes, None]:
    """The pieces of an answer's body, as they come.

    Raises:
        Lost: it ends too early.
    """
    if "content-length" in head.headers:
        yield await wire.take(int(head.headers["content-length"]))
    elif head.headers.get("transfer-encoding") == "chunked":
        while size := int(await wire.take_until(_NEW_LINE), 16):
            yield (await wire.take(size + 2))[:-2]
        await wire.take(2)
    else:
        raise Lost(Verdict.WRONG, "an answer of unknown length")


async def read_body(wire: Wire, head: Head) -> bytes:
    """All of an answer's body."""
    return b"".join([piece async for piece in body(wire, head)])
