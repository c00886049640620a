"""A worker's link with the supervisor: without the one there is no other."""

import asyncio
import contextlib
import os
import socket
import threading

import pytest

from firehot_server.channel import Channel
from firehot_server.messages import Drain, Exited, Hold, Serve
from firehot_server.ties import Ties
from firehot_server.worker import link as link_module
from firehot_server.worker.link import Link
from tests.support.processes import forked, open_descriptors
from tests.support.waiting import SECONDS, ticks, until

GONE = 1


@pytest.fixture
def ends():
    """The supervisor's channel and the worker's."""
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@contextlib.contextmanager
def worker(ends, live):
    """A forked process that lives with its link; this process keeps the supervisor's end only."""
    ours, theirs = ends

    def run():
        ours.close()
        live(Link(Ties(theirs, -1)))

    with forked(run) as process:
        theirs.close()
        yield process


def test_messages_pass_in_both_directions(ends):
    """What is sent arrives; what arrives is received."""

    def live(link):
        while (message := link.receive()) != Hold():
            link.send(Exited(message.pid + 1, 0))

    with worker(ends, live) as process:
        for number in range(100):
            ends[0].send(Exited(number, 0))
            assert ends[0].receive(SECONDS) == Exited(number + 1, 0)
        ends[0].send(Hold())
        assert process.wait() == 0


def test_a_worker_that_waits_ends_with_the_supervisor(ends):
    """It was waiting for a message that nobody will send."""
    with worker(ends, lambda link: link.receive()) as process:
        assert process.poll() is None
        ends[0].close()
        assert process.wait() == GONE


def test_a_worker_that_speaks_ends_with_the_supervisor(ends):
    """What it says has no hearer."""

    def live(link):
        while True:
            link.send(Hold())

    with worker(ends, live) as process:
        assert ends[0].receive(SECONDS) == Hold()
        ends[0].close()
        assert process.wait() == GONE


def test_a_worker_that_serves_ends_with_the_supervisor(ends):
    """The event loop notices, whatever else it does."""

    def live(link):
        async def serve():
            link.listen(asyncio.get_running_loop(), lambda message: link.send(message))
            await asyncio.Event().wait()

        asyncio.run(serve())

    with worker(ends, live) as process:
        for message in (Hold(), Drain(1.0)):
            ends[0].send(message)
            assert ends[0].receive(SECONDS) == message
        ends[0].close()
        assert process.wait() == GONE


def test_the_last_messages_are_answered_before_the_end(ends):
    """What the supervisor said before it went is done."""
    read_end, write_end = os.pipe()

    def live(link):
        link.receive()

        async def serve():
            link.listen(asyncio.get_running_loop(), lambda message: os.write(write_end, b"%d" % message.pid))
            await asyncio.Event().wait()

        asyncio.run(serve())

    with worker(ends, live) as process:
        os.close(write_end)
        for number in range(6):
            ends[0].send(Exited(number, 0))
        ends[0].close()
        assert process.wait() == GONE
        assert os.read(read_end, 100) == b"12345"
    os.close(read_end)


def test_a_deaf_link_is_not_heard(ends):
    """After `deafen` messages wait for whoever receives them."""

    def live(link):
        heard = []

        async def serve():
            loop = asyncio.get_running_loop()
            link.listen(loop, heard.append)
            link.send(Hold())
            while not heard:
                await asyncio.sleep(0)
            link.deafen(loop)
            link.send(Hold())
            for _ in range(100):
                await asyncio.sleep(0)

        asyncio.run(serve())
        assert heard == [Exited(1, 0)]
        assert link.receive() == Exited(2, 0)

    with worker(ends, live) as process:
        ends[0].receive(SECONDS)
        ends[0].send(Exited(1, 0))
        ends[0].receive(SECONDS)
        ends[0].send(Exited(2, 0))
        assert process.wait() == 0


def test_a_message_that_came_before_listening_is_heard(ends):
    """Whether it lies in the socket, or was read together with an earlier one."""

    def live(link):
        assert link.receive() == Exited(1, 0)  # reads what is there, the second message too

        async def serve():
            heard = asyncio.Event()
            link.listen(asyncio.get_running_loop(), lambda _: heard.set())
            async with asyncio.timeout(5):
                await heard.wait()

        asyncio.run(serve())

    for number in (1, 2):
        ends[0].send(Exited(number, 0))
    with worker(ends, live) as process:
        assert process.wait() == 0, "the second message was not heard"


def test_a_supervisor_that_does_not_read_is_gone(ends):
    """There is a deadline for it."""

    def live(link):
        link_module._SEND_SECONDS = 0.05
        while True:
            link.send(Hold())

    with worker(ends, live) as process:
        assert process.wait() == GONE


def test_a_supervisor_that_pauses_is_waited_for(ends):
    """Nothing is lost when it was busy for a while."""

    def live(link):
        for number in range(5000):
            link.send(Exited(number, 0))

    with worker(ends, live) as process:
        for _ in ticks(0.05, seconds=0.3):
            assert process.poll() is None
        heard = []
        until(lambda: heard.extend(ends[0].receive_available()) or len(heard) == 5000, "every message")
        assert heard == [Exited(number, 0) for number in range(5000)]
        assert process.wait() == 0


def test_threads_may_send_at_once(ends):
    """Whole messages, each thread's in its order."""

    def live(link):
        def speak(name):
            for number in range(500):
                link.send(Exited(name, number))

        threads = [threading.Thread(target=speak, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with worker(ends, live) as process:
        heard = [ends[0].receive(SECONDS) for _ in range(8 * 500)]
        assert process.wait() == 0
    for name in range(8):
        assert [message.status for message in heard if message.pid == name] == list(range(500))


def test_descriptors_arrive_while_serving(ends):
    """Sockets come through the event loop as well."""

    def live(link):
        before = open_descriptors("self")
        received = []

        async def serve():
            done = asyncio.Event()

            def take(message):
                received.extend(message.sockets)
                done.set()

            link.listen(asyncio.get_running_loop(), take)
            await done.wait()
            link.deafen(asyncio.get_running_loop())

        asyncio.run(serve())
        assert open_descriptors("self") == before + 2
        for fd in received:
            socket.socket(fileno=fd).close()

    with worker(ends, live) as process:
        with socket.socket() as one, socket.socket() as other:
            ends[0].send(Serve((os.dup(one.fileno()), os.dup(other.fileno()))))
        assert process.wait() == 0
