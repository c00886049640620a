"""uvicorn's server, started, held and drained by the supervisor's messages instead of signals and 100 ms ticks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
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
)
from firehot_server.worker import connections
from firehot_server.worker.importing import AppFailed, describe, import_app
from firehot_server.worker.lifecycle_log import capture_lifespan_errors, quiet_lifecycle
from firehot_server.worker.requests import RunningRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firehot_server.discovery.origin import Origins
    from firehot_server.worker.link import Link

logger = logging.getLogger("uvicorn.error")

# What an idle server's WebSocket handlers get to see their close before the new worker stops waiting, in seconds.
_SETTLE_SECONDS = 0.02
# After tasks were cancelled at the deadline: how long they may take to notice, in seconds.
_CANCEL_SECONDS = 0.5
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
            with quiet_lifecycle():
                await self._serve(sockets)
        finally:
            self.engine.link.deafen(loop)

    def _begin(self) -> None:
        self._wake = asyncio.Event()
        self._drain: Drain | None = None
        self._held = False

    def _prepare(self) -> None:
        config = self.config
        self.requests = RunningRequests(cast("Any", config.loaded_app))
        config.loaded_app = self.requests
        if not config.is_ssl:
            config.http_protocol_class = connections.make_movable(config.http_protocol_class, self._is_held)

    @property
    def _drain_seconds(self) -> float:
        seconds = self.config.timeout_graceful_shutdown
        return float(DEFAULT_DRAIN_SECONDS if seconds is None else seconds)

    # -- the supervisor's messages

    def _answer(self, message: Message) -> None:
        match message:
            case Hold():
                self._hold()
            case Drain():
                self._begin_drain(message)
            case Handoff():
                self._adopt(message)
            case _:
                raise AssertionError(message)

    def _is_held(self) -> bool:
        """Whether new requests are to wait; looks whether the supervisor has said so by now."""
        if not self._held:
            self.engine.link.hear()
        return self._held

    def _hold(self) -> None:
        if self._held:
            return
        self._held = True
        self._stop_accepting()
        for connection in connections.idle(self.server_state.connections):
            connection.rest()
        for connection in connections.stationary(self.server_state.connections):
            connection.shutdown()  # closes it now if it is idle, else after its response

    def _stop_accepting(self) -> None:
        for server in getattr(self, "servers", []):
            server.close()

    def _begin_drain(self, message: Drain) -> None:
        self._hold()
        self._drain = self._drain or message
        # The way by which uvicorn tells of its end; libraries (sse-starlette) hook it to end their streams.
        self.handle_exit(signal.SIGTERM, None)
        self._wake.set()

    def _adopt(self, message: Handoff) -> None:
        loop = asyncio.get_running_loop()
        for connection, fd in zip(message.connections, message.sockets, strict=True):
            task = loop.create_task(self._adopt_one(socket.socket(fileno=fd), connection.received))
            self.server_state.tasks.add(task)
            task.add_done_callback(self.server_state.tasks.discard)

    async def _adopt_one(self, sock: socket.socket, received: bytes) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        _, protocol = await loop.connect_accepted_socket(lambda: self._create_protocol(received), sock)
        if received and not isinstance(protocol, connections.Movable):
            protocol.data_received(received)

    def _create_protocol(self, received: bytes) -> asyncio.Protocol:
        create = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        protocol = create(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        if isinstance(protocol, connections.Movable):
            protocol.brought = received
        return protocol

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
        self.engine.link.send(Ready())
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
        drain = self._drain or Drain(self._drain_seconds, handoff=False)
        self._hold()
        await self._release_idle(drain)
        await self._finish_requests(drain)
        await self.lifespan.shutdown()
        # What the event loop was about to accept when the hold came has arrived by now.
        self._hand_over(drain)
        self.engine.link.send(Drained())
        self.engine.report_loaded()

    async def _release_idle(self, drain: Drain) -> None:
        moved = self._hand_over(drain)
        for other in set(self.server_state.connections) - set(cast("Any", moved)):
            other.shutdown()  # closes when idle, else after its response; WebSockets with 1012
        await self.requests.end_event_streams()

    def _hand_over(self, drain: Drain) -> list[connections.Movable]:
        """Send the idle connections to the supervisor; those that went."""
        movable = connections.idle(self.server_state.connections) if drain.handoff else []
        moved: list[connections.Movable] = []
        try:
            for part, message in connections.batches(movable):
                self.engine.link.send(message)
                for connection in part:
                    connection.transport.close()
                moved += part
        except OSError as error:
            logger.warning("%d idle connections were closed instead of moved: %s", len(movable) - len(moved), error)
        return moved

    async def _finish_requests(self, drain: Drain) -> None:
        if not self.requests.any_http:
            await self._tasks_within(_SETTLE_SECONDS)
        busy = bool(self.server_state.tasks)
        self.engine.link.send(Draining(busy))
        if busy and not await self._tasks_within(drain.seconds):
            if drain.handoff and self.engine.is_debugged():
                await self._tasks_within(None)  # a person is at a breakpoint: no deadline but the server's own end
            else:
                await self._cancel(drain.seconds)

    async def _tasks_within(self, seconds: float | None) -> bool:
        """Wait for running requests and background tasks; True when none is left."""
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        # A finished request's done callbacks (uvicorn's bookkeeping) run one turn later.
        await asyncio.sleep(0)
        return not self.server_state.tasks

    async def _cancel(self, seconds: float) -> None:
        for line in self.requests.lines:
            logger.warning("%s was still running after %g s; cancelled", line, seconds)
        for task in list(self.server_state.tasks):
            task.cancel(msg="the drain deadline has passed")
        await self._tasks_within(_CANCEL_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's."""
        yield


def take_sockets(link: Link) -> list[socket.socket]:
    """Wait for `Serve`; the listening sockets that came with it."""
    message = link.receive()
    if not isinstance(message, Serve):
        raise AssertionError(message)
    return [socket.socket(fileno=fd) for fd in message.sockets]


def drive(server: uvicorn.Server, engine: Engine) -> None:
    """Turn a server, the user's own subclass included, into one that the supervisor drives."""
    kind = type(server)
    if kind is uvicorn.Server:
        server.__class__ = EngineServer
    else:
        server.__class__ = type(kind.__name__, (EngineServer, kind), {"__module__": kind.__module__})
    cast("EngineServer", server).engine = engine
