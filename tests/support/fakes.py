"""Processes that the test plays itself, at the far ends of real channels and lifelines."""

import os
import select

from firehot_server import lifeline
from firehot_server.channel import Channel
from firehot_server.messages import Exited, Forked
from tests.support.waiting import SECONDS


class Far:
    """A process's own ends."""

    def __init__(self, channel, tied):
        self.channel = channel
        self._tied = tied
        self._is_open = True

    def say(self, *messages):
        for message in messages:
            self.channel.send(message)
            self.channel.flush_within(SECONDS)

    def heard(self):
        """What it was told since the last look."""
        return self.channel.receive_available()

    def is_cut(self):
        """Its lifeline was cut: were it a process, it would have ended."""
        poll = select.poll()
        poll.register(self._tied, select.POLLIN)
        return bool(poll.poll(0))

    def die(self):
        """It ends by itself."""
        self.channel.close()

    def close(self):
        if self._is_open:
            self._is_open = False
            self.channel.close()
            os.close(self._tied)


class FakeProcess(Far):
    """A process as the supervisor has it, in `process`, and its own ends."""

    def __init__(self, board, kind, pid=100):
        channel, far = Channel.pair()
        tied, cut = lifeline.create()
        super().__init__(far, tied)
        self._board = board
        self._offspring = []
        self.process = kind(pid, channel, cut)
        self.ended = 0

    def attach(self, hear):
        self._board.attach(self.process, hear, self._hear_end)

    def _hear_end(self):
        self.ended += 1

    def fork(self, pid):
        """Answer `Fork`; the ends of the copy."""
        far, ends = offspring()
        self._offspring.append(far)
        self.say(Forked(pid, **ends))
        return far

    def exited(self, pid, status=0):
        """Tell that a child was reaped."""
        self.say(Exited(pid, status))

    def close(self):
        super().close()
        for far in self._offspring:
            far.close()
        self._board.release(self.process)


def offspring():
    """The ends of a process that was just forked: its own, and those that are sent to the supervisor."""
    channel, far = Channel.pair()
    tied, cut = lifeline.create()
    return Far(far, tied), {"channel": (channel.detach(),), "lifeline": (cut,)}
