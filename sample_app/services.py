"""What requests share: opened in the lifespan, never at import, so that importing the app touches nothing."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool

from sample_app.live import Broadcaster
from sample_app.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import HTTPConnection

    from sample_app.models import NewSighting, Sighting
    from sample_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that serves. A reload replaces it: that is what the page lets the visitor see.

    Read it when serving starts. At import the process may still be one that is going to fork.
    """

    pid: int = field(default_factory=os.getpid)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> dict[str, Any]:
        """Return what the API and the WebSocket send."""
        return {"pid": self.pid, "started": self.started.isoformat()}


@dataclass(frozen=True, slots=True)
class Services:
    """The open database, the two broadcasters, and who is serving."""

    store: Store
    worker: Worker = field(default_factory=Worker)
    news: Broadcaster = field(default_factory=Broadcaster)
    pulses: Broadcaster = field(default_factory=Broadcaster)

    async def record(self, new: NewSighting) -> Sighting:
        """Store a sighting and tell everybody who is watching."""
        sighting = await run_in_threadpool(self.store.add, new)
        self.news.publish(json.dumps({"type": "sighting", "sighting": sighting.to_json()}))
        return sighting

    async def pulse(self) -> str:
        """Return the figures that tick on the page, as JSON."""
        now = datetime.now(UTC)
        figures = {
            "total": await run_in_threadpool(self.store.count),
            "today": await run_in_threadpool(self.store.count, datetime.combine(now.date(), time(), UTC)),
            "watching": len(self.news),
            "uptime": round((now - self.worker.started).total_seconds(), 1),
        }
        return json.dumps(figures)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open the database and start the pulse; on leaving, end the pulse before its database goes away."""
    store = await run_in_threadpool(Store, settings.database)
    try:
        services = Services(store)
        heart = asyncio.create_task(_beat(services, settings.pulse_seconds))
        try:
            yield services
        finally:
            heart.cancel()
            await asyncio.wait([heart])
    finally:
        store.close()


def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the worker that got this request or WebSocket."""
    return cast("Services", connection.state.services)


async def _beat(services: Services, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        if len(services.pulses):  # nobody listens: nothing to compute
            services.pulses.publish(await services.pulse())
