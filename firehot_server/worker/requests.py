"""Which requests are running, and which of them would never end by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]
    ASGIMessage = dict[str, Any]
    Receive = Callable[[], Awaitable[ASGIMessage]]
    Send = Callable[[ASGIMessage], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long the last bytes of an event stream may take to leave, in seconds.
_END_SECONDS = 0.1
_CONTENT_TYPE = b"content-type"
_EVENT_STREAM = b"text/event-stream"


class Request:
    """One running request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.is_event_stream = False
        self.is_complete = False
        self._ended = False
        self._send = send

    @property
    def line(self) -> str:
        """As it stands in an access log, such as `GET /users`."""
        method = self.scope.get("method", self.scope["type"].upper())
        return f"{method} {self.scope.get('path', '')}"

    # No coroutines here: one would add a frame of ours to every traceback of the user's.

    def send(self, message: ASGIMessage) -> Awaitable[None]:
        """The `send` that the app gets."""
        if self._ended:
            return _nothing()
        if message["type"] == "http.response.start":
            self.is_event_stream = _is_event_stream(message)
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        return self._send(message)

    async def end(self) -> None:
        """Complete the response now; the app sees a disconnected client."""
        self._ended = self.is_complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class RunningRequests:
    """An ASGI application around the user's: it knows what is running, and adds no frame to any traceback."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._running: dict[asyncio.Task[Any], Request] = {}
        self.lifespan_error: BaseException | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        request = Request(scope, send)
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = request
            task.add_done_callback(self._forget)
        return self._app(scope, receive, request.send if scope["type"] == "http" else send)

    @property
    def lines(self) -> list[str]:
        """The request lines of what is running."""
        return [request.line for request in self._running.values()]

    @property
    def any_http(self) -> bool:
        """Some response is under way that will end by itself."""
        return any(r.scope["type"] == "http" and not r.is_event_stream for r in self._running.values())

    async def end_event_streams(self) -> None:
        """Complete every server-sent-events response; its client reconnects to the new code.

        A client that does not read gets a moment; then its response is left to the drain deadline.
        """
        open_streams = [r for r in self._running.values() if r.is_event_stream and not r.is_complete]
        ends = [asyncio.create_task(request.end()) for request in open_streams]
        if not ends:
            return
        done, stuck = await asyncio.wait(ends, timeout=_END_SECONDS)
        for task in stuck:
            task.cancel()
        for task in done:
            task.exception()  # the connection may be lost by now; asyncio wants it looked at

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self.lifespan_error = error
            raise


def _is_event_stream(message: ASGIMessage) -> bool:
    return any(
        name.lower() == _CONTENT_TYPE and value.startswith(_EVENT_STREAM) for name, value in message.get("headers", ())
    )


async def _nothing() -> None:
    pass
