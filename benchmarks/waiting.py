"""The memory of a server's processes that only wait. Read from /proc: elsewhere nothing is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .processes import PROC, descendants, descriptors, listening_sockets, private_kilobytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Waiting:
    """The processes below a server that do not accept: how many, and the memory that each has for itself, summed."""

    processes: int
    megabytes: float


def examine(pid: int, port: int, proc: Path = PROC) -> Waiting | None:
    """What waits below the server `pid` that listens on `port`; None where that cannot be told."""
    listening = listening_sockets(port, proc)
    if not listening:
        return None
    waiting = [child for child in descendants(pid, proc) if listening.isdisjoint(descriptors(child, proc))]
    sizes = [private_kilobytes(child, proc) for child in waiting]
    alive = [size for size in sizes if size is not None]
    return Waiting(len(alive), sum(alive) / 1024)
