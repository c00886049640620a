"""What a server's processes hold, summed. Read from /proc: elsewhere nothing is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..processes import PROC, children, descendants, descriptors, private_kilobytes, state

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process, or of several together; the memory is what each has for itself."""

    processes: int
    threads: int
    descriptors: int
    megabytes: float


@dataclass(frozen=True, slots=True)
class Resources:
    """Of the process that was started, of those that it started itself (ours: the template), and of all."""

    first: Usage
    second: Usage
    all: Usage
    zombies: int


def examine(pid: int, proc: Path = PROC) -> Resources | None:
    """All at and below the process `pid`; None where that cannot be told."""
    if not state(pid, proc):
        return None
    everything = [pid, *descendants(pid, proc)]
    return Resources(
        first=_usage([pid], proc),
        second=_usage(list(children(pid, proc)), proc),
        all=_usage(everything, proc),
        zombies=sum(state(each, proc) == "Z" for each in everything),
    )


def _usage(pids: Iterable[int], proc: Path) -> Usage:
    sizes = {pid: size for pid in pids if (size := private_kilobytes(pid, proc)) is not None}
    return Usage(
        processes=len(sizes),
        threads=sum(len(list((proc / str(pid) / "task").glob("*"))) for pid in sizes),
        descriptors=sum(len(list(descriptors(pid, proc))) for pid in sizes),
        megabytes=sum(sizes.values()) / 1024,
    )
