"""Processes as /proc shows them. Elsewhere there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")

_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""


def descendants(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Every process below this one: a child belongs to the thread that forked it."""
    for child in children(pid, proc):
        yield child
        yield from descendants(child, proc)


def children(pid: int, proc: Path = PROC) -> Iterator[int]:
    """The processes that it has forked and not reaped."""
    for task in entries(proc / str(pid) / "task"):
        yield from map(int, read(task / "children").split())


def descriptors(pid: int, proc: Path = PROC) -> Iterator[str]:
    """What each of its descriptors stands for, such as `socket:[4242]`."""
    for descriptor in entries(proc / str(pid) / "fd"):
        try:
            yield str(descriptor.readlink())
        except OSError:
            pass  # it was closed, or its process has ended


def listening_sockets(port: int, proc: Path = PROC) -> set[str]:
    """The sockets that accept connections to this port, as `descriptors` names them."""
    found = set()
    for line in read(proc / "net" / "tcp").splitlines()[1:]:
        _, address, _, state, *_, inode = line.split()[:10]
        if state == _LISTENING and int(address.rpartition(":")[2], 16) == port:
            found.add(f"socket:[{inode}]")
    return found


def is_alive(pid: int, proc: Path = PROC) -> bool:
    """It exists, and is no zombie."""
    return state(pid, proc) not in ("", "Z")


def state(pid: int, proc: Path = PROC) -> str:
    """The letter that /proc has for what it does, such as `R`, `S`, `T` and `Z`; empty when it has ended."""
    return read(proc / str(pid) / "stat").rpartition(")")[2].strip()[:1]


def private_kilobytes(pid: int, proc: Path = PROC) -> int | None:
    """Memory that is this process's alone; None when it has ended, be it a zombie."""
    lines = read(proc / str(pid) / "smaps_rollup").splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))]
    return sum(sizes) if sizes else None


def entries(folder: Path) -> list[Path]:
    """Of a folder; none, where there is none any more."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def read(path: Path) -> str:
    """Its text; empty, where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
