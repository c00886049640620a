"""What a worker is doing, kept where the supervisor can read it when the worker can tell nothing any more.

A file without a name, in slots of one size: each notice is one write, and one more takes it down. A worker that blocks
in native code, or was killed, has said by then what it was doing.
"""

from __future__ import annotations

import os
import tempfile

# Bytes; what is longer is cut off.
_SLOT = 256


class NoticeBoard:
    """The writer's end. It is closed when the process ends.

    Raises:
        OSError: no such file can be made.
    """

    def __init__(self) -> None:
        self._fd = _nameless_file()
        self._free: list[int] = []
        self._slots = 0

    def put_up(self, text: str) -> int:
        """Add a notice; its slot, for `take_down`."""
        if not self._free:
            self._free.append(self._slots)
            self._slots += 1
        slot = self._free.pop()
        self._write(slot, text.encode(errors="replace")[:_SLOT])
        return slot

    def take_down(self, slot: int) -> None:
        """Remove a notice."""
        self._write(slot, b"")
        self._free.append(slot)

    def share(self) -> int:
        """A descriptor for the reader."""
        return os.dup(self._fd)

    def _write(self, slot: int, data: bytes) -> None:
        os.pwrite(self._fd, data.ljust(_SLOT, b"\0"), slot * _SLOT)


def read_notices(fd: int) -> list[str]:
    """What the board has at this moment, in no order that matters."""
    size = os.fstat(fd).st_size
    slots = [os.pread(fd, _SLOT, start).rstrip(b"\0") for start in range(0, size, _SLOT)]
    return [slot.decode(errors="replace") for slot in slots if slot]


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("firehot-notices")
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())
