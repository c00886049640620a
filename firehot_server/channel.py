"""How the processes talk: framed messages and file descriptors over a UNIX stream socket.

A frame is a header (length of the body, length of the bulk, its place, number of descriptors), a pickled message, and
its bulk. Descriptors ride with the frame's first byte over SCM_RIGHTS. Both ends run the same version of this package,
on the same machine, so pickle is as safe as the fork itself.

What was read is not urgent: it is laid down beside the socket (see `aside`). The order is kept: a frame names as its
place how much was laid down before it; one that was laid down, how many were sent before it.
"""

from __future__ import annotations

import array
import os
import pickle
import select
import socket
import struct
import time
from collections import deque
from typing import cast

from firehot_server.aside import AsideReader, AsideWriter
from firehot_server.errors import ChannelClosed, ChannelGarbled, Deadline
from firehot_server.messages import LaysDown, Message, Reads, join_bulk, join_descriptors, split_bulk, split_descriptors

_HEADER = struct.Struct("!QQQH")
_READ_SIZE = 1 << 18
# So much that is not urgent is sent all the same: for less, a file to lay it down does not pay.
_FEW = 8
# The kernel's SCM_MAX_FD: more descriptors in one sendmsg fail with EINVAL.
MAX_DESCRIPTORS = 253
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Channel:
    """One end of a control channel. Owns its socket.

    Receiving never blocks unless asked to; what cannot be sent at once is kept until
    [`flush`][firehot_server.channel.Channel.flush], so that a stopped peer cannot stop its sender.

    Example:
        ```python
        ours, theirs = Channel.pair()
        ours.send(Hold())
        assert theirs.receive(timeout=1.0) == Hold()
        ```
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._incoming = bytearray()
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._bulk: memoryview | None = None
        """That of the frame at the head of `_incoming`, once its body is there; filled as it arrives."""
        self._bulk_filled = 0
        self._incoming_descriptors: deque[int] = deque()
        self._outgoing: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._owner = os.getpid()
        self._sent = 0
        """Messages, those included that have not left yet."""
        self._received = 0
        self._unurgent = 0
        """How many messages could have been laid down."""
        self._may_lay_down = True
        """False: it was tried in vain."""
        self._aside_out: AsideWriter | None = None
        self._aside_in: AsideReader | None = None
        self._eof = False
        self.has_lost_descriptors = False
        """That is why the end has come: this process has too many files open."""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(one), cls(other)

    @classmethod
    def from_descriptor(cls, fd: int) -> Channel:
        """Take ownership of a descriptor that another process sent."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        return self._socket.fileno()

    def take_over(self) -> None:
        """This process, a copy of the one that has made this end, is the one that uses it."""
        self._owner = os.getpid()

    @property
    def descriptors(self) -> frozenset[int]:
        """The numbers of those that this end has open for itself."""
        files = (self._aside_out, self._aside_in)
        return frozenset((self.fileno(), *(file.fd for file in files if file is not None)))

    def detach(self) -> int:
        """Give up the descriptor, for sending it elsewhere."""
        return self._socket.detach()

    def close(self) -> None:
        """Close this end, and every descriptor that arrived or was to leave unclaimed."""
        self._socket.close()
        for file in (self._aside_out, self._aside_in):
            if file is not None:
                file.close()
        self._aside_out = self._aside_in = None
        for fd in self._incoming_descriptors:
            os.close(fd)
        for _, fds in self._outgoing:
            _close_all(fds)
        self._incoming_descriptors.clear()
        self._outgoing.clear()

    # -- sending

    def send(self, message: Message) -> None:
        """Send, or keep what the socket does not take now (see `wants_write`).

        The message's descriptors belong to the channel from here on: they are closed when they have left.

        Raises:
            ChannelClosed: the peer is gone.
        """
        message, data = split_bulk(message)
        bare, fds, counts = split_descriptors(message)
        if len(fds) > MAX_DESCRIPTORS:
            raise ValueError(f"{len(fds)} descriptors in one message; the kernel takes {MAX_DESCRIPTORS}")
        body = pickle.dumps((bare, counts), protocol=pickle.HIGHEST_PROTOCOL)
        place = self._aside_out.size if self._aside_out is not None and self._is_owner else 0
        self._outgoing.append((memoryview(_HEADER.pack(len(body), len(data), place, len(fds)) + body), fds))
        if data:
            self._outgoing.append((memoryview(data), ()))
        self._sent += 1
        self.flush()

    @property
    def _is_owner(self) -> bool:
        """False in what the program itself has forked."""
        return self._owner == os.getpid()

    def lay_down(self, reads: Reads) -> None:
        """Let the peer have this when it looks, or with the next message that is sent; it is not woken.

        Where that cannot be, it is sent.

        Raises:
            ChannelClosed: the peer is gone.
        """
        self._unurgent += 1
        if not self._lays_down(reads):
            self.send(reads)
        elif self._outgoing:
            self.flush()

    def _lays_down(self, reads: Reads) -> bool:
        """Whether it could be laid down."""
        if self._unurgent <= _FEW or not self._may_lay_down or not self._is_owner:
            return False
        try:
            body = reads.pack()
            aside = self._aside_out or self._begin_to_lay_down()
            aside.write(_HEADER.pack(len(body), 0, self._sent, 0) + body)
        except ValueError:
            return False
        except OSError:  # no descriptors left, or no room
            self._may_lay_down = False
            return False
        return True

    def _begin_to_lay_down(self) -> AsideWriter:
        aside = AsideWriter()
        try:
            copy = os.dup(aside.fd)
        except OSError:
            aside.close()
            raise
        self._aside_out = aside
        self.send(LaysDown((copy,)))
        return aside

    def end_laying_down(self) -> None:
        """There is no more for now: neither end needs the file.

        Raises:
            ChannelClosed: the peer is gone.
        """
        if self._aside_out is not None and self._is_owner:
            self.send(LaysDown())
            self._aside_out.close()
            self._aside_out = None

    @property
    def wants_write(self) -> bool:
        """Something is still to be sent; call `flush` when the socket is writable."""
        return bool(self._outgoing)

    def flush(self) -> None:
        """Send as much as the socket takes now.

        Raises:
            ChannelClosed: the peer is gone.
        """
        try:
            while self._outgoing:
                self._send_some()
        except BlockingIOError:
            pass  # the rest waits until the socket is writable
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosed("the other end of the control channel is closed") from error

    def flush_within(self, seconds: float | None) -> None:
        """Send everything, waiting up to `seconds` (None: for ever).

        Raises:
            ChannelClosed: the peer is gone.
            Deadline: the peer does not read.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._outgoing:
            if not self._wait_for(select.POLLOUT, deadline):
                raise Deadline("the other end of the control channel to read", cast("float", seconds))
            self.flush()
            if self._outgoing and deadline is not None and time.monotonic() > deadline:
                raise Deadline("the other end of the control channel to read on", cast("float", seconds))

    def _send_some(self) -> None:
        data, fds = self._outgoing[0]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self._socket.sendmsg([data], ancillary)
        _close_all(fds)
        if sent == len(data):
            self._outgoing.popleft()
        else:
            self._outgoing[0] = (data[sent:], ())

    # -- receiving

    def receive_available(self) -> list[Message]:
        """Every message that has arrived, without waiting. At the end of the stream see `at_eof`.

        Raises:
            ChannelGarbled: what arrived is no message.
        """
        while not self._eof and self._read_some():
            pass
        self._look_aside()
        return list(iter(self._next, None))

    @property
    def at_eof(self) -> bool:
        """The peer has closed its end, and everything it sent has been received."""
        return self._eof

    def receive(self, timeout: float | None = None) -> Message:
        """The next message, waited for up to `timeout` seconds (None: for ever).

        Raises:
            ChannelClosed: the peer is gone.
            Deadline: nothing came.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        expired = False
        self._look_aside()
        while (message := self._next()) is None:
            if self._eof:
                self._look_aside()  # the last of it came perhaps since then
                if (message := self._next()) is not None:
                    break
                raise ChannelClosed("the other end of the control channel is closed")
            if expired or not self._wait_for(select.POLLIN, deadline):
                raise Deadline("a message on the control channel", cast("float", timeout))
            expired = deadline is not None and time.monotonic() > deadline
            self._read_some()
        return message

    def _wait_for(self, event: int, deadline: float | None) -> bool:
        poll = select.poll()  # select() cannot take descriptors above 1023
        poll.register(self._socket, event)
        return bool(poll.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000))

    def _read_some(self) -> bool:
        """Read once; False when there is nothing to read now."""
        into = self._room()
        try:
            size, ancillary, flags, _ = self._socket.recvmsg_into(
                [into], socket.CMSG_SPACE(MAX_DESCRIPTORS * 4), _CLOEXEC
            )
        except BlockingIOError:
            return False
        except ConnectionResetError:
            size, ancillary, flags = 0, [], 0
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._take_descriptors(payload)
        if flags & socket.MSG_CTRUNC:
            # This process is at its limit of open files, and descriptors were lost. No later message could be matched
            # with its own; the process at the other end is of no more use.
            size, self.has_lost_descriptors = 0, True
        self._take(into[:size])
        self._eof = not size
        return bool(size)

    @property
    def _is_filling(self) -> bool:
        return self._bulk is not None and self._bulk_filled < len(self._bulk)

    def _room(self) -> memoryview:
        """Where the next bytes go: straight into the bulk that is being received, if there is one."""
        return self._bulk[self._bulk_filled :] if self._bulk is not None and self._is_filling else self._buffer

    def _take(self, data: memoryview) -> None:
        if self._is_filling:
            self._bulk_filled += len(data)
            return
        self._incoming += data
        self._begin_bulk()

    def _begin_bulk(self) -> None:
        """Make room for the bulk of the frame at the head, if its body is there, and move what has come of it."""
        if self._bulk is not None or len(self._incoming) < _HEADER.size:
            return
        length, size, _, _ = _HEADER.unpack_from(self._incoming)
        end = _HEADER.size + length
        if not size or len(self._incoming) < end:
            return
        early = self._incoming[end : end + size]
        del self._incoming[end : end + size]
        self._bulk = memoryview(bytearray(size))
        self._bulk[: len(early)] = early
        self._bulk_filled = len(early)

    def _take_descriptors(self, payload: bytes) -> None:
        fds = array.array("i")
        fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        for fd in fds:
            os.set_inheritable(fd, False)
            self._incoming_descriptors.append(fd)

    def _next(self) -> Message | None:
        """From whichever side it is its turn."""
        while True:
            place = self._place_of_frame()
            if place is None:
                return self._next_laid_down()
            taken = self._aside_in.taken if self._aside_in is not None else 0
            if taken < place:
                reads = self._next_laid_down()
                if reads is None:
                    raise ChannelGarbled("something that was laid down is missing")
                return reads
            message = self._next_frame()
            if not isinstance(message, LaysDown):
                return message
            self._look_elsewhere(message.file)

    def _place_of_frame(self) -> int | None:
        """Of the frame at the head, if all of it is there."""
        if len(self._incoming) < _HEADER.size:
            return None
        length, size, place, _ = _HEADER.unpack_from(self._incoming)
        if len(self._incoming) < _HEADER.size + length or self._bulk_filled < size:
            return None
        if self._aside_in is not None and self._aside_in.seen < place:
            self._aside_in.look()
        return cast("int", place)

    def _next_frame(self) -> Message:
        length, _, _, count = _HEADER.unpack_from(self._incoming)
        end = _HEADER.size + length
        try:
            bare, counts = pickle.loads(memoryview(self._incoming)[_HEADER.size : end])
            fds = [self._incoming_descriptors.popleft() for _ in range(count)]
        except Exception as error:
            raise ChannelGarbled(f"{type(error).__name__}: {error}") from error
        del self._incoming[:end]
        self._received += 1
        return join_descriptors(join_bulk(bare, self._take_bulk()), fds, counts)

    def _look_elsewhere(self, file: tuple[int, ...]) -> None:
        """There, or nowhere."""
        if self._aside_in is not None:
            self._aside_in.close()
        self._aside_in = AsideReader(file[0]) if file else None
        self._look_aside()

    def _look_aside(self) -> None:
        if self._aside_in is not None:
            self._aside_in.look()

    def _next_laid_down(self) -> Reads | None:
        """None, too, if what was sent before it has not come yet."""
        aside = self._aside_in
        if aside is None or len(aside.untaken) < _HEADER.size:
            return None
        length, _, place, _ = _HEADER.unpack_from(aside.untaken)
        end = _HEADER.size + length
        if len(aside.untaken) < end or self._received < place:
            return None
        try:
            return Reads.unpack(aside.take(end)[_HEADER.size :])
        except Exception as error:
            raise ChannelGarbled(f"{type(error).__name__}: {error}") from error

    def _take_bulk(self) -> bytes | bytearray:
        data, self._bulk, self._bulk_filled = self._bulk, None, 0
        self._begin_bulk()  # of the next frame, which may have come along
        return data.obj if data is not None else b""  # type: ignore[return-value]


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
