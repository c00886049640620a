"""Workers, made of one process that waits (a template or a checkpoint): by a stand-by forked in advance, else now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from firehot_server.channel import Channel
from firehot_server.messages import Fork, Forked, Message, close_descriptors
from firehot_server.supervisor.ending import WHY_KILLED, capitalized
from firehot_server.supervisor.processes import WaitingProcess, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence

    from firehot_server.messages import Refused
    from firehot_server.supervisor.processes import Process
    from firehot_server.supervisor.switchboard import Switchboard

    Order = tuple[Message, Callable[[WorkerProcess], None]]


class Forks:
    """Those of one process.

    Args:
        name: the process's, for people, as in "the template".
        is_ahead: when a stand-by is taken the next one is forked at once, not only when asked for.
    """

    def __init__(self, switchboard: Switchboard, process: WaitingProcess, name: str, *, is_ahead: bool = False) -> None:
        self._switchboard = switchboard
        self._process = process
        self._name = name
        self._is_ahead = is_ahead
        self._orders: deque[Order] = deque()
        self._standby: WorkerProcess | None = None
        self._is_forking = False
        self._is_closed = False
        self._has_own_pages = False
        """The stand-by has made its memory its own: only the favourite may."""

    def fork(self, first: Message, take: Callable[[WorkerProcess], None]) -> None:
        """Get a worker.

        Args:
            first: what it is told first.
            take: called with the worker when it has been told.
        """
        self._orders.append((first, take))
        if self._standby is not None:
            self._release_standby()
        else:
            self.prepare()

    def prepare(self, *, is_favourite: bool = False) -> None:
        """Fork a stand-by, so that the next worker need not wait for a fork.

        Args:
            is_favourite: it will probably be needed next, of all that wait.
        """
        if self._has_own_pages and not is_favourite:
            self.drop_standby()
        if self._standby is None and not self._is_forking and not self._is_closed:
            self._is_forking = True
            self._has_own_pages = is_favourite
            self._switchboard.send(self._process, Fork(is_favourite))

    def forked(self, message: Forked) -> None:
        """The process has answered."""
        self._process.workers.add(message.pid)
        worker = WorkerProcess(
            message.pid, Channel.from_descriptor(message.channel[0]), message.lifeline[0], parent=self._process
        )
        self._is_forking = False
        if self._is_closed:
            worker.close()
            return
        self._standby = worker
        if self._orders:
            self._release_standby()
        else:
            self._switchboard.attach(worker, _ignore, self._lose_standby)

    def refused(self, message: Refused) -> None:
        """The process cannot fork for now; whoever has ordered insists after a while."""
        self._is_forking = False
        self._switchboard.logger.warning("%s cannot fork: %s", capitalized(self._name), message.reason)

    def insist(self) -> None:
        """Ask once more for what was refused."""
        if self._orders:
            self.prepare()

    def withdraw(self, first: Message | None = None) -> None:
        """Forget the worker that this was to be told, if it is not there yet; None: every one."""
        withdraw(self._orders, first)

    def close(self) -> list[Order]:
        """Make no more of them; the orders that nothing came of."""
        self._is_closed = True
        self.drop_standby()
        orders = list(self._orders)
        self._orders.clear()
        return orders

    @property
    def is_forking(self) -> bool:
        """A copy is on its way."""
        return self._is_forking

    @property
    def debtor(self) -> WaitingProcess | None:
        """The process, if it owes somebody a worker."""
        return self._process if self._orders else None

    @property
    def names(self) -> dict[Process, str]:
        """Of the process, and of the stand-by, if there is one."""
        names: dict[Process, str] = {self._process: capitalized(self._name)}
        return names if self._standby is None else {**names, self._standby: f"The stand-by of {self._name}"}

    @property
    def standby_pids(self) -> list[int]:
        """Of the stand-by, if there is one."""
        return [] if self._standby is None else [self._standby.pid]

    def _lose_standby(self) -> None:
        # Who forks ahead of calls ends what they have started, and a stand-by that was not heard of yet with it.
        if self._standby is not None and not self._standby.is_cut and not self._is_ahead:
            self._switchboard.logger.warning("The stand-by of %s has ended, unasked. %s", self._name, WHY_KILLED)
        self.drop_standby()

    def drop_standby(self) -> None:
        """End it, if there is one."""
        if self._standby is not None:
            self._switchboard.release(self._standby)
            self._standby = None

    def disown(self) -> None:
        """Close what this process has of them, a copy (by fork) of the process that they belong to."""
        if self._standby is not None:
            self._standby.close()

    def _release_standby(self) -> None:
        worker, self._standby = self._standby, None
        first, take = self._orders.popleft()
        assert worker is not None
        self._switchboard.detach(worker)
        self._switchboard.send(worker, first)
        take(worker)
        if self._orders or self._is_ahead:
            self.prepare()


def withdraw(orders: MutableSequence[Order], first: Message | None) -> None:
    """Forget the one by which a worker is to be told this first; None: every one."""
    for order in list(orders):
        if first is None or order[0] is first:
            orders.remove(order)
            close_descriptors(order[0])


def _ignore(_message: Message) -> None:
    """A stand-by has nothing to say."""
