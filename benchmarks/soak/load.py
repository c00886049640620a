"""The load as a whole: all clients at once, and how late this program itself was."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .short import fresh, kept
from .slow import downloads, uploads
from .streams import events, messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .site import Site

CLIENTS = (fresh, *(kept for _ in range(50)), uploads, downloads, events, messages)
"""Each at a rate that leaves the server idle most of the time."""

_STEP = 0.005


@asynccontextmanager
async def load(site: Site) -> AsyncIterator[list[float]]:
    """Let all clients ask until the end of the block; then let them finish.

    Yields the seconds by which this program was late, each time it wanted to go on.
    """
    lags: list[float] = []
    async with asyncio.TaskGroup() as group:
        for client in (_measure_lag(site, lags), *(client(site) for client in CLIENTS)):
            group.create_task(client)
        try:
            yield lags
        finally:
            site.stop()


async def _measure_lag(site: Site, lags: list[float]) -> None:
    while not site.is_stopping:
        due = time.perf_counter() + _STEP
        await asyncio.sleep(_STEP)
        lags.append(time.perf_counter() - due)
