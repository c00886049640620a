"""The supervisor's state machine: which process should exist, and what it should be told. Pure.

An event goes in, actions come out; the loop carries them out. Nothing here reads a clock, a file or a socket, so
every order of edits, failures, deaths and signals can be tested as a table.

    edit ──► candidate: waiting ─► forking ─► importing ─► imported ─► starting ─► serving ──► leaving
                        (template)  (Fork)    (Forked)     (Imported)  (Serve)     (Ready)     (Drain)
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from firehot_server.failure.report import Failure, sentence_only, with_cause
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.actions import (
    Action,
    CancelTimer,
    Cut,
    DropCheckpoints,
    Finish,
    ForkWorker,
    Report,
    ReportFailure,
    SetTimer,
    StartTemplate,
    TellDrain,
    TellHold,
    TellServe,
    Timer,
)
from firehot_server.supervisor.ending import ending

if TYPE_CHECKING:
    from firehot_server.messages import Role

Phase = Literal["settling", "waiting", "forking", "importing", "imported", "starting", "serving", "leaving"]

# How long the old worker may take to say whether it is busy before it is taken for busy, in seconds.
ACK_SECONDS = 0.25
# A failure this soon after the edit may be a file caught half-written; it is not shown before, in seconds.
SETTLE_SECONDS = 0.03
# What a worker gets beyond its drain deadline, for cancelling tasks and lifespan shutdown, in seconds.
GRACE_SECONDS = 1.5
# So many deaths of serving workers within so many seconds: the app is broken, not unlucky.
CRASH_LIMIT = 3
CRASH_SECONDS = 10.0

# What a worker does in each phase before it serves.
_STARTING: dict[Phase, str] = {
    "forking": "fork of a worker",
    "importing": "import of the app",
    "imported": "wait for the previous worker",
    "starting": "lifespan startup",
}


@dataclass(slots=True)
class Worker:
    """What the supervisor believes of one worker."""

    number: int
    generation: int
    cause: str
    started: float
    role: Role = "app"
    failure: Failure | None = None
    phase: Phase = "waiting"
    in_loop: bool = False
    debugged: bool = False
    drained: bool = False
    fresh_template: bool = False
    origin: str = ""
    """The checkpoint of which it was forked, for people; empty: the template."""

    @property
    def has_process(self) -> bool:
        """It was forked."""
        return self.phase not in ("settling", "waiting", "forking")


@dataclass(slots=True)
class Machine:
    """See the module.

    Args:
        drain_seconds: what running requests get.
        startup_seconds: what a worker gets from fork to ready.
    """

    drain_seconds: float
    startup_seconds: float
    generation: int = 0
    template_ready: bool = False
    template_given_up: bool = False
    serving: Worker | None = None
    candidate: Worker | None = None
    leaving: dict[int, Worker] = field(default_factory=dict)
    stopping: bool = False
    finished: bool = False
    _numbers: int = 0
    _awaited: int | None = None
    _needs_loop: bool = False
    _deaths: list[float] = field(default_factory=list)
    _actions: list[Action] = field(default_factory=list)

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """What to do about an event. `now` is a monotonic clock's reading, in seconds."""
        self._actions = []
        if not self.finished:
            self._dispatch(event, now)
        return self._actions

    def knows(self, worker: int) -> bool:
        """Whether this worker still has a part to play."""
        return self._find(worker) is not None

    @property
    def is_importing(self) -> bool:
        """A worker is importing the app right now."""
        return self.candidate is not None and self.candidate.phase == "importing"

    def _dispatch(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.Started():
                self._do(StartTemplate())
                self._begin("", now)
            case ev.EditNoticed():
                self._edit(event, now)
            case ev.TemplateReady():
                self._template_is_ready()
            case ev.TemplateLost():
                self._template_is_lost(event)
            case ev.StopRequested():
                self._stop()
            case ev.TimerExpired():
                self._expire(event.timer, now)
            case _:
                self._hear(event, now)

    def _hear(self, event: ev.WorkerEvent, now: float) -> None:
        worker = self._find(event.worker)
        if worker is None:
            return
        match event:
            case ev.Forked():
                self._forked(worker, event.origin)
            case ev.Imported():
                self._imported(worker)
            case ev.NeedsLoop():
                self._again_in_loop(worker)
            case ev.Failed():
                self._failed(worker, event.failure, now)
            case ev.Draining():
                self._draining(worker, busy=event.busy)
            case ev.Drained():
                worker.drained = True
                self._released(worker)
            case ev.Ready():
                self._ready(worker, event.checkpoints, now)
            case ev.Exited():
                self._exited(worker, event.status, now)
            case ev.Debugged():
                self._debugged(worker)

    # -- a new generation

    def _edit(self, event: ev.EditNoticed, now: float) -> None:
        if self.stopping:
            return
        self._deaths.clear()
        if self.candidate is not None:
            self._abandon(self.candidate)
        if self.serving is not None:
            self._do(TellHold(self.serving.number))
        if event.new_interpreter or self.template_given_up:
            self.template_ready = self.template_given_up = False
            self._do(StartTemplate())
        self._needs_loop = self._needs_loop and not event.new_interpreter
        self._begin(event.cause, now, fresh_template=event.new_interpreter)

    def _begin(self, cause: str, now: float, *, fresh_template: bool = False) -> None:
        self.generation += 1
        self._field(
            Worker(
                self._next_number(),
                self.generation,
                cause,
                now,
                in_loop=self._needs_loop,
                fresh_template=fresh_template,
            )
        )

    def _field(self, worker: Worker) -> None:
        """Make this the candidate, and fork it as soon as there is a template."""
        self.candidate = worker
        if self.template_ready:
            self._fork(worker)
        elif self.template_given_up:
            self.template_given_up = False
            self._do(StartTemplate())

    def _fork(self, worker: Worker) -> None:
        worker.phase = "forking"
        self._do(ForkWorker(worker.number, worker.generation, worker.role, worker.failure, worker.in_loop))
        self._do(SetTimer(Timer("startup", worker.number), self.startup_seconds))

    def _abandon(self, worker: Worker) -> None:
        """A newer edit makes this candidate pointless."""
        self.candidate = None
        self._do(CancelTimer(Timer("startup", worker.number)))
        self._do(CancelTimer(Timer("settle", worker.number)))
        if worker.phase == "starting":
            # It may be accepting by now, its word still on the way: what it has accepted must be answered.
            self._part(worker)
        elif worker.has_process:
            self._do(Cut(worker.number))

    # -- the template

    def _template_is_ready(self) -> None:
        self.template_ready = True
        if self.candidate is not None and self.candidate.phase == "waiting":
            self._fork(self.candidate)

    def _template_is_lost(self, event: ev.TemplateLost) -> None:
        self.template_ready = False
        if self.candidate is not None and self.candidate.phase == "forking":
            self._do(CancelTimer(Timer("startup", self.candidate.number)))
            self.candidate.phase = "waiting"
        if self.stopping:
            return
        if event.hopeless:
            self._give_template_up(event.reason)
            return
        if event.reason:
            self._do(Report("warning", event.reason))
        self._do(StartTemplate())

    def _give_template_up(self, reason: str) -> None:
        if self.serving is None or self.candidate is not None:
            self._do(Report("error", reason))
            self._finish(1)
        else:
            self._do(Report("error", f"{reason} The present worker goes on; save a file to try again."))
            self.template_given_up = True

    # -- what workers say

    def _forked(self, worker: Worker, origin: str) -> None:
        worker.origin = origin
        if worker is self.candidate:
            worker.phase = "importing"

    def _imported(self, worker: Worker) -> None:
        if worker is not self.candidate:
            return
        worker.phase = "imported"
        if self.serving is None and self._awaited is None:
            self._serve(worker)
        elif self.serving is not None:
            old, self.serving = self.serving, None
            self._part(old)
        if self._awaited is not None:
            self._do(CancelTimer(Timer("startup", worker.number)))  # it is not the new code that takes its time

    def _part(self, old: Worker) -> None:
        """Drain, and let the candidate wait until the old worker is done or says that it is busy."""
        self._awaited = old.number
        self._drain(old)
        self._do(SetTimer(Timer("ack", old.number), ACK_SECONDS))

    def _drain(self, worker: Worker) -> None:
        worker.phase = "leaving"
        self.leaving[worker.number] = worker
        self._do(TellDrain(worker.number, self.drain_seconds, handoff=not self.stopping))
        self._do(SetTimer(Timer("drain", worker.number), self.drain_seconds + GRACE_SECONDS))

    def _draining(self, worker: Worker, *, busy: bool) -> None:
        self._do(CancelTimer(Timer("ack", worker.number)))
        if worker is self.serving:  # it ends by itself
            self._do(SetTimer(Timer("drain", worker.number), self.drain_seconds + GRACE_SECONDS))
        if busy and self.stopping:
            self._do(Report("info", "Waiting for running requests to finish. (CTRL+C to force quit)"))
        if busy:
            self._released(worker)

    def _released(self, worker: Worker) -> None:
        """The candidate need not wait for this worker any longer."""
        if self._awaited == worker.number:
            self._awaited = None
            if self.candidate is not None and self.candidate.phase == "imported":
                if not self.candidate.debugged:
                    self._do(SetTimer(Timer("startup", self.candidate.number), self.startup_seconds))
                self._serve(self.candidate)

    def _serve(self, worker: Worker) -> None:
        worker.phase = "starting"
        self._do(TellServe(worker.number))

    def _ready(self, worker: Worker, checkpoints: int, now: float) -> None:
        if worker is not self.candidate:
            return
        self._do(CancelTimer(Timer("startup", worker.number)))
        worker.phase = "serving"
        self.serving, self.candidate = worker, None
        if worker.role == "app":
            self._do(Report("info", _ready_line(worker, checkpoints, now - worker.started)))

    def _again_in_loop(self, worker: Worker) -> None:
        if worker is not self.candidate:
            return
        if not self._needs_loop:
            what = "it gets one. So there are no checkpoints, and each reload imports all of your code"
            self._do(Report("info", f"The app needs a running event loop while it is imported: {what}."))
        self._needs_loop = True
        self._do(DropCheckpoints())
        self._retire_candidate(worker)
        self._field(self._successor(worker, in_loop=True))

    def _failed(self, worker: Worker, failure: Failure, now: float) -> None:
        if worker is self.candidate:
            self._retire_candidate(worker)
        elif worker is self.serving:
            self.serving = None
            self._do(Cut(worker.number))
        else:
            return
        if self.candidate is not None:
            self._do(Report("error", f"The worker of generation {worker.generation} failed: {failure.headline}"))
            return
        if worker.generation < self.generation:  # the newer code, and its page, came to nothing: try it again
            self._do(Report("error", f"The worker of generation {worker.generation} failed: {failure.headline}"))
            self._replace(worker, now)
            return
        if worker.role == "failure":
            self._do(Report("error", f"The page that shows the failure failed as well: {failure.headline}"))
            return
        self._show(worker, with_cause(failure, worker.cause), now)

    def _show(self, worker: Worker, failure: Failure, now: float) -> None:
        """Answer with this failure until the next edit."""
        successor = self._successor(worker, role="failure", failure=failure)
        self.candidate = successor
        early = SETTLE_SECONDS - (now - worker.started)
        if worker.cause and early > 0:
            successor.phase = "settling"
            self._do(SetTimer(Timer("settle", successor.number), early))
        else:
            self._publish(successor)

    def _publish(self, worker: Worker) -> None:
        assert worker.failure is not None
        worker.phase = "waiting"
        self._do(ReportFailure(worker.failure, worker.generation))
        self._field(worker)

    def _exited(self, worker: Worker, status: int | None, now: float) -> None:
        for kind in ("startup", "drain", "ack"):
            self._do(CancelTimer(Timer(kind, worker.number)))
        self._released(worker)
        self.leaving.pop(worker.number, None)
        if worker is self.candidate:
            self._candidate_died(worker, status, now)
        elif worker is self.serving:
            self._serving_died(worker, status, now)
        self._finish_when_empty()

    def _candidate_died(self, worker: Worker, status: int | None, now: float) -> None:
        self.candidate = None
        if self.stopping:
            return
        what = "while the app was imported" if worker.phase == "importing" else "before it could serve"
        headline = f"The worker {_ending(status)} {what}"
        if worker.origin:
            self._rewind_further(worker, f"{headline}, from {worker.origin}")
            return
        if worker.role == "failure":
            self._do(Report("error", f"{headline}; save a file to try again."))
            return
        self._show(worker, with_cause(sentence_only(headline, _advice(status)), worker.cause), now)

    def _rewind_further(self, worker: Worker, headline: str) -> None:
        """It may be that what waited there does not bear to be copied: the template is always right."""
        self._do(Report("warning", f"{headline}; trying again from the template."))
        self._do(DropCheckpoints())
        self._field(self._successor(worker))

    def _serving_died(self, worker: Worker, status: int | None, now: float) -> None:
        self.serving = None
        if self.stopping:
            return
        if worker.drained and self.candidate is not None:
            return
        if worker.drained:
            # Not a death: --limit-max-requests, or a SIGTERM that was meant for it alone.
            self._do(Report("info", f"The worker of generation {worker.generation} ended by itself; starting another."))
            self._replace(worker, now)
            return
        headline = f"The worker {_ending(status)} while it was serving (generation {worker.generation})"
        self._deaths = [then for then in self._deaths if now - then < CRASH_SECONDS] + [now]
        crashes_on = len(self._deaths) >= CRASH_LIMIT
        if self.candidate is not None:
            self._do(Report("error", f"{headline}."))
        elif crashes_on and worker.role == "app":
            self._show(worker, sentence_only(f"{headline}, {len(self._deaths)} times", _advice(status)), now)
        elif crashes_on and len(self._deaths) >= 2 * CRASH_LIMIT:
            self._do(Report("error", f"{headline}, again and again; save a file to try again."))
        else:
            self._do(Report("error", f"{headline}; starting another."))
            self._replace(worker, now)

    def _replace(self, worker: Worker, now: float) -> None:
        self.generation += 1
        successor = self._successor(worker, role=worker.role, failure=worker.failure, in_loop=worker.in_loop)
        successor.generation = self.generation
        successor.cause = "the worker had ended"
        successor.fresh_template = False
        successor.started = now
        self._field(successor)

    def _debugged(self, worker: Worker) -> None:
        worker.debugged = True
        if self.stopping:
            return
        for kind in ("startup", "drain"):
            self._do(CancelTimer(Timer(kind, worker.number)))

    def _retire_candidate(self, worker: Worker) -> None:
        self.candidate = None
        self._do(CancelTimer(Timer("startup", worker.number)))
        if not worker.has_process:
            return  # when it comes after all, nobody knows it, and it is ended
        self.leaving[worker.number] = worker
        self._do(SetTimer(Timer("drain", worker.number), GRACE_SECONDS))

    # -- time

    def _expire(self, timer: Timer, now: float) -> None:
        worker = self._find(timer.worker)
        if worker is None:
            return
        match timer.kind:
            case "ack":
                self._draining(worker, busy=True)
            case "settle":
                self._publish(worker)
            case "drain":
                self._drain_expired(worker)
            case "startup":
                self._startup_expired(worker, now)

    def _drain_expired(self, worker: Worker) -> None:
        if worker.debugged and not self.stopping:
            return
        self._do(Report("warning", f"The worker of generation {worker.generation} did not end in time; killed."))
        self._do(Cut(worker.number))

    def _startup_expired(self, worker: Worker, now: float) -> None:
        if worker is not self.candidate or worker.phase not in _STARTING:
            return
        phase = worker.phase
        self._retire_candidate(worker)
        if worker.has_process:
            self._do(Cut(worker.number))
        if worker.origin or phase == "forking":  # it may be what waited there that is stuck
            self._do(DropCheckpoints())
        headline = f"The {_STARTING[phase]} did not end within {self.startup_seconds:g} s"
        if worker.role == "failure":
            self._do(Report("error", f"{headline}, while a failure was to be shown; save a file to try again."))
            return
        advice = "The process was killed. Look for an endless loop or a wait; --startup-timeout sets the deadline."
        self._show(worker, with_cause(sentence_only(headline, f"{headline}. {advice}"), worker.cause), now)

    # -- the end

    def _stop(self) -> None:
        if self.stopping:
            for worker in self._all():
                self._do(Cut(worker.number))
            self._finish(0)
            return
        self.stopping = True
        if self.candidate is not None:
            self._abandon(self.candidate)
        for worker in self.leaving.values():
            if worker.debugged:  # its deadline rested until now
                self._do(SetTimer(Timer("drain", worker.number), self.drain_seconds + GRACE_SECONDS))
        if self.serving is not None:
            old, self.serving = self.serving, None
            self._drain(old)
        self._finish_when_empty()

    def _finish_when_empty(self) -> None:
        if self.stopping and not self.leaving and self.serving is None:
            self._finish(0)

    def _finish(self, status: int) -> None:
        self.finished = True
        self._do(Finish(status))

    # -- bookkeeping

    def _do(self, action: Action) -> None:
        self._actions.append(action)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _successor(
        self, worker: Worker, *, role: Role = "app", failure: Failure | None = None, in_loop: bool = False
    ) -> Worker:
        return Worker(
            self._next_number(),
            worker.generation,
            worker.cause,
            worker.started,
            role,
            failure,
            in_loop=in_loop,
            fresh_template=worker.fresh_template,
        )

    def _all(self) -> list[Worker]:
        return [w for w in (self.serving, self.candidate, *self.leaving.values()) if w is not None]

    def _find(self, number: int) -> Worker | None:
        return next((worker for worker in self._all() if worker.number == number), None)


def _ready_line(worker: Worker, checkpoints: int, seconds: float) -> str:
    took = _milliseconds(seconds)
    if not worker.cause:
        waiting = f", {checkpoints} checkpoint{'s' * (checkpoints > 1)}" if checkpoints else ""
        return f"Ready in {took}{waiting} (generation {worker.generation})"
    way = ", from a new interpreter" if worker.fresh_template else f", from {worker.origin or 'the template'}"
    return f"Reloaded in {took}: {worker.cause}{way} (generation {worker.generation})"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def _ending(status: int | None) -> str:
    return "disappeared" if status is None else ending(status)


def _advice(status: int | None) -> str:
    if status is not None and os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGKILL:
            return "Somebody or something sent SIGKILL; when memory is short, the kernel does."
        return "A library of native code crashed, or something sent the signal; the output above may say which."
    return "Something called os._exit() or sys.exit(); remove the call, or move it out of the import."
