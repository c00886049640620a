"""How the processes talk: framed messages and file descriptors over a UNIX stream socket.

A frame is a header (length of the body, length of the bulk, number of descriptors), a pickled message, and its bulk.
Descriptors ride with the frame's first byte over SCM_RIGHTS. Both ends run the same version of this package, on the
same machine, so pickle is as safe as the fork itself.
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

from firehot_server.errors import ChannelClosed, ChannelGarbled, Deadline
from firehot_server.messages import Message, join_bulk, join_descriptors, split_bulk, split_descriptors

_HEADER = struct.Struct("!QQH")
_READ_SIZE = 1 << 18
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
        self._eof = False

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

    def detach(self) -> int:
        """Give up the descriptor, for sending it elsewhere."""
        return self._socket.detach()

    def close(self) -> None:
        """Close this end, and every descriptor that arrived or was to leave unclaimed."""
        self._socket.close()
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
        self._outgoing.append((memoryview(_HEADER.pack(len(body), len(data), len(fds)) + body), fds))
        if data:
            self._outgoing.append((memoryview(data), ()))
        self.flush()

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
        return list(iter(self._next_frame, None))

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
        while (message := self._next_frame()) is None:
            if self._eof:
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
            size = 0
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
        length, size, _ = _HEADER.unpack_from(self._incoming)
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

    def _next_frame(self) -> Message | None:
        if len(self._incoming) < _HEADER.size:
            return None
        length, size, count = _HEADER.unpack_from(self._incoming)
        end = _HEADER.size + length
        if len(self._incoming) < end or self._bulk_filled < size:
            return None
        try:
            bare, counts = pickle.loads(memoryview(self._incoming)[_HEADER.size : end])
            fds = [self._incoming_descriptors.popleft() for _ in range(count)]
        except Exception as error:
            raise ChannelGarbled(f"{type(error).__name__}: {error}") from error
        del self._incoming[:end]
        return join_descriptors(join_bulk(bare, self._take_bulk()), fds, counts)

    def _take_bulk(self) -> bytes | bytearray:
        data, self._bulk, self._bulk_filled = self._bulk, None, 0
        self._begin_bulk()  # of the next frame, which may have come along
        return data.obj if data is not None else b""  # type: ignore[return-value]


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
