"""The supervisor's checkpoints: which are valid, which is resumed, and when each ends.

The processes are the test's own ends of real channels and lifelines.
"""

import logging

import pytest

from firehot_server.messages import Begin, Exited, Fork
from firehot_server.supervisor.checkpoints import Checkpoints
from firehot_server.supervisor.plan import TEMPLATE, State
from firehot_server.supervisor.processes import WorkerProcess
from firehot_server.supervisor.switchboard import Switchboard
from tests.support.fakes import FakeProcess
from tests.support.processes import open_descriptors
from tests.support.waiting import until

STATES = [
    State("the checkpoint before a", 3),
    State("the checkpoint before b", 5),
    State("the checkpoint at the end", 9),
]


@pytest.fixture
def board():
    board = Switchboard(logging.getLogger("test"))
    yield board
    board.close()


class Scene:
    """A chain of checkpoints: 101 is the parent of 102, that of 103, and that of the worker 104."""

    def __init__(self, board, states=STATES):
        self.board = board
        self.exited = []
        self.lost = []
        self.taken = []
        self.told_of_workers = []
        self.checkpoints = Checkpoints(board, self.exited.append, self.lost.append)
        self.peers = []
        for number, state in enumerate(states, start=101):
            self.pause(number, state)

    def pause(self, pid, state):
        """A worker becomes a checkpoint, and its copy goes on."""
        peer = FakeProcess(self.board, WorkerProcess, pid)
        peer.attach(self.told_of_workers.append)
        process = self.checkpoints.add(peer.process, state)
        process.workers.add(pid + 1)
        self.peers.append(peer)

    def resume(self, generation=7):
        return self.checkpoints.resume(Begin(generation), self.taken.append)

    def turn(self, condition, what):
        until(lambda: self.board.turn(0.01) or condition(), what)

    def ends(self, peer, pid):
        """Its child has ended, and that is heard."""
        peer.exited(pid)
        self.turn(lambda: pid in [message.pid for message in self.exited], "the end to be told")

    @property
    def cut(self):
        """Which processes were ended."""
        return [peer.process.pid for peer in self.peers if peer.is_cut()]

    def close(self):
        self.checkpoints.close()
        for worker in self.taken:
            worker.close()
        for peer in self.peers:
            peer.close()


@pytest.fixture
def scene(board):
    scene = Scene(board)
    yield scene
    scene.close()


# -- which there are


def test_the_states_of_the_chain(scene):
    """From the first to the last, which is the deepest."""
    assert scene.checkpoints.states == STATES
    assert scene.checkpoints.pids == [101, 102, 103]
    assert scene.checkpoints.deepest.state is STATES[-1]


def test_an_import_that_has_left_none(board):
    """There is nothing to resume."""
    scene = Scene(board, [])
    assert scene.checkpoints.states == []
    assert scene.checkpoints.deepest is None
    assert scene.resume() is None
    scene.checkpoints.prepare()
    scene.checkpoints.retire_after(TEMPLATE)
    scene.close()


def test_a_process_that_waits_is_no_worker_any_more(scene):
    """What it says is not for who listened to the worker; and who lets go of the worker does not end it."""
    scene.ends(scene.peers[2], 104)
    assert scene.told_of_workers == []
    scene.peers[0].process.cut()
    assert scene.cut == []


def test_what_a_process_had_said_before_it_was_known_to_wait(board):
    """It came together with the news, and is for who listens now."""
    scene = Scene(board, [])
    peer = FakeProcess(board, WorkerProcess, 101)

    def hear(message):
        scene.told_of_workers.append(message)
        scene.checkpoints.add(peer.process, STATES[0])

    peer.attach(hear)
    scene.peers.append(peer)
    peer.say(Exited(1, 0), Exited(102, 0))
    scene.turn(lambda: scene.exited, "the second message")
    assert (scene.told_of_workers, scene.exited) == ([Exited(1, 0)], [Exited(102, 0)])
    scene.close()


# -- resuming


def test_the_deepest_is_resumed(scene):
    """It forks, and its copy is told to go on."""
    assert scene.resume(7) is STATES[-1]
    assert [peer.heard() for peer in scene.peers] == [[], [], [Fork()]]
    copy = scene.peers[2].fork(201)
    scene.turn(lambda: scene.taken, "the worker")
    assert scene.taken[0].pid == 201
    assert copy.heard() == [Begin(7)]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_after_an_edit_the_deepest_that_is_valid_is_resumed(scene, depth):
    """Those behind it are stale."""
    scene.checkpoints.retire_after(STATES[depth])
    assert scene.checkpoints.states == STATES[: depth + 1]
    assert scene.resume() is STATES[depth]
    assert scene.peers[depth].heard() == [Fork()]


def test_after_an_edit_of_what_the_first_has_read_none_is_left(scene):
    """The template makes the next worker."""
    scene.checkpoints.retire_after(TEMPLATE)
    assert scene.checkpoints.states == []
    assert scene.resume() is None


def test_the_same_is_resumed_again(scene):
    """It goes on waiting when it was copied, and what it leaves anew comes behind it."""
    scene.checkpoints.retire_after(STATES[0])
    scene.resume()
    scene.peers[0].fork(201)
    scene.turn(lambda: scene.taken, "the worker")
    scene.pause(202, State("the checkpoint before b", 6))
    assert scene.checkpoints.pids == [101, 202]
    scene.checkpoints.retire_after(STATES[0])
    assert scene.resume() is STATES[0]


def test_the_stand_by_is_made_where_the_last_edit_rewound_to(scene):
    """The next one will be of the same file, most likely."""
    scene.checkpoints.retire_after(STATES[1])
    scene.resume()
    scene.peers[1].fork(201)
    scene.turn(lambda: scene.taken, "the worker")
    scene.pause(202, STATES[2])
    scene.checkpoints.prepare()
    assert scene.peers[1].heard() == [Fork(), Fork(is_favourite=True)]
    assert scene.peers[-1].heard() == []


def test_a_stand_by_is_taken_by_the_next(scene):
    """Without another fork."""
    scene.resume()
    scene.peers[2].fork(201)
    scene.turn(lambda: scene.taken, "the worker")
    scene.checkpoints.prepare()
    copy = scene.peers[2].fork(202)
    scene.turn(lambda: 202 in scene.checkpoints.deepest.process.workers, "the stand-by")
    scene.resume(8)
    assert [worker.pid for worker in scene.taken] == [201, 202]
    assert copy.heard() == [Begin(8)]


def test_a_worker_that_is_not_wanted_any_more(scene):
    """It becomes a stand-by when it comes."""
    scene.resume()
    scene.checkpoints.withdraw()
    copy = scene.peers[2].fork(201)
    scene.turn(lambda: 201 in scene.checkpoints.deepest.process.workers, "the stand-by")
    assert scene.taken == []
    assert copy.heard() == []


# -- ending


def test_a_stale_one_lives_for_as_long_as_its_children(scene):
    """It is their parent, which reaps them: the last one first, and so on up to the first."""
    scene.checkpoints.retire_after(TEMPLATE)
    assert scene.cut == []
    assert sorted(scene.checkpoints.all_pids) == [101, 102, 103]
    for peer, child, cut in ((2, 104, [103]), (1, 103, [102, 103]), (0, 102, [101, 102, 103])):
        scene.ends(scene.peers[peer], child)
        assert scene.cut == cut
    assert scene.checkpoints.all_pids == []


def test_a_stale_one_without_children_ends_at_once(scene):
    """There is nobody that it would have to reap."""
    scene.ends(scene.peers[2], 104)
    scene.checkpoints.retire_after(STATES[1])
    assert scene.cut == [103]


def test_a_valid_one_without_children_goes_on_waiting(scene):
    """It is there to be resumed."""
    scene.ends(scene.peers[2], 104)
    assert scene.cut == []
    assert scene.checkpoints.pids == [101, 102, 103]


def test_the_stand_by_of_a_stale_one_ends(scene):
    """It is as stale; then the checkpoint has to reap it."""
    scene.resume()
    scene.peers[2].fork(201)
    scene.turn(lambda: scene.taken, "the worker")
    scene.checkpoints.prepare()
    copy = scene.peers[2].fork(202)
    scene.turn(lambda: 202 in scene.checkpoints.deepest.process.workers, "the stand-by")
    scene.checkpoints.retire_after(TEMPLATE)
    assert copy.is_cut()
    for child in (104, 201):
        scene.ends(scene.peers[2], child)
    assert scene.cut == []
    scene.ends(scene.peers[2], 202)
    assert scene.cut == [103]


def test_a_worker_that_comes_of_a_stale_one_is_ended(scene):
    """The edit came while it was being forked."""
    scene.resume()
    scene.checkpoints.retire_after(TEMPLATE)
    copy = scene.peers[2].fork(201)
    scene.turn(copy.is_cut, "the end of the copy")
    assert scene.taken == []
    scene.ends(scene.peers[2], 104)
    assert scene.cut == []
    scene.ends(scene.peers[2], 201)
    assert scene.cut == [103]


def test_the_ends_of_children_are_passed_on(scene):
    """Workers are among them."""
    scene.ends(scene.peers[2], 104)
    scene.ends(scene.peers[0], 102)
    assert scene.exited == [Exited(104, 0), Exited(102, 0)]


# -- losing


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_that_ends_by_itself(scene, number):
    """Nothing is made of it any more; the others are as valid as ever."""
    scene.peers[number].die()
    rest = [state for state in STATES if state is not STATES[number]]
    scene.turn(lambda: scene.checkpoints.states == rest, "its end to be noticed")
    assert scene.resume() is rest[-1]
    assert scene.lost == []
    assert scene.cut == [101 + number]


def test_one_that_ends_while_a_worker_is_made_of_it(scene):
    """What was asked of it is given back, once; then there is a deepest one again."""
    scene.resume(7)
    scene.peers[2].die()
    scene.turn(lambda: scene.lost, "its end to be noticed")
    ((order,),) = scene.lost
    assert order[0] == Begin(7)
    assert scene.checkpoints.states == STATES[:2]
    assert scene.resume() is STATES[1]


def test_a_stale_one_that_ends_by_itself(scene):
    """Before its children have."""
    scene.checkpoints.retire_after(STATES[1])
    scene.peers[2].die()
    scene.turn(lambda: scene.checkpoints.all_pids == [101, 102], "its end to be noticed")
    scene.checkpoints.retire_after(TEMPLATE)
    assert scene.lost == []


def test_the_stand_by_is_made_of_the_deepest_where_the_last_edit_tells_nothing(scene):
    """There was none yet, or what it rewound to is gone."""
    scene.checkpoints.prepare()
    assert [peer.heard() for peer in scene.peers] == [[], [], [Fork()]]
    scene.resume()
    scene.checkpoints.retire_after(STATES[1])
    scene.checkpoints.prepare()
    assert [peer.heard() for peer in scene.peers] == [[], [Fork()], []]


# -- the end


def test_closing_ends_all_of_them(scene):
    """Those that wait, and those that are stale; doing it again does nothing."""
    scene.checkpoints.retire_after(STATES[0])
    scene.checkpoints.close()
    assert scene.cut == [101, 102, 103]
    assert scene.checkpoints.states == scene.checkpoints.all_pids == []
    scene.checkpoints.close()


def test_nothing_is_left_open(board):
    """Whether they were lost, became stale or were ended."""
    before = open_descriptors("self")
    for _ in range(3):
        scene = Scene(board)
        scene.resume()
        scene.peers[2].fork(201)
        scene.turn(lambda scene=scene: scene.taken, "the worker")
        scene.peers[1].die()
        scene.turn(lambda scene=scene: len(scene.checkpoints.states) == 2, "the end of one")
        scene.checkpoints.retire_after(STATES[0])
        scene.close()
    assert open_descriptors("self") == before
