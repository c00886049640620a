"""The supervisor's loop: feeds what happens to the state machine, and does what the machine says."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle
import uvicorn
from uvicorn.config import LOGGING_CONFIG

from firehot_server.channel import Channel
from firehot_server.config import Settings, cache_folder
from firehot_server.discovery.origin import Origins
from firehot_server.location import PACKAGE
from firehot_server.messages import (
    DEFAULT_DRAIN_SECONDS,
    Begin,
    Configure,
    Debugging,
    Drain,
    Drained,
    Draining,
    Exited,
    Failed,
    Handoff,
    Hold,
    Imported,
    Loaded,
    Message,
    NeedsLoop,
    Obstacle,
    Paused,
    Reads,
    Ready,
    Serve,
    Written,
    close_descriptors,
)
from firehot_server.supervisor import actions as ac
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.alarms import Alarms
from firehot_server.supervisor.app_preloads import AppPreloads
from firehot_server.supervisor.checkpoints import Checkpoints
from firehot_server.supervisor.installation import Installation
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.likely import GitChanges, module_name, newest
from firehot_server.supervisor.machine import Machine
from firehot_server.supervisor.memory import Memory
from firehot_server.supervisor.pauses import MEMORY, Prospects
from firehot_server.supervisor.plan import INTERPRETER, TEMPLATE, State, rewind
from firehot_server.supervisor.private_memory import affordable, private_bytes
from firehot_server.supervisor.processes import SERVING, TemplateProcess, WorkerProcess, duplicate_sockets
from firehot_server.supervisor.rules import ReloadRules
from firehot_server.supervisor.signals import SignalPipe
from firehot_server.supervisor.switchboard import Switchboard
from firehot_server.supervisor.templates import Policy, Templates
from firehot_server.supervisor.terminal import ProgressLine, TerminalModes
from firehot_server.supervisor.watcher import Degraded, Touched, Watcher, Watching

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from uvicorn import Config

    from firehot_server.messages import Pauses
    from firehot_server.supervisor.edits import Edit
    from firehot_server.supervisor.forks import Order

logger = logging.getLogger("uvicorn.error")

# How long a template may take to report the end of a worker whose channel is closed, in seconds.
_EXIT_REPORT_SECONDS = 1.0

# A fork makes both sides copy memory for a while: leave the first requests of a new worker in peace, in seconds.
_STANDBY_SECONDS = 0.1

# An import of the app that takes less is no reason to go on without what the template has learned, in seconds.
_SHORT_IMPORT_SECONDS = 0.2

# Some time after a reload, when nobody waits for anything, checkpoints are weighed.
_MEMORY_SECONDS = 2.0
_NEXT_MEMORY_SECONDS = 0.02

# An import that takes longer than this gets its new folders watched meanwhile, in seconds.
_WATCH_SECONDS = 0.2

# How long a file may stay empty between being truncated and being written, in seconds.
_HALF_WRITTEN_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class ExitReport:
    """A template is to report how this worker, whose channel is closed, has ended."""

    worker: int


Alarm = ac.Timer | ExitReport | Literal["preload", "watch", "stand-by", "settled", "memory"]


class Supervisor:
    """Runs until it is told to stop.

    Args:
        config: uvicorn's configuration.
        target: what a worker calls with the listening sockets, usually `uvicorn.Server(config).run`.
        sockets: bound and listening.
        settings: our own options.
        path: the `sys.path` that the app needs.
        template: the first template, just spawned.
    """

    def __init__(
        self,
        config: Config,
        target: Callable[..., Any],
        sockets: list[socket.socket],
        settings: Settings,
        path: tuple[str, ...],
        template: TemplateProcess,
    ) -> None:
        self._config = config
        self._target = target
        self._sockets = sockets
        self._settings = settings
        self._path = path
        self._folder = os.getcwd()
        self._origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
        drain = config.timeout_graceful_shutdown
        self._machine = Machine(
            drain_seconds=DEFAULT_DRAIN_SECONDS if drain is None else drain,
            startup_seconds=settings.startup_timeout,
        )
        self._status: int | None = None
        self._events: deque[ev.Event] = deque()
        self._workers: dict[int, WorkerProcess] = {}
        self._handoffs: list[Handoff] = []
        self._alarms: Alarms[Alarm] = Alarms()
        self._pending_touches: set[str] = set()
        self._watching: frozenset[str] = frozenset()
        self._switchboard = Switchboard(logger)
        self._progress = ProgressLine(sys.stderr)
        self._ledger = Ledger(ReloadRules(config), self._first_party_path())
        self._preloads = AppPreloads(
            config,
            settings,
            Memory.of_app(cache_folder(), str(config.app), self._app_dir()),
            self._origins,
            path,
        )
        self._templates = self._make_templates(template)
        self._checkpoints = Checkpoints(self._switchboard, self._child_exited, self._checkpoint_lost)
        self._prospects = Prospects()
        self._git: GitChanges | None = None
        """It has been asked, and its answer not taken yet."""
        self._forking: ac.ForkWorker | None = None
        """The worker that was asked for and is not there yet."""
        self._weights: dict[int, int | None] = {}
        """Bytes that each checkpoint holds alone, by process id; None: not measured yet."""
        self._obstacle: tuple[str, str, int] | None = None
        """What was last said to stand in the way of checkpoints."""

    def _make_templates(self, first: TemplateProcess) -> Templates:
        return Templates(
            self._switchboard,
            self._preloads,
            self._progress,
            first,
            logger,
            Policy(SERVING, self._settings.preload_timeout, is_partial=True, forks_ahead=False),
            emit=self._feed,
            on_exited=self._child_exited,
            set_deadline=lambda seconds: self._set_alarm("preload", seconds),
            on_extended=self._template_extended,
        )

    def run(self) -> int:
        """Serve and reload until the end; the exit status.

        Must run in the main thread, for its signal handlers.
        """
        with contextlib.ExitStack() as stack:
            self._terminal = stack.enter_context(TerminalModes())
            self._signals = stack.enter_context(SignalPipe())
            stack.callback(self._switchboard.close)
            stack.callback(self._end_everything)
            self._watcher = Watcher(self._signals.wake)
            stack.callback(self._watcher.close)
            self._switchboard.listen(self._signals, self._woken)
            if self._settings.checkpoints:
                self._git = GitChanges(self._folder)
            self._feed(ev.Started())
            while self._status is None:
                self._update_watch()
                self._switchboard.turn(self._alarms.seconds_left(time.monotonic()))
                self._ring()
            return self._status

    # -- the machine

    def _feed(self, event: ev.Event) -> None:
        """Handle an event, and whatever doing the actions brings about, one after the other."""
        self._events.append(event)
        if len(self._events) > 1:
            return  # the call that handles the first one is further up the stack
        while self._events:
            for action in self._machine.handle(self._events[0], time.monotonic()):
                self._do(action)
            self._events.popleft()

    def _do(self, action: ac.Action) -> None:
        match action:
            case ac.StartTemplate():
                self._start_template()
            case ac.ForkWorker():
                self._fork(action)
            case ac.DropCheckpoints():
                self._checkpoints.retire_after(TEMPLATE)
            case ac.TellHold():
                self._tell(action.worker, Hold())
            case ac.TellDrain():
                self._tell(action.worker, Drain(action.seconds, action.handoff))
            case ac.TellServe():
                self._tell(action.worker, Serve(duplicate_sockets(self._sockets)))
            case ac.Cut():
                self._cut(action.worker)
            case ac.SetTimer():
                self._set_alarm(action.timer, action.seconds)
            case ac.CancelTimer():
                self._alarms.cancel(action.timer)
            case ac.Report():
                self._progress.clear()
                logger.log(logging.getLevelNamesMapping()[action.level.upper()], action.text)
            case ac.ReportFailure():
                self._report_failure(action)
            case ac.Finish():
                self._status = action.status

    def _report_failure(self, action: ac.ReportFailure) -> None:
        failure = action.failure
        text = failure.traceback.strip() or failure.sentence or failure.headline
        because = f" ({failure.cause})" if failure.cause else ""
        logger.error(
            "%s\nAnswering 500 with this failure until the next save%s (generation %d)",
            text,
            because,
            action.generation,
        )

    # -- templates

    def _start_template(self) -> None:
        self._checkpoints.retire_after(INTERPRETER)
        self._installation = Installation(self._origins)
        env_file = self._settings.env_file
        self._ledger.template_starts([] if env_file is None else [os.path.abspath(env_file)])
        self._templates.start(self._configure(), self._settings.environment)
        self._prospects.files = len(self._preloads.files)

    def _template_extended(self) -> None:
        """Checkpoints of the former one lack what was added. Where the import is short, they are not worth that."""
        self._ledger.template_holds(self._templates.names)
        if (self._prospects.seconds or 0.0) < _SHORT_IMPORT_SECONDS:
            self._checkpoints.retire_after(TEMPLATE)

    def _configure(self) -> Configure:
        return Configure(
            sys_path=self._path,
            argv=tuple(sys.argv),
            payload=cloudpickle.dumps((self._config, self._target)),
            cache_dir=str(cache_folder() / "bytecode"),
            env_file=os.path.abspath(self._settings.env_file) if self._settings.env_file else "",
            payload_is_plain=self._is_plain(),
        )

    def _is_plain(self) -> bool:
        server = getattr(self._target, "__self__", None)
        config = self._config
        return (
            type(server) is uvicorn.Server
            and type(config) is uvicorn.Config
            and isinstance(config.http, str)
            and isinstance(config.ws, str)
            and config.ssl_context_factory is None
            and (config.log_config is None or config.log_config is LOGGING_CONFIG)
        )

    def _fork(self, action: ac.ForkWorker) -> None:
        """Of the deepest checkpoint: those that an edit has made stale are retired by now."""
        self._forking = action
        self._ledger.template_holds(self._templates.names)
        self._templates.withdraw()
        self._checkpoints.withdraw()
        begin = Begin(action.generation, action.role, action.failure, action.in_loop, self._pauses(action))
        if begin.pauses is not None:
            # Of what is no reason to reload, but has changed, too.
            self._checkpoints.retire_after(self._valid_state(self._ledger.doubt))
            deepest = self._checkpoints.deepest
            state = TEMPLATE if deepest is None else deepest.state
            self._ledger.begin(action.worker, state.position)
            origin = "" if deepest is None else state.name
            taken = lambda process: self._worker_forked(process, action.worker, origin)  # noqa: E731
            if self._checkpoints.resume(begin, taken) is not None:
                return
        elif action.role == "app":
            self._ledger.begin(action.worker)
        self._templates.fork(begin, lambda process: self._worker_forked(process, action.worker, ""))

    def _pauses(self, action: ac.ForkWorker) -> Pauses | None:
        if self._git is not None:
            self._guess(self._git.take())
        wanted = self._settings.checkpoints and action.role == "app" and not action.in_loop
        return self._prospects.pauses() if wanted else None

    def _guess(self, changed: tuple[str, ...]) -> None:
        """Before the first import: what may be edited first?"""
        self._git = None
        files = (*changed, *newest(self._preloads.files, time.time()))
        names = dict.fromkeys(module_name(file, self._first_party_path()) for file in files)
        self._prospects.likely = tuple(filter(None, names))

    def _checkpoint_lost(self, _orders: list[Order]) -> None:
        """The worker was to be made of it."""
        if self._forking is not None:
            self._fork(self._forking)

    # -- workers

    def _worker_forked(self, worker: WorkerProcess, number: int, origin: str) -> None:
        self._forking = None
        self._adopt(worker, number)
        self._feed(ev.Forked(worker.number, origin))

    def _adopt(self, worker: WorkerProcess, number: int) -> None:
        worker.number = number
        self._workers[worker.number] = worker
        self._switchboard.attach(
            worker, lambda message: self._hear(worker, message), lambda: self._channel_closed(worker)
        )
        if not self._machine.knows(worker.number):
            worker.cut()  # it was given up while it was being forked

    def _paused(self, worker: WorkerProcess, message: Paused) -> None:
        """This process waits from now on; its copy is the worker."""
        if worker.number != self._ledger.worker:  # it was given up: what it has read is no longer known
            worker.cut()
            close_descriptors(message)
            return
        state = State(f"the checkpoint {message.place}", self._ledger.position)
        checkpoint = self._checkpoints.add(worker, state)
        checkpoint.workers.add(message.pid)
        channel = Channel.from_descriptor(message.channel[0])
        self._adopt(WorkerProcess(message.pid, channel, message.lifeline[0], parent=checkpoint), worker.number)

    def _hear(self, worker: WorkerProcess, message: Message) -> None:
        number = worker.number
        match message:
            case Reads():
                for read in message.reads:
                    self._noticed(self._ledger.read(number, read))
            case Paused():
                self._paused(worker, message)
            case Written():
                if self._ledger.written(message.path):
                    logger.info("%s is written by the app itself: it does not reload.", self._shorten(message.path))
            case Imported():
                self._imported(number, message)
            case Failed():
                self._feed(ev.Failed(number, message.failure))
            case NeedsLoop():
                self._feed(ev.NeedsLoop(number))
            case Ready():
                self._feed(ev.Ready(number, len(self._checkpoints.states)))
                self._deliver_handoffs()
                self._set_alarm("stand-by", _STANDBY_SECONDS)
                self._weights.clear()
                self._set_alarm("memory", _MEMORY_SECONDS)
            case Draining():
                self._feed(ev.Draining(number, message.busy))
            case Drained():
                self._feed(ev.Drained(number))
            case Debugging():
                self._feed(ev.Debugged(number))
            case Loaded():
                self._templates.extend(self._preloads.learn(message.modules))
            case Handoff():
                self._handoffs.append(message)
                self._deliver_handoffs()
            case _:
                raise AssertionError(message)

    def _imported(self, number: int, message: Imported) -> None:
        if number == self._ledger.worker and message.seconds:
            self._ledger.imported = self._ledger.position
            self._prospects.seconds = message.seconds
        if message.obstacle is not None:
            self._report_obstacle(message.obstacle)
        self._feed(ev.Imported(number))

    def _report_obstacle(self, obstacle: Obstacle) -> None:
        """Once, until there is another."""
        identity = (obstacle.finding, obstacle.path, obstacle.line)
        if identity == self._obstacle:
            return
        self._obstacle = identity
        known = f"after {self._shorten(obstacle.path)}, line {obstacle.line}"
        place = known if obstacle.path else f"from somewhere {obstacle.place or 'in the import'} on"
        logger.info(
            "No checkpoints %s: %s. Each reload imports again what follows: %s ms.",
            place,
            obstacle.finding,
            f"{obstacle.seconds * 1000:,.0f}",
        )

    def _tell(self, number: int, message: Message) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._switchboard.send(worker, message)
        else:
            close_descriptors(message)

    def _deliver_handoffs(self) -> None:
        """Connections wait here until a worker serves, so that none dies with a worker that fails to start."""
        serving = self._machine.serving
        if serving is not None:
            while self._handoffs:
                self._tell(serving.number, self._handoffs.pop(0))

    def _cut(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.cut()

    def _channel_closed(self, worker: WorkerProcess) -> None:
        worker.cut()
        if self._switchboard.is_attached(worker.parent):
            self._set_alarm(ExitReport(worker.number), _EXIT_REPORT_SECONDS)
        else:
            self._worker_gone(worker, None)

    def _child_exited(self, message: Exited) -> None:
        for worker in list(self._workers.values()):
            if worker.pid == message.pid:
                self._switchboard.drain(worker)
                self._worker_gone(worker, message.status)

    def _worker_gone(self, worker: WorkerProcess, status: int | None) -> None:
        if self._workers.pop(worker.number, None) is None:
            return
        self._alarms.cancel(ExitReport(worker.number))
        self._switchboard.release(worker)
        self._feed(ev.Exited(worker.number, status))

    # -- edits

    def _woken(self) -> None:
        for number in self._signals.take():
            self._signalled(number)
        notices = self._watcher.take()
        if notices:
            for worker in list(self._workers.values()):
                self._switchboard.drain(worker)  # it may have said that it writes these files itself
        for notice in notices:
            match notice:
                case Touched():
                    self._touched(notice.paths)
                case Watching():
                    self._noticed(self._ledger.watching(notice.folders))
                case Degraded():
                    logger.warning(notice.text)

    def _touched(self, paths: frozenset[str]) -> None:
        self._pending_touches |= paths
        delay = self._config.reload_delay
        if self._ledger.looks_half_written(self._pending_touches):
            delay = max(delay, _HALF_WRITTEN_SECONDS)
        if delay <= 0:
            self._settled()
        elif not self._alarms.is_set("settled") or any(map(self._ledger.matters, paths)):
            self._set_alarm("settled", delay)  # a log file that is being written must not put it off for ever

    def _settled(self) -> None:
        self._alarms.cancel("settled")
        touches, self._pending_touches = self._pending_touches, set()
        self._noticed(self._ledger.touch(touches))

    def _noticed(self, edit: Edit) -> None:
        for path in edit.idle:
            logger.debug("%s: the same content, or nothing has read it; no reload", self._shorten(path))
        if edit:
            names = [self._ledger.module_of(path) or path for path in edit.paths]
            self._prospects.edited(names, late=edit.position >= self._ledger.imported)
            self._reload(edit.describe(self._shorten), min(edit.position, self._ledger.doubt))

    def _reload(self, cause: str, position: int) -> None:
        state = self._valid_state(position)
        is_reinstalled = self._installation.has_changed()
        if is_reinstalled:
            cause = f"{cause}, packages were installed"
        self._checkpoints.withdraw()
        self._checkpoints.retire_after(state)
        self._feed(ev.EditNoticed(cause, new_interpreter=is_reinstalled or state is INTERPRETER))

    def _valid_state(self, position: int) -> State:
        return rewind(position, [TEMPLATE, *self._checkpoints.states])

    def _update_watch(self, *, now: bool = False) -> None:
        """Watch what the ledger wants watched. While a worker imports, that grows by the module: gather."""
        wanted = self._ledger.wanted_folders()
        if wanted == self._watching and not self._ledger.is_watch_broken:
            return
        if now or not self._watching or not self._machine.is_importing:
            self._watching = wanted
            self._ledger.is_watch_broken = False
            self._watcher.watch(wanted)
        elif not self._alarms.is_set("watch"):
            self._set_alarm("watch", _WATCH_SECONDS)

    # -- signals and time

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP and not self._terminal.is_gone:
            self._reload("SIGHUP", TEMPLATE.position)
        else:
            self._feed(ev.StopRequested())

    def _set_alarm(self, name: Alarm, seconds: float | None) -> None:
        if seconds is None:
            self._alarms.cancel(name)
        else:
            self._alarms.set(name, time.monotonic() + seconds)

    def _ring(self) -> None:
        for name in self._alarms.pop_due(time.monotonic()):
            match name:
                case ac.Timer():
                    self._feed(ev.TimerExpired(name))
                case ExitReport():
                    self._exit_unreported(name.worker)
                case "preload":
                    self._templates.expire()
                case "watch":
                    self._update_watch(now=True)
                case "stand-by":
                    self._templates.prepare(is_favourite=not self._checkpoints.prepare())
                case "settled":
                    self._settled()
                case "memory":
                    self._measure_memory()

    def _measure_memory(self) -> None:
        """What the checkpoints hold alone decides how many there will be next time."""
        self._weights = {pid: self._weights.get(pid) for pid in self._checkpoints.pids}
        unknown = next((pid for pid, size in self._weights.items() if size is None), None)
        if unknown is not None:  # one at a time: the kernel takes a while for each
            self._weights[unknown] = private_bytes(unknown) or 0
            self._set_alarm("memory", _NEXT_MEMORY_SECONDS)
        elif self._weights:
            measured = sum(size or 0 for size in self._weights.values())
            self._prospects.affordable = affordable(len(self._weights), measured, MEMORY)
            logger.debug("%d checkpoints hold %.0f MB of memory alone", len(self._weights), measured / (1 << 20))

    def _exit_unreported(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._worker_gone(worker, None)

    # -- the end

    def _end_everything(self) -> None:
        self._progress.clear()
        if self._git is not None:
            self._git.take()
        for worker in list(self._workers.values()):
            self._switchboard.release(worker)
        self._workers.clear()
        self._checkpoints.close()
        self._templates.close()
        for message in self._handoffs:
            for fd in message.sockets:
                os.close(fd)

    # -- names

    def _app_dir(self) -> str:
        return os.path.abspath(self._path[0]) if self._path else self._folder

    def _first_party_path(self) -> list[str]:
        """The folders in which the app module itself may appear."""
        return [
            path
            for path in (os.path.abspath(entry) for entry in self._path)
            if os.path.isdir(path) and self._origins.is_first_party(path)
        ]

    def _shorten(self, path: str) -> str:
        return path.removeprefix(f"{self._folder}/")
