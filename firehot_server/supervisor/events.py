"""What can happen to the supervisor's state machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firehot_server.failure.report import Failure
    from firehot_server.supervisor.actions import Timer


@dataclass(frozen=True, slots=True)
class Started:
    """The supervisor begins: the sockets listen."""


@dataclass(frozen=True, slots=True)
class EditNoticed:
    """Files changed that matter."""

    cause: str
    """For people, such as "routes/users.py changed"."""
    new_interpreter: bool = False
    """The template itself has read what changed."""
    is_settled: bool = True
    """False: somebody is still writing; nothing of it may answer before `Settled`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Whoever wrote has finished, and the last edit is what there is now."""


@dataclass(frozen=True, slots=True)
class TemplateReady:
    """The template waits for forks."""


@dataclass(frozen=True, slots=True)
class TemplateLost:
    """The template ended, or is of no use; another is needed."""

    reason: str
    """One sentence for the log; empty where it was said already."""
    hopeless: bool = False
    """Another would end in the same way."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Ctrl-C or SIGTERM; the second one ends everything at once."""


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """A timer that was set and not cancelled; `reading` as in `Exited`."""

    timer: Timer
    reading: str = ""


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """Base: something happened to the worker with this number."""

    worker: int


@dataclass(frozen=True, slots=True)
class Forked(WorkerEvent):
    """The process exists, and has begun."""

    origin: str = ""
    """For people: the state of which it was forked. Empty: the template."""


@dataclass(frozen=True, slots=True)
class Imported(WorkerEvent):
    """It has imported the app."""


@dataclass(frozen=True, slots=True)
class NeedsLoop(WorkerEvent):
    """It must be forked again, importing inside the event loop."""


@dataclass(frozen=True, slots=True)
class Failed(WorkerEvent):
    """It could not import or start the app."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Ready(WorkerEvent):
    """It serves."""

    checkpoints: int = 0
    """So many wait inside its import."""


@dataclass(frozen=True, slots=True)
class Draining(WorkerEvent):
    """It has stopped taking requests; `busy`: some are running."""

    busy: bool


@dataclass(frozen=True, slots=True)
class Drained(WorkerEvent):
    """Its lifespan shutdown is complete."""


@dataclass(frozen=True, slots=True)
class Exited(WorkerEvent):
    """The process is gone; `status` as of `waitpid`, None where nobody could know."""

    status: int | None
    reading: str = ""
    """Which module of the project it was the last to begin to import, for people; empty: nobody knows."""


@dataclass(frozen=True, slots=True)
class Stopped(WorkerEvent):
    """It got SIGSTOP some time ago, and no SIGCONT since: it does nothing of what it is asked for."""


@dataclass(frozen=True, slots=True)
class Debugged(WorkerEvent):
    """A person is in its debugger."""


Event = (
    Started
    | EditNoticed
    | Settled
    | TemplateReady
    | TemplateLost
    | StopRequested
    | TimerExpired
    | Forked
    | Imported
    | NeedsLoop
    | Failed
    | Ready
    | Draining
    | Drained
    | Exited
    | Stopped
    | Debugged
)
