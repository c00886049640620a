"""The checkpoints that wait inside the import of the present generation, from the first to the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firehot_server.messages import Exited, Forked, Refused
from firehot_server.supervisor.ending import WHY_KILLED, capitalized
from firehot_server.supervisor.forks import Forks
from firehot_server.supervisor.processes import WaitingProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.messages import Message
    from firehot_server.supervisor.forks import Order
    from firehot_server.supervisor.plan import State
    from firehot_server.supervisor.processes import Process, WorkerProcess
    from firehot_server.supervisor.switchboard import Switchboard


@dataclass(slots=True, eq=False)
class Checkpoint:
    """One that waits."""

    state: State
    process: WaitingProcess
    forks: Forks


class Checkpoints:
    """Owns them. Each is the parent of the next one, and the last one of the worker.

    Args:
        on_exited: takes the `Exited` of a checkpoint's child.
        on_lost: takes the orders for workers of one that has ended, or is stale.
    """

    def __init__(
        self, switchboard: Switchboard, on_exited: Callable[[Exited], None], on_lost: Callable[[list[Order]], None]
    ) -> None:
        self._switchboard = switchboard
        self._on_exited = on_exited
        self._on_lost = on_lost
        self._chain: list[Checkpoint] = []
        self._retired: list[Checkpoint] = []
        self._favourite: Checkpoint | None = None
        """The one that will most likely be resumed next."""

    @property
    def states(self) -> list[State]:
        """From the first to the last."""
        return [checkpoint.state for checkpoint in self._chain]

    @property
    def pids(self) -> list[int]:
        """Of those that wait to be resumed, and of their stand-bys."""
        return [pid for checkpoint in self._chain for pid in (checkpoint.process.pid, *checkpoint.forks.standby_pids)]

    @property
    def all_pids(self) -> list[int]:
        """Of those, too, that are stale, and wait for their children to end."""
        return [*self.pids, *(checkpoint.process.pid for checkpoint in self._retired)]

    @property
    def names(self) -> dict[Process, str]:
        """Of all of them and of their stand-bys, for people."""
        return {p: name for each in (*self._retired, *self._chain) for p, name in each.forks.names.items()}

    @property
    def debtor(self) -> WaitingProcess | None:
        """One that owes somebody a worker."""
        return next(filter(None, (checkpoint.forks.debtor for checkpoint in self._chain)), None)

    def insist(self) -> None:
        """Ask once more for what was refused."""
        for checkpoint in self._chain:
            checkpoint.forks.insist()

    @property
    def deepest(self) -> Checkpoint | None:
        """The last one."""
        return self._chain[-1] if self._chain else None

    def add(self, worker: WorkerProcess, state: State) -> WaitingProcess:
        """This worker waits from now on."""
        process = WaitingProcess(worker.pid, worker.channel, worker.lifeline)
        worker.lifeline = -1
        checkpoint = Checkpoint(state, process, Forks(self._switchboard, process, state.name))
        self._chain.append(checkpoint)
        self._switchboard.redirect(
            process, lambda message: self._hear(checkpoint, message), lambda: self._lose(checkpoint)
        )
        return process

    def resume(self, first: Message, take: Callable[[WorkerProcess], None]) -> State | None:
        """Get a worker that goes on from the deepest one; None: there is none."""
        checkpoint = self.deepest
        if checkpoint is None:
            return None
        if self._favourite is not None and self._favourite is not checkpoint:
            self._favourite.forks.drop_standby()  # it has made its memory its own
        self._favourite = checkpoint
        checkpoint.forks.fork(first, take)
        return checkpoint.state

    def withdraw(self, first: Message | None = None) -> None:
        """Forget the worker that this was to be told, if it is not there yet; None: every one."""
        for checkpoint in self._chain:
            checkpoint.forks.withdraw(first)

    def prepare(self) -> bool:
        """Fork a stand-by where the last edit rewound to, as the next probably will; False: to none of these."""
        favourite = self._favourite or self.deepest
        if favourite is not None:
            favourite.forks.prepare(is_favourite=favourite is self._favourite)
        return self._favourite is not None

    def retire_after(self, state: State) -> None:
        """Those behind this state are stale. Each ends when its last child has."""
        stale = [checkpoint for checkpoint in self._chain if checkpoint.state.position > state.position]
        orders: list[Order] = []
        for checkpoint in reversed(stale):
            self._chain.remove(checkpoint)
            orders += self._retire(checkpoint)
        if orders:
            self._on_lost(orders)

    def _retire(self, checkpoint: Checkpoint) -> list[Order]:
        """The orders that nothing came of."""
        if checkpoint is self._favourite:
            self._favourite = None
        checkpoint.process.retired = True
        self._retired.append(checkpoint)
        orders = checkpoint.forks.close()
        self._end_if_idle(checkpoint)
        return orders

    def _end_if_idle(self, checkpoint: Checkpoint) -> None:
        """Not before it has reaped all that was forked of it."""
        if not checkpoint.process.workers and not checkpoint.forks.is_forking:
            self._switchboard.release(checkpoint.process)
            self._retired.remove(checkpoint)

    def _hear(self, checkpoint: Checkpoint, message: Message) -> None:
        match message:
            case Forked():
                checkpoint.forks.forked(message)  # which ends it, if there are to be no more
            case Refused():
                checkpoint.forks.refused(message)
            case Exited():
                checkpoint.process.workers.discard(message.pid)
                self._on_exited(message)
                if checkpoint in self._retired:
                    self._end_if_idle(checkpoint)
            case _:
                raise AssertionError(message)

    def _lose(self, checkpoint: Checkpoint) -> None:
        """Its channel is closed: the process is gone, or as good as. Those behind it live, and are as valid as ever."""
        if checkpoint in self._chain and not checkpoint.process.is_cut:
            name = capitalized(checkpoint.state.name)
            self._switchboard.logger.warning("%s has ended, unasked. %s", name, WHY_KILLED)
        orders = checkpoint.forks.close()
        self._switchboard.release(checkpoint.process)
        if checkpoint in self._chain:
            self._chain.remove(checkpoint)
        if checkpoint in self._retired:
            self._retired.remove(checkpoint)
        if checkpoint is self._favourite:
            self._favourite = None
        if orders:
            self._on_lost(orders)

    def disown(self) -> None:
        """Close what this process has of them, a copy (by fork) of the process that they belong to."""
        for checkpoint in (*self._chain, *self._retired):
            checkpoint.forks.disown()
            checkpoint.process.close()

    def close(self) -> None:
        """End all of them."""
        for checkpoint in (*self._chain, *self._retired):
            checkpoint.forks.close()
            self._switchboard.release(checkpoint.process)
        self._chain.clear()
        self._retired.clear()
        self._favourite = None
