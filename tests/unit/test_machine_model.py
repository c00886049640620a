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
from firehot_server.supervisor.machine import FORK_SECONDS, Machine

BROKEN = sentence_only("SyntaxError: expected ':'", "Add a colon.")
TAKEN = sentence_only("OSError: [Errno 98] Address already in use", "")

# What a worker does when nobody interferes: how its start goes, and how its end.
STARTS = ("serves",) * 7
STARTS += ("fails to import", "needs a loop", "dies importing", "hangs importing")
STARTS += ("fails to start", "dies starting", "hangs starting")
STARTS += ("finds it taken importing", "finds it taken starting")
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
    kept_for: int = 0
    """The generation whose failure it covers."""
    drained: bool = False
    """It was told to drain."""
    drains_unasked: bool = False
    cut: bool = False
    is_stopped: bool = False
    debugged: bool = False
    acknowledged: bool = False
    has_waited: bool = False
    """It was imported, but not told to serve at once."""
    serve_told: float | None = None
    is_awaited: bool = False
    """It may yet prove idle, or has: then its lifespan ends before the next one begins."""
    edits: int = 0
    """How many there had been when it was asked for."""

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

    machine: Machine
    now: float = 1000.0
    template: str = "none"  # starting, ready
    has_checkpoints: bool = False
    """What the last import has left, and no edit has made stale."""
    asked: dict[int, ac.ForkWorker] = field(default_factory=dict)
    taken: dict[int, ac.ForkWorker] = field(default_factory=dict)
    """There is a process that has not begun."""
    stuck: str = ""
    """Whatever owes a fork is `stopped`, or else `silent`."""
    asked_since: float = 0.0
    consequences: list[object] = field(default_factory=list)
    """What is about to happen because of what the machine has asked for."""
    asked_of_retired: list[ac.ForkWorker] = field(default_factory=list)
    processes: dict[int, Process] = field(default_factory=dict)
    timers: dict[ac.Timer, float] = field(default_factory=dict)
    forked: set[int] = field(default_factory=set)
    reported: list[object] = field(default_factory=list)
    edited: int = 0
    """The generation of the last edit."""
    edits: int = 0
    edits_at: dict[int, int] = field(default_factory=dict)
    """Worker → how many there had been when it was asked for."""
    is_half_written: bool = False
    stops: int = 0
    status: int | None = None
    characters: list[tuple[str, str]] = field(default_factory=list)
    overdue: int | None = None
    """The worker whose deadline has just passed."""
    is_sound: bool = True

    # -- events in, actions out

    def feed(self, event):
        self.is_sound = False  # until this has passed: the first failure is the one to read
        actions = self.machine.handle(event, self.now)
        for action in actions:
            assert self.status is None, "nothing is asked for after the end"
            getattr(self, f"do_{type(action).__name__}")(action)
        is_over = self.machine.stopping or self.status is not None
        assert is_over or self.machine.candidate or self._somebody_answers(), "never silence"
        self.is_sound = True
        return actions

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
        self.taken.pop(action.worker, None)  # the loop forgets what had not begun when the template was lost
        self.edits_at[action.worker] = self.edits
        self.asked_since = self.now
        assert (action.role == "failure") == (action.failure is not None)
        assert action.failure is None or action.failure in self.reported, "what is answered has been logged"
        if action.role == "app" and self.machine._is_alone:
            assert not any(p.ask.role == "app" and not p.cut for p in self.processes.values()), "one may have it still"
        self.asked[action.worker] = action

    def do_LookAtFork(self, action):
        assert action.worker in self.asked | self.taken
        assert self.now - self.asked_since <= FORK_SECONDS
        if not (self.stuck == "stopped" or (self.stuck and action.give_up)):
            self.asked_since = self.now if action.give_up else self.asked_since
            return
        self.stuck, self.asked_since = "", self.now
        if action.worker in self.taken:
            self.consequences.append(partial(self.dies_unbegun, action.worker))
        elif self.has_checkpoints:
            self.has_checkpoints = False  # the loop forks of the next state
        else:
            self.consequences.append(self.lose_template)

    def do_DropCheckpoints(self, _action):
        self.has_checkpoints = False

    def do_TellHold(self, action):
        process = self.processes[action.worker]
        assert process.stage in ("serving", "ending")
        process.held = True

    def do_TellTakeUp(self, action):
        process = self.processes[action.worker]
        assert process.held, "only who was told to hold can take up again"
        assert not process.was_told_to_end
        assert process.ask.role == "app", "an old failure is no answer for a new one"
        assert action.failed == self.machine.generation
        process.held, process.kept_for = False, action.failed

    def do_TellDrain(self, action):
        process = self.processes[action.worker]
        assert not process.drained, "it is told to drain once"
        may_have_accepted = process.stage in ("starting", "serving", "ending")
        assert may_have_accepted, "only a worker that was told to serve has something to drain"
        process.drained = True
        process.is_awaited = action.handoff and self.machine.candidate is not None

    def do_TellServe(self, action):
        process = self.processes[action.worker]
        assert process.stage == "imported"
        assert not process.was_told_to_end
        assert not self.is_half_written or process.ask.generation < self.edited, "half of a save would answer"
        for other in self.processes.values():
            may_come_back = other.held and self.machine.on_error == "keep" and self.machine.overlap
            is_over = other.was_told_to_end or may_come_back
            assert other.stage not in ("starting", "serving") or is_over, "two would serve"
            assert other.cut or not other.is_awaited, "it would start before the idle one has shut down"
            is_running = other.drained and other.stage != "ending" and not other.cut
            assert self.machine.overlap or not is_running, "it would overlap"
        process.stage, process.serve_told = "starting", self.now

    def do_Cut(self, action):
        self.taken.pop(action.worker, None)
        if action.worker not in self.processes:
            return
        process = self.processes[action.worker]
        is_quiet = process.is_stopped or process.stage not in ("starting", "serving")
        may_be_cut = is_quiet or process.number == self.overdue or self.stops > 1
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
        assert not self.is_half_written, "it may not be what was meant"
        self.reported.append(action.failure)

    def do_Finish(self, action):
        self.status = action.status

    # -- what may happen

    def fork_happens(self, worker, start="serves", end="idle"):
        assert worker not in self.taken or self.machine.knows(worker), "it was given up, and nobody has ended it"
        ask = self.asked.pop(worker, None) or self.taken.pop(worker)
        is_resumed = self.has_checkpoints and ask.role == "app" and not ask.in_loop
        self._appear(Process(ask, "the checkpoint before b" if is_resumed else "", start, end))

    def standby_is_taken(self, worker):
        ask = self.asked.pop(worker)
        if self.machine.knows(worker):  # else the loop ends it as soon as it is there
            self.taken[worker] = ask

    def dies_unbegun(self, worker, status=9):
        if self.taken.pop(worker, None) is not None:
            self.feed(ev.Exited(worker, status))

    def retired_fork_happens(self):
        self._appear(Process(self.asked_of_retired.pop(0)))

    def _appear(self, process):
        process.edits = self.edits_at[process.number]
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

    def edit(self, *, new_interpreter, is_deep=False, is_settled=True):
        """`is_deep`: of something that no checkpoint has read."""
        self.has_checkpoints = self.has_checkpoints and is_deep
        is_over = self.machine.stopping or self.status is not None
        if not is_over:
            self.edits += 1
            self.edited = self.machine.generation + 1
            self.is_half_written = not is_settled
        self.feed(ev.EditNoticed("a.py changed", new_interpreter=new_interpreter, is_settled=is_settled))
        assert is_over or self.edited == self.machine.generation

    def writer_finishes(self):
        self.is_half_written = False
        self.feed(ev.Settled())

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
        self.feed(ev.Failed(process.number, TAKEN if "taken" in process.start else BROKEN))

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
        if self.consequences:
            self.consequences.pop(0)()
        elif self.is_half_written:
            self.writer_finishes()
        elif self.asked_of_retired:
            self.retired_fork_happens()
        elif self.template == "starting":
            self.template_is_ready()
        elif (self.asked or self.taken) and not self.stuck:
            number, ask = next(iter((self.asked | self.taken).items()))
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
            case ("importing", "finds it taken importing") | ("starting", "finds it taken starting"):
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
        (process,) = self.processes.values()
        assert process.stage == "serving"
        assert process.answers
        assert self.machine.generation in (process.ask.generation, process.kept_for)
        assert process.kept_for or process.edits == self.edits, "it was forked after the last edit"
        is_failure = process.kept_for or process.ask.role == "failure"
        assert not is_failure or self.reported, "whose failure is answered, or kept from being, has been logged"
        self.is_sound = True

    def check_timers(self):
        """A timer of a worker that plays no part any more would have no effect."""
        for timer in self.timers:
            if timer.worker and not self.machine.knows(timer.worker):
                assert copy.deepcopy(self.machine).handle(ev.TimerExpired(timer), self.now) == []


which = st.integers(min_value=0, max_value=5)
characters = st.lists(st.tuples(st.sampled_from(STARTS), st.sampled_from(ENDS)), max_size=4)


class Supervision(RuleBasedStateMachine):
    """Everything that may happen between two moments of rest."""

    @initialize(
        is_up=st.booleans(), characters=characters, overlap=st.booleans(), on_error=st.sampled_from(["page", "keep"])
    )
    def begin(self, is_up, characters, overlap, on_error):
        self.world = World(Machine(drain_seconds=5.0, startup_seconds=60.0, overlap=overlap, on_error=on_error))
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
    @rule()
    def a_stand_by_is_taken(self):
        self.world.standby_is_taken(next(iter(self.world.asked)))

    @precondition(lambda self: self.world.taken)
    @rule(status=st.sampled_from(STATUSES))
    def a_stand_by_dies(self, status):
        self.world.dies_unbegun(next(iter(self.world.taken)), status)

    @precondition(lambda self: self.world.asked or self.world.taken)
    @rule(how=st.sampled_from(["stopped", "silent"]))
    def what_owes_a_fork_gets_stuck(self, how):
        self.world.stuck = how

    @precondition(lambda self: self.world.asked or self.world.taken)
    @rule(start=st.sampled_from(STARTS), end=st.sampled_from(ENDS))
    def a_worker_is_forked(self, start, end):
        self.world.fork_happens(next(iter(self.world.asked | self.world.taken)), start, end)

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
    def a_worker_is_stopped(self, which):
        processes = self.undisturbed()
        process = processes[which % len(processes)]
        process.is_stopped = True
        self.world.feed(ev.Stopped(process.number))

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
    @rule(new_interpreter=st.sampled_from([False, False, True]), is_deep=st.booleans(), is_settled=st.booleans())
    def somebody_edits(self, new_interpreter, is_deep, is_settled):
        self.world.edit(new_interpreter=new_interpreter, is_deep=is_deep, is_settled=is_settled)

    @precondition(lambda self: self.world.is_half_written)
    @rule()
    def the_writer_finishes(self):
        self.world.writer_finishes()

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
            is_new = max(process.ask.generation, process.kept_for) >= self.world.edited
            assert is_new or not process.answers

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
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class TestSupervision(Supervision.TestCase):
    """Whatever happens, the newest code is served, or the machine has finished."""
