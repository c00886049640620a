"""The lines that `runserver` writes of requests: an ASGI application around the one that is served."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firehot_django.asgi import Application, Message, Receive, Scope, Send

logger = logging.getLogger("django.server")


class AccessLog:
    """Logs each request when it is answered, and of WebSockets, as Daphne's `runserver` does, what happens to them."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, size = 0, 0

        async def count(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and scope["method"] != "HEAD":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._application(scope, receive, count)
        except (Exception, SystemExit):  # the server answers in its place
            status = status or 500
            raise
        finally:
            if status:
                _log_answer(scope, status, size)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = False

        async def tell(message: Message) -> None:
            nonlocal is_open
            if message["type"] == "websocket.accept":
                is_open = True
                _log_websocket("CONNECT", scope)
            elif not is_open and message["type"] in ("websocket.close", "websocket.http.response.start"):
                _log_websocket("REJECT", scope)
            await send(message)

        _log_websocket("HANDSHAKING", scope)
        try:
            await self._application(scope, receive, tell)
        finally:
            if is_open:
                _log_websocket("DISCONNECT", scope)


def _log_answer(scope: Scope, status: int, size: int) -> None:
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    line = f"{scope['method']} {scope['raw_path'].decode('latin-1')}{query} HTTP/{scope['http_version']}"
    level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO
    extra = {"status_code": status, "server_time": server_time()}
    logger.log(level, '"%s" %s %s', line, status, size, extra=extra)


def _log_websocket(what: str, scope: Scope) -> None:
    host, port = scope["client"] or ("", 0)
    logger.info("WebSocket %s %s [%s:%s]", what, scope["path"], host, port, extra={"server_time": server_time()})


def server_time() -> str:
    """As it stands in the lines."""
    return time.strftime("%d/%b/%Y %H:%M:%S")
