"""Calls that need the same modules of the project: checkpoints that one leaves while it imports them, others resume.

One line of states for each list of modules and surroundings, since what an import does may depend on all of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from firehot_server.channel import Channel
from firehot_server.engine.read_book import ReadBook
from firehot_server.logs import logger
from firehot_server.messages import Imported, Paused, Pauses, Reads
from firehot_server.supervisor.checkpoints import Checkpoints
from firehot_server.supervisor.plan import INTERPRETER, NEVER, TEMPLATE, State, rewind
from firehot_server.supervisor.processes import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.messages import Call, Exited, Message
    from firehot_server.supervisor.forks import Order
    from firehot_server.supervisor.switchboard import Switchboard
    from firehot_server.supervisor.templates import Templates

    Key = tuple[tuple[str, ...], str, frozenset[tuple[str, str]], tuple[str, ...]]

# So many lists of modules are kept at a time.
_KEPT: Final = 4
# So many checkpoints within an import, at most.
_PAUSES: Final = Pauses(at_end=True, number=6)


@dataclass(slots=True, eq=False)
class _Lineage:
    checkpoints: Checkpoints
    book: ReadBook = field(default_factory=ReadBook)
    calls: int = 0
    building: Call | None = None
    """The call whose process is to leave checkpoints."""
    builder: int = 0
    """That process; 0: it is not there yet."""
    copies: set[int] = field(default_factory=set)
    """Processes that went on from a checkpoint."""
    is_complete: bool = False
    is_retired: bool = False
    is_hopeless: bool = False
    """A copy was killed: what waited does not bear to be copied."""

    def retire_after(self, state: State) -> None:
        self.checkpoints.retire_after(state)
        self.book.truncate(max(state.position, 0))

    def end_building(self) -> None:
        self.building, self.builder = None, 0


class Lineages:
    """Those of one template.

    Args:
        templates: makes the workers of calls for which no checkpoint waits.
        on_exited: takes the `Exited` of a checkpoint's child.
    """

    def __init__(self, switchboard: Switchboard, templates: Templates, on_exited: Callable[[Exited], None]) -> None:
        self._switchboard = switchboard
        self._templates = templates
        self._on_exited = on_exited
        self._kept: dict[Key, _Lineage] = {}
        """The one that was used last is the last."""
        self._retired: list[_Lineage] = []

    def fork(self, call: Call, take: Callable[[WorkerProcess], None]) -> None:
        """Get a worker of the deepest state that has read only what is still the same."""
        lineage = self._lineage(call) if call.modules else None
        if lineage is None or lineage.is_hopeless:
            self._templates.fork(call, take)
            return
        lineage.calls += 1
        # The first call leaves none: it may be the only one.
        if lineage.calls > 1 and not lineage.is_complete and lineage.building is None:
            deepest = lineage.checkpoints.deepest
            lineage.book.truncate(0 if deepest is None else deepest.state.position)
            lineage.building = call = replace(call, pauses=_PAUSES)
        if lineage.checkpoints.resume(call, functools.partial(self._resumed, lineage, call, take)) is None:
            self._templates.fork(call, functools.partial(self._forked, lineage, call, take))

    def _resumed(
        self, lineage: _Lineage, call: Call, take: Callable[[WorkerProcess], None], process: WorkerProcess
    ) -> None:
        lineage.copies.add(process.pid)
        self._forked(lineage, call, take, process)

    def _forked(
        self, lineage: _Lineage, call: Call, take: Callable[[WorkerProcess], None], process: WorkerProcess
    ) -> None:
        if lineage.building is call:
            lineage.builder = process.pid
        take(process)

    def _lineage(self, call: Call) -> _Lineage:
        around = call.surroundings
        key = (call.modules, around.folder, frozenset(around.environment.items()), around.sys_path)
        lineage = self._kept.pop(key, None)
        if lineage is not None and not self._rewind(lineage):
            self._retire(lineage)
            lineage = None
        lineage = self._kept[key] = lineage or self._new_lineage()
        if len(self._kept) > _KEPT:
            self._retire(self._kept.pop(next(iter(self._kept))))
        return lineage

    def _new_lineage(self) -> _Lineage:
        return _Lineage(Checkpoints(self._switchboard, self._on_exited, self._lost))

    def _rewind(self, lineage: _Lineage) -> bool:
        """Keep what is still valid. False: something changed while checkpoints are being left, which must not go on."""
        change = lineage.book.first_change()
        if change == NEVER or lineage.building is not None:
            return change == NEVER
        lineage.is_complete = False
        lineage.retire_after(rewind(change, [TEMPLATE, *lineage.checkpoints.states]))
        return True

    def _lost(self, orders: list[Order]) -> None:
        """The template is always right."""
        for order in orders:
            self._templates.fork(*order)

    def hear(self, worker: WorkerProcess, message: Message) -> WorkerProcess | None:
        """What a worker says while it imports; the process that goes on in its place, if there is one."""
        lineage = next((each for each in self._all() if each.builder == worker.pid), None)
        match message:
            case Reads() if lineage is not None:
                for read in message.reads:
                    lineage.book.add(read)
            case Imported() if lineage is not None:
                lineage.end_building()
                lineage.is_complete = True
            case Paused() if lineage is not None:
                return self._paused(lineage, worker, message)
        return None

    def adopt(self, worker: WorkerProcess, message: Paused) -> WorkerProcess:
        """The same of a worker that is not known to leave checkpoints: this one nobody will resume."""
        lineage = self._new_lineage()
        lineage.is_retired = True
        self._retired.append(lineage)
        return self._paused(lineage, worker, message)

    def _paused(self, lineage: _Lineage, worker: WorkerProcess, message: Paused) -> WorkerProcess:
        checkpoint = lineage.checkpoints.add(worker, State(message.place, lineage.book.position))
        checkpoint.workers.add(message.pid)
        lineage.builder = message.pid
        if worker.pid in lineage.copies:
            lineage.copies.add(message.pid)
        if lineage.is_retired:
            lineage.retire_after(INTERPRETER)
        channel = Channel.from_descriptor(message.channel[0])
        return WorkerProcess(message.pid, channel, message.lifeline[0], parent=checkpoint)

    def answered(self, pid: int) -> None:
        """This process imports no more."""
        for lineage in self._all():
            if lineage.builder == pid:
                lineage.end_building()

    def ended(self, pid: int, *, was_killed: bool) -> None:
        """This process is gone.

        Args:
            was_killed: by a signal, and not by us, without an answer.
        """
        self.answered(pid)
        for lineage in self._all():
            if pid in lineage.copies and was_killed and not lineage.is_hopeless:
                lineage.is_hopeless = True
                lineage.retire_after(INTERPRETER)
                logger.warning("A process that went on from a checkpoint was killed; such calls import all again.")
            lineage.copies.discard(pid)

    def withdraw(self, first: Message) -> None:
        """Forget the worker that this was to be told, if it is not there yet."""
        for lineage in self._all():
            lineage.checkpoints.withdraw(first)
            if lineage.building is first:
                lineage.end_building()

    def retire(self) -> None:
        """All are stale: there is another template."""
        while self._kept:
            self._retire(self._kept.popitem()[1])

    def _retire(self, lineage: _Lineage) -> None:
        lineage.is_retired = True
        lineage.retire_after(INTERPRETER)
        self._retired = [each for each in self._retired if each.building or each.checkpoints.all_pids]
        self._retired.append(lineage)

    def pids(self) -> list[int]:
        """Of every checkpoint."""
        return [pid for lineage in self._all() for pid in lineage.checkpoints.all_pids]

    def close(self) -> None:
        """End all of them."""
        for lineage in self._all():
            lineage.checkpoints.close()

    def disown(self) -> None:
        """Close what this process has of them, a copy (by fork) of the process that they belong to."""
        for lineage in self._all():
            lineage.checkpoints.disown()

    def _all(self) -> list[_Lineage]:
        return [*self._kept.values(), *self._retired]
