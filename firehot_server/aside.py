"""What one end of a channel lays down beside it: the other end is not woken, and takes it when it looks.

To wake another process takes longer than all else that there is to telling it something; an import tells hundreds of
things that nobody has to act upon at once. They are written one after the other to a file without a name, which both
ends have open. So they outlive the process that has written them, however it ends. Linux only.
"""

from __future__ import annotations

import os
import resource
from typing import Final

# Where no more than so many files may be open, in the peer as here, there is none to spare for this. If the peer could
# not take it, that would be the end of the channel.
_FEW_FILES: Final = 128


class AsideWriter:
    """The end that lays down.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            # A temporary file would be an event of the import that is being watched.
            raise OSError("this system has no files without a name")
        if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _FEW_FILES:
            raise OSError("hardly any more files may be open")
        self.fd = os.memfd_create("firehot-aside")
        self.size = 0
        """Bytes of what was laid down whole."""

    def write(self, data: bytes) -> None:
        """Lay this down.

        Raises:
            OSError: there is no room. What is there of it stays there, and nothing may be laid down after it.
        """
        written = os.write(self.fd, data)
        if written < len(data):
            raise OSError(f"{written} of {len(data)} bytes were written")
        self.size += written

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)


class AsideReader:
    """The end that looks.

    Args:
        fd: the same file; it is closed with this.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.untaken = bytearray()
        """What was seen, and was not taken yet."""
        self.taken = 0
        """Bytes."""

    @property
    def seen(self) -> int:
        """Bytes."""
        return self.taken + len(self.untaken)

    def look(self) -> None:
        """See what was laid down since the last time."""
        self.untaken += os.pread(self.fd, max(os.fstat(self.fd).st_size - self.seen, 0), self.seen)

    def take(self, size: int) -> bytes:
        """The first bytes of what was seen."""
        data = bytes(self.untaken[:size])
        del self.untaken[:size]
        self.taken += size
        return data

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)
