"""An ASGI app around a WSGI app: a2wsgi, and what apps find under `flask run` beside that."""

from __future__ import annotations

import asyncio
import io
import sys
import traceback
from typing import TYPE_CHECKING, Any

from a2wsgi import WSGIMiddleware
from werkzeug.exceptions import InternalServerError

from firehot_flask.logs import werkzeug_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from firehot_flask.launch import Launch

    Message = dict[str, Any]
    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Headers = list[tuple[str, str]]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

# Werkzeug starts one for each request; a thread is made here only when all others are at work.
_THREADS = 200
_CLIENT = "firehot_flask.client"


class Gateway:
    """The ASGI app."""

    def __init__(self, app: WSGIApplication, launch: Launch) -> None:
        app_as_called: Any = _Surroundings(app, launch)  # a2wsgi has types of its own
        self._bridge: Any = WSGIMiddleware(app_as_called, workers=_THREADS if launch.threads else 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = _Client(receive)
        listening = asyncio.create_task(client.listen())
        try:
            # Without names that could be taken for others (X_Forwarded_For).
            headers = [header for header in scope["headers"] if b"_" not in header[0]]
            await self._bridge({**scope, "headers": headers, _CLIENT: client}, client.receive, send)
        except _CutOff:
            pass  # the server closes the connection: the client must not take what it has got for all
        finally:
            listening.cancel()


class _CutOff(Exception):
    """The app has failed in the middle of a response; it was said."""


class _Client:
    """Hears when the client has gone: an app that streams would go on for ever, and keep a thread.

    One message is read ahead of the app, no more: an upload waits until it is wanted.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self.is_gone = False

    async def receive(self) -> Message:
        """The next message, for the app."""
        return await self._messages.get()

    async def listen(self) -> None:
        """Until it has gone, or has got all of the answer."""
        while not self.is_gone:
            message = await self._receive()
            self.is_gone = message["type"] == "http.disconnect"
            await self._messages.put(message)


class _Surroundings:
    """The WSGI app, as Werkzeug's server would call it. It is called in a thread."""

    def __init__(self, app: WSGIApplication, launch: Launch) -> None:
        self._app = app
        self._environ: WSGIEnvironment = {
            "SERVER_NAME": launch.server[0],
            "SERVER_PORT": launch.server[1],
            "wsgi.multithread": launch.threads,
            "wsgi.multiprocess": False,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        scope = environ["asgi.scope"]
        environ.update(self._environ, **_target(scope))
        environ["wsgi.errors"] = sys.stderr
        environ.setdefault("REMOTE_ADDR", "<local>")
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            environ["wsgi.input"] = _Input(environ["wsgi.input"])
            environ["wsgi.input_terminated"] = True
        head = _Head(start_response)
        try:
            yield from self._answer(environ, head, scope[_CLIENT])
        except (Exception, SystemExit) as error:  # a view that exits must not take the server along
            _log_failure(error)
            if head.is_sent:
                raise _CutOff from None
            yield from InternalServerError()(environ, start_response)

    def _answer(self, environ: WSGIEnvironment, head: _Head, client: _Client) -> Iterator[bytes]:
        chunks = self._app(environ, head.set)
        try:
            for chunk in chunks:
                if client.is_gone:
                    return
                head.send()
                yield chunk
            head.send()
        finally:
            getattr(chunks, "close", lambda: None)()


def _target(scope: Scope) -> dict[str, str]:
    """What was asked for, by the names that several servers give it."""
    query = scope["query_string"].decode("ascii")
    target = scope["raw_path"].decode("ascii") + (f"?{query}" if query else "")
    return {"REQUEST_URI": target, "RAW_URI": target}


def _log_failure(error: BaseException) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(error.with_traceback(trace)))
    werkzeug_logger().error("Error on request:\n%s", text.rstrip())


class _Head:
    """Status and headers. They leave with the first part of the body: until then, an error can still be told."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._head: tuple[str, Headers] | None = None
        self._write: Callable[[bytes], object] | None = None

    @property
    def is_sent(self) -> bool:
        return self._write is not None

    def set(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Callable[[bytes], object]:
        """The `start_response` of the app."""
        if exc_info is not None and exc_info[1] is not None and self.is_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise AssertionError("Headers already set")
        self._head = status, headers
        return self._write_now

    def send(self) -> None:
        """Unless it was."""
        if self._write is None:
            if self._head is None:
                raise AssertionError("write() before start_response")
            self._write = self._start_response(*self._head)

    def _write_now(self, data: bytes) -> None:
        self.send()
        assert self._write is not None
        self._write(data)


class _Input(io.RawIOBase):
    """A body whose length nobody has said, as a file: a2wsgi's has only some of its methods."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
