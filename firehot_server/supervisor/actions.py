"""What the supervisor's state machine asks the loop to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from firehot_server.failure.report import Failure
    from firehot_server.messages import Role

TimerKind = Literal["fork", "startup", "drain", "ack", "patience", "settle", "retry"]


@dataclass(frozen=True, slots=True)
class Timer:
    """A deadline of one worker, or of the template: then its number is 0."""

    kind: TimerKind
    worker: int = 0


@dataclass(frozen=True, slots=True)
class StartTemplate:
    """Spawn a template; the present one, if any, forks no more."""


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """Ask the template for a worker."""

    worker: int
    generation: int
    role: Role
    failure: Failure | None
    in_loop: bool
    is_bare: bool = False
    """It needs nothing of the user's configuration."""
    leaves_checkpoints: bool = True


@dataclass(frozen=True, slots=True)
class LookAtFork:
    """This worker has not begun: end what is stopped of all that waits to be forked, so that the next state is used.

    Attributes:
        give_up: end whoever owes the fork, stopped or not.
    """

    worker: int
    give_up: bool


@dataclass(frozen=True, slots=True)
class DropCheckpoints:
    """Whatever comes next is forked of the template."""


@dataclass(frozen=True, slots=True)
class TellHold:
    """Stop taking requests."""

    worker: int
    may_return: bool = False
    """It takes up again if the newer code fails."""


@dataclass(frozen=True, slots=True)
class TellTakeUp:
    """Take requests again, and say with each answer that the code of this generation fails."""

    worker: int
    failed: int


@dataclass(frozen=True, slots=True)
class TellDrain:
    """Finish and end, within so many seconds."""

    worker: int
    seconds: float
    handoff: bool


@dataclass(frozen=True, slots=True)
class TellServe:
    """Take the listening sockets and serve."""

    worker: int


@dataclass(frozen=True, slots=True)
class Cut:
    """End this process now: cut its lifeline."""

    worker: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """(Re)start a timer."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Stop a timer, if it runs."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Report:
    """One log line."""

    level: Literal["debug", "info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class ReportFailure:
    """Log the failure that is answered from now on."""

    failure: Failure
    generation: int
    kept: int | None = None
    """The generation that answers meanwhile; None: the failure is the answer."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Leave the loop; the exit status of the program."""

    status: int


Action = (
    StartTemplate
    | ForkWorker
    | LookAtFork
    | DropCheckpoints
    | TellHold
    | TellTakeUp
    | TellDrain
    | TellServe
    | Cut
    | SetTimer
    | CancelTimer
    | Report
    | ReportFailure
    | Finish
)
