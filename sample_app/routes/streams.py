"""What stays open: a WebSocket with news, and a stream of events with figures that tick."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from sample_app.services import services_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    from sample_app.services import Services

RETRY_MILLISECONDS = 200


async def news(websocket: WebSocket) -> None:
    """Say which worker this is (so the page notices a reload), then send every new sighting."""
    services = services_of(websocket)
    with services.news.subscribe() as queue:
        await websocket.accept()
        await websocket.send_json({"type": "worker", "worker": services.worker.to_json()})
        sender = asyncio.create_task(_forward(queue, websocket))
        try:
            # Only who reads learns that the visitor has left.
            while (await websocket.receive())["type"] != "websocket.disconnect":
                pass
        finally:
            sender.cancel()
            await asyncio.wait([sender])


async def _forward(queue: asyncio.Queue[str], websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.send_text(await queue.get())
    except WebSocketDisconnect:
        pass  # the reading side sees it too, and ends the conversation


class EventStream(StreamingResponse):
    """Ends its generator when the visitor leaves, where a plain response waits for the garbage collector."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[str, None]) -> None:
        super().__init__(messages, headers={"Cache-Control": "no-store"})
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the messages, then close their generator, which ends its subscription."""
        async with aclosing(self._messages):
            await super().__call__(scope, receive, send)


async def events(request: Request) -> EventStream:
    """Stream the figures: the first at once, then one a second."""
    return EventStream(_pulses(services_of(request)))


async def _pulses(services: Services) -> AsyncGenerator[str, None]:
    with services.pulses.subscribe() as queue:
        yield f"retry: {RETRY_MILLISECONDS}\n"
        pulse = await services.pulse()
        while True:
            yield f"event: pulse\ndata: {pulse}\n\n"
            pulse = await queue.get()


ROUTES = [
    WebSocketRoute("/news", news),
    Route("/events", events),
]
