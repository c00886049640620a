"""The supervisor's loop: feeds what happens to the state machine, and does what the machine says."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    Begun,
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
    TakeUp,
    Unkept,
    Written,
    close_descriptors,
)
from firehot_server.notices import read_notices
from firehot_server.supervisor import actions as ac
from firehot_server.supervisor import events as ev
from firehot_server.supervisor import open_files
from firehot_server.supervisor.alarms import Alarms
from firehot_server.supervisor.app_preloads import AppPreloads
from firehot_server.supervisor.changes import Changes, Reload
from firehot_server.supervisor.checkpoints import Checkpoints
from firehot_server.supervisor.ending import ending
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.likely import GitChanges, module_name, newest
from firehot_server.supervisor.machine import FORK_SECONDS, Machine
from firehot_server.supervisor.memory import Memory
from firehot_server.supervisor.orphans import Orphans
from firehot_server.supervisor.pauses import MEMORY, Prospects
from firehot_server.supervisor.plan import INTERPRETER, NEVER, TEMPLATE, State, rewind
from firehot_server.supervisor.private_memory import affordable, private_bytes
from firehot_server.supervisor.processes import SERVING, TemplateProcess, WorkerProcess, duplicate_sockets
from firehot_server.supervisor.rules import ReloadRules
from firehot_server.supervisor.stopped import is_stopped
from firehot_server.supervisor.switchboard import Switchboard
from firehot_server.supervisor.templates import Policy, Templates
from firehot_server.supervisor.terminal import ProgressLine, TerminalModes
from firehot_server.supervisor.watcher import Watcher
from firehot_server.supervisor.working_folder import WorkingFolder

if TYPE_CHECKING:
    import socket

    from uvicorn import Config

    from firehot_server.messages import Pauses
    from firehot_server.stamps import Stamped
    from firehot_server.supervisor.forks import Order
    from firehot_server.supervisor.processes import Process
    from firehot_server.supervisor.signals import SignalPipe

logger = logging.getLogger("uvicorn.error")

# How long a template may take to report the end of a worker whose channel is closed, in seconds.
_EXIT_REPORT_SECONDS = 1.0

# A fork makes both sides copy memory for a while: leave the first requests of a new worker in peace, in seconds.
_STANDBY_SECONDS = 0.1

# An import of the app that takes less is no reason to go on without what the template has learned, in seconds.
_SHORT_IMPORT_SECONDS = 0.2

# How often is looked whether a worker is stopped, in seconds; twice in a row, and it is ended.
_PULSE_SECONDS = 0.4

# Some time after a reload, when nobody waits for anything, checkpoints are weighed.
_MEMORY_SECONDS = 2.0
_NEXT_MEMORY_SECONDS = 0.02

# Where no file more may be open, so often is looked whether a worker that was leaving has left, in seconds.
_FILES_SECONDS = 0.05
# Alarms that come so late, in seconds, were late for everybody: the machine slept, or these processes were stopped.
_STANDSTILL_SECONDS = 1.0

# What of the user's configuration a failure is served with if all of it does not work.
_TLS = ("keyfile", "certfile", "keyfile_password", "version", "cert_reqs", "ca_certs", "ciphers")
_BARE_OPTIONS = ("root_path", *(f"ssl_{name}" for name in _TLS))


@dataclass(frozen=True, slots=True)
class ExitReport:
    """The parent of this process, whose channel is closed, is to report how it has ended."""

    pid: int


Alarm = ac.Timer | ExitReport | Callable[[], None]
"""A function is called when it is due."""


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
        signals: SignalPipe,
    ) -> None:
        self._config = config
        self._target = target
        self._sockets = sockets
        self._settings = settings
        self._path = path
        self._signals = signals
        self._working_folder = WorkingFolder()
        self._absolute_path = tuple(map(os.path.abspath, path))
        self._env_file = os.path.abspath(settings.env_file) if settings.env_file else ""
        self._origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
        drain = config.timeout_graceful_shutdown
        self._machine = Machine(
            drain_seconds=DEFAULT_DRAIN_SECONDS if drain is None else drain,
            startup_seconds=settings.startup_timeout,
            overlap=settings.overlap,
            on_error=settings.on_error,
        )
        self._status: int | None = None
        self._events: deque[ev.Event] = deque()
        self._workers: dict[int, WorkerProcess] = {}
        self._handoffs: list[Handoff] = []
        self._alarms: Alarms[Alarm] = Alarms()
        self._switchboard = Switchboard(logger)
        self._progress = ProgressLine(sys.stderr)
        self._ledger = Ledger(ReloadRules(config, settings), self._first_party_path())
        self._preloads = AppPreloads(
            config,
            settings,
            Memory.of_app(cache_folder(), " ".join((str(config.app), *settings.roots)), self._app_dir()),
            self._origins,
            self._absolute_path,
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
        self._stopped: set[int] = set()
        """The workers, by number, that were stopped when it was last looked."""

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
            set_deadline=self._set_preload_deadline,
            on_looked=lambda reads: self._changes.noticed(self._ledger.template_looked(reads)),
            on_imported=lambda files: self._changes.imported(files),
            on_extended=self._template_extended,
        )

    def _make_changes(self, watcher: Watcher) -> Changes:
        return Changes(
            self._ledger,
            watcher,
            self._machine,
            self._prospects,
            self._alarms,
            self._working_folder,
            self._origins,
            self._config.reload_delay,
            hear=self._hear_all,
            on_reload=self._reload,
            on_settled=lambda: self._feed(ev.Settled()),
        )

    def run(self) -> int:
        """Serve and reload until the end; the exit status. Must run in the main thread, for its signal handlers."""
        with contextlib.ExitStack() as stack:
            self._terminal = stack.enter_context(TerminalModes())
            self._orphans = stack.enter_context(Orphans())
            stack.callback(self._switchboard.close)
            stack.callback(self._end_everything)
            watcher = Watcher(self._signals.wake)
            stack.callback(watcher.close)
            self._changes = self._make_changes(watcher)
            self._switchboard.listen(self._signals, self._woken)
            if self._settings.checkpoints:
                self._git = GitChanges(self._working_folder.path)
            self._feed(ev.Started())
            while self._status is None:
                self._changes.update_watch()
                self._turn()
                self._ring()
                self._changes.judge_suspects()
            return self._status

    def _turn(self) -> None:
        """Wait for whatever comes first, and handle it."""
        begun = time.monotonic()
        left = self._alarms.seconds_left(begun)
        ready = self._switchboard.wait(left)
        if left is not None and (late := time.monotonic() - begun - left) > _STANDSTILL_SECONDS:
            self._alarms.postpone(late)
        self._switchboard.deliver(ready)
        self._orphans.reap(self._own_children, lambda pid, status: self._child_exited(Exited(pid, status)))

    def _own_children(self) -> list[int]:
        return [*self._templates.pids(), *([] if self._git is None else self._git.pids)]

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
            case ac.LookAtFork():
                self._look_at_fork(action)
            case ac.DropCheckpoints():
                self._checkpoints.retire_after(TEMPLATE)
            case ac.TellHold():
                self._tell(action.worker, Hold(action.may_return))
            case ac.TellTakeUp():
                self._give_sockets(action.worker, lambda sockets: TakeUp(action.failed, sockets))
            case ac.TellDrain():
                self._tell(action.worker, Drain(action.seconds, action.handoff, open_files.room_to_wait()))
            case ac.TellServe():
                self._give_sockets(action.worker, Serve)
            case ac.Cut():
                self._cut(action.worker)
            case ac.SetTimer():
                self._alarms.start(action.timer, action.seconds)
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
        text = failure.traceback.strip() or f"{failure.headline}\n{failure.sentence}".strip()
        because = f" ({failure.cause})" if failure.cause else ""
        answer = "500 with this failure" if action.kept is None else f"as before, by generation {action.kept},"
        logger.error("%s\nAnswering %s until the next save%s (generation %d)", text, answer, because, action.generation)
        self._changes.failure_is_shown()

    # -- templates

    def _start_template(self) -> None:
        self._checkpoints.retire_after(INTERPRETER)
        self._changes.template_starts()
        self._ledger.template_starts([self._env_file] if self._env_file else [])
        self._templates.start(self._configure(), self._settings.environment)
        self._prospects.files = len(self._preloads.files)

    def _template_extended(self) -> None:
        """Checkpoints of the former one lack what was added. Where the import is short, they are not worth that."""
        if (self._prospects.seconds or 0.0) < _SHORT_IMPORT_SECONDS:
            self._checkpoints.retire_after(TEMPLATE)

    def _configure(self) -> Configure:
        return Configure(
            sys_path=self._path,
            argv=tuple(sys.argv),
            payload=cloudpickle.dumps((self._config, self._target)),
            cache_dir=str(cache_folder() / "bytecode"),
            env_file=self._env_file,
            bare={name: getattr(self._config, name) for name in _BARE_OPTIONS},
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
        if self._must_wait_for_files():
            self._alarms.start(self._fork_again, _FILES_SECONDS)
            return
        self._alarms.cancel(self._fork_again)
        if action.role == "app":
            self._changes.look_at_held()
        self._forget(action.worker)  # what had not begun when the template was lost
        self._templates.withdraw()
        self._checkpoints.withdraw()
        pauses = self._pauses() if self._may_pause(action) else None
        begin = Begin(action.generation, action.role, action.failure, action.in_loop, pauses, action.is_bare)
        if pauses is not None:
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

    def _must_wait_for_files(self) -> bool:
        """One more process would be one too many, and some are about to end."""
        return not open_files.is_room() and any(worker.is_leaving for worker in self._workers.values())

    def _may_pause(self, action: ac.ForkWorker) -> bool:
        return self._settings.checkpoints and action.role == "app" and action.leaves_checkpoints and not action.in_loop

    def _pauses(self) -> Pauses:
        """Where the next import is to leave checkpoints; of those that there are, only the valid ones are left."""
        if self._git is not None:
            self._guess(self._git.take())
        self._checkpoints.retire_after(self._valid_state(NEVER))
        openable = len(self._checkpoints.states) + open_files.affordable_now()
        if self._prospects.openable and not openable:
            logger.info("No checkpoints: only %d files may be open here (ulimit -n).", open_files.limit())
        self._prospects.openable = openable
        return self._prospects.pauses()

    def _guess(self, changed: tuple[str, ...]) -> None:
        """Before the first import: what may be edited first?"""
        self._git = None
        files = (*changed, *newest(self._preloads.files, time.time()))
        names = dict.fromkeys(module_name(file, self._first_party_path()) for file in files)
        self._prospects.likely = tuple(filter(None, names))

    def _checkpoint_lost(self, _orders: list[Order]) -> None:
        """The worker was to be made of it."""
        self._fork_again()

    def _fork_again(self) -> None:
        if self._forking is not None:
            self._fork(self._forking)

    def _look_at_fork(self, action: ac.LookAtFork) -> None:
        """What is ended here is lost like anything else that ends: the next state is used."""
        if self._end_stopped():
            return
        if not action.give_up:
            self._checkpoints.insist()
            self._templates.insist()
            return
        silent = self._workers.get(action.worker) or self._checkpoints.debtor or self._templates.debtor
        if silent is not None:
            logger.warning("%s has not made a worker within %g s; ended.", self._waiting()[silent], FORK_SECONDS)
            silent.cut()

    def _end_stopped(self) -> bool:
        """Whatever is to be forked, or to report how its children ended, must run; whether something did not."""
        stopped = {process: name for process, name in self._waiting().items() if is_stopped(process.pid)}
        for process, name in stopped.items():
            logger.warning("%s does not answer: it is stopped (SIGSTOP); ended.", name)
            process.cut()
        return bool(stopped)

    def _waiting(self) -> dict[Process, str]:
        """All that waits to be told what to be, or to fork, with names for people."""
        told: dict[Process, str] = {worker: "A stand-by" for worker in self._workers.values() if not worker.has_begun}
        return {**self._checkpoints.names, **self._templates.process_names, **told}

    # -- workers

    def _worker_forked(self, worker: WorkerProcess, number: int, origin: str) -> None:
        worker.origin = origin
        self._adopt(worker, number)

    def _begun(self, worker: WorkerProcess) -> None:
        if self._forking is not None and self._forking.worker == worker.number:
            self._forking = None
        worker.has_begun = True
        self._alarms.start(self._look_for_stopped, _PULSE_SECONDS)
        self._changes.import_begins()
        self._feed(ev.Forked(worker.number, worker.origin))

    def _forget(self, number: int) -> None:
        worker = self._workers.pop(number, None)
        if worker is not None:
            self._alarms.cancel(ExitReport(worker.pid))
            self._switchboard.release(worker)

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
        copy = WorkerProcess(message.pid, channel, message.lifeline[0], parent=checkpoint, has_begun=True)
        self._adopt(copy, worker.number)

    def _hear(self, worker: WorkerProcess, message: Message) -> None:
        number = worker.number
        match message:
            case Reads():
                for read in message.reads:
                    self._ledger.read(number, read)
            case Paused():
                self._paused(worker, message)
            case Written():
                if self._ledger.written(message.path):
                    path = self._working_folder.shorten(message.path)
                    logger.info("%s is written by the app itself: it does not reload.", path)
            case Begun():
                self._begun(worker)
            case Unkept():
                self._preloads.cannot_keep(message.reason)
            case Imported():
                self._imported(number, message)
            case Failed():
                self._held(number, message.files)
                self._feed(ev.Failed(number, message.failure))
            case NeedsLoop():
                self._feed(ev.NeedsLoop(number))
            case Ready():
                (worker.notices,) = message.notices or (-1,)
                self._feed(ev.Ready(number, len(self._checkpoints.states)))
                self._deliver_handoffs()
                self._alarms.start(self._prepare_standby, _STANDBY_SECONDS)
                self._weights.clear()
                self._alarms.start(self._measure_memory, _MEMORY_SECONDS)
            case Draining():
                worker.is_leaving = True
                self._feed(ev.Draining(number, message.busy))
            case Drained():
                self._feed(ev.Drained(number))
            case Debugging():
                self._feed(ev.Debugged(number))
            case Loaded():
                learned = self._preloads.learn(message.modules)
                if open_files.affordable_now():
                    self._templates.extend(learned)
            case Handoff():
                worker.is_leaving = True
                self._handoffs.append(message)
                self._deliver_handoffs()
            case _:
                raise AssertionError(message)

    def _imported(self, number: int, message: Imported) -> None:
        if number == self._ledger.worker and message.seconds:
            self._ledger.imported = self._ledger.position
            self._prospects.seconds = message.seconds
        self._held(number, message.files)
        if message.obstacle is not None:
            self._report_obstacle(message.obstacle)
        self._feed(ev.Imported(number))

    def _held(self, number: int, files: tuple[Stamped, ...]) -> None:
        """What the newest worker has is what its checkpoints have."""
        if number == self._ledger.worker:
            self._changes.imported(files)

    def _report_obstacle(self, obstacle: Obstacle) -> None:
        """Once, until there is another."""
        identity = (obstacle.finding, obstacle.path, obstacle.line)
        if identity == self._obstacle:
            return
        self._obstacle = identity
        known = f"after {self._working_folder.shorten(obstacle.path)}, line {obstacle.line}"
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

    def _give_sockets(self, number: int, make: Callable[[tuple[int, ...]], Message]) -> None:
        try:
            message = make(duplicate_sockets(self._sockets))
        except OSError as error:
            logger.error("The listening sockets cannot be given to a worker, which is ended: %s", error)
            self._cut(number)
        else:
            self._tell(number, message)

    def _deliver_handoffs(self) -> None:
        """Connections wait here until a worker serves, so that none dies with a worker that fails to start."""
        serving = self._machine.serving
        worker = None if serving is None else self._workers.get(serving.number)
        if worker is not None and not worker.is_leaving:
            while self._handoffs:
                self._tell(worker.number, self._handoffs.pop(0))

    def _cut(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            worker.cut()

    def _channel_closed(self, worker: WorkerProcess) -> None:
        worker.cut()
        if self._switchboard.is_attached(worker.parent):
            self._alarms.start(ExitReport(worker.pid), _EXIT_REPORT_SECONDS)
        else:
            self._worker_gone(worker, None)

    def _child_exited(self, message: Exited) -> None:
        for worker in self._workers_of(message.pid):
            self._switchboard.drain(worker)
            self._worker_gone(worker, message.status)

    def _workers_of(self, pid: int) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.pid == pid]

    def _worker_gone(self, worker: WorkerProcess, status: int | None) -> None:
        if self._workers.pop(worker.number, None) is None:
            return
        self._alarms.cancel(ExitReport(worker.pid))
        self._report_unfinished(worker, status)
        self._switchboard.release(worker)
        self._feed(ev.Exited(worker.number, status, self._reading(worker.number)))

    def _reading(self, worker: int) -> str:
        """The module that this worker was the last to begin to import, for people."""
        return self._working_folder.shorten(self._ledger.last_module) if worker == self._ledger.worker else ""

    def _report_unfinished(self, worker: WorkerProcess, status: int | None) -> None:
        """Name the requests that ended with their worker."""
        lines = read_notices(worker.notices) if worker.notices >= 0 else []
        for line in lines:
            how = "disappeared" if status is None else ending(status)
            logger.warning("%s was still running when its worker %s", line, how)

    # -- edits

    def _woken(self) -> None:
        for number in self._signals.take():
            self._signalled(number)
        self._changes.take_notices()

    def _hear_all(self) -> None:
        """Whatever workers have said by now."""
        for worker in list(self._workers.values()):
            self._switchboard.drain(worker)

    def _reload(self, reload: Reload) -> None:
        self._path = tuple(dict.fromkeys((*self._path, *reload.added_folders)))
        state = self._valid_state(reload.position)
        self._checkpoints.withdraw()
        self._checkpoints.retire_after(state)
        self._feed(ev.EditNoticed(reload.cause, state is INTERPRETER, reload.is_settled))

    def _valid_state(self, position: int) -> State:
        """The deepest that has not read what changed: at this position, or where that is no reason to reload."""
        return rewind(min(position, self._ledger.doubt), [TEMPLATE, *self._checkpoints.states])

    # -- signals and time

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP and not self._terminal.is_gone:
            self._changes.reload("SIGHUP", TEMPLATE.position)
        else:
            self._feed(ev.StopRequested())

    def _set_preload_deadline(self, seconds: float | None) -> None:
        self._alarms.start(self._templates.expire, seconds)

    def _ring(self) -> None:
        for name in self._alarms.pop_due(time.monotonic()):
            match name:
                case ac.Timer():
                    self._feed(ev.TimerExpired(name, self._reading(name.worker)))
                case ExitReport():
                    self._exit_unreported(name.pid)
                case _:
                    name()

    def _prepare_standby(self) -> None:
        if open_files.affordable_now():
            self._templates.prepare(is_favourite=not self._checkpoints.prepare())

    def _look_for_stopped(self) -> None:
        """A worker that is stopped closes nothing and says nothing: it would not be noticed before the next edit."""
        told = [worker for worker in self._workers.values() if worker.has_begun and not worker.is_leaving]
        stopped = {worker.number for worker in told if is_stopped(worker.pid)}
        for number in stopped & self._stopped:
            self._feed(ev.Stopped(number))
        self._stopped = stopped
        if told:
            self._alarms.start(self._look_for_stopped, _PULSE_SECONDS)

    def _measure_memory(self) -> None:
        """What the checkpoints hold alone decides how many there will be next time."""
        self._weights = {pid: self._weights.get(pid) for pid in self._checkpoints.pids}
        unknown = next((pid for pid, size in self._weights.items() if size is None), None)
        if unknown is not None:  # one at a time: the kernel takes a while for each
            self._weights[unknown] = private_bytes(unknown) or 0
            self._alarms.start(self._measure_memory, _NEXT_MEMORY_SECONDS)
        elif self._weights:
            measured = sum(size or 0 for size in self._weights.values())
            self._prospects.affordable = affordable(len(self._weights), measured, MEMORY)
            logger.debug("%d checkpoints hold %.0f MB of memory alone", len(self._weights), measured / (1 << 20))

    def _exit_unreported(self, pid: int) -> None:
        self._end_stopped()
        for worker in self._workers_of(pid):
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
        return self._absolute_path[0] if self._path else self._working_folder.path

    def _first_party_path(self) -> list[str]:
        """The folders in which the app module itself may appear."""
        return [path for path in self._absolute_path if os.path.isdir(path) and self._origins.is_first_party(path)]
