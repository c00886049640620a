"""The audit: may this process fork, or has an import left something behind that a copy would break?

Threads do not survive a fork, and two processes that share a socket, a pipe, an event loop or a device disturb each
other. What is known to handle forks by itself is allowed by name.
"""

from __future__ import annotations

import _thread
import fcntl
import gc
import os
import signal
import stat
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firehot_server.discovery.processors import usable_processors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

# These libraries re-create their thread pool in the child (pthread_atfork).
FORK_SAFE_LIBRARIES = ("openblas",)
# Copies that share one of these do not disturb each other: each write goes to the end.
_APPENDED = "a file for appending"
# Those that only read it share the position in it, which matters to who reads on, not to who has read.
_READ = "a file for reading"

# What decides the size of such a pool, before the number of processors does.
_POOL_SIZES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")

# A suspicious module is looked at again, so often, and each time after so much longer (seconds).
_ATTEMPTS = 5
_ATTEMPT_SECONDS = 0.01

_ANONYMOUS = {
    "anon_inode:[eventpoll]": "an event loop",
    "anon_inode:[io_uring]": "an io_uring",
    "anon_inode:inotify": "a file watcher",
    "anon_inode:[eventfd]": "an event descriptor",
    "anon_inode:[timerfd]": "a timer",
    "anon_inode:[signalfd]": "a signal descriptor",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a process holds that a fork would share or lose."""

    native_threads: int
    python_threads: tuple[str, ...]
    descriptors: dict[int, str]
    """Number → what it is, for people ("a socket")."""

    @classmethod
    def take(cls, ours: Collection[int] = ()) -> Snapshot:
        """Look at this process, now.

        Args:
            ours: descriptors that belong to this package.
        """
        return cls(
            native_threads=count_native_threads(),
            python_threads=tuple(t.name for t in threading.enumerate() if t is not threading.main_thread()),
            descriptors={fd: kind for fd, kind in _open_descriptors().items() if fd not in ours},
        )


class Auditor:
    """Compares the process with itself, from one check to the next.

    Example:
        ```python
        auditor = Auditor()
        import grpc
        for finding in auditor.check():
            print(f"grpc cannot be preloaded: {finding}")
        ```
    """

    def __init__(self) -> None:
        self._last = Snapshot.take()
        self._pools = _count_fork_safe_pools()

    def check(self) -> tuple[str, ...]:
        """What appeared since the last check that forbids a fork; empty when it is safe."""
        before, self._last = self._last, Snapshot.take()
        allowed = self._newly_allowed(before)
        for attempt in range(_ATTEMPTS):
            found = findings(before, self._last, allowed_threads=allowed)
            if not found:
                break
            # A joined thread needs a moment to leave the kernel, and a dropped socket may wait for the collector.
            gc.collect()
            time.sleep(_ATTEMPT_SECONDS * attempt)
            self._last = Snapshot.take()
        return found

    def _newly_allowed(self, before: Snapshot) -> int:
        """How many threads the pools hold that were loaded since they were last counted."""
        if self._last.native_threads <= before.native_threads:
            return 0  # spares reading the memory map, the costly part of a check
        known, self._pools = self._pools, _count_fork_safe_pools()
        return (self._pools - known) * _threads_per_pool()


class PauseAuditor:
    """The same of a process in the middle of importing project code, which is not given a second look: what it has open
    at this moment it may have closed at the next.

    Args:
        ours: the descriptors that belong to this package, at the moment of the question.
    """

    def __init__(self, ours: Callable[[], Collection[int]]) -> None:
        self._ours = ours
        self.rebase()

    def rebase(self) -> None:
        """This process is a copy now: take what it has for given."""
        self._first = Snapshot.take(self._ours())
        self._pools = _count_fork_safe_pools()
        self._shared = _shared_memory()

    def check(self) -> tuple[str, ...]:
        """What there is, beyond what was given, that forbids a fork; empty when it is safe."""
        now = Snapshot.take(self._ours())
        allowed = 0
        if now.native_threads > self._first.native_threads:
            allowed = (_count_fork_safe_pools() - self._pools) * _threads_per_pool()
        found = findings(self._first, now, allowed_threads=allowed, harmless=frozenset({_APPENDED}))
        return (*found, *self._other_findings())

    def _other_findings(self) -> Iterator[str]:
        if _shared_memory() - self._shared:
            yield "it left memory that is shared between processes"
        yield from _process_findings()


def _process_findings() -> Iterator[str]:
    if _has_children():
        yield "it left a child process running"
    if any(signal.getitimer(timer)[0] for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)):
        yield "it left a timer running"


def _has_children() -> bool:
    wait = getattr(os, "waitid", None)  # macOS has it from Python 3.13 on
    if wait is None:
        return False
    try:
        wait(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _shared_memory() -> frozenset[bytes]:
    """Addresses of memory that copies would share, and which may have no descriptor: maps, locks, semaphores."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            return frozenset(line.split(maxsplit=1)[0] for line in maps if b" rw-s " in line)
    except OSError:
        return frozenset()


def findings(
    before: Snapshot,
    after: Snapshot,
    *,
    allowed_threads: int,
    harmless: Collection[str] = frozenset({_APPENDED, _READ}),
) -> tuple[str, ...]:
    """What appeared between two snapshots that forbids a fork. Pure.

    Args:
        allowed_threads: native threads that belong to newly loaded pools which survive forks.
        harmless: kinds of descriptors that copies may share.
    """
    found = [f"it left a thread running ({name})" for name in _added(before, after)]
    started = (after.native_threads - len(after.python_threads)) - (before.native_threads - len(before.python_threads))
    if started > allowed_threads:
        found.append(f"it left {started - allowed_threads} native thread(s) running")
    for fd, kind in after.descriptors.items():
        if before.descriptors.get(fd) != kind and kind not in harmless:
            found.append(f"it left {kind} open")
    return tuple(dict.fromkeys(found))


def _added(before: Snapshot, after: Snapshot) -> list[str]:
    remaining = list(before.python_threads)
    added = []
    for name in after.python_threads:
        if name in remaining:
            remaining.remove(name)
        else:
            added.append(name)
    return added


def count_native_threads() -> int:
    """Threads of this process, those that the interpreter does not know of included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        # No /proc (macOS): only the threads that the interpreter started can be counted.
        return 1 + _thread._count()


def _count_fork_safe_pools() -> int:
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return 0
    libraries = {line.rpartition("/")[2] for line in maps.splitlines() if ".so" in line}
    return sum(any(known in library for known in FORK_SAFE_LIBRARIES) for library in libraries)


def _threads_per_pool() -> int:
    """Beside the main thread, which works along."""
    for name in _POOL_SIZES:
        if os.environ.get(name, "").isdecimal():
            return max(int(os.environ[name]) - 1, 0)
    return max(usable_processors() - 1, 0)


def _open_descriptors() -> dict[int, str]:
    """Descriptors above stderr that a copy would share, by what they are."""
    kinds = {}
    for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"):
        fd = int(name)
        if fd > 2 and (kind := _kind(fd)):
            kinds[fd] = kind
    return kinds


def _kind(fd: int) -> str | None:
    try:
        status = os.fstat(fd)
        mode = status.st_mode
        if stat.S_ISSOCK(mode):
            return "a socket"
        if stat.S_ISFIFO(mode):
            return "a pipe"
        if stat.S_ISCHR(mode):
            return _device(fd, status)
        if stat.S_ISREG(mode):
            return _file(fd)
        return _ANONYMOUS.get(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return None  # closed since it was listed (the listing's own descriptor is one)


def _device(fd: int, status: os.stat_result) -> str | None:
    # /dev/null and the random devices hold no state; a terminal is shared by every process anyway.
    harmless = {os.stat(path).st_rdev for path in ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")}
    return None if status.st_rdev in harmless or os.isatty(fd) else "a device"


def _file(fd: int) -> str:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return _READ
    return _APPENDED if flags & os.O_APPEND else "a file for writing"
