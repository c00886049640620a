"""The switchboard delivers what processes say, in order, and never waits for one of them."""

import logging
import os

import pytest

from firehot_server.channel import Channel
from firehot_server.messages import Configure, Exited, Hold, Serve
from firehot_server.supervisor.processes import Process
from firehot_server.supervisor.switchboard import Switchboard
from tests.support.processes import open_descriptors
from tests.support.waiting import SECONDS, until


class Peer:
    """A process as the supervisor has it, and the other end of its channel."""

    def __init__(self):
        channel, self.channel = Channel.pair()
        self.tied, lifeline = os.pipe()
        self.process = Process(0, channel, lifeline)
        self.heard = []
        self.ended = 0

    def say(self, *numbers):
        for number in numbers:
            self.channel.send(Exited(number, 0))

    @property
    def numbers(self):
        return [message.pid for message in self.heard]

    def hear_end(self):
        self.ended += 1

    def close(self):
        self.process.close()
        self.channel.close()
        os.close(self.tied)


@pytest.fixture
def board():
    board = Switchboard(logging.getLogger("test"))
    yield board
    board.close()


@pytest.fixture
def peers(board):
    """Three attached peers that keep what they are told."""
    peers = [Peer() for _ in range(3)]
    for peer in peers:
        board.attach(peer.process, peer.heard.append, peer.hear_end)
    yield peers
    for peer in peers:
        board.release(peer.process)
        peer.close()


def turn_until(board, condition, what):
    """Turn as the loop does; a turn without anything to deliver does not wait long."""
    until(lambda: board.turn(0.01) or condition(), what)


def is_quiet(board):
    """Nothing is ready: the loop would sleep."""
    return board._selector.select(0) == []


def test_messages_are_delivered_to_whom_they_are_for(board, peers):
    """In the order in which each process sent them."""
    peers[0].say(1, 2, 3)
    peers[2].say(4)
    board.turn(SECONDS)
    assert [peer.numbers for peer in peers] == [[1, 2, 3], [], [4]]
    assert is_quiet(board)


def test_the_end_comes_once_and_after_the_last_message(board, peers):
    """Then the process is no longer attached, and the loop sleeps."""
    order = []
    peer = Peer()
    board.attach(peer.process, order.append, lambda: order.append("end"))
    peer.say(1, 2)
    peer.channel.close()
    turn_until(board, lambda: "end" in order, "the end")
    assert order == [Exited(1, 0), Exited(2, 0), "end"]
    assert not board.is_attached(peer.process)
    assert is_quiet(board)
    board.release(peer.process)
    peer.close()


def test_a_turn_without_news_returns(board, peers):
    """After its timeout, with nothing delivered."""
    board.turn(0)
    board.turn(0.001)
    assert [peer.heard for peer in peers] == [[], [], []]


def test_other_sources_are_listened_to(board, peers):
    """A pipe beside the channels."""
    read_end, write_end = os.pipe()
    heard = []
    with os.fdopen(read_end, "rb", buffering=0) as source:
        board.listen(source, lambda: heard.append(source.read(10)))
        os.write(write_end, b"x")
        peers[0].say(1)
        board.turn(SECONDS)
        assert heard == [b"x"]
        assert peers[0].numbers == [1]
        board._selector.unregister(source)
    os.close(write_end)


def test_sending_reaches_the_process(board, peers):
    """And nobody else."""
    board.send(peers[1].process, Hold())
    assert peers[1].channel.receive(SECONDS) == Hold()
    assert peers[0].channel.receive_available() == peers[2].channel.receive_available() == []


def test_sending_to_a_process_that_does_not_read_waits_for_the_turns(board, peers):
    """`send` returns at once; the rest leaves while the loop turns, and then the loop sleeps again."""
    stuck, lively = peers[0], peers[1]
    for number in range(20):
        board.send(stuck.process, Configure((), (str(number),), b"x" * 1_000_000, ""))
    assert stuck.process.channel.wants_write
    lively.say(1)
    board.turn(SECONDS)
    assert lively.numbers == [1]
    received = []
    turn_until(board, lambda: received.extend(stuck.channel.receive_available()) or len(received) == 20, "all of it")
    assert [message.argv for message in received] == [(str(number),) for number in range(20)]
    turn_until(board, lambda: is_quiet(board), "the loop to sleep")
    assert not stuck.process.channel.wants_write


def test_a_stuck_process_does_not_keep_the_loop_awake(board, peers):
    """While nothing can be written, there is nothing to do."""
    while not peers[0].process.channel.wants_write:
        board.send(peers[0].process, Configure((), (), b"x" * 100_000, ""))
    assert is_quiet(board)


def test_a_message_of_a_process_that_is_being_written_to_is_heard(board, peers):
    """Both at once."""
    peer = peers[0]
    while not peer.process.channel.wants_write:
        board.send(peer.process, Configure((), (), b"x" * 100_000, ""))
    peer.say(1)
    turn_until(board, lambda: peer.numbers == [1], "the message")
    assert peer.process.channel.wants_write


def test_sending_to_a_process_that_is_gone_is_no_error(board, peers):
    """Its end is delivered as ever, after its last words."""
    peer = peers[0]
    peer.say(1)
    peer.channel.close()
    for _ in range(3):
        board.send(peer.process, Hold())
    turn_until(board, lambda: peer.ended, "the end")
    assert (peer.numbers, peer.ended) == ([1], 1)
    board.send(peer.process, Hold())


def test_the_end_of_a_process_that_was_being_written_to(board, peers):
    """What it has not read is nobody's loss, and the loop does not spin."""
    peer = peers[0]
    while not peer.process.channel.wants_write:
        board.send(peer.process, Configure((), (), b"x" * 100_000, ""))
    peer.say(1)
    peer.channel.close()
    turn_until(board, lambda: peer.ended, "the end")
    assert (peer.numbers, peer.ended) == ([1], 1)
    assert is_quiet(board)


def test_releasing_closes_and_ends_the_process(board, peers):
    """The channel and the lifeline; releasing again does nothing."""
    peer = peers[0]
    before = open_descriptors("self")
    board.release(peer.process)
    board.release(peer.process)
    assert open_descriptors("self") == before - 2
    assert os.read(peer.tied, 1) == b""
    assert peer.channel.receive_available() == []
    assert peer.channel.at_eof
    assert not board.is_attached(peer.process)
    peers[1].say(1)
    board.turn(SECONDS)
    assert peers[1].numbers == [1]
    assert peer.ended == 0


def test_a_released_process_is_not_heard_in_the_same_turn(board, peers):
    """Both were ready; the first one's message releases the second."""
    for one, other in ((peers[0], peers[1]), (peers[1], peers[0])):
        board.release(one.process)
        board.release(other.process)
    first, second = Peer(), Peer()
    heard = []

    def release_other(peer, other):
        def hear(message):
            heard.append(message.pid)
            board.release(other.process)

        board.attach(peer.process, hear, lambda: heard.append("end"))

    release_other(first, second)
    release_other(second, first)
    first.say(1)
    second.say(2)
    board.turn(SECONDS)
    board.turn(0)
    assert len(heard) == 1
    for peer in (first, second):
        board.release(peer.process)
        peer.close()


def test_a_process_that_is_released_by_its_own_message_is_heard_no_more(board):
    """What it had said after that message is of no interest, nor is its end."""
    peer = Peer()

    def hear(message):
        peer.heard.append(message)
        board.release(peer.process)

    board.attach(peer.process, hear, peer.hear_end)
    peer.say(1, 2, 3)
    peer.channel.close()
    board.turn(SECONDS)
    board.turn(0)
    assert (peer.numbers, peer.ended) == ([1], 0)
    peer.close()


def test_descriptors_that_a_released_process_had_sent_are_closed(board):
    """They came together with the message by which it was released."""
    peer = Peer()

    def hear(message):
        peer.heard.append(message)
        board.release(peer.process)

    board.attach(peer.process, hear, peer.hear_end)
    before = open_descriptors("self")
    peer.say(1)
    peer.channel.send(Serve((os.memfd_create("test"),)))
    peer.channel.send(Serve((os.memfd_create("test"),)))
    board.turn(SECONDS)
    for message in peer.heard[1:]:
        for fd in message.sockets:
            os.close(fd)
    assert open_descriptors("self") == before - 2  # its channel and its lifeline
    peer.close()


def test_a_detached_process_is_heard_by_whoever_attaches_it_next(board, peers):
    """What it says in between is kept for that."""
    peer = peers[0]
    board.detach(peer.process)
    board.detach(peer.process)
    peer.say(1)
    board.turn(0)
    assert peer.heard == []
    later = []
    board.attach(peer.process, later.append, peer.hear_end)
    board.turn(SECONDS)
    assert [message.pid for message in later] == [1]


def test_a_message_may_attach_and_send(board, peers):
    """As `Forked` does: a new process is attached, and told to begin."""
    new = Peer()

    def hear(_message):
        board.attach(new.process, new.heard.append, new.hear_end)
        board.send(new.process, Hold())

    board.release(peers[0].process)
    peer = Peer()
    board.attach(peer.process, hear, peer.hear_end)
    new.say(7)
    peer.say(1)
    turn_until(board, lambda: new.numbers == [7], "the new process's message")
    assert new.channel.receive(SECONDS) == Hold()
    for each in (peer, new):
        board.release(each.process)
        each.close()


def test_a_new_process_with_a_used_number_is_its_own(board, peers):
    """Within one turn a channel is closed and another gets its number."""
    first = peers[0]
    fd = first.process.channel.fileno()
    replacement = []

    def replace(_message):
        board.release(first.process)
        new = Peer()
        board.attach(new.process, new.heard.append, new.hear_end)
        replacement.append(new)

    trigger = Peer()
    board.attach(trigger.process, replace, trigger.hear_end)
    first.say(1)
    trigger.say(1)
    turn_until(board, lambda: replacement, "the replacement")
    (new,) = replacement
    assert new.process.channel.fileno() == fd or new.tied == fd  # this test's premise
    board.turn(0)
    assert new.heard == []
    assert new.ended == 0
    for each in (trigger, new):
        board.release(each.process)
        each.close()


def test_draining_delivers_what_has_arrived(board, peers):
    """Now, without a turn; of a process that is not attached, nothing."""
    peer = peers[0]
    peer.say(1, 2)
    board.drain(peer.process)
    assert peer.numbers == [1, 2]
    board.drain(peer.process)
    peer.say(3)
    peer.channel.close()
    board.drain(peer.process)
    assert (peer.numbers, peer.ended) == ([1, 2, 3], 1)
    board.drain(peer.process)
    assert peer.ended == 1


def test_a_thousand_processes_leave_nothing_behind(board):
    """Attached, heard, ended and released."""
    before = open_descriptors("self")
    for number in range(1000):
        peer = Peer()
        board.attach(peer.process, peer.heard.append, peer.hear_end)
        peer.say(number)
        peer.channel.close()
        turn_until(board, lambda p=peer: p.ended, "the end")
        assert peer.numbers == [number]
        board.release(peer.process)
        peer.close()
    assert open_descriptors("self") == before
