"""Messages and descriptors between two ends of a control channel."""

import array
import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import threading

import pytest

from firehot_server.channel import MAX_DESCRIPTORS, Channel
from firehot_server.errors import ChannelClosed, ChannelGarbled, Deadline, FirehotError
from firehot_server.failure.report import sentence_only
from firehot_server.messages import (
    Begin,
    Call,
    Configure,
    Connection,
    Drain,
    Exited,
    Extended,
    Failed,
    Forked,
    Handoff,
    Hold,
    Imported,
    Obstacle,
    Pauses,
    Preload,
    Preloaded,
    Read,
    Reads,
    Returned,
    Serve,
    Skipped,
    Surroundings,
)
from tests.support.processes import in_fork, is_open, open_descriptors
from tests.support.waiting import SECONDS, ticks, until

HEADER = struct.Struct("!QQQH")


@pytest.fixture
def ends():
    """Two connected channels."""
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def descriptor():
    """Makes descriptors that tell themselves apart; what is still open at the end is closed."""
    made = []

    def make():
        fd = os.memfd_create("test")
        os.write(fd, str(len(made)).encode())
        made.append((fd, os.fstat(fd).st_ino))
        return fd

    yield make
    for fd, inode in made:
        if is_open(fd) and os.fstat(fd).st_ino == inode:
            os.close(fd)


def number_of(fd):
    """Which descriptor of the fixture this is a copy of; closes it."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return int(file.read())


def pump(sender, receiver):
    """Everything that the sender keeps, received without a thread: neither end ever waits."""
    received = receiver.receive_available()
    while sender.wants_write:
        sender.flush()
        received += receiver.receive_available()
    return received


@pytest.mark.parametrize(
    "message",
    [
        Configure(("/a", "/b"), ("firehot-uvicorn", "ä"), b"\0payload\xff", ""),
        Preload(("numpy", "pandas")),
        Preloaded((Skipped("grpc", "it left a thread running", lasting=True),), 512),
        Begin(3, role="failure", failure=sentence_only("SyntaxError", "Mend it."), in_loop=True),
        Begin(4, pauses=Pauses(edited=frozenset({"shop.views", "/project/a.yaml"}), at_end=True, seconds=0.5)),
        Imported(0.5, Obstacle("it left a socket open", "/project/app.py", 3, 0.25)),
        Exited(1234, 9),
        Reads((Read("lookup", "/project/app", b".py"), Read("module", "/project/app.py", b"\x01\x02\x03\xff", "app"))),
        Failed(sentence_only("The app crashed", "")),
        Hold(),
        Drain(2.5, handoff=False),
        Handoff((Connection(b"GET / HT"), Connection())),
        Serve(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_arrives_equal(ends, message):
    """Whatever is sent at one end is received at the other, in both directions."""
    for sender, receiver in (ends, ends[::-1]):
        sender.send(message)
        assert receiver.receive(SECONDS) == message


def test_messages_arrive_in_order(ends):
    """What was sent first is received first, however it is received."""
    ours, theirs = ends
    for number in range(5):
        ours.send(Exited(number, 0))
    assert theirs.receive(SECONDS) == Exited(0, 0)
    assert theirs.receive_available() == [Exited(number, 0) for number in range(1, 5)]
    assert theirs.receive_available() == []


def test_a_frame_in_pieces_is_one_message(ends):
    """A message is received when its last byte has come, not before."""
    ours, theirs = ends
    source, copy = Channel.pair()
    source.send(Exited(1, 0))
    with socket.socket(fileno=copy.detach()) as tap, socket.socket(fileno=ours.detach()) as out:
        frame = tap.recv(4096)
        for byte in frame[:-1]:
            out.send(bytes([byte]))
            assert theirs.receive_available() == []
        out.send(frame[-1:])
        assert theirs.receive_available() == [Exited(1, 0)]
    source.close()


# ---------------------------------------------------------------- descriptors


def test_descriptors_arrive_in_order_and_with_their_message(ends, descriptor):
    """Each message gets its own descriptors, although the kernel may deliver them all at once."""
    ours, theirs = ends
    ours.send(Serve((descriptor(), descriptor())))
    ours.send(Hold())
    ours.send(Serve((descriptor(),)))
    ours.send(Serve())
    ours.send(Handoff((Connection(b"x"),), (descriptor(), descriptor(), descriptor())))
    received = theirs.receive_available()
    numbers = [[number_of(fd) for fd in getattr(message, "sockets", ())] for message in received]
    assert numbers == [[0, 1], [], [2], [], [3, 4, 5]]


def test_descriptors_arrive_in_the_field_they_left(ends, descriptor):
    """A message with several fields of descriptors keeps them apart."""
    ours, theirs = ends
    ours.send(Forked(2, channel=(descriptor(),), lifeline=(descriptor(),)))
    ours.send(Extended(2, lifeline=(descriptor(),)))
    forked, extended = theirs.receive_available()
    assert [number_of(fd) for fd in (*forked.channel, *forked.lifeline)] == [0, 1]
    assert (extended.channel, [number_of(fd) for fd in extended.lifeline]) == ((), [2])


def test_received_descriptors_are_not_inheritable(ends, descriptor):
    """Programs that the app starts do not get them, whatever they were at the sender."""
    ours, theirs = ends
    fd = descriptor()
    os.set_inheritable(fd, True)
    ours.send(Serve((fd,)))
    (received,) = theirs.receive(SECONDS).sockets
    assert not os.get_inheritable(received)
    os.close(received)


def test_sent_descriptors_are_closed_by_the_sender(ends, descriptor):
    """They belong to the channel once they are given to it."""
    ours, theirs = ends
    fds = (descriptor(), descriptor())
    ours.send(Serve(fds))
    assert not any(map(is_open, fds))
    for fd in theirs.receive(SECONDS).sockets:
        os.close(fd)


def test_descriptors_wait_with_their_message(ends, descriptor):
    """Behind a full socket buffer they stay open until they have left, and then arrive where they belong."""
    ours, theirs = ends
    while not ours.wants_write:
        ours.send(Hold())
    fds = (descriptor(), descriptor())
    ours.send(Serve(fds))
    assert all(map(is_open, fds))
    ours.send(Hold())
    before = open_descriptors("self")
    *_, serve, hold = pump(ours, theirs)
    assert open_descriptors("self") == before  # two left, two came
    assert [number_of(fd) for fd in serve.sockets] == [0, 1]
    assert hold == Hold()


def test_a_message_larger_than_the_socket_buffer_brings_its_descriptors_once(ends, descriptor):
    """The parts after the first carry none."""
    ours, theirs = ends
    ours.send(Handoff((Connection(b"x" * 3_000_000),), (descriptor(),)))
    ours.send(Serve((descriptor(),)))
    handoff, serve = pump(ours, theirs)
    assert len(handoff.connections[0].received) == 3_000_000
    assert [number_of(fd) for message in (handoff, serve) for fd in message.sockets] == [0, 1]


def test_as_many_descriptors_as_the_kernel_takes(ends, descriptor):
    """253 fit into one message; one more is refused, and the channel goes on."""
    ours, theirs = ends
    ours.send(Serve(tuple(descriptor() for _ in range(MAX_DESCRIPTORS))))
    assert [number_of(fd) for fd in theirs.receive(SECONDS).sockets] == list(range(MAX_DESCRIPTORS))
    with pytest.raises(ValueError, match="254 descriptors in one message"):
        ours.send(Serve(tuple(descriptor() for _ in range(MAX_DESCRIPTORS + 1))))
    ours.send(Hold())
    assert theirs.receive(SECONDS) == Hold()


def test_close_closes_what_arrived_unclaimed(ends, descriptor):
    """Descriptors of a message whose rest never came do not stay open."""
    ours, theirs = ends
    fd = descriptor()
    before = open_descriptors("self")
    with socket.socket(fileno=ours.detach()) as out:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd, fd]))]
        out.sendmsg([HEADER.pack(100, 0, 0, 2) + b"half"], rights)
        assert theirs.receive_available() == []
        assert open_descriptors("self") == before + 2
        theirs.close()
        theirs.close()  # once more does nothing
    assert open_descriptors("self") == before - 2  # both ends of the channel


def test_close_closes_what_was_to_leave(ends, descriptor):
    """Descriptors that a stopped peer never took do not stay open."""
    ours, _ = ends
    while not ours.wants_write:
        ours.send(Hold())
    fd = descriptor()
    ours.send(Serve((fd,)))
    ours.close()
    assert not is_open(fd)


def test_unread_descriptors_end_with_the_channel(ends):
    """What is in flight when both ends are closed is closed by the kernel: no copy keeps the pipe open."""
    ours, theirs = ends
    read_end, write_end = os.pipe()
    ours.send(Serve((write_end,)))
    ours.close()
    theirs.close()
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_a_thousand_messages_leak_no_descriptor(ends, descriptor):
    """As many are open afterwards as before, at both ends."""
    ours, theirs = ends
    before = open_descriptors("self")
    for number in range(1000):
        ours.send(Serve((descriptor(), descriptor())))
        if number % 10 == 9:
            for message in theirs.receive_available():
                for fd in message.sockets:
                    os.close(fd)
    assert open_descriptors("self") == before


def test_descriptors_that_do_not_fit_are_never_mixed_up(ends, descriptor):
    """A process at its limit of open files may lose descriptors, but never takes one message's for another's."""
    ours, theirs = ends
    ours.send(Serve((descriptor(), descriptor(), descriptor())))
    ours.send(Serve((descriptor(),)))

    def receive():
        with limited_files(max(map(int, os.listdir("/proc/self/fd"))) + 3):
            spare = []
            with contextlib.suppress(OSError):
                while True:
                    spare.append(os.memfd_create("spare"))
            os.close(spare.pop())  # room for one of three
            numbers = []
            with contextlib.suppress(FirehotError):
                theirs._read_some()
                for fd in spare:
                    os.close(fd)
                for message in theirs.receive_available():
                    numbers.append([number_of(fd) for fd in message.sockets])
            return numbers

    assert in_fork(receive) in ([], [[3]], [[0], [3]], [[], [3]])


@contextlib.contextmanager
def limited_files(soft):
    former, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (former, hard))


def test_a_channel_with_a_large_number_works(ends):
    """Descriptors above 1023, where select() fails, are waited on as any other."""
    ours, theirs = ends
    with limited_files(max(2100, resource.getrlimit(resource.RLIMIT_NOFILE)[0])):
        high = Channel.from_descriptor(fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 2000))
        try:
            with pytest.raises(Deadline):
                high.receive(0.001)
            ours.send(Hold())
            assert high.receive(SECONDS) == Hold()
        finally:
            high.close()


# ---------------------------------------------------------------- a full socket buffer


def test_ten_thousand_messages_to_a_peer_that_does_not_read(ends):
    """Sending never waits; what does not fit is kept, and arrives complete and in order."""
    ours, theirs = ends
    for number in range(10_000):
        ours.send(Exited(number, 0))
    assert ours.wants_write
    assert pump(ours, theirs) == [Exited(number, 0) for number in range(10_000)]
    assert not ours.wants_write


def test_a_message_of_20_megabytes(ends):
    """Larger than any socket buffer: it goes in parts."""
    ours, theirs = ends
    payload = os.urandom(20_000_000)
    ours.send(Configure((), (), payload, ""))
    assert ours.wants_write
    (message,) = pump(ours, theirs)
    assert message.payload == payload


def test_flush_within_sends_everything_to_a_slow_reader(ends):
    """It waits while the peer reads."""
    ours, theirs = ends
    received = []

    def read():
        while len(received) < 2001:
            received.append(theirs.receive(SECONDS))

    reader = threading.Thread(target=read)
    for number in range(2000):
        ours.send(Exited(number, 0))
    ours.send(Configure((), (), b"x" * 5_000_000, ""))
    reader.start()
    try:
        ours.flush_within(SECONDS)
    finally:
        reader.join(SECONDS)
    assert not ours.wants_write
    assert [message.pid for message in received[:-1]] == list(range(2000))
    assert len(received[-1].payload) == 5_000_000


def test_both_ends_may_be_full(ends):
    """Two processes that talk at once do not stop each other."""
    one, other = ends
    for channel in ends:
        channel.send(Configure((), (), b"x" * 5_000_000, ""))
    heard = [[], []]
    while one.wants_write or other.wants_write:
        one.flush()
        heard[1] += other.receive_available()
        other.flush()
        heard[0] += one.receive_available()
    heard[1] += other.receive_available()
    assert [len(message.payload) for messages in heard for message in messages] == [5_000_000] * 2


# ---------------------------------------------------------------- the end


def test_the_end_comes_after_the_last_message(ends):
    """What a process said before it ended is heard."""
    ours, theirs = ends
    ours.send(Hold())
    assert not theirs.at_eof
    ours.close()
    assert theirs.receive_available() == [Hold()]
    assert theirs.at_eof
    assert theirs.receive_available() == []


def test_receive_says_that_the_peer_is_gone(ends):
    """After the last message, and every time from then on."""
    ours, theirs = ends
    ours.send(Hold())
    ours.close()
    assert theirs.receive(SECONDS) == Hold()
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            theirs.receive(SECONDS)


def test_send_and_flush_say_that_the_peer_is_gone(ends):
    """Also when something had been kept for it."""
    ours, theirs = ends
    while not ours.wants_write:
        ours.send(Hold())
    theirs.close()
    for attempt in (lambda: ours.send(Hold()), ours.flush, lambda: ours.flush_within(SECONDS)):
        with pytest.raises(ChannelClosed):
            attempt()


def test_the_last_words_of_a_peer_that_did_not_listen(ends):
    """It ended with messages unread, for which the kernel reports a reset: its own words still arrive."""
    ours, theirs = ends
    theirs.send(Hold())
    ours.send(Exited(1, 2))
    ours.close()
    assert theirs.receive(SECONDS) == Exited(1, 2)
    assert theirs.receive_available() == []
    assert theirs.at_eof


def test_the_words_of_a_peer_are_heard_although_it_is_gone_for_sending(ends):
    """A failed send must not take away what has already arrived."""
    ours, theirs = ends
    theirs.send(Exited(1, 2))
    theirs.close()
    with pytest.raises(ChannelClosed):
        ours.send(Hold())
    assert ours.receive(SECONDS) == Exited(1, 2)
    with pytest.raises(ChannelClosed):
        ours.receive(SECONDS)


def test_the_end_in_the_middle_of_a_message(ends):
    """Half a message from a killed process is no message, and no error."""
    ours, theirs = ends
    with socket.socket(fileno=ours.detach()) as out:
        out.send(HEADER.pack(100, 0, 0, 0) + b"half")
    assert theirs.receive_available() == []
    assert theirs.at_eof
    with pytest.raises(ChannelClosed):
        theirs.receive(SECONDS)


def test_the_end_of_a_killed_process_is_heard(ends):
    """The kernel closes its end, after everything that it sent."""
    ours, theirs = ends

    def speak_and_die():
        ours.close()
        for number in range(100):
            theirs.send(Exited(number, 0))
        os.kill(os.getpid(), 9)

    with pytest.raises(EOFError):
        in_fork(speak_and_die)
    theirs.close()
    heard = []
    until(lambda: heard.extend(ours.receive_available()) or ours.at_eof, "the end of the channel")
    assert heard == [Exited(number, 0) for number in range(100)]


# ---------------------------------------------------------------- deadlines


def test_receive_has_a_deadline(ends):
    """Nothing came: the error says what was waited for, and the channel goes on."""
    ours, theirs = ends
    for seconds in (0, 0.01):
        with pytest.raises(Deadline, match=f"waited {seconds:g} s for a message"):
            theirs.receive(seconds)
    ours.send(Hold())
    assert theirs.receive(0) == Hold()


def test_flush_within_has_a_deadline(ends):
    """The peer does not read: the error says so, and nothing is lost."""
    ours, theirs = ends
    for number in range(10_000):
        ours.send(Exited(number, 0))
    with pytest.raises(Deadline, match=r"waited 0\.01 s for the other end .* to read"):
        ours.flush_within(0.01)
    assert len(pump(ours, theirs)) == 10_000


def test_a_message_that_drips_meets_the_deadline_of_receive(ends):
    """The time is for the message, not for each of its bytes."""
    ours, theirs = ends
    done = threading.Event()

    def drip(out):
        out.send(HEADER.pack(1_000_000, 0, 0, 0))
        for _ in ticks(0.02, seconds=3):
            if done.is_set():
                return
            out.send(b"x")
        done.set()

    with socket.socket(fileno=ours.detach()) as out:
        dripping = threading.Thread(target=drip, args=(out,))
        dripping.start()
        try:
            with pytest.raises(Deadline):
                theirs.receive(0.3)
            assert not done.is_set(), "it waited until the dripping ended"
        finally:
            done.set()
            dripping.join(SECONDS)


def test_a_peer_that_sips_meets_the_deadline_of_flush_within(ends):
    """The time is for everything that is to be sent, not for each part."""
    ours, theirs = ends
    ours.send(Configure((), (), b"x" * 20_000_000, ""))
    done = threading.Event()

    def sip(source):
        for _ in ticks(0.02, seconds=3):
            if done.is_set():
                return
            source.recv(100_000)
        done.set()

    with socket.socket(fileno=theirs.detach()) as source:
        sipping = threading.Thread(target=sip, args=(source,))
        sipping.start()
        try:
            with pytest.raises(Deadline):
                ours.flush_within(0.3)
            assert not done.is_set(), "it waited until the sipping ended"
        finally:
            done.set()
            sipping.join(SECONDS)


# ---------------------------------------------------------------- bulk


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000, 5_000_000])
def test_bulk_arrives_as_it_was(ends, size):
    """Between other messages, in order, whatever its size."""
    one, other = ends
    data = os.urandom(size)
    sent = [
        Hold(),
        Returned(data),
        Reads((Read("module", "a.py", b"digest"),)),
        Returned(data[::-1]),
        Returned(b""),
        Hold(),
    ]
    for message in sent:
        one.send(message)
    received = []
    while len(received) < len(sent):
        one.flush()
        received += other.receive_available()
    assert received == sent


def test_bulk_that_drips(ends):
    """Byte by byte, with the frame that follows."""
    one, other = ends
    sent = [Returned(b"first"), Returned(b"second"), Hold()]
    tap, source = Channel.pair()
    for message in sent:
        source.send(message)
    with socket.socket(fileno=tap.detach()) as raw:
        frames = b"".join(iter(lambda: raw.recv(1000) if select.select([raw], [], [], 0)[0] else b"", b""))
    source.close()
    feed = socket.socket(fileno=one.detach())
    received = []
    for byte in frames:
        feed.send(bytes([byte]))
        received += other.receive_available()
    feed.close()
    assert received == sent


def test_bulk_with_descriptors(ends, descriptor):
    """Both ride with one message."""
    one, other = ends
    fd = descriptor()
    inode = os.fstat(fd).st_ino
    data = os.urandom(400_000)
    surroundings = Surroundings("/", {}, ())
    one.send(Call(surroundings, standard=(1,), streams=(fd,), payload=data))
    received = []
    while not received:
        one.flush()
        received += other.receive_available()
    (call,) = received
    assert call.payload == data
    assert os.fstat(call.streams[0]).st_ino == inode
    os.close(call.streams[0])


def test_the_end_in_the_middle_of_bulk(ends):
    """There is no such message."""
    one, other = ends
    one.send(Returned(b"x" * 10_000_000))
    assert other.receive_available() == []
    one.close()
    assert other.receive_available() == []
    assert other.at_eof


# -- what is laid down


def readable(channel):
    """Whoever waits for something on this end would wake."""
    return bool(select.select([channel], [], [], 0)[0])


def reads_of(name):
    """One message that may be laid down."""
    return Reads((Read("module", f"/project/{name}.py", b"digest", name), Read("data", f"/project/{name}.yaml", None)))


@pytest.fixture
def laying(ends):
    """Two ends, of which the first lays down by now."""
    ours, theirs = ends
    for number in range(9):
        ours.lay_down(reads_of(number))
    assert theirs.receive_available() == [reads_of(number) for number in range(9)]
    return ends


def test_the_first_of_what_may_be_laid_down_is_sent(ends):
    """A file for a few would take longer than to wake the peer for them."""
    ours, theirs = ends
    for number in range(8):
        ours.lay_down(reads_of(number))
        assert theirs.receive(SECONDS) == reads_of(number)
    assert len(ours.descriptors) == 1


def test_what_is_laid_down_wakes_nobody(laying):
    """Nothing comes over the socket; whoever looks finds it, once."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))
    ours.lay_down(reads_of("b"))

    assert not readable(theirs)
    assert theirs.receive_available() == [reads_of("a"), reads_of("b")]
    assert theirs.receive_available() == []


def test_whoever_waits_for_a_message_gets_what_is_laid_down(laying):
    """If it is there."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))

    assert theirs.receive(SECONDS) == reads_of("a")
    with pytest.raises(Deadline):
        theirs.receive(0.01)


def test_what_is_laid_down_comes_before_what_is_sent_after_it(laying):
    """And what is laid down after that comes after it, though all of it is there."""
    ours, theirs = laying
    for number in range(3):
        ours.lay_down(reads_of(number))
        ours.send(Exited(number, 0))
    ours.lay_down(reads_of("last"))

    expected = [message for number in range(3) for message in (reads_of(number), Exited(number, 0))]
    assert theirs.receive_available() == [*expected, reads_of("last")]


def test_what_was_sent_before_comes_first_though_it_arrives_late(laying):
    """Who looks meanwhile does not find what was laid down after it."""
    ours, theirs = laying
    large = Returned(b"x" * (8 << 20))
    ours.send(large)
    assert ours.wants_write
    ours.lay_down(reads_of("a"))

    assert theirs.receive_available() == []
    assert pump(ours, theirs) + theirs.receive_available() == [large, reads_of("a")]


def test_what_is_laid_down_outlives_who_did(ends):
    """Killed, it has said all the same what it had read."""
    ours, theirs = ends
    pid = os.fork()
    if pid == 0:
        ours.take_over()
        for number in range(20):
            ours.lay_down(reads_of(number))
        os.kill(os.getpid(), signal.SIGKILL)
    ours.close()
    os.waitpid(pid, 0)

    assert theirs.receive_available() == [reads_of(number) for number in range(20)]
    assert theirs.at_eof


def test_a_copy_sends_what_it_may_lay_down(laying):
    """A program that forks has two processes at one end: each of them is heard, at once."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))
    in_fork(lambda: ours.lay_down(reads_of("b")))
    assert readable(theirs)
    ours.lay_down(reads_of("c"))

    received = theirs.receive_available()
    assert [message for message in received if message != reads_of("b")] == [reads_of("a"), reads_of("c")]
    assert len(received) == 3


@pytest.mark.parametrize("number", [64, 200], ids=["few files may be open", "too many files are open"])
def test_what_cannot_be_laid_down_is_sent(ends, number):
    """The peer may have no room for the file, which would be the end of the channel; or there is none here."""
    ours, theirs = ends

    def run():
        ours.take_over()
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        taken = []
        with contextlib.suppress(OSError):
            while number == 200 or not taken:
                taken.append(os.dup(0))
        for name in range(12):
            ours.lay_down(reads_of(name))
        os.close(taken.pop())  # for the answer

    in_fork(run)
    assert theirs.receive_available() == [reads_of(name) for name in range(12)]
    assert len(theirs.descriptors) == 1


@pytest.mark.parametrize("is_looked_at", [False, True], ids=["unseen", "seen"])
def test_what_there_is_no_room_for_is_sent(laying, is_looked_at):
    """All of it, also where the peer has seen the half that there was room for; and so is what comes after that."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))

    def fill():
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ours._aside_out.size + 10, limits[1]))
        try:
            ours._aside_out.write(b"x" * 100)
        except OSError as error:
            return str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert in_fork(fill) == "10 of 100 bytes were written"
    if is_looked_at:
        assert theirs.receive_available() == [reads_of("a")]
    ours._may_lay_down = False
    ours.lay_down(reads_of("b"))
    ours.send(Exited(1, 0))
    ours.end_laying_down()
    ours.send(Exited(2, 0))

    received = theirs.receive_available()
    assert received == [*([] if is_looked_at else [reads_of("a")]), reads_of("b"), Exited(1, 0), Exited(2, 0)]


def test_a_disk_that_is_full_is_tried_once(laying):
    """From then on all is sent."""
    ours, theirs = laying
    os.close(ours._aside_out.fd)
    ours._aside_out.fd = os.open("/dev/full", os.O_WRONLY)
    for name in "ab":
        ours.lay_down(reads_of(name))
        assert readable(theirs)

    assert theirs.receive_available() == [reads_of("a"), reads_of("b")]


class Name(str):
    """A text of a class of its own."""

    __slots__ = ()


def test_a_text_of_a_class_of_its_own_is_sent(laying):
    """What is laid down is made of Python's own."""
    ours, theirs = laying
    named = Reads((Read("module", "/project/plug.py", b"digest", Name("plug")),))
    ours.lay_down(named)
    assert readable(theirs)

    assert theirs.receive_available() == [named]


def test_the_last_of_what_was_laid_down_before_the_end(laying):
    """Is received before the news that there is no more."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))
    ours.close()

    assert theirs.receive(SECONDS) == reads_of("a")
    with pytest.raises(ChannelClosed):
        theirs.receive(SECONDS)


def test_whoever_lays_down_no_more_lets_go(laying):
    """The peer as well, when it has taken all; it can be begun anew."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))
    ours.end_laying_down()
    assert len(ours.descriptors) == 1
    ours.send(Exited(1, 0))
    assert theirs.receive_available() == [reads_of("a"), Exited(1, 0)]
    assert len(theirs.descriptors) == 1

    ours.lay_down(reads_of("b"))
    ours.send(Exited(2, 0))
    ours.lay_down(reads_of("c"))
    assert theirs.receive_available() == [reads_of("b"), Exited(2, 0), reads_of("c")]


def test_something_laid_down_that_makes_no_sense(laying):
    """A program may write to any of its descriptors."""
    ours, theirs = laying
    os.write(ours._aside_out.fd, HEADER.pack(4, 0, 0, 0) + b"junk")

    with pytest.raises(ChannelGarbled):
        theirs.receive_available()


def test_something_laid_down_that_is_gone(laying):
    """Or cut off what is there."""
    ours, theirs = laying
    ours.lay_down(reads_of("a"))
    ours.send(Exited(1, 0))
    os.ftruncate(ours._aside_out.fd, 0)

    with pytest.raises(ChannelGarbled):
        theirs.receive_available()


def test_both_ends_let_go_of_what_is_laid_down():
    """With the channel."""
    before = open_descriptors(os.getpid())
    ours, theirs = Channel.pair()
    for number in range(10):
        ours.lay_down(reads_of(number))
    theirs.receive_available()
    assert len(ours.descriptors) == len(theirs.descriptors) == 2
    assert open_descriptors(os.getpid()) == before + 4
    ours.close()
    theirs.close()

    assert open_descriptors(os.getpid()) == before
