"""The supervisor's state machine: which process should exist, and what it should be told. Pure.

An event goes in, actions come out; the loop carries them out. Nothing here reads a clock, a file or a socket, so
every order of edits, failures, deaths and signals can be tested as a table.

    edit ──► candidate: waiting ─► forking ─► importing ─► imported ─► starting ─► serving ──► leaving
                        (template)  (Fork)    (Forked)     (Imported)  (Serve)     (Ready)     (Drain)
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field, replace
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
    LookAtFork,
    Report,
    ReportFailure,
    SetTimer,
    StartTemplate,
    TellDrain,
    TellHold,
    TellServe,
    TellTakeUp,
    Timer,
)
from firehot_server.supervisor.ending import WHY_KILLED, ending

if TYPE_CHECKING:
    from firehot_server.config import OnError
    from firehot_server.messages import Role
    from firehot_server.supervisor.actions import TimerKind

Phase = Literal["settling", "resting", "waiting", "forking", "importing", "imported", "starting", "serving", "leaving"]

# A worker that was asked for and has not begun: so often is looked for what is stopped, in seconds...
FORK_LOOK_SECONDS = 1.0
# ... and after so long whoever owes it is given up. A fork takes milliseconds, but the machine may be busy, or swap.
FORK_SECONDS = 10.0
# So many forks in a row may end before they have begun.
FORK_LIMIT = 3
# How long the old worker may take to say whether it is busy before it is taken for busy, in seconds.
ACK_SECONDS = 0.25
# A lifespan shutdown that takes longer is mentioned, in seconds.
PATIENCE_SECONDS = 1.0
# A failure this soon after the edit may be a file caught half-written; it is not shown before, in seconds.
SETTLE_SECONDS = 0.03
# What a worker gets beyond its drain deadline, for cancelling tasks and lifespan shutdown, in seconds.
GRACE_SECONDS = 1.5
# So many deaths of serving workers within so many seconds: the app is broken, not unlucky.
CRASH_LIMIT = 3
CRASH_SECONDS = 10.0
# What cannot be had now (a template, a page for a failure) is tried again after so long, in seconds.
RETRY_SECONDS = 5.0
# What a page for a failure gets from fork to ready, in seconds.
PAGE_SECONDS = 10.0

# How the errors of the system and of databases read where something is another process's.
_EXCLUSIVE = re.compile(r"already in use|\block(ed)?\b|temporarily unavailable|resource busy", re.IGNORECASE)

# What ends each phase of a candidate; for the others, the timer "startup" does.
_TIMERS: dict[Phase, TimerKind] = {"settling": "settle", "resting": "retry", "forking": "fork"}
# What a worker does in each phase before it serves.
_STARTING: dict[Phase, str] = {
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
    is_settled: bool = True
    is_bare: bool = False
    is_second_try: bool = False
    """The one before was killed, by whatever it was."""
    is_try_alone: bool = False
    """The one before could not have something, perhaps because another worker had it."""
    is_cut: bool = False
    is_waited_for: bool = False
    """The user was told so, at the server's end."""
    is_stopped: bool = False
    """By somebody; therefore it is cut."""
    has_served: bool = False
    waited: float = 0.0
    """For its fork, in seconds."""
    forks: int = 0
    """So many before it ended before they had begun."""
    reading: str = ""
    """Which module it was the last to begin to import."""
    origin: str = ""
    """The checkpoint of which it was forked, for people; empty: the template."""


@dataclass(slots=True)
class Machine:
    """See the module.

    Args:
        drain_seconds: what running requests get.
        startup_seconds: what a worker gets from fork to ready.
        overlap: a worker may start while the one before it finishes running requests.
        on_error: what answers while the newest code fails: a page, or the old code.
    """

    drain_seconds: float
    startup_seconds: float
    overlap: bool = True
    on_error: OnError = "page"
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
    _is_alone: bool = False
    """Each worker of the app imports it only when those before have ended."""
    _deaths: list[float] = field(default_factory=list)
    _template_deaths: list[float] = field(default_factory=list)
    _has_served: bool = False
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

    @property
    def is_failing(self) -> bool:
        """The newest code's failure is what is served, or will be."""
        newest = self.candidate or self.serving
        return newest is not None and newest.role == "failure"

    def _dispatch(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.Started():
                self._do(StartTemplate())
                self._begin("", now)
            case ev.EditNoticed():
                self._edit(event, now)
            case ev.Settled():
                self._settled(now)
            case ev.TemplateReady():
                self._template_is_ready()
            case ev.TemplateLost():
                self._template_is_lost(event, now)
            case ev.StopRequested():
                self._stop()
            case ev.TimerExpired():
                self._expire(event, now)
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
                worker.reading = event.reading
                self._exited(worker, event.status, now)
            case ev.Stopped():
                self._stopped(worker)
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
            self._do(TellHold(self.serving.number, may_return=self._may_return(self.serving)))
        if event.new_interpreter or self.template_given_up:
            self.template_ready = False
            self._start_template()
        self._needs_loop = self._needs_loop and not event.new_interpreter
        self._is_alone = self._is_alone and not event.new_interpreter
        self._begin(event.cause, now, fresh_template=event.new_interpreter, is_settled=event.is_settled)

    def _settled(self, now: float) -> None:
        """What was written half may be answered by now: it is whole."""
        worker = self.candidate
        if worker is None or worker.is_settled:
            return
        worker.is_settled = True
        if worker.phase == "imported" and not worker.is_cut:
            self._take_turn(worker)
        elif worker.phase == "settling" and now - worker.started >= SETTLE_SECONDS:
            self._publish(worker)

    def _begin(self, cause: str, now: float, *, fresh_template: bool = False, is_settled: bool = True) -> None:
        self.generation += 1
        self._field(
            Worker(
                self._next_number(),
                self.generation,
                cause,
                now,
                in_loop=self._needs_loop,
                fresh_template=fresh_template,
                is_settled=is_settled,
            )
        )

    def _field(self, worker: Worker) -> None:
        """Make this the candidate, and fork it as soon as there is a template, and nobody who must end before."""
        self.candidate = worker
        if self._is_alone and worker.role == "app" and self.serving is not None and self.serving.role == "app":
            old, self.serving = self.serving, None
            self._part(old)
        if self.template_given_up:
            self._start_template()
        self._fork_if_possible()

    def _fork_if_possible(self) -> None:
        worker = self.candidate
        if worker is None or worker.phase != "waiting" or not self.template_ready:
            return
        is_held_up = self._is_alone and worker.role == "app" and any(w.role == "app" for w in self.leaving.values())
        if not is_held_up:
            self._fork(worker)

    def _fork(self, worker: Worker) -> None:
        worker.phase = "forking"
        self._do(
            ForkWorker(
                worker.number,
                worker.generation,
                worker.role,
                worker.failure,
                worker.in_loop,
                is_bare=worker.is_bare,
                leaves_checkpoints=not worker.is_second_try,
            )
        )
        self._do(SetTimer(Timer("fork", worker.number), FORK_LOOK_SECONDS))

    def _abandon(self, worker: Worker) -> None:
        """A newer edit makes this candidate pointless."""
        self.candidate = None
        self._do(CancelTimer(Timer(_TIMERS.get(worker.phase, "startup"), worker.number)))
        if worker.phase == "starting":
            # It may be accepting by now, its word still on the way: what it has accepted must be answered.
            self._part(worker)
        elif worker.phase not in ("settling", "resting"):
            self._do(Cut(worker.number))

    # -- the template

    def _template_is_ready(self) -> None:
        self.template_ready = True
        self._fork_if_possible()

    def _start_template(self) -> None:
        if self.template_given_up:
            self.template_given_up = False
            self._do(CancelTimer(Timer("retry")))
        self._do(StartTemplate())

    def _template_is_lost(self, event: ev.TemplateLost, now: float) -> None:
        self.template_ready = False
        if self.candidate is not None and self.candidate.phase == "forking":
            self._do(CancelTimer(Timer("fork", self.candidate.number)))
            self.candidate.phase = "waiting"
        if self.stopping:
            return
        self._template_deaths = _recent(self._template_deaths, now)
        is_in_vain = len(self._template_deaths) > CRASH_LIMIT
        if event.hopeless and not self._has_served:
            self._do(Report("error", event.reason))
            self._finish(1)
        elif event.hopeless or is_in_vain:
            self._give_template_up(event.reason if event.hopeless else "One template after the other has ended.")
        else:
            if event.reason:
                self._do(Report("warning", event.reason))
            self._start_template()

    def _give_template_up(self, reason: str) -> None:
        """For now."""
        self.template_given_up = True
        if self.candidate is None:
            self._do(Report("error", f"{reason} The present worker goes on; save a file to try again."))
        else:
            self._do(Report("error", f"{reason} Requests wait; trying again in {RETRY_SECONDS:g} s."))
            self._do(SetTimer(Timer("retry"), RETRY_SECONDS))

    # -- what workers say

    def _forked(self, worker: Worker, origin: str) -> None:
        worker.origin = origin
        if worker is self.candidate:
            worker.phase = "importing"
            self._do(CancelTimer(Timer("fork", worker.number)))
            self._do(SetTimer(Timer("startup", worker.number), self._startup_seconds_of(worker)))

    def _startup_seconds_of(self, worker: Worker) -> float:
        return self.startup_seconds if worker.role == "app" else min(self.startup_seconds, PAGE_SECONDS)

    def _imported(self, worker: Worker) -> None:
        if worker is not self.candidate or worker.is_cut:
            return
        worker.phase = "imported"
        if worker.is_settled:
            self._take_turn(worker)

    def _take_turn(self, worker: Worker) -> None:
        if self.serving is not None and not self._may_return(self.serving):
            old, self.serving = self.serving, None
            self._part(old)
        if self._awaited is None:
            self._serve(worker)
        else:
            self._do(CancelTimer(Timer("startup", worker.number)))  # it is not the new code that takes its time

    def _is_kept(self, worker: Worker) -> bool:
        """It takes up again if the newer code fails to import."""
        return self.on_error == "keep" and worker.role == "app" and not worker.is_cut

    def _may_return(self, worker: Worker) -> bool:
        """It takes up again also if the newer code fails to start."""
        return self.overlap and not self._is_alone and self._is_kept(worker)

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
        if not busy:
            if self._awaited == worker.number and not self.stopping:
                self._do(SetTimer(Timer("patience", worker.number), PATIENCE_SECONDS))
            return
        if self.stopping and not worker.is_waited_for:
            worker.is_waited_for = True
            self._do(Report("info", "Waiting for running requests to finish. (CTRL+C to force quit)"))
        if self.overlap and not self._is_alone:
            self._released(worker)
        elif self._awaited == worker.number:
            what = f"Waiting for running requests of generation {worker.generation} to finish"
            why = "it may have what the app needs to start" if self._is_alone else "--no-overlap"
            self._do(Report("info", f"{what}, for {self.drain_seconds:g} s at most ({why})."))

    def _released(self, worker: Worker) -> None:
        """The candidate need not wait for this worker any longer."""
        if self._awaited != worker.number:
            return
        self._awaited = None
        candidate = self.candidate
        if candidate is not None and candidate.phase == "imported" and candidate.is_settled and not candidate.is_cut:
            if not candidate.debugged:
                self._do(SetTimer(Timer("startup", candidate.number), self.startup_seconds))
            self._serve(candidate)

    def _serve(self, worker: Worker) -> None:
        worker.phase = "starting"
        self._do(TellServe(worker.number))

    def _ready(self, worker: Worker, checkpoints: int, now: float) -> None:
        if worker is not self.candidate or worker.is_cut:
            return
        self._do(CancelTimer(Timer("startup", worker.number)))
        worker.phase = "serving"
        worker.has_served = True
        if not worker.origin:
            self._template_deaths.clear()  # it was not in vain
        old, self.serving, self.candidate = self.serving, worker, None
        self._has_served = True
        if old is not None:  # it was kept until now
            self._drain(old)
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
            self._cut(worker)
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
            self._page_failed(worker, f"The page that shows the failure failed as well ({failure.headline})")
        elif worker.generation > 1 and not worker.is_try_alone and _is_for_want(failure):
            self._try_alone(worker, failure)
        else:
            self._show(worker, with_cause(failure, worker.cause), now)

    def _try_alone(self, worker: Worker, failure: Failure) -> None:
        """A cold start would find that nobody has what this one wanted."""
        if not self._is_alone:
            what = "What the app needs to start may still be the previous worker's"
            then = "that one ends before the new one begins, now and at each reload"
            self._do(Report("info", f"{what} ({failure.headline}): {then}."))
        self._is_alone = True
        successor = self._successor(worker)
        successor.is_try_alone = True
        self._field(successor)

    def _show(self, worker: Worker, failure: Failure, now: float) -> None:
        """Answer with this failure until the next edit."""
        successor = self._successor(worker, role="failure", failure=failure)
        self.candidate = successor
        early = SETTLE_SECONDS - (now - worker.started)
        if worker.cause and early > 0:
            successor.phase = "settling"
            self._do(SetTimer(Timer("settle", successor.number), early))
        elif not worker.is_settled:
            successor.phase = "settling"
        else:
            self._publish(successor)

    def _publish(self, worker: Worker) -> None:
        assert worker.failure is not None
        kept = self.serving if self.serving is not None and self._is_kept(self.serving) else None
        self._do(ReportFailure(worker.failure, worker.generation, kept=None if kept is None else kept.generation))
        if kept is not None:
            self.candidate = None
            self._do(TellTakeUp(kept.number, worker.generation))
        else:
            worker.phase = "waiting"
            self._field(worker)

    def _page_failed(self, worker: Worker, headline: str) -> None:
        """Never silence: without the user's configuration, and if that does not help, again after a while."""
        self.candidate = self._again(worker, is_bare=True)
        if worker.is_bare:
            self._do(Report("error", f"{headline}; trying again in {RETRY_SECONDS:g} s."))
            self.candidate.phase = "resting"
            self._do(SetTimer(Timer("retry", self.candidate.number), RETRY_SECONDS))
        else:
            self._do(Report("error", f"{headline}; showing it without your server's configuration."))
            self._field(self.candidate)

    def _exited(self, worker: Worker, status: int | None, now: float) -> None:
        for kind in ("fork", "startup", "drain", "ack"):
            self._do(CancelTimer(Timer(kind, worker.number)))
        self._released(worker)
        if self.leaving.pop(worker.number, None) is not None:
            self._leaving_died(worker, status)
        elif worker is self.candidate:
            self._candidate_died(worker, status, now)
        elif worker is self.serving:
            self._serving_died(worker, status, now)
        self._fork_if_possible()
        self._finish_when_empty()

    def _leaving_died(self, worker: Worker, status: int | None) -> None:
        is_unasked = worker.phase == "leaving" and not (worker.drained or worker.is_cut or self.stopping)
        if is_unasked and status is not None and os.WIFSIGNALED(status):
            headline = f"The worker of generation {worker.generation} {_ending(status)} while it was finishing requests"
            self._do(Report("warning", f"{headline}; those are lost."))

    def _candidate_died(self, worker: Worker, status: int | None, now: float) -> None:
        if worker.phase == "waiting":
            return  # it had not begun, and is forked of the next template
        self.candidate = None
        if self.stopping:
            return
        if worker.phase == "forking":
            self._fork_died(worker, f"A stand-by {_ending(status)} before it had begun", now)
            return
        what = "while the app was imported" if worker.phase == "importing" else "before it could serve"
        headline = f"The worker {_ending_of(worker, status)} {what}"
        if worker.role == "failure":
            self._page_failed(worker, headline)
        elif worker.origin:
            self._rewind_further(worker, f"{headline}, from {worker.origin}")
        elif (worker.is_stopped or _is_sudden(status)) and not worker.is_second_try:
            self._rewind_further(worker, headline)
        else:
            sentence = _where(worker) + _advice(worker, status)
            self._show(worker, with_cause(sentence_only(headline, sentence), worker.cause), now)

    def _fork_died(self, worker: Worker, headline: str, now: float) -> None:
        """It did not know yet what it was to be: that is not the app's doing."""
        forks = worker.forks + 1
        if forks < FORK_LIMIT:
            self._do(Report("warning", f"{headline}; forking another."))
            if forks > 1:  # it may be that what waits there does not bear to be copied
                self._do(DropCheckpoints())
            self._field(self._again(worker, forks=forks))
        elif worker.role == "failure":
            self._page_failed(worker, f"{headline}, {forks} times")
        else:
            self._show(worker, with_cause(sentence_only(f"{headline}, {forks} times", _FORK_ADVICE), worker.cause), now)

    def _rewind_further(self, worker: Worker, headline: str) -> None:
        """It may be that what waited there does not bear to be copied, or that somebody killed it. The template is
        always right.
        """
        self._do(Report("warning", f"{headline}; trying again from the template."))
        self._do(DropCheckpoints())
        self._field(self._again(worker, is_second_try=True))

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
        headline = f"The worker {_ending_of(worker, status)} while it was serving (generation {worker.generation})"
        self._deaths = _recent(self._deaths, now)
        crashes_on = len(self._deaths) >= CRASH_LIMIT
        if self.candidate is not None:
            self._do(Report("error", f"{headline}."))
        elif crashes_on and worker.role == "app":
            advice = _advice(worker, status)
            self._show(worker, sentence_only(f"{headline}, {len(self._deaths)} times", advice), now)
        elif crashes_on and len(self._deaths) >= 2 * CRASH_LIMIT:
            self._page_failed(worker, f"{headline}, again and again")
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

    def _stopped(self, worker: Worker) -> None:
        """It is ended, and how it ended is said then. Who leaves has a deadline; who is debugged is a person's."""
        if worker in (self.serving, self.candidate) and not (worker.debugged or worker.is_cut):
            worker.is_stopped = True
            self._cut(worker)

    def _debugged(self, worker: Worker) -> None:
        worker.debugged = True
        if self.stopping:
            return
        for kind in ("startup", "drain"):
            self._do(CancelTimer(Timer(kind, worker.number)))

    def _retire_candidate(self, worker: Worker) -> None:
        self.candidate = None
        self._do(CancelTimer(Timer("startup", worker.number)))
        self.leaving[worker.number] = worker
        self._do(SetTimer(Timer("drain", worker.number), GRACE_SECONDS))

    # -- time

    def _expire(self, event: ev.TimerExpired, now: float) -> None:
        timer = event.timer
        if timer == Timer("retry") and self.template_given_up and not self.stopping:
            self._start_template()
        worker = self._find(timer.worker)
        if worker is None:
            return
        match timer.kind:
            case "fork":
                self._fork_expired(worker)
            case "ack":
                self._ack_expired(worker)
            case "patience":
                self._patience_expired(worker)
            case "settle" if worker.phase == "settling" and worker.is_settled:
                self._publish(worker)
            case "retry" if worker.phase == "resting":
                worker.phase = "waiting"
                self._field(worker)
            case "drain":
                self._drain_expired(worker)
            case "startup":
                worker.reading = event.reading
                self._startup_expired(worker, now)

    def _fork_expired(self, worker: Worker) -> None:
        if worker.phase != "forking":
            return
        worker.waited += FORK_LOOK_SECONDS
        is_given_up = worker.waited >= FORK_SECONDS
        if is_given_up:
            worker.waited = 0.0  # whoever is asked next has as much time
        self._do(LookAtFork(worker.number, is_given_up))
        self._do(SetTimer(Timer("fork", worker.number), FORK_LOOK_SECONDS))

    def _ack_expired(self, worker: Worker) -> None:
        if worker.has_served and not worker.debugged:
            why = "its event loop is blocked, or the process is stopped"
            self._do(Report("warning", f"The worker of generation {worker.generation} does not answer: {why}."))
        self._draining(worker, busy=True)

    def _patience_expired(self, worker: Worker) -> None:
        if self._awaited == worker.number:
            seconds = self.drain_seconds + GRACE_SECONDS - PATIENCE_SECONDS
            what = f"Waiting for the lifespan shutdown of generation {worker.generation}"
            self._do(Report("info", f"{what}, for {seconds:g} s more at most."))

    def _drain_expired(self, worker: Worker) -> None:
        if worker.debugged and not self.stopping:
            return
        self._do(Report("warning", f"The worker of generation {worker.generation} did not end in time; killed."))
        self._cut(worker)

    def _startup_expired(self, worker: Worker, now: float) -> None:
        if worker is not self.candidate or worker.phase not in _STARTING:
            return
        self._retire_candidate(worker)
        self._cut(worker)
        if worker.origin:  # it may be what waited there that is stuck
            self._do(DropCheckpoints())
        headline = f"The {_STARTING[worker.phase]} did not end within {self._startup_seconds_of(worker):g} s"
        if worker.role == "failure":
            self._page_failed(worker, f"{headline}, while a failure was to be shown")
            return
        advice = "The process was killed. Look for an endless loop or a wait; --startup-timeout sets the deadline."
        self._show(worker, with_cause(sentence_only(headline, _where(worker) + advice), worker.cause), now)

    # -- the end

    def _stop(self) -> None:
        if self.stopping:
            for worker in self._all():
                self._cut(worker)
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
            self._do(SetTimer(Timer("ack", old.number), ACK_SECONDS))
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

    def _cut(self, worker: Worker) -> None:
        worker.is_cut = True
        self._do(Cut(worker.number))

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
            is_settled=worker.is_settled,
        )

    def _again(self, worker: Worker, *, forks: int = 0, is_second_try: bool = False, is_bare: bool = False) -> Worker:
        """The same in another process."""
        return replace(
            worker,
            number=self._next_number(),
            phase="waiting",
            debugged=False,
            drained=False,
            is_second_try=is_second_try or worker.is_second_try,
            is_bare=is_bare or worker.is_bare,
            is_cut=False,
            is_stopped=False,
            has_served=False,
            waited=0.0,
            forks=forks,
            origin="",
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


def _recent(deaths: list[float], now: float) -> list[float]:
    """Those that still count, and the one of now."""
    return [*(then for then in deaths if now - then < CRASH_SECONDS), now]


def _ending(status: int | None) -> str:
    return "disappeared" if status is None else ending(status)


def _ending_of(worker: Worker, status: int | None) -> str:
    return "was stopped (SIGSTOP or the like)" if worker.is_stopped else _ending(status)


_FORK_ADVICE = "Whatever is forked ends at once: does a library do something after a fork, or something kill processes?"


def _is_for_want(failure: Failure) -> bool:
    """Of something that only one process can have: a port, a locked file or database."""
    return _EXCLUSIVE.search(f"{failure.headline} {failure.sentence}") is not None


def _where(worker: Worker) -> str:
    """A sentence that names the module, and a space; empty: no module, or nobody knows which."""
    if worker.phase != "importing" or not worker.reading:
        return ""
    return f"The last module that it began to import was {worker.reading}. "


def _is_killed(status: int) -> bool:
    """By SIGKILL, which is not of the app's doing: somebody sent it, or the kernel, for want of memory."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _is_sudden(status: int | None) -> bool:
    """It was killed, or nobody knows: its parent has ended as well, and was killed perhaps."""
    return status is None or _is_killed(status)


def _advice(worker: Worker, status: int | None) -> str:
    if worker.is_stopped:
        return "Who is stopped answers nobody, so it was ended. Something sent the signal, or the app itself did."
    if status is None:
        return "Nobody has reported how it ended. Save a file to try again."
    if os.WIFSIGNALED(status):
        if _is_killed(status):
            return WHY_KILLED
        return "A library of native code crashed, or something sent the signal; the output above may say which."
    return "Something called os._exit() or sys.exit(); remove the call, or move it out of the import."
