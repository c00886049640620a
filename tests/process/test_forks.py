"""The supervisor's workers of one process that waits: which is forked when, and who gets it.

The processes are the test's own ends of real channels and lifelines.
"""

import logging
import os

import pytest

from firehot_server.messages import Begin, Fork, Forked, Serve
from firehot_server.supervisor.forks import Forks
from firehot_server.supervisor.processes import WaitingProcess
from firehot_server.supervisor.switchboard import Switchboard
from tests.support.fakes import FakeProcess
from tests.support.processes import is_open, open_descriptors
from tests.support.waiting import until


@pytest.fixture
def board():
    board = Switchboard(logging.getLogger("test"))
    yield board
    board.close()


class Scene:
    """A process that waits, and the workers that it has made."""

    def __init__(self, board, **options):
        self.board = board
        self.peer = FakeProcess(board, WaitingProcess)
        self.forks = Forks(board, self.peer.process, "the template", **options)
        self.peer.attach(self._hear)
        self.taken = {}

    def _hear(self, message):
        assert isinstance(message, Forked)
        self.forks.forked(message)

    def order(self, generation):
        """Ask for a worker."""
        begin = Begin(generation)
        self.forks.fork(begin, lambda worker: self.taken.setdefault(generation, worker))
        return begin

    def make(self, pid):
        """The process forks."""
        worker = self.peer.fork(pid)
        until(lambda: self.board.turn(0.01) or pid in self.peer.process.workers, "the worker to be known")
        return worker

    @property
    def asked(self):
        """How many forks the process was asked for since the last look."""
        orders = self.peer.heard()
        assert orders == [Fork()] * len(orders)
        return len(orders)

    def close(self):
        self.forks.close()
        for worker in self.taken.values():
            worker.close()
        self.peer.close()


@pytest.fixture
def scene(board):
    scene = Scene(board)
    yield scene
    scene.close()


def test_a_worker_is_forked_when_it_is_asked_for(scene):
    """It is told what to be, and then handed over."""
    begin = scene.order(1)
    assert scene.asked == 1
    assert scene.taken == {}
    worker = scene.make(101)
    assert worker.heard() == [begin]
    assert scene.taken[1].pid == 101
    assert scene.taken[1].parent is scene.peer.process
    assert scene.asked == 0


def test_a_stand_by_spares_the_fork(scene):
    """It waits until somebody asks for a worker."""
    scene.forks.prepare()
    assert scene.asked == 1
    worker = scene.make(101)
    assert worker.heard() == []
    assert scene.taken == {}
    begin = scene.order(1)
    assert scene.taken[1].pid == 101
    assert worker.heard() == [begin]
    assert scene.asked == 0


def test_one_stand_by_is_enough(scene):
    """However often it is asked for, while it is being forked and when it is there."""
    for _ in range(3):
        scene.forks.prepare()
    assert scene.asked == 1
    scene.make(101)
    scene.forks.prepare()
    assert scene.asked == 0


def test_a_stand_by_on_its_way_is_taken(scene):
    """It is not forked a second time."""
    scene.forks.prepare()
    scene.order(1)
    assert scene.asked == 1
    scene.make(101)
    assert scene.taken[1].pid == 101


def test_orders_are_served_one_after_the_other(scene):
    """In the order in which they came, with one fork for each."""
    begins = [scene.order(generation) for generation in (1, 2, 3)]
    workers = []
    for pid in (101, 102, 103):
        assert scene.asked == 1
        workers.append(scene.make(pid))
    assert scene.asked == 0
    assert [scene.taken[generation].pid for generation in (1, 2, 3)] == [101, 102, 103]
    assert [worker.heard() for worker in workers] == [[begin] for begin in begins]


@pytest.mark.parametrize("is_ahead", [False, True])
def test_the_next_stand_by(board, is_ahead):
    """It is forked as soon as one is taken, where that is wanted; else when it is asked for."""
    scene = Scene(board, is_ahead=is_ahead)
    scene.order(1)
    assert scene.asked == 1
    scene.make(101)
    assert scene.asked == is_ahead
    scene.close()


def test_an_order_that_is_withdrawn(scene):
    """The worker becomes a stand-by when it comes."""
    scene.order(1)
    scene.forks.withdraw()
    worker = scene.make(101)
    assert scene.taken == {}
    assert worker.heard() == []
    begin = scene.order(2)
    assert scene.taken[2].pid == 101
    assert worker.heard() == [begin]


def test_one_of_several_orders_is_withdrawn(scene):
    """By what it was to be told, and no other that is equal to it."""
    scene.order(1)
    scene.forks.withdraw(Begin(1))
    begin = scene.order(2)
    scene.forks.withdraw(begin)
    scene.make(101)
    assert scene.taken.keys() == {1}
    assert scene.asked == 1


def test_what_a_withdrawn_order_brought_is_closed(scene):
    """Its descriptors."""
    fd = os.open(os.devnull, os.O_RDONLY)
    scene.forks.fork(Serve((fd,)), lambda worker: None)
    scene.forks.withdraw()
    assert not is_open(fd)


def test_a_stand_by_that_ends_is_forgotten(scene):
    """The next order is for another one."""
    scene.forks.prepare()
    worker = scene.make(101)
    assert scene.asked == 1
    worker.die()
    until(lambda: scene.board.turn(0.01) or scene.forks._standby is None, "its end to be noticed")
    scene.order(1)
    assert scene.asked == 1
    scene.make(102)
    assert scene.taken[1].pid == 102


def test_closing_ends_the_stand_by(scene):
    """And nothing is forked any more."""
    scene.forks.prepare()
    worker = scene.make(101)
    assert scene.asked == 1
    assert scene.forks.close() == []
    assert worker.is_cut()
    scene.forks.prepare()
    assert scene.asked == 0


def test_closing_gives_back_the_orders(scene):
    """So that another process may serve them."""
    take = lambda worker: None  # noqa: E731
    orders = [(Begin(1), take), (Begin(2), take)]
    for order in orders:
        scene.forks.fork(*order)
    assert scene.forks.close() == orders


def test_a_worker_that_comes_after_closing_is_ended(scene):
    """Nobody wants it; that it has to be reaped is still known."""
    scene.order(1)
    scene.forks.close()
    worker = scene.make(101)
    assert worker.is_cut()
    assert scene.taken == {}
    assert scene.peer.process.workers == {101}


def test_everything_is_closed(board):
    """No descriptor is left of stand-bys, taken workers and late ones."""
    before = open_descriptors("self")
    for _ in range(3):
        scene = Scene(board)
        scene.order(1)
        scene.make(101).close()
        scene.forks.prepare()
        scene.make(102).close()
        scene.forks.close()
        scene.order(2)
        scene.peer.fork(103).close()
        scene.close()
    assert open_descriptors("self") == before
