"""The template: a fresh interpreter that imports third-party modules, then waits and forks on request."""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firehot_server import lifeline
from firehot_server.channel import Channel
from firehot_server.discovery.origin import Origins
from firehot_server.errors import ChannelClosed
from firehot_server.location import PACKAGE
from firehot_server.messages import (
    DEFERRED_SIGNALS,
    IGNORED_SIGNALS,
    Configure,
    Exited,
    Extend,
    Extended,
    Fork,
    Forked,
    Message,
    Preload,
    Preloaded,
    Preloading,
)
from firehot_server.output import flush_output
from firehot_server.template.preload import preload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# How long the supervisor may take to read what it has to know at once, in seconds.
_SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What a forked worker knows at birth."""

    channel: Channel
    configure: Configure
    preloaded: frozenset[str]
    """The names in `sys.modules` when the template forked."""
    origins: Origins
    dispositions: Mapping[signal.Signals, Any]
    """Signal → what the template inherited for it (`signal.getsignal`)."""
    folder: str
    """The working directory that the template was started in."""
    env_file_error: str | None = None
    """Why the environment is not what it should be; no app is imported then."""


def main(channel_fd: int, lifeline_fd: int, worker: str) -> None:
    """Run the template; never returns.

    Args:
        worker: the module whose `run` forked copies call.
    """
    lifeline.tie(lifeline_fd)
    dispositions = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED_SIGNALS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED_SIGNALS)  # blocked since before this process was spawned
    # Here, where nothing but the interpreter's own path is importable yet: the server stack of a cold start, too, is
    # imported before the project's folder can shadow a name.
    run = importlib.import_module(worker).run
    run(Template(Channel.from_descriptor(channel_fd), lifeline_fd, dispositions).run())


class Template:
    """The waiting process. `run()` returns in forked workers only."""

    def __init__(self, channel: Channel, lifeline_fd: int, dispositions: Mapping[signal.Signals, Any]) -> None:
        self._channel = channel
        self._lifeline_fd = lifeline_fd
        self._dispositions = dispositions
        self._folder = _working_directory()
        self._configure = Configure((), (), b"", "")
        self._origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
        self._wakeup = _ChildWakeup()
        self._inbox: deque[Message] = deque()
        self._env_file_error: str | None = None
        self._preloaded = frozenset(sys.modules)

    def run(self) -> WorkerJob:
        """Answer the supervisor until it is gone; in a forked worker, return its job."""
        try:
            for message in self._messages():
                job = self._answer(message)
                if job is not None:
                    return job
        except ChannelClosed:
            pass
        os._exit(0)

    def _messages(self) -> Iterator[Message]:
        while True:
            self._wakeup.wait(self._channel)
            self._channel.flush()
            self._report_exits()
            self._inbox += self._channel.receive_available()
            while self._inbox:
                yield self._inbox.popleft()
            if self._channel.at_eof:
                return

    def _answer(self, message: Message) -> WorkerJob | None:
        match message:
            case Configure():
                self._take_over(message)
            case Preload():
                self._preload(message.modules)
            case Extend():
                self._extend(message)
            case Fork():
                return self._fork_worker()
            case _:
                raise AssertionError(message)
        return None

    def _take_over(self, message: Configure) -> None:
        self._configure = message
        sys.path[:] = message.sys_path
        sys.argv[:] = message.argv
        self._env_file_error = None
        if message.env_file:
            self._load_env_file(message.env_file)

    def _load_env_file(self, path: str) -> None:
        from dotenv import load_dotenv

        try:
            load_dotenv(path)
        except (OSError, ValueError) as error:  # ValueError: not UTF-8
            self._env_file_error = f"{path} cannot be loaded: {error}"

    def _preload(self, modules: tuple[str, ...]) -> None:
        collecting = gc.isenabled()
        gc.disable()  # imports make garbage for the next process only; freezing below settles what stays
        try:
            skipped = preload(modules, self._announce, self._origins.is_first_party)
        finally:
            if collecting:
                gc.enable()
        # Else every copy would have to tell hundreds of finders that the folders they have listed may have changed.
        sys.path_importer_cache.clear()
        self._preloaded = frozenset(sys.modules)
        # What is alive now lives as long as the process: keep the collector, and with it the writes to these pages,
        # away from it in every copy. Without a collection first: large packages take 0.2 s, and leave next to nothing.
        gc.freeze()
        self._wakeup.arm()
        self._send(Preloaded(skipped, len(sys.modules)))

    def _fork_worker(self) -> WorkerJob | None:
        pid, channel, ends = self._fork()
        if pid:
            self._send(Forked(pid, channel=ends[:1], lifeline=ends[1:]))
            return None
        return WorkerJob(
            channel,
            self._configure,
            self._preloaded,
            self._origins,
            self._dispositions,
            self._folder,
            self._env_file_error,
        )

    def _extend(self, message: Extend) -> None:
        pid, channel, ends = self._fork()
        if pid:
            self._send(Extended(pid, channel=ends[:1], lifeline=ends[1:]))
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        self._channel = channel
        self._wakeup = _ChildWakeup()
        self._inbox.clear()  # what came together with this was asked of the original
        self._preload(message.modules)

    def _fork(self) -> tuple[int, Channel, tuple[int, ...]]:
        """Fork; (pid, unused, the supervisor's ends) in the parent, (0, its channel, ()) in the child.

        The child has `IGNORED_SIGNALS` blocked.
        """
        ours, theirs = Channel.pair()
        read_end, write_end = lifeline.create()
        flush_output()
        # A signal that comes before the copy has its own dispositions is kept for then.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            ours.close()
            os.close(read_end)
            return pid, ours, (theirs.detach(), write_end)
        theirs.close()
        os.close(write_end)
        lifeline.tie(read_end)
        self._channel.close()
        self._wakeup.close()
        os.close(self._lifeline_fd)
        self._lifeline_fd = read_end
        return 0, ours, ()

    def _report_exits(self) -> None:
        for pid, status in _reap():
            self._send(Exited(pid, status))

    def _send(self, message: Message) -> None:
        """Without waiting: whoever listens may be busy elsewhere, for as long as it likes."""
        self._channel.send(message)

    def _announce(self, message: Preloading) -> None:
        """It must be known before the import, which may end this process."""
        self._channel.send(message)
        self._channel.flush_within(_SEND_SECONDS)


class _ChildWakeup:
    """Wakes the template when a child ends: the signal handler only writes to a pipe."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self.arm()

    def arm(self) -> None:
        """(Again) be told of ended children; a preloaded module may have taken the handler for itself."""
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def wait(self, channel: Channel) -> None:
        """Until the channel has something to read, takes what it did not take before, or a child has ended."""
        poll = select.poll()
        poll.register(channel, select.POLLIN | (select.POLLOUT if channel.wants_write else 0))
        poll.register(self._read_end, select.POLLIN)
        poll.poll()
        try:
            os.read(self._read_end, 512)
        except BlockingIOError:
            pass  # it was the channel

    def close(self) -> None:
        """Stop waking, in a forked copy."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._read_end)
        os.close(self._write_end)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return os.sep


def _reap() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status
