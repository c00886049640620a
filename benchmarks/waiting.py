"""The memory of a server's processes that only wait. Read from /proc: elsewhere nothing is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


@dataclass(frozen=True)
class Waiting:
    """The processes below a server that do not accept: how many, and the memory that each has for itself, summed."""

    processes: int
    megabytes: float


def examine(pid: int, port: int, proc: Path = Path("/proc")) -> Waiting | None:
    """What waits below the server `pid` that listens on `port`; None where that cannot be told."""
    listening = _listening_sockets(port, proc)
    if not listening:
        return None
    waiting = [child for child in _descendants(pid, proc) if not _sockets(child, proc) & listening]
    sizes = [_private_kilobytes(child, proc) for child in waiting]
    alive = [size for size in sizes if size is not None]
    return Waiting(len(alive), sum(alive) / 1024)


def _listening_sockets(port: int, proc: Path) -> set[str]:
    found = set()
    for line in _read(proc / "net" / "tcp").splitlines()[1:]:
        _, address, _, state, *_, inode = line.split()[:10]
        if state == _LISTENING and int(address.rpartition(":")[2], 16) == port:
            found.add(f"socket:[{inode}]")
    return found


def _descendants(pid: int, proc: Path) -> Iterator[int]:
    """Every process below this one: a child belongs to the thread that forked it."""
    for task in (proc / str(pid) / "task").glob("*"):
        for child in map(int, _read(task / "children").split()):
            yield child
            yield from _descendants(child, proc)


def _sockets(pid: int, proc: Path) -> set[str]:
    found = set()
    for descriptor in (proc / str(pid) / "fd").glob("*"):
        try:
            found.add(str(descriptor.readlink()))
        except OSError:
            pass  # it was closed, or its process has ended
    return found


def _private_kilobytes(pid: int, proc: Path) -> int | None:
    """Memory that is this process's alone; None when it has ended, be it a zombie."""
    lines = _read(proc / str(pid) / "smaps_rollup").splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))]
    return sum(sizes) if sizes else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
