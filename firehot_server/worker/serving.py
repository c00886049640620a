"""A worker that serves: imports the app, waits for its turn, serves, ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn, cast

import cloudpickle
import uvicorn
from uvicorn.config import WS_PROTOCOLS

from firehot_server import generations
from firehot_server.failure.app import FailureApp
from firehot_server.failure.report import sentence_only
from firehot_server.messages import Begin, Begun, Debugging, Drain, Failed, Imported, Loaded, NeedsLoop, Ready
from firehot_server.output import print_lines_at_once
from firehot_server.worker.audit_events import DEBUGGER_EVENTS, AuditEvents
from firehot_server.worker.checkpoints import Checkpoints
from firehot_server.worker.importing import AppFailed, NeedsRunningLoop, describe, import_app
from firehot_server.worker.read_log import ReadLog
from firehot_server.worker.server import Engine, drive, take_sockets
from firehot_server.worker.standby import StandBy, leave

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from firehot_server.failure.report import Failure
    from firehot_server.messages import Obstacle
    from firehot_server.template.process import WorkerJob


def run(job: WorkerJob) -> NoReturn:
    """Be a worker until the end of the process."""
    leave(Worker(job).run())


class Worker:
    """One worker process."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._origins = job.origins
        self._is_debugged = False
        self._loaded: tuple[uvicorn.Config, Callable[..., None]] | None = None
        self._events = AuditEvents()
        self._standby = StandBy(job)
        self._link = self._standby.link
        self._log = ReadLog(
            job.origins,
            job.folder,
            job.configure.cache_dir,
            self._link.send,
            self._link.lay_down,
            before=lambda path: self._checkpoints.opens(path),
        )
        self._checkpoints = Checkpoints(
            job.ties,
            self._log,
            job.origins.is_first_party,
            is_debugged=lambda: self._is_debugged,
            take=lambda: self._begin().pauses,
        )

    def run(self) -> int:
        """Live; the exit status."""
        begin = self._stand_by()
        try:
            self._live(begin, *self._server(begin))
        except NeedsRunningLoop:
            self._link.send(NeedsLoop())
        except AppFailed as error:
            self._fail(error.failure)
        except BaseException as error:
            self._fail(describe(error, self._origins))
        else:
            return 0
        return 1

    def _stand_by(self) -> Begin:
        """All that can be done before it is known what changed; then wait."""
        print_lines_at_once()
        for event in DEBUGGER_EVENTS:
            self._events.on(event, self._enter_debugger)
        if self._job.configure.payload_is_plain:
            self._loaded = self._load()
        begin = self._begin()
        if begin.role == "app":
            self._log.begin(self._events)
        return begin

    def _begin(self) -> Begin:
        begin = self._standby.wait(drops_signals=True)
        assert isinstance(begin, Begin)
        generations.begin(begin.generation)
        self._link.send(Begun())
        return begin

    def _enter_debugger(self, *_arguments: object) -> None:
        self._is_debugged = True
        self._link.send(Debugging())

    def _server(self, begin: Begin) -> tuple[uvicorn.Config, Callable[..., None]]:
        if begin.is_bare:
            config = uvicorn.Config("", **self._job.configure.bare)
            return config, uvicorn.Server(config).run
        return self._loaded or self._load()

    def _load(self) -> tuple[uvicorn.Config, Callable[..., None]]:
        config, target = cloudpickle.loads(self._job.configure.payload)
        config.configure_logging()
        self._checkpoints.take_stock()
        return config, target

    def _live(self, begin: Begin, config: uvicorn.Config, target: Callable[..., None]) -> None:
        if self._job.env_file_error and begin.role == "app":
            raise AppFailed(sentence_only("The --env-file cannot be loaded", self._job.env_file_error))
        if begin.failure is not None:
            _answer_failure(config, begin.failure, begin.generation)
        server = getattr(target, "__self__", None)
        if isinstance(server, uvicorn.Server):
            drive(server, self._engine(begin))
            target(sockets=self._import(config, begin))
        else:
            self._run_foreign(target)

    def _engine(self, begin: Begin) -> Engine:
        return Engine(
            link=self._link,
            origins=self._origins,
            import_in_loop=begin.in_loop,
            imported=self._imported,
            is_debugged=lambda: self._is_debugged,
            report_loaded=self._report_loaded if begin.role == "app" else _nothing,
        )

    def _import(self, config: uvicorn.Config, begin: Begin) -> list[socket.socket] | None:
        """Import now, unless that has to wait for the event loop; the listening sockets."""
        if begin.in_loop:
            return None
        self._checkpoints.begin(begin.pauses, self._events)
        try:
            import_app(config, self._origins, in_loop=False)
        except BaseException:
            self._checkpoints.give_up()
            raise
        self._imported(*self._checkpoints.end(self._events))
        return take_sockets(self._link)

    def _imported(self, seconds: float = 0.0, obstacle: Obstacle | None = None) -> None:
        self._log.imported()
        self._link.end_laying_down()
        self._link.send(Imported(seconds, obstacle, self._job.stamps.since_mark()))

    def _fail(self, failure: Failure) -> None:
        self._log.flush()
        self._link.send(Failed(failure, self._job.stamps.since_mark()))

    def _run_foreign(self, target: Callable[..., None]) -> None:
        """A target that is not uvicorn's server: it imports and serves as it likes, and is ended by SIGTERM."""
        self._imported()
        sockets = take_sockets(self._link)
        threading.Thread(target=self._terminate_on_drain, name="firehot-drain", daemon=True).start()
        self._link.send(Ready())
        target(sockets=sockets)

    def _terminate_on_drain(self) -> None:
        while not isinstance(self._link.receive(), Drain):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    def _report_loaded(self) -> None:
        names = sys.modules.keys() - self._job.preloaded
        self._link.send(Loaded(tuple(sorted(n for n in names if self._is_worth_preloading(n)))))

    def _is_worth_preloading(self, name: str) -> bool:
        spec: Any = getattr(sys.modules.get(name), "__spec__", None)
        if spec is None or spec.name != name or not isinstance(spec.origin, str):
            return False
        return not name.startswith("firehot_server") and not self._origins.is_first_party(spec.origin)


def _answer_failure(config: uvicorn.Config, failure: Failure, generation: int) -> None:
    """Serve the failure, by what uvicorn cannot be without: the configured protocol or loop may be what failed."""
    config.app = cast("Any", FailureApp(failure, generation))
    config.factory = False
    config.http, config.http2, config.loop = "h11", False, "asyncio"
    if config.ws not in WS_PROTOCOLS:
        config.ws = "none"
    config.interface = "asgi3"
    config.lifespan = "on"


def _nothing() -> None:
    pass
