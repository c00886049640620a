"""The supervisor's state machine: what each event does in each state, as a table, and its ways through a day."""

from __future__ import annotations

import dataclasses
import signal
from typing import get_args

import pytest

from firehot_server.failure.report import Failure, sentence_only, with_cause
from firehot_server.supervisor import actions as ac
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.actions import (
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
from firehot_server.supervisor.events import (
    Debugged,
    Drained,
    Draining,
    EditNoticed,
    Exited,
    Failed,
    Forked,
    Imported,
    NeedsLoop,
    Ready,
    Settled,
    Started,
    Stopped,
    StopRequested,
    TemplateLost,
    TemplateReady,
    TimerExpired,
)
from firehot_server.supervisor.machine import (
    ACK_SECONDS,
    CRASH_LIMIT,
    CRASH_SECONDS,
    FORK_LOOK_SECONDS,
    FORK_SECONDS,
    GRACE_SECONDS,
    PAGE_SECONDS,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    SETTLE_SECONDS,
    Machine,
)

DRAIN, STARTUP = 5.0, 60.0
STOPPED = "was stopped (SIGSTOP or the like)"
EXIT_3, SEGFAULT, KILLED = 3 << 8, int(signal.SIGSEGV), int(signal.SIGKILL)
# Ends that are hardly the app's doing. Nobody knows of one whose parent, the template, was killed too.
SUDDEN = ((KILLED, "was killed by SIGKILL"), (None, "disappeared"))
CHECKPOINT = "the checkpoint before routes"
BROKEN = sentence_only("SyntaxError: expected ':'", "Add a colon.")
NEEDS_LOOP = (
    "The app needs a running event loop while it is imported: it gets one. "
    "So there are no checkpoints, and each reload imports all of your code."
)
CHANGED = EditNoticed("a.py changed")
UPGRADED = EditNoticed("packages were installed", new_interpreter=True)
HALF = EditNoticed("a.py changed", is_settled=False)


class Play:
    """A machine, and a clock that moves when it is told to."""

    def __init__(self, *events, **options):
        self.machine = Machine(**{"drain_seconds": DRAIN, "startup_seconds": STARTUP} | options)
        self.now = 1000.0
        for event in events:
            self(event)

    def __call__(self, event, *, after=0.001):
        self.now += after
        return self.machine.handle(event, self.now)


class Described:
    """Equal to any failure with this headline and cause."""

    def __init__(self, headline, cause=""):
        self.expected = headline, cause

    def __eq__(self, other):
        return isinstance(other, Failure) and self.expected == (other.headline, other.cause)

    __hash__ = None

    def __repr__(self):
        return f"Described{self.expected}"


# -- words of the tables


def timer(kind, worker):
    return Timer(kind, worker)


def cancel(worker, *kinds):
    return [CancelTimer(timer(kind, worker)) for kind in kinds]


def fork(worker, generation, role="app", failure=None, *, in_loop=False, **more):
    return [
        ForkWorker(worker, generation, role, failure, in_loop, **more),
        SetTimer(timer("fork", worker), FORK_LOOK_SECONDS),
    ]


def begun(worker, startup=STARTUP):
    return [*cancel(worker, "fork"), SetTimer(timer("startup", worker), startup)]


def drain(worker, *, handoff=True):
    return [
        TellDrain(worker, DRAIN, handoff=handoff),
        SetTimer(timer("drain", worker), DRAIN + GRACE_SECONDS),
    ]


def part(worker, *, handoff=True):
    return [*drain(worker, handoff=handoff), SetTimer(timer("ack", worker), ACK_SECONDS)]


def serve_after_all(worker):
    return [SetTimer(timer("startup", worker), STARTUP), TellServe(worker)]


def retire(worker):
    return [*cancel(worker, "startup"), SetTimer(timer("drain", worker), GRACE_SECONDS)]


def abandon(worker, ended_by="startup"):
    return cancel(worker, ended_by)


def forget(worker):
    return cancel(worker, "fork", "startup", "drain", "ack")


def again(headline, origin=f", from {CHECKPOINT}"):
    return [Report("warning", f"{headline}{origin}; trying again from the template."), DropCheckpoints()]


def look_again(worker):
    return SetTimer(timer("fork", worker), FORK_LOOK_SECONDS)


def wait_patiently(worker):
    return [SetTimer(timer("patience", worker), PATIENCE_SECONDS)]


def start_after_all():
    return [CancelTimer(Timer("retry")), StartTemplate()]


def bare(headline):
    return Report("error", f"{headline}; showing it without your server's configuration.")


def rest(worker, headline):
    return [
        Report("error", f"{headline}; trying again in {RETRY_SECONDS:g} s."),
        SetTimer(timer("retry", worker), RETRY_SECONDS),
    ]


SILENT = Report(
    "warning", "The worker of generation 1 does not answer: its event loop is blocked, or the process is stopped."
)
WAITING = Report("info", "Waiting for running requests to finish. (CTRL+C to force quit)")
OLD_DIED = Report("error", "The worker exited with status 0 while it was serving (generation 1).")
FINISHING = "while it was finishing requests; those are lost."


def show(worker, generation, failure):
    return [ReportFailure(failure, generation), *fork(worker, generation, "failure", failure)]


def look_often(seconds):
    return [TimerExpired(timer("fork", 1))] * round(seconds / FORK_LOOK_SECONDS)


# How each state comes about; the first worker has the number 1, each further one the next.
STATES = {
    "new": [],
    "waiting": [Started()],
    "forking": ["waiting", TemplateReady()],
    "forking, template lost": ["forking", TemplateLost("")],
    "forking, all but given up": ["forking", *look_often(FORK_SECONDS - FORK_LOOK_SECONDS)],
    "forking, given up": ["forking", *look_often(FORK_SECONDS)],
    "forking again": ["forking", Exited(1, SEGFAULT)],
    "forking once more": ["forking again", Exited(2, SEGFAULT)],
    "importing": ["forking", Forked(1)],
    "trying again a first start": ["importing", Exited(1, KILLED), Forked(2)],
    "starting": ["importing", Imported(1)],
    "superseded": ["starting", CHANGED, Forked(2)],
    "superseded, awaiting": ["superseded", Imported(2)],
    "serving": ["starting", Ready(1)],
    "serving, stopped": ["serving", Stopped(1)],
    "importing, stopped": ["importing", Stopped(1)],
    "serving, debugged": ["serving", Debugged(1)],
    "ending by itself": ["serving", Draining(1, busy=False), Drained(1)],
    "given up": ["serving", TemplateLost("Thrice.", hopeless=True)],
    "edited": ["serving", CHANGED],
    "reimporting": ["edited", Forked(2)],
    "resumed": ["edited", Forked(2, CHECKPOINT)],
    "resumed, awaiting": ["resumed", Imported(2)],
    "resumed, restarting": ["resumed, awaiting", Draining(1, busy=False), Drained(1), Exited(1, 0)],
    "trying again": ["resumed", Exited(2, SEGFAULT)],
    "awaiting": ["reimporting", Imported(2)],
    "awaiting idle": ["awaiting", Draining(1, busy=False)],
    "overlapping": ["awaiting", Draining(1, busy=True)],
    "restarting": ["awaiting idle", Drained(1), Exited(1, 0)],
    "reloaded": ["restarting", Ready(2)],
    "awaiting after another edit": ["awaiting", CHANGED, Forked(3)],
    "settling": ["reimporting", Failed(2, BROKEN)],
    "reinterpreting": ["serving", UPGRADED],
    "reinterpreting in vain": ["reinterpreting", TemplateLost("Thrice.", hopeless=True)],
    "half imported": ["serving", HALF, Forked(2), Imported(2)],
    "half imported, alone": ["half imported", Exited(1, 0)],
    "half failed": ["serving", HALF, Forked(2), Failed(2, BROKEN)],
    "half failed, settled": ["half failed", Settled()],
    "half failed, late": ["half failed", *[Debugged(2)] * int(SETTLE_SECONDS / 0.001)],
    "page forking": ["importing", Failed(1, BROKEN), Exited(1, 1 << 8)],
    "page importing": ["page forking", Forked(2)],
    "bare page importing": ["page importing", Exited(2, KILLED), Forked(3)],
    "bare page resting": ["bare page importing", Exited(3, KILLED)],
    "page starting": ["page importing", Imported(2)],
    "page serving": ["page starting", Ready(2)],
    "stopping": ["serving", StopRequested()],
    "stopping, debugged": ["serving", Debugged(1), StopRequested()],
    "stopping, silent": ["stopping", TimerExpired(timer("ack", 1))],
    "stopping a start": ["starting", StopRequested()],
    "finished": ["stopping", Exited(1, 0)],
}


def events_of(state):
    """All events that lead there."""
    first, *rest = STATES[state] or [None]
    if isinstance(first, str):
        return [*events_of(first), *rest]
    return [event for event in (first, *rest) if event is not None]


NOW_BROKEN = with_cause(BROKEN, CHANGED.cause)
CAUSE = CHANGED.cause

TABLE = [
    # -- the first start
    ("new", Started(), [StartTemplate()]),
    ("new", StopRequested(), [Finish(0)]),
    ("waiting", TemplateReady(), fork(1, 1)),
    ("waiting", TemplateLost("It ended."), [Report("warning", "It ended."), StartTemplate()]),
    ("waiting", TemplateLost(""), [StartTemplate()]),
    ("waiting", TemplateLost("Thrice.", hopeless=True), [Report("error", "Thrice."), Finish(1)]),
    ("waiting", CHANGED, [*abandon(1), Cut(1)]),
    ("waiting", UPGRADED, [*abandon(1), Cut(1), StartTemplate()]),
    ("waiting", StopRequested(), [*abandon(1), Cut(1), Finish(0)]),
    ("forking", Forked(1), begun(1)),
    ("forking", TemplateReady(), []),
    (
        "forking",
        TemplateLost("It ended."),
        [*cancel(1, "fork"), Report("warning", "It ended."), StartTemplate()],
    ),
    ("forking, template lost", TemplateReady(), fork(1, 1)),
    ("forking, template lost", CHANGED, [*abandon(1), Cut(1)]),
    ("forking", CHANGED, [*abandon(1, "fork"), Cut(1), *fork(2, 2)]),
    ("forking", UPGRADED, [*abandon(1, "fork"), Cut(1), StartTemplate()]),
    ("forking", StopRequested(), [*abandon(1, "fork"), Cut(1), Finish(0)]),
    # -- a fork that does not come, or ends before it knows what it is to be
    ("forking", TimerExpired(timer("fork", 1)), [LookAtFork(1, give_up=False), look_again(1)]),
    ("forking, all but given up", TimerExpired(timer("fork", 1)), [LookAtFork(1, give_up=True), look_again(1)]),
    ("forking, given up", TimerExpired(timer("fork", 1)), [LookAtFork(1, give_up=False), look_again(1)]),
    ("importing", TimerExpired(timer("fork", 1)), []),
    (
        "forking",
        Exited(1, KILLED),
        [
            *forget(1),
            Report("warning", "A stand-by was killed by SIGKILL before it had begun; forking another."),
            *fork(2, 1),
        ],
    ),
    (
        "forking again",
        Exited(2, SEGFAULT),
        [
            *forget(2),
            Report("warning", "A stand-by was killed by SIGSEGV before it had begun; forking another."),
            DropCheckpoints(),
            *fork(3, 1),
        ],
    ),
    (
        "forking once more",
        Exited(3, SEGFAULT),
        [*forget(3), *show(4, 1, Described("A stand-by was killed by SIGSEGV before it had begun, 3 times"))],
    ),
    ("forking, template lost", Forked(1), begun(1)),
    ("forking, template lost", Exited(1, KILLED), forget(1)),
    ("importing", Imported(1), [TellServe(1)]),
    (
        "importing",
        NeedsLoop(1),
        [
            Report("info", NEEDS_LOOP),
            DropCheckpoints(),
            *retire(1),
            *fork(2, 1, in_loop=True),
        ],
    ),
    ("importing", Failed(1, BROKEN), [*retire(1), *show(2, 1, BROKEN)]),
    (
        "importing",
        Exited(1, EXIT_3),
        [
            *forget(1),
            *show(2, 1, Described("The worker exited with status 3 while the app was imported")),
        ],
    ),
    ("importing", Stopped(1), [Cut(1)]),
    ("importing", Debugged(1), cancel(1, "startup", "drain")),
    (
        "importing",
        TimerExpired(timer("startup", 1)),
        [*retire(1), Cut(1), *show(2, 1, Described("The import of the app did not end within 60 s"))],
    ),
    ("importing", TemplateReady(), []),
    ("importing", TemplateLost("It ended."), [Report("warning", "It ended."), StartTemplate()]),
    ("importing", CHANGED, [*abandon(1), Cut(1), *fork(2, 2)]),
    ("importing", UPGRADED, [*abandon(1), Cut(1), StartTemplate()]),
    ("importing", StopRequested(), [*abandon(1), Cut(1), Finish(0)]),
    ("starting", Ready(1), [*cancel(1, "startup"), Report("info", "Ready in 4 ms (generation 1)")]),
    ("starting", Failed(1, BROKEN), [*retire(1), *show(2, 1, BROKEN)]),
    (
        "starting",
        Exited(1, SEGFAULT),
        [*forget(1), *show(2, 1, Described("The worker was killed by SIGSEGV before it could serve"))],
    ),
    ("starting", Debugged(1), cancel(1, "startup", "drain")),
    (
        "starting",
        TimerExpired(timer("startup", 1)),
        [*retire(1), Cut(1), *show(2, 1, Described("The lifespan startup did not end within 60 s"))],
    ),
    ("starting", CHANGED, [*abandon(1), *part(1), *fork(2, 2)]),
    ("starting", UPGRADED, [*abandon(1), *part(1), StartTemplate()]),
    ("starting", StopRequested(), [*abandon(1), *part(1, handoff=False)]),
    # -- an edit while the first worker starts: it may be accepting already
    ("superseded", Ready(1), []),
    ("superseded", Failed(1, BROKEN), []),
    ("superseded", Debugged(1), cancel(1, "startup", "drain")),
    ("superseded", TimerExpired(timer("ack", 1)), cancel(1, "ack")),
    (
        "superseded",
        TimerExpired(timer("drain", 1)),
        [Report("warning", "The worker of generation 1 did not end in time; killed."), Cut(1)],
    ),
    (
        "superseded",
        Exited(1, SEGFAULT),
        [
            *forget(1),
            Report("warning", f"The worker of generation 1 was killed by SIGSEGV {FINISHING}"),
        ],
    ),
    ("superseded", Imported(2), cancel(2, "startup")),
    ("superseded", CHANGED, [*abandon(2), Cut(2), *fork(3, 3)]),
    ("superseded", StopRequested(), [*abandon(2), Cut(2)]),
    ("superseded, awaiting", Ready(1), []),
    ("superseded, awaiting", Failed(1, BROKEN), []),
    ("superseded, awaiting", Draining(1, busy=False), [*cancel(1, "ack"), *wait_patiently(1)]),
    ("superseded, awaiting", Draining(1, busy=True), [*cancel(1, "ack"), *serve_after_all(2)]),
    ("superseded, awaiting", TimerExpired(timer("ack", 1)), [*cancel(1, "ack"), *serve_after_all(2)]),
    ("superseded, awaiting", Drained(1), serve_after_all(2)),
    (
        "superseded, awaiting",
        Exited(1, SEGFAULT),
        [
            *forget(1),
            *serve_after_all(2),
            Report("warning", f"The worker of generation 1 was killed by SIGSEGV {FINISHING}"),
        ],
    ),
    # -- serving
    ("serving", CHANGED, [TellHold(1), *fork(2, 2)]),
    ("serving", UPGRADED, [TellHold(1), StartTemplate()]),
    ("serving", Failed(1, BROKEN), [Cut(1), *show(2, 1, BROKEN)]),
    (
        "serving",
        Exited(1, KILLED),
        [
            *forget(1),
            Report(
                "error",
                "The worker was killed by SIGKILL while it was serving (generation 1); starting another.",
            ),
            *fork(2, 2),
        ],
    ),
    (
        "serving",
        Exited(1, 0),
        [
            *forget(1),
            Report(
                "error",
                "The worker exited with status 0 while it was serving (generation 1); starting another.",
            ),
            *fork(2, 2),
        ],
    ),
    ("serving", Drained(1), []),
    *(
        (
            "ending by itself",
            Exited(1, status),
            [
                *forget(1),
                Report("info", "The worker of generation 1 ended by itself; starting another."),
                *fork(2, 2),
            ],
        )
        for status in (0, EXIT_3, None)
    ),
    ("ending by itself", CHANGED, [TellHold(1), *fork(2, 2)]),
    ("ending by itself", StopRequested(), part(1, handoff=False)),
    ("serving", Stopped(1), [Cut(1)]),
    ("serving, stopped", Stopped(1), []),
    (
        "serving, stopped",
        Exited(1, KILLED),
        [
            *forget(1),
            Report("error", f"The worker {STOPPED} while it was serving (generation 1); starting another."),
            *fork(2, 2),
        ],
    ),
    *(
        (
            "importing, stopped",
            Exited(1, status),
            [
                *forget(1),
                *again(f"The worker {STOPPED} while the app was imported", ""),
                *fork(2, 1, leaves_checkpoints=False),
            ],
        )
        for status in (KILLED, None)
    ),
    ("importing, stopped", Imported(1), []),
    ("serving, stopped", CHANGED, [TellHold(1), *fork(2, 2)]),
    ("serving, debugged", Stopped(1), []),
    ("serving", Debugged(1), cancel(1, "startup", "drain")),
    ("serving", TemplateReady(), []),
    ("serving", TemplateLost("It ended."), [Report("warning", "It ended."), StartTemplate()]),
    (
        "serving",
        TemplateLost("Thrice.", hopeless=True),
        [Report("error", "Thrice. The present worker goes on; save a file to try again.")],
    ),
    ("serving", StopRequested(), part(1, handoff=False)),
    # -- no template any more
    (
        "given up",
        Exited(1, KILLED),
        [
            *forget(1),
            Report(
                "error",
                "The worker was killed by SIGKILL while it was serving (generation 1); starting another.",
            ),
            *start_after_all(),
        ],
    ),
    ("given up", Failed(1, BROKEN), [Cut(1), ReportFailure(BROKEN, 1), *start_after_all()]),
    ("given up", CHANGED, [TellHold(1), *start_after_all()]),
    ("given up", UPGRADED, [TellHold(1), *start_after_all()]),
    ("given up", TimerExpired(Timer("retry")), start_after_all()),
    ("given up", StopRequested(), part(1, handoff=False)),
    # -- an edit
    ("edited", Forked(2), begun(2)),
    ("edited", CHANGED, [*abandon(2, "fork"), Cut(2), TellHold(1), *fork(3, 3)]),
    ("edited", StopRequested(), [*abandon(2, "fork"), Cut(2), *part(1, handoff=False)]),
    (
        "edited",
        Exited(1, EXIT_3),
        [
            *forget(1),
            Report("error", "The worker exited with status 3 while it was serving (generation 1)."),
        ],
    ),
    (
        "reimporting",
        Imported(2),
        [*part(1), *cancel(2, "startup")],
    ),
    ("reimporting", CHANGED, [*abandon(2), Cut(2), TellHold(1), *fork(3, 3)]),
    ("reimporting", UPGRADED, [*abandon(2), Cut(2), TellHold(1), StartTemplate()]),
    ("reimporting", StopRequested(), [*abandon(2), Cut(2), *part(1, handoff=False)]),
    ("awaiting", Draining(1, busy=True), [*cancel(1, "ack"), *serve_after_all(2)]),
    ("awaiting", Draining(1, busy=False), [*cancel(1, "ack"), *wait_patiently(1)]),
    ("awaiting", Drained(1), serve_after_all(2)),
    ("awaiting", Exited(1, 0), [*forget(1), *serve_after_all(2)]),
    ("awaiting", TimerExpired(timer("ack", 1)), [SILENT, *cancel(1, "ack"), *serve_after_all(2)]),
    ("awaiting", CHANGED, [*abandon(2), Cut(2), *fork(3, 3)]),
    ("awaiting", StopRequested(), [*abandon(2), Cut(2)]),
    (
        "awaiting",
        Exited(2, EXIT_3),
        [
            *forget(2),
            SetTimer(timer("settle", 3), pytest.approx(SETTLE_SECONDS - 0.003)),
        ],
    ),
    ("awaiting after another edit", Imported(3), cancel(3, "startup")),
    ("awaiting after another edit", Drained(1), []),
    ("awaiting after another edit", TimerExpired(timer("ack", 1)), [SILENT, *cancel(1, "ack")]),
    (
        "awaiting idle",
        TimerExpired(timer("patience", 1)),
        [Report("info", "Waiting for the lifespan shutdown of generation 1, for 5.5 s more at most.")],
    ),
    ("restarting", TimerExpired(timer("patience", 1)), []),
    ("awaiting idle", Drained(1), serve_after_all(2)),
    ("awaiting idle", Exited(1, 0), [*forget(1), *serve_after_all(2)]),
    (
        "awaiting idle",
        TimerExpired(timer("drain", 1)),
        [Report("warning", "The worker of generation 1 did not end in time; killed."), Cut(1)],
    ),
    (
        "overlapping",
        Ready(2),
        [*cancel(2, "startup"), Report("info", "Reloaded in 4 ms: a.py changed, from the template (generation 2)")],
    ),
    ("overlapping", Drained(1), []),
    ("overlapping", Exited(1, 0), forget(1)),
    (
        "overlapping",
        TimerExpired(timer("drain", 1)),
        [Report("warning", "The worker of generation 1 did not end in time; killed."), Cut(1)],
    ),
    ("overlapping", Debugged(1), cancel(1, "startup", "drain")),
    ("overlapping", CHANGED, [*abandon(2), *part(2), *fork(3, 3)]),
    ("overlapping", StopRequested(), [*abandon(2), *part(2, handoff=False)]),
    (
        "restarting",
        Ready(2),
        [*cancel(2, "startup"), Report("info", "Reloaded in 6 ms: a.py changed, from the template (generation 2)")],
    ),
    ("reloaded", CHANGED, [TellHold(2), *fork(3, 3)]),
    # -- an edit that breaks the app
    (
        "reimporting",
        Failed(2, BROKEN),
        [*retire(2), SetTimer(timer("settle", 3), pytest.approx(SETTLE_SECONDS - 0.002))],
    ),
    ("settling", TimerExpired(timer("settle", 3)), show(3, 2, NOW_BROKEN)),
    ("settling", CHANGED, [*abandon(3, "settle"), TellHold(1), *fork(4, 3)]),
    ("settling", Exited(2, 1 << 8), forget(2)),
    ("settling", TemplateLost("It ended."), [Report("warning", "It ended."), StartTemplate()]),
    ("settling", StopRequested(), [*abandon(3, "settle"), *part(1, handoff=False)]),
    # -- packages were installed
    ("reinterpreting", TemplateReady(), fork(2, 2)),
    ("reinterpreting", CHANGED, [*abandon(2), Cut(2), TellHold(1)]),
    ("reinterpreting", UPGRADED, [*abandon(2), Cut(2), TellHold(1), StartTemplate()]),
    (
        "reinterpreting",
        TemplateLost("Thrice.", hopeless=True),
        [
            Report("error", f"Thrice. Requests wait; trying again in {RETRY_SECONDS:g} s."),
            SetTimer(Timer("retry"), RETRY_SECONDS),
        ],
    ),
    ("reinterpreting in vain", TimerExpired(Timer("retry")), start_after_all()),
    ("reinterpreting in vain", CHANGED, [*abandon(2), Cut(2), TellHold(1), *start_after_all()]),
    ("reinterpreting in vain", StopRequested(), [*abandon(2), Cut(2), *part(1, handoff=False)]),
    ("reinterpreting", StopRequested(), [*abandon(2), Cut(2), *part(1, handoff=False)]),
    # -- the page that shows a failure
    ("page forking", Forked(2), begun(2, PAGE_SECONDS)),
    ("page importing", Imported(2), [TellServe(2)]),
    (
        "page importing",
        Failed(2, BROKEN),
        [
            *retire(2),
            bare("The page that shows the failure failed as well (SyntaxError: expected ':')"),
            *fork(3, 1, "failure", BROKEN, is_bare=True),
        ],
    ),
    (
        "page importing",
        TimerExpired(timer("startup", 2)),
        [
            *retire(2),
            Cut(2),
            bare("The import of the app did not end within 10 s, while a failure was to be shown"),
            *fork(3, 1, "failure", BROKEN, is_bare=True),
        ],
    ),
    (
        "page importing",
        Exited(2, KILLED),
        [
            *forget(2),
            bare("The worker was killed by SIGKILL while the app was imported"),
            *fork(3, 1, "failure", BROKEN, is_bare=True),
        ],
    ),
    (
        "bare page importing",
        Exited(3, KILLED),
        [*forget(3), *rest(4, "The worker was killed by SIGKILL while the app was imported")],
    ),
    (
        "bare page importing",
        Failed(3, BROKEN),
        [*retire(3), *rest(4, "The page that shows the failure failed as well (SyntaxError: expected ':')")],
    ),
    ("bare page resting", TimerExpired(timer("retry", 4)), fork(4, 1, "failure", BROKEN, is_bare=True)),
    ("bare page resting", CHANGED, [*abandon(4, "retry"), *fork(5, 2)]),
    ("bare page resting", StopRequested(), [*abandon(4, "retry"), Finish(0)]),
    ("page importing", CHANGED, [*abandon(2), Cut(2), *fork(3, 2)]),
    ("page starting", Ready(2), cancel(2, "startup")),
    ("page starting", CHANGED, [*abandon(2), *part(2), *fork(3, 2)]),
    ("page serving", CHANGED, [TellHold(2), *fork(3, 2)]),
    (
        "page serving",
        Exited(2, KILLED),
        [
            *forget(2),
            Report(
                "error",
                "The worker was killed by SIGKILL while it was serving (generation 1); starting another.",
            ),
            *fork(3, 2, "failure", BROKEN),
        ],
    ),
    ("page serving", StopRequested(), part(2, handoff=False)),
    # -- the end
    ("stopping", TimerExpired(timer("ack", 1)), [SILENT, *cancel(1, "ack"), WAITING]),
    ("stopping, debugged", TimerExpired(timer("ack", 1)), [*cancel(1, "ack"), WAITING]),
    ("stopping, silent", Draining(1, busy=True), cancel(1, "ack")),
    ("stopping", CHANGED, []),
    ("stopping", TemplateReady(), []),
    ("stopping", TemplateLost("It ended."), []),
    ("stopping", TemplateLost("Thrice.", hopeless=True), []),
    (
        "stopping",
        Draining(1, busy=True),
        [
            *cancel(1, "ack"),
            WAITING,
        ],
    ),
    ("stopping", Draining(1, busy=False), cancel(1, "ack")),
    ("stopping", Drained(1), []),
    ("stopping", Exited(1, 0), [*forget(1), Finish(0)]),
    (
        "stopping",
        TimerExpired(timer("drain", 1)),
        [Report("warning", "The worker of generation 1 did not end in time; killed."), Cut(1)],
    ),
    ("stopping", Failed(1, BROKEN), []),
    ("stopping", StopRequested(), [Cut(1), Finish(0)]),
    ("stopping a start", Ready(1), []),
    ("stopping a start", Failed(1, BROKEN), []),
    ("stopping a start", Draining(1, busy=False), cancel(1, "ack")),
    ("stopping a start", Drained(1), []),
    ("stopping a start", Exited(1, SEGFAULT), [*forget(1), Finish(0)]),
    (
        "stopping a start",
        TimerExpired(timer("drain", 1)),
        [Report("warning", "The worker of generation 1 did not end in time; killed."), Cut(1)],
    ),
    ("stopping a start", StopRequested(), [Cut(1), Finish(0)]),
    ("finished", StopRequested(), []),
    ("finished", CHANGED, []),
    ("finished", TemplateReady(), []),
    # -- a worker that was forked of a checkpoint
    ("resumed", Imported(2), [*part(1), *cancel(2, "startup")]),
    ("resumed", Failed(2, BROKEN), [*retire(2), SetTimer(timer("settle", 3), pytest.approx(SETTLE_SECONDS - 0.002))]),
    (
        "resumed",
        NeedsLoop(2),
        [Report("info", NEEDS_LOOP), DropCheckpoints(), *retire(2), *fork(3, 2, in_loop=True)],
    ),
    (
        "resumed",
        Exited(2, SEGFAULT),
        [
            *forget(2),
            *again("The worker was killed by SIGSEGV while the app was imported"),
            *fork(3, 2, leaves_checkpoints=False),
        ],
    ),
    (
        "resumed",
        Exited(2, None),
        [
            *forget(2),
            *again("The worker disappeared while the app was imported"),
            *fork(3, 2, leaves_checkpoints=False),
        ],
    ),
    (
        "resumed, awaiting",
        Exited(2, EXIT_3),
        [
            *forget(2),
            *again("The worker exited with status 3 before it could serve"),
            *fork(3, 2, leaves_checkpoints=False),
        ],
    ),
    (
        "resumed, restarting",
        Exited(2, KILLED),
        [
            *forget(2),
            *again("The worker was killed by SIGKILL before it could serve"),
            *fork(3, 2, leaves_checkpoints=False),
        ],
    ),
    (
        "resumed, restarting",
        Ready(2),
        [*cancel(2, "startup"), Report("info", f"Reloaded in 6 ms: a.py changed, from {CHECKPOINT} (generation 2)")],
    ),
    (
        "resumed",
        TimerExpired(timer("startup", 2)),
        [
            *retire(2),
            Cut(2),
            DropCheckpoints(),
            SetTimer(timer("settle", 3), pytest.approx(SETTLE_SECONDS - 0.002)),
        ],
    ),
    ("resumed", CHANGED, [*abandon(2), Cut(2), TellHold(1), *fork(3, 3)]),
    ("trying again", Forked(3), begun(3)),
    ("trying again", CHANGED, [*abandon(3, "fork"), Cut(3), TellHold(1), *fork(4, 3)]),
    # -- a worker that somebody kills while it starts
    *(
        (
            "importing",
            Exited(1, status),
            [
                *forget(1),
                *again(f"The worker {ending} while the app was imported", ""),
                *fork(2, 1, leaves_checkpoints=False),
            ],
        )
        for status, ending in SUDDEN
    ),
    *(
        (
            "trying again a first start",
            Exited(2, status),
            [*forget(2), *show(3, 1, Described(f"The worker {ending} while the app was imported"))],
        )
        for status, ending in SUDDEN
    ),
    # -- somebody is still writing
    ("half imported", Settled(), part(1) + cancel(2, "startup")),
    ("half imported", CHANGED, [*abandon(2), Cut(2), TellHold(1), *fork(3, 3)]),
    ("half imported", Exited(1, 0), [*forget(1), OLD_DIED]),
    ("half imported, alone", Settled(), [TellServe(2)]),
    ("half failed", TimerExpired(timer("settle", 3)), []),
    ("half failed", Settled(), []),
    ("half failed, settled", TimerExpired(timer("settle", 3)), show(3, 2, NOW_BROKEN)),
    ("half failed, late", Settled(), show(3, 2, NOW_BROKEN)),
    ("serving", Settled(), []),
    ("reimporting", Settled(), []),
]

SPECIMENS = [
    Started(),
    CHANGED,
    HALF,
    Settled(),
    UPGRADED,
    TemplateReady(),
    TemplateLost("It ended."),
    TemplateLost("Thrice.", hopeless=True),
    StopRequested(),
    *(TimerExpired(timer(kind, number)) for kind in get_args(ac.TimerKind) for number in (0, 1)),
    Forked(1),
    Imported(1),
    NeedsLoop(1),
    Failed(1, BROKEN),
    Ready(1),
    Draining(1, busy=True),
    Drained(1),
    Exited(1, 0),
    Stopped(1),
    Debugged(1),
]


def name_of(value):
    if isinstance(value, str):
        return value
    if isinstance(value, TimerExpired):
        return f"{value.timer.kind} timer of {value.timer.worker}"
    return repr(value) if not isinstance(value, Failed) else f"Failed({value.worker})"


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [pytest.param(state, event, expected, id=f"{state}: {name_of(event)}") for state, event, expected in TABLE],
)
def test_what_an_event_does(state, event, expected):
    """In this state, this event leads to exactly these actions, in this order."""
    assert Play(*events_of(state))(event) == expected


STRANGERS = [
    Forked(99),
    Imported(99),
    NeedsLoop(99),
    Failed(99, BROKEN),
    Ready(99),
    Draining(99, busy=True),
    Drained(99),
    Exited(99, 0),
    Stopped(99),
    Debugged(99),
    *(TimerExpired(timer(kind, 99)) for kind in get_args(ac.TimerKind)),
]


@pytest.mark.parametrize("state", STATES)
def test_a_worker_that_plays_no_part_changes_nothing(state):
    """Late news of a worker that was given up long ago is of no consequence."""
    play = Play(*events_of(state))
    before = dataclasses.asdict(play.machine) | {"_actions": []}
    for event in STRANGERS:
        assert play(event) == []

    assert dataclasses.asdict(play.machine) == before


@pytest.mark.parametrize("state", STATES)
def test_no_event_is_too_much_for_any_state(state):
    """Whatever comes at a wrong time is survived, and the machine still finishes on a second Ctrl-C."""
    for event in SPECIMENS:
        play = Play(*events_of(state), event, StopRequested(), StopRequested())

        assert play.machine.finished, event


def test_every_event_and_every_action_is_a_frozen_value():
    """Events and actions can be compared, hashed and kept."""
    for kind in (*get_args(ev.Event), *get_args(ac.Action), Timer):
        assert dataclasses.is_dataclass(kind)
        assert kind.__dataclass_params__.frozen
        assert kind.__hash__ is not None


def test_the_specimens_cover_every_event():
    """The table above leaves out no kind of event."""
    assert {type(event) for event in SPECIMENS} == set(get_args(ev.Event))


def test_generations_count_reloads():
    """Every edit begins a generation, and so does the replacement of a dead worker; a failure page does not."""
    play = Play(*events_of("serving"))
    seen = [play.machine.generation]
    for event in (CHANGED, Forked(2), Failed(2, BROKEN), CHANGED, Forked(4), Exited(1, 0), Imported(4), Ready(4)):
        play(event)
        seen.append(play.machine.generation)
    play(Exited(4, 0))

    assert seen == [1, 2, 2, 2, 3, 3, 3, 3, 3]
    assert play.machine.generation == 4


@pytest.mark.parametrize(
    ("state", "importing"),
    [("forking", False), ("importing", True), ("starting", False), ("serving", False), ("reimporting", True)],
)
def test_whether_a_worker_imports_right_now(state, importing):
    """Only between fork and the end of the import."""
    assert Play(*events_of(state)).machine.is_importing is importing


@pytest.mark.parametrize(
    ("state", "known"),
    [
        ("waiting", {1}),
        ("serving", {1}),
        ("edited", {1, 2}),
        ("overlapping", {1, 2}),
        ("reloaded", {2}),
        ("settling", {1, 2, 3}),
        ("stopping", {1}),
        ("finished", set()),
    ],
)
def test_which_workers_still_play_a_part(state, known):
    """The serving one, the candidate and those that are leaving; nobody else."""
    machine = Play(*events_of(state)).machine

    assert {number for number in range(10) if machine.knows(number)} == known


# -- what people read


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0194, "19 ms"), (0.9996, "1,000 ms"), (9.5, "9,500 ms"), (12.34, "12.3 s"), (1234.5, "1,234.5 s")],
)
def test_how_long_a_reload_took(seconds, shown):
    """Milliseconds, or seconds where they are many, from the edit to the worker that serves."""
    play = Play(*events_of("serving"))
    play(CHANGED)
    for event in (Forked(2), Imported(2), Exited(1, 0)):
        play(event, after=0.0)
    *_, report = play(Ready(2), after=seconds)

    assert report == Report("info", f"Reloaded in {shown}: a.py changed, from the template (generation 2)")


def test_a_reload_that_was_tried_again_says_where_it_came_from_in_the_end():
    """Not from the checkpoint that came to nothing."""
    play = Play(*events_of("trying again"), Forked(3), Imported(3), Exited(1, 0))
    *_, report = play(Ready(3))

    assert report.text.endswith(": a.py changed, from the template (generation 2)")


def test_a_worker_that_dies_also_when_forked_of_the_template_is_not_tried_again():
    """So it is the code that ends it, which the user has to know."""
    play = Play(*events_of("trying again"), Forked(3))
    actions = play(Exited(3, SEGFAULT), after=SETTLE_SECONDS)

    died = Described("The worker was killed by SIGSEGV while the app was imported", CAUSE)
    assert actions == [*forget(3), *show(4, 2, died)]


def test_a_reload_from_a_new_interpreter_says_so():
    """Such a reload takes longer than others, and the line has the reason."""
    play = Play(*events_of("reinterpreting"), TemplateReady(), Forked(2), Imported(2), Exited(1, 0))
    *_, report = play(Ready(2))

    assert report.text.endswith(": packages were installed, from a new interpreter (generation 2)")


def test_a_reload_from_a_new_interpreter_says_so_for_an_app_that_needs_a_loop():
    """That the app had to be imported a second time, inside the loop, does not change where it came from."""
    play = Play(*events_of("reinterpreting"), TemplateReady(), Forked(2), NeedsLoop(2), Exited(2, 1 << 8))
    for event in (Forked(3), Imported(3), Exited(1, 0)):
        play(event)
    *_, report = play(Ready(3))

    assert report.text.endswith(": packages were installed, from a new interpreter (generation 2)")


@pytest.mark.parametrize(
    ("status", "ending", "advice"),
    [
        (EXIT_3, "exited with status 3", "os._exit()"),
        (0, "exited with status 0", "sys.exit()"),
        (SEGFAULT, "was killed by SIGSEGV", "native code"),
        (KILLED, "was killed by SIGKILL", "memory"),
        (None, "disappeared", "Save a file"),
    ],
)
def test_how_a_worker_died_is_said_with_advice(status, ending, advice):
    """The failure page of a worker that just ended names the ending and what to look for."""
    actions = Play(*events_of("trying again a first start"))(Exited(2, status))
    (failure,) = [action.failure for action in actions if isinstance(action, ReportFailure)]

    assert failure.headline == f"The worker {ending} while the app was imported"
    assert advice in failure.sentence


@pytest.mark.parametrize(
    "event", [Exited(2, EXIT_3, "shop/slow.py"), TimerExpired(timer("startup", 2), "shop/slow.py")]
)
def test_where_the_import_was_when_it_broke_off_is_said(event):
    """There is no traceback of it."""
    play = Play(*events_of("trying again a first start"))
    (failure,) = [action.failure for action in play(event) if isinstance(action, ReportFailure)]

    assert failure.sentence.startswith("The last module that it began to import was shop/slow.py. ")


def test_a_startup_that_does_not_end_is_in_no_module():
    """The import is over."""
    play = Play(*events_of("trying again a first start"), Imported(2))
    actions = play(TimerExpired(timer("startup", 2), "shop/slow.py"))
    (failure,) = [action.failure for action in actions if isinstance(action, ReportFailure)]

    assert "shop/slow.py" not in failure.sentence


@pytest.mark.parametrize("phase", ["forking", "awaiting"])
def test_a_passed_startup_deadline_blames_no_lifespan_that_was_not_begun(phase):
    """A worker that was not even forked, or was never told to serve, did not hang in its lifespan startup."""
    worker = 2 if phase == "awaiting" else 1
    actions = Play(*events_of(phase))(TimerExpired(timer("startup", worker)), after=STARTUP)

    assert not [action for action in actions if "lifespan" in repr(action)]


# -- the app's import needs a loop


def test_that_a_loop_is_needed_is_remembered():
    """The next worker imports inside the loop at once, and nothing is said a second time."""
    play = Play(*events_of("importing"), NeedsLoop(1), Exited(1, 1 << 8), Forked(2), Imported(2), Ready(2))

    assert play(CHANGED) == [TellHold(2), *fork(3, 2, in_loop=True)]


def test_a_new_interpreter_forgets_that_a_loop_is_needed():
    """What was installed may have changed that, too."""
    play = Play(*events_of("importing"), NeedsLoop(1), Exited(1, 1 << 8), Forked(2), Imported(2), Ready(2))
    play(UPGRADED)

    assert play(TemplateReady()) == fork(3, 2)


def test_a_replacement_imports_as_its_predecessor_did():
    """A worker that died in the loop is replaced by one that imports there."""
    play = Play(*events_of("importing"), NeedsLoop(1), Exited(1, 1 << 8), Forked(2), Imported(2), Ready(2))

    assert play(Exited(2, KILLED))[-2:] == fork(3, 2, in_loop=True)


# -- crashes while serving


def crash(play, worker, after):
    """The serving worker dies, and the one that follows gets to serve, if it is the app's."""
    actions = play(Exited(worker, KILLED), after=after)
    for event in (Forked(worker + 1), Imported(worker + 1), Ready(worker + 1)):
        play(event)
    return actions


def test_an_app_that_crashes_again_and_again_is_shown_as_failed():
    """So many deaths in so short a time are no accident: the last one is answered with the failure page."""
    play = Play(*events_of("serving"))
    for number in range(1, CRASH_LIMIT):
        assert fork(number + 1, number + 1)[0] in crash(play, number, after=1.0)
    actions = play(Exited(CRASH_LIMIT, KILLED), after=1.0)

    (failure,) = [action.failure for action in actions if isinstance(action, ReportFailure)]
    assert failure.headline.endswith(f", {CRASH_LIMIT} times")


def test_crashes_far_apart_do_not_add_up():
    """An app that dies now and then is started again for ever."""
    play = Play(*events_of("serving"))

    for number in range(1, 4 * CRASH_LIMIT):
        assert fork(number + 1, number + 1)[0] in crash(play, number, after=CRASH_SECONDS / 2)


def end_by_itself(play, worker, status=0):
    """The serving worker drains unasked and exits, and the one that follows gets to serve."""
    actions = [action for event in (Drained(worker), Exited(worker, status)) for action in play(event)]
    for event in (Forked(worker + 1), Imported(worker + 1), Ready(worker + 1)):
        play(event)
    return actions


def test_workers_that_end_by_themselves_are_replaced_for_ever():
    """--limit-max-requests 1 is no crash, however fast the requests come."""
    play = Play(*events_of("serving"))

    for number in range(1, 4 * CRASH_LIMIT):
        actions = end_by_itself(play, number)
        assert actions[-2:] == fork(number + 1, number + 1)
        assert not [action for action in actions if isinstance(action, Report) and action.level != "info"]


def test_workers_that_ended_by_themselves_add_nothing_to_the_crashes():
    """One crash less than the limit, with orderly ends in between, is not the limit."""
    play = Play(*events_of("serving"))
    for number in range(1, 2 * CRASH_LIMIT - 2, 2):
        crash(play, number, after=0.1)
        end_by_itself(play, number + 1)
    number = play.machine.serving.number

    assert not [action for action in end_by_itself(play, number) if isinstance(action, ReportFailure)]
    actions = play(Exited(number + 1, KILLED), after=SETTLE_SECONDS)
    assert [action for action in actions if isinstance(action, ReportFailure)]


def test_an_exit_with_status_0_unasked_is_a_crash():
    """os._exit(0) in a handler has answered nobody, and again and again it is the app's failure."""
    play = Play(*events_of("serving"))
    for number in range(1, CRASH_LIMIT):
        play(Exited(number, 0))
        for event in (Forked(number + 1), Imported(number + 1), Ready(number + 1)):
            play(event)

    actions = play(Exited(CRASH_LIMIT, 0), after=SETTLE_SECONDS)
    assert [action for action in actions if isinstance(action, ReportFailure)]


def test_an_old_worker_that_ends_by_itself_during_a_reload_is_no_crash():
    """It is not replaced, for the new code is on its way; it is neither logged as an error nor counted."""
    play = Play(*events_of("serving"), CHANGED, Forked(2), Drained(1))

    assert not [a for a in play(Exited(1, 0)) if isinstance(a, Report) and a.level == "error"]
    for event in (Imported(2), Ready(2)):
        play(event)
    for number in range(2, CRASH_LIMIT + 1):
        assert fork(number + 1, number + 1)[0] in crash(play, number, after=0.1)


@pytest.mark.parametrize("busy", [False, True])
def test_a_worker_that_ends_by_itself_has_a_deadline_too(busy):
    """If its lifespan shutdown hangs, nobody accepts: without a deadline the server would be silent until an edit."""
    actions = Play(*events_of("serving"))(Draining(1, busy=busy))

    assert SetTimer(timer("drain", 1), DRAIN + GRACE_SECONDS) in actions


def test_an_edit_gives_a_crashing_app_another_chance():
    """Deaths of the old code are not held against the new."""
    play = Play(*events_of("serving"))
    for number in range(1, CRASH_LIMIT):
        crash(play, number, after=0.1)
    number = CRASH_LIMIT
    for event in (CHANGED, Forked(number + 1), Imported(number + 1), Exited(number, 0), Ready(number + 1)):
        play(event)

    assert fork(number + 2, number + 2)[0] in play(Exited(number + 1, KILLED))


def test_a_failure_page_that_crashes_again_and_again_is_given_up():
    """It is not started for ever, with nobody to notice but the processor."""
    play = Play(*events_of("page serving"))
    forks = []
    for number in range(2, 50):
        forks += [action for action in crash(play, number, after=0.01) if isinstance(action, ForkWorker)]

    assert len(forks) < 20


# -- what must not happen


def test_a_failure_too_soon_after_the_edit_is_not_shown_if_another_edit_follows():
    """A file caught half-written leaves no trace: its failure is neither logged nor answered."""
    play = Play(*events_of("settling"))
    later = [play(CHANGED), play(TimerExpired(timer("settle", 3))), play(Forked(4)), play(Imported(4))]

    assert not [action for actions in later for action in actions if isinstance(action, ReportFailure)]


def test_a_failure_that_took_its_time_is_shown_at_once():
    """Only failures right after the edit wait for a further edit."""
    play = Play(*events_of("reimporting"))

    assert play(Failed(2, BROKEN), after=SETTLE_SECONDS) == [*retire(2), *show(3, 2, NOW_BROKEN)]


def test_a_new_template_does_not_hurry_a_failure_that_waits():
    """The failure is forked once, when it has been reported, though the template came back meanwhile."""
    play = Play(*events_of("settling"), TemplateLost(""))

    assert [*play(TemplateReady()), *play(TimerExpired(timer("settle", 3)))] == show(3, 2, NOW_BROKEN)


def test_a_template_that_comes_after_the_failure_forks_its_page():
    """Without a template, the failure is reported at once and its page forked as soon as there is one."""
    play = Play(*events_of("settling"), TemplateLost(""))

    assert play(TimerExpired(timer("settle", 3))) == [ReportFailure(NOW_BROKEN, 2)]
    assert play(TemplateReady()) == fork(3, 2, "failure", NOW_BROKEN)


def test_a_serving_worker_that_fails_does_not_displace_the_newer_code():
    """The old worker's end (a handler called sys.exit) while a new one imports is no reason to drop the new one."""
    play = Play(*events_of("reimporting"))
    actions = play(Failed(1, BROKEN))

    assert not [action for action in actions if isinstance(action, ForkWorker | ReportFailure)]
    assert play(Imported(2)) == [TellServe(2)]


def test_a_fork_that_never_comes_does_not_keep_the_supervisor_from_ending():
    """A template that lost a request leaves nobody to wait for at the end."""
    play = Play(*events_of("forking"))
    play(TimerExpired(timer("startup", 1)), after=STARTUP)
    play(TimerExpired(timer("drain", 1)), after=GRACE_SECONDS)

    assert play(StopRequested())[-1] == Finish(0)


@pytest.mark.parametrize("event", [CHANGED, UPGRADED, StopRequested()], ids=name_of)
def test_a_fork_that_comes_too_late_is_not_left_to_itself(event):
    """A worker that was given up before it had begun is ended, and when it appears only later, unknown."""
    play = Play(*events_of("forking"))

    assert Cut(1) in play(event)
    assert not play.machine.knows(1)


def test_a_fork_has_all_its_time_again_after_somebody_was_given_up():
    """Each state that is asked in turn is looked at every second, and given up after ten."""
    play = Play(*events_of("forking"))
    looks = [play(TimerExpired(timer("fork", 1)), after=FORK_LOOK_SECONDS)[0].give_up for _ in range(30)]

    assert [second for second, give_up in enumerate(looks, start=1) if give_up] == [10, 20, 30]


def test_a_template_of_which_a_worker_serves_was_not_made_in_vain():
    """However often somebody kills one."""
    play = Play(*events_of("serving"))
    for number in range(2, 2 * CRASH_LIMIT):
        assert StartTemplate() in play(TemplateLost("It ended."))
        for event in (TemplateReady(), CHANGED, Forked(number), Imported(number), Drained(number - 1), Ready(number)):
            play(event)


def test_templates_that_end_one_after_the_other_are_not_made_without_a_pause():
    """What ends them is not ended by trying as fast as possible; requests wait, and it is said."""
    play = Play(*events_of("serving"), CHANGED)
    for _ in range(CRASH_LIMIT):
        assert StartTemplate() in play(TemplateLost("It ended."))
    assert play(TemplateLost("It ended.")) == [
        Report("error", "One template after the other has ended. Requests wait; trying again in 5 s."),
        SetTimer(Timer("retry"), RETRY_SECONDS),
    ]
    assert play(TimerExpired(Timer("retry")), after=RETRY_SECONDS) == start_after_all()
    assert StartTemplate() in play(TemplateLost("It ended."), after=CRASH_SECONDS)


def test_a_page_is_never_given_up():
    """It fails with the user's configuration, then without it, and is tried again and again."""
    play = Play(*events_of("page importing"))
    for number in range(2, 8):
        play(Exited(number, KILLED))
        play(TimerExpired(timer("retry", number + 1)), after=RETRY_SECONDS)
        assert play.machine.candidate.phase == "forking"
        play(Forked(number + 1))

    assert play.machine.candidate.failure == BROKEN


def test_the_newest_candidate_serves_when_the_old_worker_is_done():
    """However many edits there were while the old worker took its time to shut down."""
    play = Play(*events_of("awaiting after another edit"), Imported(3))

    assert play(Drained(1)) == serve_after_all(3)


def test_the_newest_candidate_waits_for_the_last_that_may_have_accepted():
    """The superseded one, which was starting, has taken over the old one's part; the old one is no matter any more."""
    play = Play(*events_of("overlapping"), CHANGED, Forked(3), Imported(3))

    assert not [action for event in (Drained(1), Exited(1, 0)) for action in play(event) if action == TellServe(3)]
    assert play(Drained(2)) == serve_after_all(3)


def test_a_start_that_was_superseded_is_no_failure():
    """How it ends is of no interest: the newer code serves, and nothing is shown or logged."""
    play = Play(*events_of("superseded"))
    actions = [*play(Failed(1, BROKEN)), *play(Exited(1, 1 << 8)), *play(Imported(2))]

    assert not [action for action in actions if isinstance(action, Report | ReportFailure)]
    assert actions[-1] == TellServe(2)


def test_waiting_for_the_old_worker_is_not_held_against_the_new():
    """However long it waits between import and startup, it gets the full time for its startup."""
    play = Play(*events_of("reimporting"))

    assert CancelTimer(timer("startup", 2)) in play(Imported(2), after=STARTUP - 1)
    assert play(Drained(1), after=STARTUP) == serve_after_all(2)
    assert Cut(2) in play(TimerExpired(timer("startup", 2)), after=STARTUP)


@pytest.mark.parametrize("late", [Imported(1), Ready(1), Failed(1, BROKEN), NeedsLoop(1), Drained(1)], ids=name_of)
def test_a_worker_whose_time_was_up_has_no_say_any_more(late):
    """What it had sent before it was cut changes nothing."""
    play = Play(*events_of("starting"))
    play(TimerExpired(timer("startup", 1)), after=STARTUP)

    assert play(late) == []


def test_a_failure_page_that_hangs_does_not_replace_the_failure_it_shows():
    """What the user has to mend is the app's failure, not the page's missed deadline."""
    play = Play(*events_of("page starting"))
    actions = play(TimerExpired(timer("startup", 2)), after=STARTUP)

    assert not [action for action in actions if isinstance(action, ReportFailure)]


def test_the_failure_of_old_code_is_not_shown_for_the_new():
    """The new code hung, and so did its failure page; then the old worker, which still held, failed."""
    play = Play(*events_of("reimporting"))
    for number in (2, 3):
        play(TimerExpired(timer("startup", number)), after=STARTUP)
        play(Forked(number + 1))
    actions = play(Failed(1, BROKEN))

    assert not [action for action in actions if isinstance(action, ReportFailure)]
    assert play.machine.candidate.failure.cause == CHANGED.cause, "the new code's page is on its way"


def test_a_hopeless_template_does_not_end_a_server_that_serves():
    """A broken environment (an upgrade half done) is reported; the worker that serves is not taken down by it."""
    play = Play(*events_of("serving"))
    play(TemplateLost(""))

    assert Finish(1) not in play(TemplateLost("Thrice.", hopeless=True))


def ends_the_wait(actions):
    """Somebody will answer: another template is tried now or soon, or the server ends and its port with it."""
    return any(isinstance(action, StartTemplate | Finish) for action in actions) or any(
        isinstance(action, SetTimer) and action.timer == Timer("retry") for action in actions
    )


def test_a_hopeless_template_does_not_leave_held_requests_without_an_end():
    """The present worker was told to hold; with no template to come, nobody would ever answer what waits."""
    play = Play(*events_of("reinterpreting"))

    assert ends_the_wait(play(TemplateLost("Thrice.", hopeless=True)))


@pytest.mark.parametrize("event", [Exited(1, KILLED), Exited(1, 0), Failed(1, BROKEN)], ids=name_of)
def test_a_worker_that_ends_after_the_template_was_given_up_is_not_the_last(event):
    """Its replacement needs a template."""
    play = Play(*events_of("serving"), TemplateLost("Thrice.", hopeless=True))

    assert ends_the_wait(play(event))


def test_an_edit_tries_another_template_after_one_was_given_up():
    """Whatever broke the environment may have been mended by it."""
    play = Play(*events_of("serving"), TemplateLost("Thrice.", hopeless=True))

    assert play(CHANGED) == [TellHold(1), *start_after_all()]
    assert play(TemplateReady()) == fork(2, 2)


def test_a_replacement_is_forked_from_the_template_that_is_tried_again():
    """Given up once, the template is tried again for it; when that fails too, after a while."""
    play = Play(*events_of("given up"), Exited(1, KILLED))

    assert play(TemplateReady()) == fork(2, 2)
    play = Play(*events_of("given up"), Exited(1, KILLED))
    assert play(TemplateLost("Thrice.", hopeless=True)) == [
        Report("error", "Thrice. Requests wait; trying again in 5 s."),
        SetTimer(Timer("retry"), RETRY_SECONDS),
    ]


# -- what is stopped


def test_a_worker_that_leaves_has_a_deadline_whether_it_is_stopped_or_not():
    """Nothing more is done about it."""
    play = Play(*events_of("serving"), CHANGED, Forked(2), Imported(2))

    assert play(Stopped(1)) == []


def test_a_worker_that_was_stopped_ends_while_newer_code_is_on_its_way():
    """That code will take its place."""
    play = Play(*events_of("serving"), CHANGED, Forked(2), Stopped(1))

    said = Report("error", f"The worker {STOPPED} while it was serving (generation 1).")
    assert play(Exited(1, KILLED)) == [*forget(1), said]


def test_an_app_that_stops_itself_again_and_again_is_shown():
    """As one that dies is: it is not started for ever."""
    play = Play(*events_of("serving"))
    for number in range(1, CRASH_LIMIT):
        play(Stopped(number))
        for event in (Exited(number, KILLED), Forked(number + 1), Imported(number + 1), Ready(number + 1)):
            play(event)
    play(Stopped(CRASH_LIMIT))

    (shown,) = [action for action in play(Exited(CRASH_LIMIT, KILLED), after=1) if isinstance(action, ReportFailure)]
    assert shown.failure.headline.startswith(f"The worker {STOPPED}")


# -- debuggers


def test_a_debugged_worker_is_not_killed_at_its_drain_deadline():
    """A person at a breakpoint is not thrown out by a save."""
    play = Play(*events_of("serving"), Debugged(1), CHANGED, Forked(2), Imported(2), Draining(1, busy=True))

    assert play(TimerExpired(timer("drain", 1))) == []
    assert play.machine.knows(1)


def test_a_debugged_worker_is_killed_when_the_server_stops():
    """Ctrl-C ends the debugged worker at its deadline, like any other."""
    play = Play(*events_of("serving"), Debugged(1))

    assert play(StopRequested()) == part(1, handoff=False)
    assert Cut(1) in play(TimerExpired(timer("drain", 1)))


@pytest.mark.parametrize("order", ["debugged first", "told to drain first"])
def test_a_worker_debugged_since_before_the_last_reload_does_not_stop_the_end(order):
    """An old worker whose drain deadline rests gets a deadline again, or is cut, once the server stops."""
    told = [CHANGED, Forked(2), Imported(2)]
    play = Play(*events_of("serving"))
    for event in [Debugged(1), *told] if order == "debugged first" else [*told, Debugged(1)]:
        play(event)
    for event in (Draining(1, busy=True), Ready(2), TimerExpired(timer("drain", 1))):
        play(event)
    actions = [*play(StopRequested()), *play(Exited(2, 0))]

    assert [a for a in actions if a == Cut(1) or (isinstance(a, SetTimer) and a.timer.worker == 1)]


def test_a_debugger_that_opens_after_the_stop_does_not_stop_the_end():
    """While the server stops, deadlines do not rest for a person at a breakpoint."""
    play = Play(*events_of("stopping"))

    assert CancelTimer(timer("drain", 1)) not in play(Debugged(1))


def test_the_new_worker_does_not_wait_for_a_debugged_one():
    """A breakpoint in a handler of the old worker blocks its loop; the new worker serves after a moment."""
    play = Play(*events_of("serving"), CHANGED, Forked(2), Imported(2), Debugged(1))

    assert TellServe(2) in play(TimerExpired(timer("ack", 1)))


def test_a_debugged_worker_that_waited_for_the_old_one_has_no_deadline_either():
    """A person who stopped in the import and steps on into the lifespan startup is not thrown out."""
    play = Play(*events_of("reimporting"), Debugged(2), Imported(2))
    actions = play(Drained(1))

    assert TellServe(2) in actions
    assert SetTimer(timer("startup", 2), STARTUP) not in actions


# -- options


def play(state, **options):
    return Play(*events_of(state), **options)


def test_without_overlap_the_new_worker_waits_for_running_requests():
    """Said once; released by the end of the old worker's lifespan, not by its word that it is busy."""
    waiting = "Waiting for running requests of generation 1 to finish, for 5 s at most (--no-overlap)."
    machine = play("awaiting", overlap=False)

    assert machine(Draining(1, busy=True)) == [*cancel(1, "ack"), Report("info", waiting)]
    assert machine(Drained(1)) == serve_after_all(2)


def test_without_overlap_a_silent_old_worker_is_waited_for_until_its_deadline():
    """It may be busy in a way that keeps it from saying so."""
    machine = play("awaiting", overlap=False)

    assert TellServe(2) not in machine(TimerExpired(timer("ack", 1)))
    assert Cut(1) in machine(TimerExpired(timer("drain", 1)))
    assert machine(Exited(1, KILLED)) == [*forget(1), *serve_after_all(2)]


def test_code_that_fails_to_import_leaves_the_kept_worker_serving():
    """It had been held only; nothing is forked to show the failure."""
    machine = play("reimporting", on_error="keep")

    actions = machine(Failed(2, BROKEN), after=1)

    assert actions == [*retire(2), ReportFailure(NOW_BROKEN, 2, kept=1), TellTakeUp(1, failed=2)]
    assert (machine.machine.serving.number, machine.machine.candidate) == (1, None)


def test_a_kept_worker_waits_with_the_failure_for_the_file_to_settle():
    """A file caught half-written is no failure of the newest code."""
    machine = play("settling", on_error="keep")

    assert TellTakeUp(1, failed=2) not in machine(CHANGED)
    assert TellTakeUp(1, failed=2) in play("settling", on_error="keep")(TimerExpired(timer("settle", 3)))


def test_a_kept_worker_leaves_when_the_new_one_is_ready():
    """Until then it may have to take up again: the lifespans overlap."""
    machine = play("reimporting", on_error="keep")

    assert machine(Imported(2)) == [TellServe(2)]
    actions = machine(Ready(2))

    assert actions[:-1] == [*cancel(2, "startup"), *drain(1)]
    assert machine.machine.serving.number == 2


def test_code_that_fails_to_start_up_leaves_the_kept_worker_serving():
    """As long as lifespans may overlap."""
    machine = play("reimporting", on_error="keep")
    machine(Imported(2))

    assert TellTakeUp(1, failed=2) in machine(Failed(2, BROKEN), after=1)


def test_without_overlap_code_that_fails_to_start_up_is_shown():
    """The old worker has ended by then."""
    machine = play("awaiting", on_error="keep", overlap=False)
    machine(Drained(1))

    assert ForkWorker(3, 2, "failure", NOW_BROKEN, False) in machine(Failed(2, BROKEN), after=1)


def test_a_page_is_not_kept():
    """The newer failure is the one to read."""
    machine = Play(*events_of("page serving"), CHANGED, Forked(3), on_error="keep")

    assert ForkWorker(4, 2, "failure", NOW_BROKEN, False) in machine(Failed(3, BROKEN), after=1)


def test_when_a_kept_worker_dies_the_failure_is_shown():
    """There is no older code left to answer."""
    machine = play("reimporting", on_error="keep")
    machine(Failed(2, BROKEN), after=1)
    machine(Exited(1, SEGFAULT))
    machine(Forked(4))

    page = ForkWorker(5, 3, "failure", Described(BROKEN.headline, "the worker had ended"), False)
    assert page in machine(Failed(4, BROKEN), after=1)


@pytest.mark.parametrize(
    ("options", "may_return"),
    [({}, False), ({"on_error": "keep"}, True), ({"on_error": "keep", "overlap": False}, False)],
)
def test_a_worker_that_holds_knows_whether_it_may_return(options, may_return):
    """Until then its WebSockets stay open."""
    assert TellHold(1, may_return=may_return) in play("serving", **options)(CHANGED)


# -- what only one process can have

IN_USE = sentence_only("OSError: [Errno 98] Address already in use", "")
FOR_WANT = Report(
    "info",
    "What the app needs to start may still be the previous worker's (OSError: [Errno 98] Address already in use): "
    "that one ends before the new one begins, now and at each reload.",
)


def forked(actions):
    return [action.worker for action in actions if isinstance(action, ForkWorker)]


@pytest.mark.parametrize(
    "headline",
    [
        "OSError: [Errno 98] Address already in use",
        "RuntimeError: Can't listen for client connections: [Errno 98] Address already in use",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        '_duckdb.IOException: IO Error: Could not set lock on file "app.db"',
        "sqlite3.OperationalError: database is locked",
    ],
)
def test_what_the_worker_before_may_still_have_is_tried_again_without_it(headline):
    """A cold start would find that nobody has it."""
    machine = play("reimporting")

    actions = machine(Failed(2, sentence_only(headline, "")))

    line = FOR_WANT.text.replace(IN_USE.headline, headline)
    assert actions == [*retire(2), Report("info", line), *part(1)]
    assert forked(machine(Exited(2, 1 << 8))) == []
    assert forked(machine(Draining(1, busy=False))) == []
    assert forked(machine(Drained(1))) == []
    assert machine(Exited(1, 0)) == [*forget(1), *fork(3, 2)]
    for event in (Forked(3), Imported(3)):
        machine(event)
    assert machine(Ready(3))[-1].text.endswith("a.py changed, from the template (generation 2)")


def test_from_then_on_each_worker_ends_before_the_next_begins():
    """With the requests that it runs, which is said; until packages are installed."""
    machine = play("reimporting")
    for event in (Failed(2, IN_USE), Exited(2, 0), Exited(1, 0), Forked(3), Imported(3), Ready(3)):
        machine(event)

    assert machine(CHANGED) == [TellHold(3, may_return=False), *part(3)]
    waiting = "Waiting for running requests of generation 2 to finish, for 5 s at most"
    line = Report("info", f"{waiting} (it may have what the app needs to start).")
    assert machine(Draining(3, busy=True)) == [*cancel(3, "ack"), line]
    assert forked(machine(Exited(3, 0))) == [4]
    for event in (Forked(4), Imported(4), Ready(4)):
        machine(event)
    assert machine(UPGRADED) == [TellHold(4, may_return=False), StartTemplate()]
    assert forked(machine(TemplateReady())) == [5]


def test_what_somebody_else_has_is_a_failure():
    """Found out by one more try; and at the first start, at once."""
    machine = play("reimporting")
    for event in (Failed(2, IN_USE), Exited(2, 0), Exited(1, 0), Forked(3)):
        machine(event)

    assert ReportFailure(with_cause(IN_USE, CAUSE), 2) in machine(Failed(3, IN_USE), after=1)
    assert ReportFailure(with_cause(IN_USE, ""), 1) in play("importing")(Failed(1, IN_USE), after=1)


def test_a_page_needs_nothing_that_the_app_does():
    """It is forked while the failed worker ends; and the next try does not wait for the page."""
    machine = play("reimporting")
    for event in (Failed(2, IN_USE), Exited(2, 0), Exited(1, 0), Forked(3)):
        machine(event)
    assert forked(machine(Failed(3, IN_USE), after=1)) == [4]
    for event in (Exited(3, 0), Forked(4), Imported(4), Ready(4)):
        machine(event)

    assert forked(machine(CHANGED)) == [5]
