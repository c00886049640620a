"""Ending a process together with the processes that it started."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

# How long the kernel may take to end processes that it was told to kill, in seconds.
_KILL_SECONDS = 1.0


def below(pid: int) -> list[psutil.Process]:
    """The process and all its descendants, parents first; empty if it is gone.

    A `psutil.Process` knows when it was started, so a recycled process id is never taken for it.
    """
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def started_by(parents: Iterable[int], processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those that one of the parents has started itself, and that are still there."""
    parents = set(parents)
    return {process for process in processes if _parent_of(process) in parents}


def _parent_of(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def terminate(processes: Iterable[psutil.Process]) -> None:
    """Ask each to end (SIGTERM)."""
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            pass  # gone, or of another user


def kill_after(processes: list[psutil.Process], deadline: float) -> None:
    """Kill (SIGKILL) what still lives at the deadline (`time.monotonic()`), and what that has started meanwhile."""
    _, alive = psutil.wait_procs(processes, max(deadline - time.monotonic(), 0))
    late = {member for process in alive for member in below(process.pid)} | set(alive)
    for process in late:
        try:
            process.kill()
        except psutil.Error:
            pass  # gone, or of another user
    psutil.wait_procs(late, _KILL_SECONDS)
