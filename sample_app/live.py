"""News from one request to all the others that listen: what the WebSocket and the event stream send."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = 100


class Broadcaster:
    """Hands every message to all subscribers. Lives in one event loop: not for use from threads."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()

    def __len__(self) -> int:
        """Return the number of subscribers."""
        return len(self._queues)

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str]]:
        """Collect messages in a queue for as long as the context lasts."""
        queue: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def publish(self, message: str) -> None:
        """Deliver a message; a subscriber that does not keep up loses its oldest one and slows nobody."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)
