"""Which requests are running, and which of them would never end by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from firehot_server.failure.app import FAILURE_HEADER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from firehot_server.notices import NoticeBoard

    Scope = dict[str, Any]
    ASGIMessage = dict[str, Any]
    Receive = Callable[[], Awaitable[ASGIMessage]]
    Send = Callable[[ASGIMessage], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long the last bytes of an event stream may take to leave, in seconds.
_END_SECONDS = 0.1
_CONTENT_TYPE = b"content-type"
# Endless by definition; of other types nobody can know, and a long download is to finish.
_ENDLESS = (b"text/event-stream", b"multipart/x-mixed-replace")


def request_line(scope: Scope) -> str:
    """As it stands in an access log, such as `GET /users?page=2`."""
    method = scope.get("method", scope["type"].upper())
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{method} {quote(scope.get('path', ''))}{'?' * bool(query)}{query}"


class Request:
    """One running request.

    Args:
        started: called when its response has begun.
        failed: asked then: the generation whose failure this code covers, if it does.
    """

    def __init__(
        self, scope: Scope, send: Send, started: Callable[[Request], None], failed: Callable[[], int | None]
    ) -> None:
        self.scope = scope
        self.is_endless = False
        self.is_complete = False
        self.slot = -1
        """Of its notice."""
        self._ended = False
        self._send = send
        self._started = started
        self._failed = failed

    # No coroutines here: one would add a frame of ours to every traceback of the user's.

    def send(self, message: ASGIMessage) -> Awaitable[None]:
        """The `send` that the app gets."""
        if self._ended:
            return _nothing()
        match message["type"]:
            case "http.response.start":
                self.is_endless = _is_endless(message)
                self._started(self)
                message = self._marked(message)
            case "http.response.body":
                self.is_complete = not message.get("more_body", False)
            case "websocket.accept":
                message = self._marked(message)
        return self._send(message)

    def _marked(self, message: ASGIMessage) -> ASGIMessage:
        failed = self._failed()
        if failed is None:
            return message
        return {**message, "headers": [*message.get("headers", ()), (FAILURE_HEADER, b"%d" % failed)]}

    async def end(self) -> None:
        """Complete the response now; the app sees a disconnected client."""
        if self.is_complete:
            return
        self._ended = self.is_complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class RunningRequests:
    """An ASGI application around the user's: it knows what is running, and adds no frame to any traceback.

    Args:
        board: where the request lines are put up as well.
    """

    def __init__(self, app: App, board: NoticeBoard) -> None:
        self._app = app
        self._board = board
        self._running: dict[asyncio.Task[Any], Request] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self.lifespan_error: BaseException | None = None
        self.failed: int | None = None
        """The generation of newer code that fails, while this code answers in its place."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        request = Request(scope, send, self._started, lambda: self.failed)
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = request
            request.slot = self._board.put_up(request_line(scope))
            task.add_done_callback(self._forget)
        return self._app(scope, receive, request.send)

    @property
    def lines(self) -> list[str]:
        """The request lines of what is running."""
        return [request_line(request.scope) for request in self._running.values()]

    @property
    def any_http(self) -> bool:
        """Some response is under way that will end by itself."""
        return any(r.scope["type"] == "http" and not r.is_endless for r in self._running.values())

    async def end_streams(self) -> None:
        """Complete every response that is endless by definition, also those that begin from now on.

        Their clients reconnect to the new code. One that does not read gets a moment; then its response is left to the
        drain deadline.
        """
        self._is_ending = True
        for request in self._running.values():
            if request.is_endless:
                self._end(request)
        if self._ends:
            await asyncio.wait(self._ends, timeout=_END_SECONDS)

    def _started(self, request: Request) -> None:
        if self._is_ending and request.is_endless:
            asyncio.get_running_loop().call_soon(self._end, request)  # its start is to be sent first

    def _end(self, request: Request) -> None:
        task = asyncio.get_running_loop().create_task(request.end())
        self._ends.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ends.discard(task)
        if not task.cancelled():
            task.exception()  # the connection may be lost by now; asyncio wants it looked at

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._board.take_down(self._running.pop(task).slot)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self.lifespan_error = error
            raise


def _is_endless(message: ASGIMessage) -> bool:
    return any(
        name.lower() == _CONTENT_TYPE and value.lower().startswith(_ENDLESS)
        for name, value in message.get("headers", ())
    )


async def _nothing() -> None:
    pass
