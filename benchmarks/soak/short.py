"""Short requests: each over a connection of its own, or one after the other over connections that are kept."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING

from .answers import understand
from .judge import Verdict
from .wire import Lost, connect, read_body, read_head, request

if TYPE_CHECKING:
    from .site import Site
    from .wire import Wire

FRESH_PER_SECOND = 50.0
"""Requests over connections of their own, whether earlier ones were answered or not."""

KEPT_PER_SECOND = 2.0
"""Requests over each connection that is kept, one after the other."""

PAIRS = 0.25
"""Of these, so many are sent together with the next one."""


async def fresh(site: Site) -> None:
    """Ask at a constant rate."""
    async with asyncio.TaskGroup() as group:
        while await site.pause(site.chance.expovariate(FRESH_PER_SECOND)):
            group.create_task(_ask_once(site))


async def _ask_once(site: Site) -> None:
    begun = time.perf_counter()
    try:
        with closing(await connect(site.port)) as wire:
            number = site.number()
            await wire.write(_echo(number))
            head = await read_head(wire)
            origin = understand(head, await read_body(wire, head), number)
            ended = wire.arrived
            await _expect_end(wire)
    except Lost as error:
        site.failed("fresh", begun, error)
    else:
        site.answered("fresh", begun, ended, origin, quick=True)


def _echo(number: int, *, keep_alive: bool = False) -> bytes:
    return request("GET", f"/echo?seq={number}", {}, keep_alive=keep_alive)


async def _expect_end(wire: Wire) -> None:
    while not wire.is_over and not wire.received:
        await wire.news()
    _expect_nothing(wire)


def _expect_nothing(wire: Wire) -> None:
    if wire.received:
        raise Lost(Verdict.DUPLICATED, f"{bytes(wire.received[:100])!r} came without a request")


async def kept(site: Site) -> None:
    """Ask over one connection for as long as it lasts, then over the next."""
    client = _Kept(site)
    while await site.pause(site.chance.expovariate(KEPT_PER_SECOND)):
        await client.ask(2 if site.chance.random() < PAIRS else 1)
    client.leave()


class _Kept:
    """A client with one connection, or none at present."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._wire: Wire | None = None

    async def ask(self, count: int) -> None:
        """Send so many requests at once, and take the answers."""
        begun = time.perf_counter()
        unanswered = [self._site.number() for _ in range(count)]
        try:
            self._look_at_connection()
            while unanswered:
                await self._ask_for(unanswered, begun)
        except Lost as error:
            self._site.failed("keep-alive", begun, error)
            self.leave()

    def _look_at_connection(self) -> None:
        if self._wire is not None:
            _expect_nothing(self._wire)
            if self._wire.is_over:
                self._site.drops += 1
                self.leave()

    async def _ask_for(self, unanswered: list[int], begun: float) -> None:
        """Take away those that are answered: all, or until the server closes with an answer that says so."""
        self._wire = wire = self._wire or await connect(self._site.port)
        await wire.write(b"".join(_echo(number, keep_alive=True) for number in unanswered))
        while unanswered:
            head = await read_head(wire)
            origin = understand(head, await read_body(wire, head), unanswered[0])
            self._site.answered("keep-alive", begun, wire.arrived, origin, quick=True)
            del unanswered[0]
            if head.closes:
                self._site.farewells += 1
                self.leave()
                return

    def leave(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
