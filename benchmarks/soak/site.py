"""What all clients of a server share: where it is, what they saw, and whether it is time to stop."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from .judge import Exchange

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from .answers import Origin
    from .wire import Lost

RETRY_PAUSE = 0.05
"""Seconds until something is asked for again that was not to be had."""


class Site:
    """See the module.

    Args:
        port: of the server, on this machine.
        chance: decides when who asks for what.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self.port = port
        self.chance = chance
        self.exchanges: list[Exchange] = []
        self.farewells = 0
        """Kept connections that the server closed with an answer that said so."""
        self.drops = 0
        """Kept connections that it closed between two requests, without a word."""
        self._sequence = itertools.count(1)
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self.shown: set[int] = set()
        """The newest version in each answer."""

    def number(self) -> int:
        """For the next request: its answer has to name it."""
        return next(self._sequence)

    # -- what was seen

    def answered(self, client: str, begun: float, ended: float, origin: Origin, *, quick: bool = False) -> None:
        """Note an answer; `quick`: all that it took was waiting."""
        self._note(Exchange(client, begun, ended, origin.versions, origin.broken, pid=origin.pid, quick=quick))

    def lasted(self, client: str, until: float, origin: Origin) -> None:
        """Note when the last of a stream had come."""
        self._note(Exchange(client, until, until, origin.versions, pid=origin.pid, lasts=True))

    def failed(self, client: str, begun: float, error: Lost) -> None:
        """Note what went wrong with a request."""
        self._note(Exchange(client, begun, time.perf_counter(), failure=error.verdict, note=str(error)))

    def _note(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.shown.add(max((exchange.broken or 0, *exchange.versions)))
        self._news.set()

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until what was seen meets the condition; False if it does not within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def shows(self, version: int, seconds: float) -> bool:
        """Wait until an answer shows this version or a newer one; False if none does within so many seconds."""
        return await self.wait_until(lambda: max(self.shown, default=0) >= version, seconds)

    # -- the end

    @property
    def is_stopping(self) -> bool:
        """No more requests."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let each client end what it is doing, and do no more."""
        self._stopping.set()

    async def pause(self, seconds: float) -> bool:
        """Wait for so long; False when it is time to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False
