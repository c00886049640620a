"""A WSGI application on the ASGI server: with `runserver`'s environ, and an end where the client has gone."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote
from wsgiref.util import FileWrapper

from a2wsgi import WSGIMiddleware

from firehot_django.access import server_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from firehot_django.asgi import Application, Message, Receive, Scope, Send

    Environ = dict[str, Any]
    WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

logger = logging.getLogger("django.server")
_in_threads: Any = WSGIMiddleware  # its types are narrower than ASGI's

# They are started as they are needed. More requests than this at the same time wait.
_THREADS: Final = 100
# Django sends files in pieces of 4 kB, and each piece goes from one thread to another.
_FILE_BYTES: Final = 256 * 1024
# What `runserver` has of what the client does not say.
_DEFAULTS: Final = {
    "CONTENT_LENGTH": "",
    "CONTENT_TYPE": "text/plain",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REMOTE_HOST": "",
}
_CLIENT: Final = "firehot_django.client"


class WSGIServer:
    """An ASGI application that runs a WSGI application in threads.

    Args:
        threading: answer several requests at the same time.
    """

    def __init__(self, application: WSGIApplication, *, threading: bool) -> None:
        self._application = application
        self._threading = threading
        self._threads: Application = _in_threads(self._answer, workers=_THREADS if threading else 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a WebSocket is refused."""
        if scope["type"] != "http":
            await self._threads(scope, receive, send)
            return
        client = _Client(scope, receive)
        try:
            await self._threads(client.scope, client.receive, send)
        finally:
            client.forget()

    def _answer(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """In one of the threads."""
        client = environ["asgi.scope"].pop(_CLIENT)
        environ |= client.environ
        environ |= {
            "wsgi.errors": sys.stderr,
            "wsgi.file_wrapper": _wrap_file,
            "wsgi.multiprocess": False,
            "wsgi.multithread": self._threading,
        }
        return _Response(self._application(_DEFAULTS | environ, start_response), client)


class _Client:
    """Who asks: what they say, as a2wsgi and Django are to see it, and whether they are still there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self.is_gone = False
        self.address = scope["client"]
        self.wants_body = scope["method"] != "HEAD"
        self.environ = {
            "PATH_INFO": unquote(scope["raw_path"].decode("latin-1"), "latin-1"),
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "SCRIPT_NAME": "",
        }
        # A name with an underscore would be taken for the one with a dash, which proxies check. a2wsgi wants ASCII.
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        self.scope = {**scope, "headers": headers, "query_string": b"", _CLIENT: self}
        self._has_sent_all = not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        if self._has_sent_all:
            self._begin_to_watch()

    async def receive(self) -> Message:
        """The next part of the body."""
        if self._has_sent_all:
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
        elif not message.get("more_body"):
            self._has_sent_all = True
            self._begin_to_watch()
        return message

    def forget(self) -> None:
        """The request is answered."""
        if self._watch is not None:
            self._watch.cancel()

    def _begin_to_watch(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._await_end())

    async def _await_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True


class _Response:
    """What the application answers, as long as somebody listens: nothing else would end an endless answer."""

    def __init__(self, parts: Iterable[bytes], client: _Client) -> None:
        self._parts = parts
        self._client = client

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if self._client.is_gone:
                if self._client.wants_body:  # else it has all that it asked for
                    logger.info("- Broken pipe from %s", self._client.address, extra={"server_time": server_time()})
                return
            yield part

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _wrap_file(file: Any, _size: int) -> FileWrapper:
    return FileWrapper(file, _FILE_BYTES)
