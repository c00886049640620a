"""The supervisor's handles on its processes: the templates that it spawned and the workers forked from them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firehot_server import clean, lifeline
from firehot_server.channel import Channel
from firehot_server.messages import IGNORED_SIGNALS
from firehot_server.supervisor.ending import ending

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

SERVING = "firehot_server.worker.serving"
"""A template's workers serve the app."""
CALLING = "firehot_server.worker.calling"
"""A template's workers run one function each."""

# How long the kernel may take to end a process that it was told to kill, in seconds.
_REAP_SECONDS = 5.0
# How long a process that has closed its channel may take to be gone, in seconds.
_EXIT_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Process:
    """A process at the other end of a control channel."""

    pid: int
    channel: Channel
    lifeline: int

    @property
    def is_cut(self) -> bool:
        """It was told to end."""
        return self.lifeline < 0

    def cut(self) -> None:
        """End it now, whatever it does (SIGKILL by way of its lifeline)."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def close(self) -> None:
        """Let go of a process that has ended; ends it if it has not."""
        self.cut()
        self.channel.close()


@dataclass(slots=True, eq=False)
class WaitingProcess(Process):
    """A process that waits to be forked, and reaps what was forked of it."""

    workers: set[int] = field(default_factory=set)
    """Process ids of the children that it has to reap."""
    retired: bool = False
    """It forks no more, and ends when its last worker has."""


@dataclass(slots=True, eq=False)
class TemplateProcess(WaitingProcess):
    """A template, spawned or extended from one."""

    popen: subprocess.Popen[bytes] | None = None
    """None: forked from another template, which reaps it."""
    preloading: str | None = None
    """The module that it is importing now."""

    def end(self) -> str:
        """End the process for certain, and reap it; how it ended, in words."""
        if self.popen is None:
            self.cut()
            return "ended"
        if self.channel.at_eof:
            # It ends by itself: how it does is worth knowing. A moment, for it closed its channel before it was gone.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_EXIT_SECONDS)
        self.cut()
        if self.popen.poll() is None:
            self.popen.kill()  # its lifeline may not be tied yet
        try:
            status = self.popen.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return "cannot be ended"
        return ending(-status if status < 0 else status << 8)

    def disown(self) -> None:
        """Close what this process has of it, a copy (by fork) of the process that it belongs to."""
        self.close()
        if self.popen is not None:
            self.popen.returncode = 0  # no child of this process, which must not wait for it


@dataclass(slots=True, eq=False)
class WorkerProcess(Process):
    """A worker, or a stand-by that may become one."""

    number: int = 0
    """The state machine's name for it; 0 for a stand-by."""
    parent: WaitingProcess | None = None
    """Of which it was forked, and which reports how it ends."""
    is_leaving: bool = False
    """It has begun to end, perhaps by itself."""
    notices: int = -1
    """Where the request lines of what it is running can be read; -1: nowhere."""
    origin: str = ""
    """The checkpoint of which it was forked, for people; empty: the template."""
    has_begun: bool = False
    """It has said that it knows what to be."""

    def close(self) -> None:
        # As a function: `slots` has made another class of this one.
        Process.close(self)
        if self.notices >= 0:
            os.close(self.notices)
            self.notices = -1


def spawn_template(environment: Mapping[str, str], worker: str = SERVING) -> TemplateProcess:
    """Start a clean interpreter: the same executable, flags and warning options, nothing of this process's state.

    Args:
        worker: what its forked copies are for, `SERVING` or `CALLING`.

    Raises:
        OSError: no process can be started.
    """
    ours, theirs = Channel.pair()
    read_end, write_end = lifeline.create()
    command = clean.command("firehot_server.template.process", str(theirs.fileno()), str(read_end), worker)
    # Inherited: a Ctrl-C before the template can ignore it must neither end it nor print a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        popen = subprocess.Popen(command, env=dict(environment), pass_fds=(theirs.fileno(), read_end))
    except OSError:
        ours.close()
        os.close(write_end)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        os.close(read_end)
    return TemplateProcess(popen.pid, ours, write_end, popen=popen)


def duplicate_sockets(sockets: list[socket.socket]) -> tuple[int, ...]:
    """Descriptors to send away, since a channel closes what it has sent.

    Raises:
        OSError: this process has too many files open.
    """
    with contextlib.ExitStack() as undo:
        duplicates = []
        for sock in sockets:
            duplicates.append(os.dup(sock.fileno()))
            undo.callback(os.close, duplicates[-1])
        undo.pop_all()
    return tuple(duplicates)
