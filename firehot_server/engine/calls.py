"""One call: a function in a process of its own, as its caller sees it."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle

from firehot_server.errors import IsolatedError, IsolatedExit
from firehot_server.messages import Raised, Returned
from firehot_server.supervisor.ending import ending

if TYPE_CHECKING:
    from firehot_server.messages import Message
    from firehot_server.supervisor.processes import WorkerProcess


@dataclass(slots=True, eq=False, weakref_slot=True)
class Call:
    """What is known of it so far."""

    name: str
    uuid: uuid.UUID = field(default_factory=uuid.uuid4)
    process: WorkerProcess | None = None
    """None: not forked yet, or ended."""
    pid: int = 0
    was_stopped: bool = False
    has_ended: bool = False
    """The process is gone."""
    status: int | None = None
    """Its `waitpid` status, where the template could tell."""
    _answer: Returned | Raised | None = None
    _values: dict[str, Any] = field(default_factory=dict)
    """What came of unpickling, once: `setdefault` needs no lock, which a fork might copy while it is held."""

    @property
    def has_begun(self) -> bool:
        """It has a process."""
        return self.pid != 0

    @property
    def has_been_sent(self) -> bool:
        """The process has all that it needs, or is gone."""
        return self.process is None or not self.process.channel.wants_write

    @property
    def is_over(self) -> bool:
        """It answered, or will not answer any more. Its process may still be busy with threads of its own."""
        return self._answer is not None or self.has_ended

    def began(self, process: WorkerProcess) -> None:
        """Forked, and told what to do."""
        self.process = process
        self.pid = process.pid

    def cut(self) -> None:
        """End the process now, if it lives."""
        if self.process is not None:
            self.process.cut()

    def hear(self, message: Message) -> None:
        """The process answers."""
        assert isinstance(message, Returned | Raised)
        self._answer = self._answer or message  # a copy of the process, by fork, may answer as well

    def ended(self, status: int | None) -> None:
        """The process is gone; `status` as from `waitpid`, None where nobody can tell."""
        self.has_ended = True
        self.status = status
        self.process = None

    def result(self) -> Any:
        """The value that the function returned, the same one each time.

        Raises:
            IsolatedError: the function raised, or the process ended without an answer.
        """
        match self._answer:
            case Returned():
                return self._returned(self._answer)
            case Raised():
                raise self._error(self._answer) from _unpickled(self._answer.payload)
            case None:
                raise self._exit()

    def _returned(self, answer: Returned) -> Any:
        if "value" not in self._values:
            try:
                value = cloudpickle.loads(answer.payload)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an object's own `__setstate__` may raise anything
                message = f"what {self.name} returned cannot be unpickled here: {error}"
                raise IsolatedError(self.name, type(error).__name__, message, "") from error
            self._values.setdefault("value", value)
            self._answer = Returned()  # the value is enough
        return self._values["value"]

    def _error(self, answer: Raised) -> IsolatedError:
        return IsolatedError(self.name, answer.type_name, answer.message, answer.traceback)

    def _exit(self) -> IsolatedExit:
        how = "ended" if self.status is None else ending(self.status)
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        return IsolatedExit(f"{self.name} (process {self.pid})", "was stopped" if self.was_stopped else how, code)


def _unpickled(payload: bytes) -> BaseException | None:
    try:
        error = cloudpickle.loads(payload) if payload else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # its class may not be importable here, or its own methods raise
        return None
    return error if isinstance(error, BaseException) else None
