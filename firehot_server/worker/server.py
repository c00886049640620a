"""uvicorn's server, started, held and drained by the supervisor's messages instead of signals and 100 ms ticks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from firehot_server.failure.report import sentence_only
from firehot_server.messages import (
    DEFAULT_DRAIN_SECONDS,
    Drain,
    Drained,
    Draining,
    Handoff,
    Hold,
    Message,
    Ready,
    Serve,
    TakeUp,
)
from firehot_server.notices import NoticeBoard
from firehot_server.worker import connections, partings
from firehot_server.worker.accepting import Listener, last_accepted, quiet_accepting, stop_accepting
from firehot_server.worker.brief_log import brief_cancelling, capture_lifespan_errors, quiet_lifecycle
from firehot_server.worker.handoff import Handoffs
from firehot_server.worker.importing import AppFailed, describe, import_app
from firehot_server.worker.lingering import Lingering
from firehot_server.worker.requests import RunningRequests

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from firehot_server.discovery.origin import Origins
    from firehot_server.worker.link import Link

logger = logging.getLogger("uvicorn.error")

# What an idle server's WebSocket handlers get to see their close before the new worker stops waiting, in seconds.
_SETTLE_SECONDS = 0.02
# After tasks were cancelled at the deadline: how long they may take to notice, in seconds.
_CANCEL_SECONDS = 0.5
# How often a drain looks for what nothing tells of: a buffer of TLS that is empty, a WebSocket that was accepted.
_LOOK_SECONDS = 0.05
# By then the requests that waited for this worker are answered, and there is time for reports.
_SETTLED_SECONDS = 0.2
_HOUSEKEEPING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What the server needs to know of the process that it runs in."""

    link: Link
    origins: Origins
    import_in_loop: bool
    imported: Callable[[], None]
    """Called when the app is imported: tells the supervisor."""
    is_debugged: Callable[[], bool]
    """Whether the user's code has entered a debugger."""
    report_loaded: Callable[[], None]
    """Called some time after the start, and at the end: tells the supervisor which modules were imported."""


class EngineServer(uvicorn.Server):
    """A `uvicorn.Server` that runs in a worker. Made by [`drive`][firehot_server.worker.server.drive]."""

    engine: Engine
    requests: RunningRequests

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Import (if that has to happen in the loop), start up, serve until drained."""
        loop = asyncio.get_running_loop()
        self._begin()
        if self.engine.import_in_loop:
            import_app(self.config, self.engine.origins, in_loop=True)
            self.engine.imported()
            sockets = take_sockets(self.engine.link)
        self._prepare()
        self.engine.link.listen(loop, self._answer)
        loop.add_signal_handler(signal.SIGTERM, self._begin_drain, Drain(self._drain_seconds, handoff=False))
        try:
            with quiet_lifecycle(), quiet_accepting():
                await self._serve(sockets)
        finally:
            self.engine.link.deafen(loop)

    def _begin(self) -> None:
        self._wake = asyncio.Event()
        self._drain: Drain | None = None
        self._held = False
        self._is_handing_over = False
        self._lingering = Lingering()

    def _prepare(self) -> None:
        config = self.config
        self._board = NoticeBoard()
        self.requests = RunningRequests(cast("Any", config.loaded_app), self._board)
        config.loaded_app = self.requests
        self._progress = asyncio.Event()
        self._handoffs = Handoffs(self, self.engine.link, self._progress.set)
        self.server_state.connections = partings.Leaving(self._progress.set)
        self.server_state.tasks = partings.Leaving(self._progress.set)
        if not config.is_ssl:
            config.http_protocol_class = connections.make_movable(
                config.http_protocol_class, self._is_held, self._freed
            )

    @property
    def _drain_seconds(self) -> float:
        seconds = self.config.timeout_graceful_shutdown
        return float(DEFAULT_DRAIN_SECONDS if seconds is None else seconds)

    # -- the supervisor's messages

    def _answer(self, message: Message) -> None:
        match message:
            case Hold():
                self._hold(may_return=message.may_return)
            case TakeUp():
                self._take_up(message)
            case Drain():
                self._begin_drain(message)
            case Handoff():
                self._handoffs.adopt(message)
            case _:
                raise AssertionError(message)

    def _is_held(self) -> bool:
        """Whether new requests are to wait; looks whether the supervisor has said so by now."""
        if not self._held:
            self.engine.link.hear()
        return self._held

    def _hold(self, *, may_return: bool = False) -> None:
        if self._held:
            return
        self._held = True
        self._stop_accepting()
        for connection in list(self.server_state.connections):
            if isinstance(connection, connections.Movable):
                connection.rest()
            elif self._leaves_at_once(connection, may_return=may_return):
                self._dismiss(connection)

    def _leaves_at_once(self, connection: Any, *, may_return: bool) -> bool:
        """It cannot move: a WebSocket, or one that has answered before (TLS), whose next request needs a new one."""
        if self._is_websocket(connection):
            return partings.is_accepted(connection) and not may_return
        return partings.has_answered(connection)

    def _dismiss(self, connection: Any) -> None:
        if self._is_websocket(connection) and not self.config.is_ssl and not connection.transport.is_closing():
            self._lingering.begin(connection.transport, lambda: partings.is_gone(connection))
        partings.dismiss(connection)

    def _is_websocket(self, connection: Any) -> bool:
        kind = self.config.ws_protocol_class
        return kind is not None and isinstance(connection, kind)

    def _stop_accepting(self) -> None:
        for server in getattr(self, "servers", []):
            stop_accepting(server)

    def _take_up(self, message: TakeUp) -> None:
        """The newer code fails: this one answers on, and says so."""
        sockets: list[socket.socket] = [Listener(fileno=fd) for fd in message.sockets]
        if self._drain is not None:
            for sock in sockets:
                sock.close()
            return
        self._held = False
        self.requests.failed = message.failed
        self._accepting = asyncio.get_running_loop().create_task(self._accept(sockets))
        for connection in list(self.server_state.connections):
            if isinstance(connection, connections.Movable):
                connection.take_up()

    async def _accept(self, sockets: list[socket.socket]) -> None:
        create = asyncio.get_running_loop().create_server
        ssl, backlog = self.config.ssl, self.config.backlog
        self.servers = [
            await create(self._handoffs.create_protocol, sock=sock, ssl=ssl, backlog=backlog) for sock in sockets
        ]
        if self._held:
            self._stop_accepting()

    def _begin_drain(self, message: Drain) -> None:
        self._hold()
        self._handoffs.room = message.room
        self._drain = self._drain or message
        # The way by which uvicorn tells of its end; libraries (sse-starlette) hook it to end their streams.
        self.handle_exit(signal.SIGTERM, None)
        self._wake.set()

    def _freed(self) -> None:
        """A connection can move: at once, if the new worker is there or will be."""
        if self._drain is not None and self._drain.handoff and not self._is_handing_over:
            self._is_handing_over = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_handing_over = False
        self._handoffs.leave()

    # -- uvicorn's steps

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Lifespan startup, then accept.

        Raises:
            AppFailed: lifespan startup failed.
        """
        await self.on_tick(0)  # the first response needs its headers before the first tick
        with capture_lifespan_errors(self.lifespan) as errors:
            try:
                await super().startup(sockets)
            except SystemExit as error:
                if error.code != STARTUP_FAILURE:
                    raise
                raise AppFailed(self._startup_failure(errors)) from None
        if self._held:
            self._stop_accepting()  # superseded before it could serve; what it accepts now, nobody would answer
        self.engine.link.send(Ready(notices=(self._board.share(),)))
        asyncio.get_running_loop().call_later(_SETTLED_SECONDS, self.engine.report_loaded)

    def _startup_failure(self, errors: list[str]) -> Any:
        cause = self.requests.lifespan_error
        if cause is not None:
            return describe(cause, self.engine.origins)
        text = "\n".join(errors).strip()
        return sentence_only("Application startup failed", text or "The app sent lifespan.startup.failed.")

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _HOUSEKEEPING_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain: hand over or close what is idle, let the rest finish until the deadline, end the lifespan."""
        self._drain = self._drain or Drain(self._drain_seconds)  # --limit-max-requests: another worker will take over
        self._hold()
        await last_accepted()
        await self._release(self._drain)
        await self._finish(self._drain)
        await self.lifespan.shutdown()
        if self._drain.handoff:
            self._hand_over()  # what came meanwhile from a worker that was replaced earlier
        self.engine.link.send(Drained())
        self.engine.report_loaded()
        if self._drain.handoff:  # else somebody may wait for the end of this process
            await self._lingering.end()

    async def _release(self, drain: Drain) -> None:
        if drain.handoff:
            self._hand_over()
        for connection in list(self.server_state.connections):
            moves = drain.handoff and isinstance(connection, connections.Movable)
            if not moves and not (self._is_websocket(connection) and not partings.is_accepted(connection)):
                self._dismiss(connection)  # closes when idle, else after its response; WebSockets with 1012
        await self.requests.end_streams()

    async def _finish(self, drain: Drain) -> None:
        if not self.requests.any_http:
            await self._done_within(_SETTLE_SECONDS)
        busy = not self._is_done
        self.engine.link.send(Draining(busy))
        if busy and not await self._done_within(drain.seconds):
            if drain.handoff and self.engine.is_debugged():
                await self._done_within(None)  # a person is at a breakpoint: no deadline but the server's own end
            else:
                await self._cancel(drain.seconds)

    @property
    def _is_done(self) -> bool:
        state = self.server_state
        return not state.tasks and not self._handoffs.adoptions and all(map(partings.is_gone, state.connections))

    async def _done_within(self, seconds: float | None) -> bool:
        """Wait for running requests, background tasks and responses on their way; True when none is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_done:
                    self._progress.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._progress.wait(), _LOOK_SECONDS)
                    self._close_websockets()
        return self._is_done

    def _close_websockets(self) -> None:
        """Those whose handshake was under way."""
        for connection in list(self.server_state.connections):
            if self._is_websocket(connection) and partings.is_accepted(connection):
                self._dismiss(connection)

    async def _cancel(self, seconds: float) -> None:
        for line in self.requests.lines:
            logger.warning("%s was still running after %g s; cancelled", line, seconds)
        for line in partings.unsent(self.server_state.connections):
            logger.warning("%s: its client has not read all of the response within %g s; cut off", line, seconds)
        for task in list(self.server_state.tasks):
            task.cancel(msg="the drain deadline has passed")
        if self.server_state.tasks:
            with brief_cancelling(self.engine.origins.is_first_party):
                await asyncio.wait(list(self.server_state.tasks), timeout=_CANCEL_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's."""
        yield


def take_sockets(link: Link) -> list[socket.socket]:
    """Wait for `Serve`; the listening sockets that came with it."""
    message = link.receive()
    if not isinstance(message, Serve):
        raise AssertionError(message)
    return [Listener(fileno=fd) for fd in message.sockets]


def drive(server: uvicorn.Server, engine: Engine) -> None:
    """Turn a server, the user's own subclass included, into one that the supervisor drives."""
    kind = type(server)
    if kind is uvicorn.Server:
        server.__class__ = EngineServer
    else:
        server.__class__ = type(kind.__name__, (EngineServer, kind), {"__module__": kind.__module__})
    cast("EngineServer", server).engine = engine
