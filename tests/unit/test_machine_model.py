"""The state machine in a simulated world: whatever happens in whatever order, somebody serves the newest code."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firehot_server.failure.report import sentence_only
from firehot_server.supervisor import actions as ac
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.machine import Machine

BROKEN = sentence_only("SyntaxError: expected ':'", "Add a colon.")

# What a worker does when nobody interferes: how its start goes, and how its end.
STARTS = ("serves",) * 7
STARTS += ("fails to import", "needs a loop", "dies importing", "hangs importing")
STARTS += ("fails to start", "dies starting", "hangs starting")
ENDS = ("idle", "busy", "silent", "hangs in its lifespan shutdown")
STATUSES = (0, 3 << 8, 9, 11, None)

# Bounds what settling may take: beyond it, the world goes round in circles.
MOST_STEPS = 400


@dataclass
class Process:
    """A forked worker, as it really is."""

    ask: ac.ForkWorker
    origin: str = ""
    """The checkpoint of which it was forked; empty: the template."""
    start: str = "serves"
    end: str = "idle"
    stage: str = "importing"  # imported, starting, serving, leaving; `ending`: it has said its last word
    held: bool = False
    drained: bool = False
    """It was told to drain."""
    drains_unasked: bool = False
    cut: bool = False
    debugged: bool = False
    acknowledged: bool = False
    has_waited: bool = False
    """It was imported, but not told to serve at once."""
    serve_told: float | None = None
    is_awaited: bool = False
    """It may yet prove idle, or has: then its lifespan ends before the next one begins."""

    @property
    def number(self):
        return self.ask.worker

    @property
    def was_told_to_end(self):
        return self.cut or self.drained

    @property
    def answers(self):
        """It takes requests, or is about to."""
        ends = self.was_told_to_end or self.drains_unasked
        return self.stage in ("starting", "serving") and not self.held and not ends


@dataclass
class World:
    """Carries out what the machine asks for, as the supervisor's loop does, and checks each order as it comes."""

    machine: Machine = field(default_factory=lambda: Machine(drain_seconds=5.0, startup_seconds=60.0))
    now: float = 1000.0
    template: str = "none"  # starting, ready
    has_checkpoints: bool = False
    """What the last import has left, and no edit has made stale."""
    asked: dict[int, ac.ForkWorker] = field(default_factory=dict)
    asked_of_retired: list[ac.ForkWorker] = field(default_factory=list)
    processes: dict[int, Process] = field(default_factory=dict)
    timers: dict[ac.Timer, float] = field(default_factory=dict)
    forked: set[int] = field(default_factory=set)
    reported: list[object] = field(default_factory=list)
    edited: int = 0
    stops: int = 0
    gave_up: bool = False
    status: int | None = None
    characters: list[tuple[str, str]] = field(default_factory=list)
    overdue: int | None = None
    """The worker whose deadline has just passed."""
    is_sound: bool = True

    # -- events in, actions out

    def feed(self, event):
        self.is_sound = False  # until this has passed: the first failure is the one to read
        before = self.machine.candidate or self.machine.serving
        actions = self.machine.handle(event, self.now)
        for action in actions:
            assert self.status is None, "nothing is asked for after the end"
            getattr(self, f"do_{type(action).__name__}")(action)
        self._note_surrender(before, actions)
        self.is_sound = True
        return actions

    def _note_surrender(self, before, actions):
        """Only where the failure page itself cannot be served may the machine wait for an edit, and it says so."""
        if self.machine.stopping or self.status is not None:
            return
        surrenders = self.machine.candidate is None and not self._somebody_answers()
        if surrenders and not self.gave_up:
            assert before.role == "failure"
            assert [a for a in actions if isinstance(a, ac.Report) and a.level == "error"]
        self.gave_up = surrenders

    def _somebody_answers(self):
        serving = self.machine.serving
        return serving is not None and not self.processes[serving.number].held

    def pass_time(self, seconds):
        """No further than to the next timer: that is an event of its own."""
        self.now = min([self.now + seconds, *self.timers.values()])

    def do_StartTemplate(self, _action):
        self.template = "starting"
        self.has_checkpoints = False
        self.asked_of_retired += self.asked.values()
        self.asked.clear()

    def do_ForkWorker(self, action):
        assert self.template == "ready", "a fork is asked of a ready template only"
        assert action.worker not in self.forked | self.asked.keys(), "each worker is forked once"
        assert (action.role == "failure") == (action.failure is not None)
        assert action.failure is None or action.failure in self.reported, "what is answered has been logged"
        self.asked[action.worker] = action

    def do_DropCheckpoints(self, _action):
        self.has_checkpoints = False

    def do_TellHold(self, action):
        process = self.processes[action.worker]
        assert process.stage in ("serving", "ending")
        process.held = True

    def do_TellDrain(self, action):
        process = self.processes[action.worker]
        assert not process.drained, "it is told to drain once"
        may_have_accepted = process.stage in ("starting", "serving", "ending")
        assert may_have_accepted, "only a worker that was told to serve has something to drain"
        process.drained, process.is_awaited = True, action.handoff

    def do_TellServe(self, action):
        process = self.processes[action.worker]
        assert process.stage == "imported"
        assert not process.was_told_to_end
        for other in self.processes.values():
            assert other.stage not in ("starting", "serving") or other.was_told_to_end, "two would serve"
            assert other.cut or not other.is_awaited, "it would start before the idle one has shut down"
        process.stage, process.serve_told = "starting", self.now

    def do_Cut(self, action):
        if action.worker not in self.processes:
            return
        process = self.processes[action.worker]
        may_be_cut = process.number == self.overdue or self.stops > 1 or process.stage not in ("starting", "serving")
        assert may_be_cut, "it may have accepted what it must answer"
        process.cut = True

    def do_SetTimer(self, action):
        assert action.seconds > 0
        self.timers[action.timer] = self.now + action.seconds

    def do_CancelTimer(self, action):
        self.timers.pop(action.timer, None)

    def do_Report(self, _action):
        pass

    def do_ReportFailure(self, action):
        assert action.generation == self.machine.generation, "only the newest code's failure is news"
        self.reported.append(action.failure)

    def do_Finish(self, action):
        self.status = action.status

    # -- what may happen

    def fork_happens(self, worker, start="serves", end="idle"):
        ask = self.asked.pop(worker)
        is_resumed = self.has_checkpoints and ask.role == "app" and not ask.in_loop
        self._appear(Process(ask, "the checkpoint before b" if is_resumed else "", start, end))

    def retired_fork_happens(self):
        self._appear(Process(self.asked_of_retired.pop(0)))

    def _appear(self, process):
        self.processes[process.number] = process
        self.forked.add(process.number)
        if self.machine.knows(process.number):
            self.feed(ev.Forked(process.number, process.origin))
        else:
            process.cut = True  # as the loop does with a worker that nobody wants any more

    def lose_template(self, *, hopeless=False):
        self.template = "none"
        self.asked.clear()
        self.feed(ev.TemplateLost("The template ended.", hopeless=hopeless))

    def template_is_ready(self):
        self.template = "ready"
        self.feed(ev.TemplateReady())

    def edit(self, *, new_interpreter, is_deep=False):
        """`is_deep`: of something that no checkpoint has read."""
        self.has_checkpoints = self.has_checkpoints and is_deep
        self.feed(ev.EditNoticed("a.py changed", new_interpreter=new_interpreter))
        if not self.machine.stopping:
            self.edited = self.machine.generation

    def stop(self):
        self.stops += 1
        self.feed(ev.StopRequested())

    def expire(self):
        timer = min(self.timers, key=self.timers.get)
        self.now = self.timers.pop(timer)
        if timer.worker in self.processes:
            self._check_deadline(timer.kind, self.processes[timer.worker])
        self.overdue = timer.worker
        candidate = self.machine.candidate
        was_resumed = candidate is not None and candidate.number == timer.worker and candidate.origin
        self.feed(ev.TimerExpired(timer))
        self.overdue = None
        assert not (timer.kind == "startup" and was_resumed and self.has_checkpoints), "what stuck would stick again"

    def _check_deadline(self, kind, process):
        if kind == "ack":
            process.is_awaited = False
        elif kind == "drain":
            assert process.acknowledged or not process.is_awaited, "nobody waits so long for a word"
        elif kind == "startup":
            assert process.stage != "imported", "its time rests while it waits for the old worker"
            waited = process.serve_told is not None and process.has_waited
            assert not waited or self.now >= process.serve_told + self.machine.startup_seconds, "it gets all its time"

    def imported(self, process):
        process.stage = "imported"
        if self._is_candidate(process) and process.ask.role == "app" and not process.ask.in_loop:
            self.has_checkpoints = True
        self.feed(ev.Imported(process.number))
        process.has_waited = process.stage == "imported"

    def needs_loop(self, process):
        process.stage = "ending"
        is_wanted = self._is_candidate(process)
        self.feed(ev.NeedsLoop(process.number))
        assert not (is_wanted and self.has_checkpoints), "what it imported without a loop is of no use"

    def _is_candidate(self, process):
        candidate = self.machine.candidate
        return candidate is not None and candidate.number == process.number

    def fails(self, process):
        process.stage = "ending"
        self.feed(ev.Failed(process.number, BROKEN))

    def ready(self, process):
        process.stage = "serving"
        self.feed(ev.Ready(process.number))

    def acknowledges(self, process, *, busy):
        process.acknowledged = True
        process.is_awaited = process.is_awaited and not busy
        self.feed(ev.Draining(process.number, busy))

    def has_drained(self, process):
        process.stage = "ending"
        process.is_awaited = False
        self.feed(ev.Drained(process.number))

    def drains_unasked(self, process):
        """--limit-max-requests, or a SIGTERM for it alone."""
        process.drains_unasked = True
        self.acknowledges(process, busy=process.end == "busy")

    def exits(self, process, status=0):
        del self.processes[process.number]
        was_alone = self.machine.serving is not None and self.machine.candidate is None
        served = was_alone and self.machine.serving.number == process.number
        deaths = len(self.machine._deaths)
        came_to_nothing = self._is_candidate(process) and process.origin and not self.machine.stopping
        actions = self.feed(ev.Exited(process.number, status))
        assert not (came_to_nothing and self.has_checkpoints), "what killed it would kill the next one"
        if served and not self.machine.stopping and not self.machine.finished:
            self._check_ending(process, actions, deaths)

    def _check_ending(self, process, actions, deaths):
        """The one that served is gone: unless it had drained, that is a death."""
        has_drained = process.drains_unasked and process.stage == "ending"
        levels = {action.level for action in actions if isinstance(action, ac.Report)}
        if has_drained:
            assert levels == {"info"}
            assert len(self.machine._deaths) == deaths, "no death is counted"
        else:
            assert self.machine._deaths[-1] == self.now, "whatever its status"
            assert "info" not in levels

    def next_steps(self, process):
        """What this worker may do or say now, well or badly."""
        match process.stage:
            case "importing":
                steps = [self.imported, self.fails]
                if process.ask.role == "app" and not process.ask.in_loop:
                    steps.append(self.needs_loop)
            case "starting":
                steps = [self.ready, self.fails]
            case "serving" if process.acknowledged:
                steps = [self.has_drained]
            case "serving" if process.drained:
                steps = [partial(self.acknowledges, busy=True), partial(self.acknowledges, busy=False)]
            case "serving":
                steps = [self.fails, self.drains_unasked]
            case _:
                steps = []
        return [partial(step, process) for step in steps]

    # -- until nothing can happen any more

    def settle(self, characters=()):
        """The next workers have these characters; those that follow them are well-behaved."""
        self.characters = list(characters)
        for _ in range(MOST_STEPS):
            if not self.step():
                return
        raise AssertionError("the world does not come to rest")

    def step(self):
        """The next thing that happens by itself; False where nothing does."""
        if self.status is not None:
            return False
        for process in list(self.processes.values()):
            if self._proceed(process):
                return True
        if self.asked_of_retired:
            self.retired_fork_happens()
        elif self.template == "starting":
            self.template_is_ready()
        elif self.asked:
            number, ask = next(iter(self.asked.items()))
            is_wild = self.characters and ask.role == "app"
            self.fork_happens(number, *(self.characters.pop(0) if is_wild else ()))
        elif self.timers:
            self.expire()
        else:
            return False
        return True

    def _proceed(self, process):
        if process.cut or (process.stage == "ending" and not process.debugged):
            self.exits(process, 9 if process.cut else 0)
            return True
        if process.debugged:
            process.debugged = self.machine.stopping  # a person stays in the debugger, but not for ever
            return not process.debugged
        return self._start_on(process) or self._end_on(process)

    def _start_on(self, process):
        in_loop = process.ask.in_loop
        match process.stage, process.start:
            case ("importing", "fails to import") | ("starting", "fails to start"):
                self.fails(process)
            case ("importing", "dies importing") | ("starting", "dies starting"):
                self.exits(process, 11)
            case ("importing", "hangs importing") | ("starting", "hangs starting"):
                return False
            case "importing", "needs a loop" if not in_loop:
                self.needs_loop(process)
            case "importing", _:
                self.imported(process)
            case "starting", _:
                self.ready(process)
            case _:
                return False
        return True

    def _end_on(self, process):
        if not (process.drained or process.drains_unasked) or process.stage != "serving" or process.end == "silent":
            return False
        if not process.acknowledged:
            self.acknowledges(process, busy=process.end == "busy")
        elif process.end != "hangs in its lifespan shutdown":
            self.has_drained(process)
        else:
            return False
        return True

    def check_rest(self):
        """What must hold when nothing can happen any more."""
        self.is_sound = False
        if self.stops or self.status is not None:
            assert self.status is not None, "after a stop, the machine finishes"
            self.is_sound = True
            return
        assert not self.timers
        assert self.machine.candidate is None
        assert not self.machine.leaving
        if not self.gave_up:
            (process,) = self.processes.values()
            assert process.stage == "serving"
            assert process.answers
            assert process.ask.generation == self.machine.generation
        self.is_sound = True

    def check_timers(self):
        """A timer of a worker that plays no part any more would have no effect."""
        for timer in self.timers:
            if not self.machine.knows(timer.worker):
                assert copy.deepcopy(self.machine).handle(ev.TimerExpired(timer), self.now) == []


which = st.integers(min_value=0, max_value=5)
characters = st.lists(st.tuples(st.sampled_from(STARTS), st.sampled_from(ENDS)), max_size=4)


class Supervision(RuleBasedStateMachine):
    """Everything that may happen between two moments of rest."""

    @initialize(is_up=st.booleans(), characters=characters)
    def begin(self, is_up, characters):
        self.world = World()
        self.world.feed(ev.Started())
        if is_up:
            self.world.settle(characters)

    @precondition(lambda self: self.world.timers)
    @rule(seconds=st.sampled_from([0.001, 0.02, None]))
    def time_passes(self, seconds):
        if seconds is None:
            self.world.expire()
        else:
            self.world.pass_time(seconds)

    # -- templates

    @precondition(lambda self: self.world.template == "starting")
    @rule()
    def the_template_is_ready(self):
        self.world.template_is_ready()

    @precondition(lambda self: self.world.template != "none")
    @rule(hopeless=st.sampled_from([False] * 15 + [True]))
    def the_template_is_lost(self, hopeless):
        self.world.lose_template(hopeless=hopeless and self.world.template == "starting")

    @precondition(lambda self: self.world.asked)
    @rule(start=st.sampled_from(STARTS), end=st.sampled_from(ENDS))
    def a_worker_is_forked(self, start, end):
        self.world.fork_happens(next(iter(self.world.asked)), start, end)

    @precondition(lambda self: self.world.asked_of_retired)
    @rule(lost=st.booleans())
    def a_retired_template_forks(self, lost):
        if lost:
            self.world.asked_of_retired.pop(0)
        else:
            self.world.retired_fork_happens()

    # -- workers

    @precondition(lambda self: self.possible())
    @rule(which=which)
    def a_worker_does_something(self, which):
        possible = self.possible()
        possible[which % len(possible)]()

    @precondition(lambda self: self.world.processes)
    @rule(which=which, status=st.sampled_from(STATUSES))
    def a_worker_dies(self, which, status):
        processes = list(self.world.processes.values())
        self.world.exits(processes[which % len(processes)], status)

    @precondition(lambda self: self.undisturbed())
    @rule(which=which)
    def a_person_debugs_a_worker(self, which):
        processes = self.undisturbed()
        process = processes[which % len(processes)]
        process.debugged = True
        process.start = process.end = "at the person's pace"  # its deadlines rest, so it must not hang
        self.world.feed(ev.Debugged(process.number))

    def undisturbed(self):
        return [p for p in self.world.processes.values() if not p.debugged and p.stage != "ending"]

    def possible(self):
        """Whatever some worker may do or say next; one that was cut may have spoken before."""
        return [step for process in self.undisturbed() for step in self.world.next_steps(process)]

    # -- people

    @precondition(lambda self: not self.world.stops)
    @rule(new_interpreter=st.sampled_from([False, False, True]), is_deep=st.booleans())
    def somebody_edits(self, new_interpreter, is_deep):
        self.world.edit(new_interpreter=new_interpreter, is_deep=is_deep)

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def somebody_stops(self, really):
        if really:
            self.world.stop()

    @rule(steps=st.integers(min_value=1, max_value=8), characters=characters)
    def things_take_their_course(self, steps, characters):
        self.world.characters = list(characters)
        for _ in range(steps):
            self.world.step()

    @rule(characters=characters)
    def everything_settles(self, characters):
        self.world.settle(characters)
        self.world.check_rest()

    # -- always

    @invariant()
    def a_second_stop_has_finished(self):
        assert self.world.stops < 2 or self.world.status is not None

    @invariant()
    def no_old_code_answers_after_an_edit(self):
        for process in self.world.processes.values():
            assert process.ask.generation >= self.world.edited or not process.answers

    @invariant()
    def whoever_is_not_wanted_ends(self):
        if self.world.status is not None:
            return  # the loop ends everybody
        machine = self.world.machine
        wanted = {worker.number for worker in (machine.serving, machine.candidate) if worker is not None}
        for process in self.world.processes.values():
            assert process.number in wanted or process.was_told_to_end or process.stage == "ending"

    @invariant()
    def timers_of_strangers_have_no_effect(self):
        self.world.check_timers()

    def teardown(self):
        if hasattr(self, "world") and self.world.is_sound:
            self.world.settle()
            self.world.check_rest()
            self.world.stop()
            self.world.settle()
            self.world.check_rest()


Supervision.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class TestSupervision(Supervision.TestCase):
    """Whatever happens, the newest code is served, or the machine has finished."""
