"""The ASGI app that answers for a user's app that cannot: 500 and the reason, at once, to everything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from firehot_server.failure.page import render

if TYPE_CHECKING:
    from firehot_server.failure.report import Failure

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

WAIT_PATH = "/__firehot__/wait"
TRY_AGAIN_LATER = 1013
FAILURE_HEADER = b"x-firehot-failure"
"""Names the generation of the newest code, which fails."""


class FailureApp:
    """An ASGI 3 app over one failure.

    Every HTTP request gets status 500 with the failure as HTML, JSON or text; a request's body is not read.
    The one exception is a GET of `WAIT_PATH`, whose answer does not end before the client goes or its task
    is cancelled: the end tells the page that newer code is there. WebSockets are refused with 1013, "try
    again later". Lifespan start-up and shutdown always succeed. `generation` is the failed one; the header
    `FAILURE_HEADER` names it.

    Raises ValueError for a kind of scope that ASGI 3 does not have.

    Example: `uvicorn.run(FailureApp(sentence_only("No app", "There is no app.py here."), generation=1))`
    """

    def __init__(self, failure: Failure, generation: int) -> None:
        self._failure = failure
        self._generation = generation

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._answer(scope, receive, send)
            case "websocket":
                await _refuse(receive, send)
            case "lifespan":
                await _succeed(receive, send)
            case kind:
                raise ValueError(f"ASGI 3 has no scope of type {kind!r}")

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        wait_path = scope.get("root_path", "") + WAIT_PATH
        # A server whose paths leave the root path out is right by older versions of the specification.
        if scope["method"] == "GET" and scope["path"] in (wait_path, WAIT_PATH):
            await self._wait(receive, send)
        else:
            await self._explain(scope, wait_path, send)

    async def _explain(self, scope: Message, wait_path: str, send: Send) -> None:
        content_type, body = render(self._failure, _accept(scope), generation=self._generation, wait_path=wait_path)
        length = (b"content-length", b"%d" % len(body))
        await send(self._start(500, content_type, length))
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _wait(self, receive: Receive, send: Send) -> None:
        try:
            await send(self._start(200, "text/event-stream"))
            comment = b": ends when there is newer code\n\n"
            await send({"type": "http.response.body", "body": comment, "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        except (Exception, asyncio.CancelledError):  # cancelling is how the worker ends this response
            pass
        finally:
            await _finish(send)

    def _start(self, status: int, content_type: str, *more: tuple[bytes, bytes]) -> Message:
        headers = [
            (b"content-type", content_type.encode("ascii")),
            (b"cache-control", b"no-store"),
            (FAILURE_HEADER, b"%d" % self._generation),
            *more,
        ]
        return {"type": "http.response.start", "status": status, "headers": headers}


def _accept(scope: Message) -> str:
    """Join the request's Accept headers; "" without one."""
    return b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")


async def _refuse(receive: Receive, send: Send) -> None:
    """Close a WebSocket instead of accepting it."""
    await receive()  # "websocket.connect", which comes first
    await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "try again later"})


async def _succeed(receive: Receive, send: Send) -> None:
    """Complete every step of the lifespan protocol."""
    while True:
        step = (await receive())["type"]
        await send({"type": f"{step}.complete"})
        if step == "lifespan.shutdown":
            return


async def _finish(send: Send) -> None:
    """End a response that may have no client left to hear it."""
    try:
        await send({"type": "http.response.body", "body": b""})
    except (Exception, asyncio.CancelledError):  # servers differ in how they say that the client has gone
        pass
