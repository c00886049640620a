"""The template: a fresh interpreter that imports third-party modules, then waits and forks on request."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
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
    Extend,
    Extended,
    Fork,
    Message,
    Preload,
    Preloaded,
    Preloading,
    Refused,
)
from firehot_server.stamps import Stamps
from firehot_server.template.preload import preload
from firehot_server.ties import Ties
from firehot_server.waiting import Waiting, ignore_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long the supervisor may take to read what it has to know at once, in seconds.
_SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """What a forked worker knows at birth."""

    ties: Ties
    configure: Configure
    preloaded: frozenset[str]
    """The names in `sys.modules` when the template forked."""
    stamps: Stamps
    origins: Origins
    dispositions: Mapping[signal.Signals, Any]
    """Signal → what the template inherited for it (`signal.getsignal`)."""
    folder: str
    """The working directory that the template was started in."""
    env_file_error: str | None = None
    """Why the environment is not what it should be; no app is imported then."""


def main(channel: str, lifeline_end: str, worker: str) -> None:
    """Run the template; never returns.

    Args:
        channel: descriptor of its end of the control channel.
        lifeline_end: descriptor of its end of its lifeline.
        worker: the module whose `run` forked copies call.
    """
    channel_fd, lifeline_fd = int(channel), int(lifeline_end)
    lifeline.tie(lifeline_fd)
    dispositions = ignore_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED_SIGNALS)  # blocked since before this process was spawned
    # Here, where nothing but the interpreter's own path is importable yet: the server stack of a cold start, too, is
    # imported before the project's folder can shadow a name.
    stamps = Stamps()
    run = importlib.import_module(worker).run
    run(Template(Ties(Channel.from_descriptor(channel_fd), lifeline_fd), dispositions, stamps).run())


class Template:
    """The waiting process. `run()` returns in forked workers only."""

    def __init__(self, ties: Ties, dispositions: Mapping[signal.Signals, Any], stamps: Stamps) -> None:
        self._ties = ties
        self._dispositions = dispositions
        self._stamps = stamps
        self._folder = _working_directory()
        self._configure = Configure((), (), b"", "")
        self._origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
        self._waiting = Waiting(ties)
        self._env_file_error: str | None = None
        self._preloaded = frozenset(sys.modules)

    def run(self) -> WorkerJob:
        """Answer the supervisor until it is gone; in a forked worker, return its job."""
        try:
            for message in self._waiting.orders():
                if self._answer(message):
                    return self._job()
        except ChannelClosed:
            pass
        os._exit(0)

    def _answer(self, message: Message) -> bool:
        """True in a forked worker."""
        match message:
            case Configure():
                self._take_over(message)
            case Preload():
                self._preload(message.modules)
            case Extend():
                self._extend(message)
            case Fork():
                return self._waiting.fork(message)
            case _:
                raise AssertionError(message)
        return False

    def _job(self) -> WorkerJob:
        return WorkerJob(
            self._ties,
            self._configure,
            self._preloaded,
            self._stamps,
            self._origins,
            self._dispositions,
            self._folder,
            self._env_file_error,
        )

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
            skipped, looked = preload(modules, self._announce, self._origins.is_first_party)
        finally:
            if collecting:
                gc.enable()
        # Else every copy would have to tell hundreds of finders that the folders they have listed may have changed.
        sys.path_importer_cache.clear()
        self._preloaded = frozenset(sys.modules)
        # What is alive now lives as long as the process: keep the collector, and with it the writes to these pages,
        # away from it in every copy. Without a collection first: large packages take 0.2 s, and leave next to nothing.
        gc.freeze()
        self._waiting.rearm()
        self._waiting.send(Preloaded(skipped, len(sys.modules), looked, self._stamps.since_mark()))
        self._stamps.mark()

    def _extend(self, message: Extend) -> None:
        try:
            offspring = self._ties.fork()
        except OSError as error:
            self._waiting.send(Refused(str(error), was_extending=True))
            return
        if offspring is not None:
            self._waiting.send(Extended(offspring.pid, channel=(offspring.channel,), lifeline=(offspring.lifeline,)))
            return
        self._waiting.begin_anew()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        self._preload(message.modules)

    def _announce(self, message: Preloading) -> None:
        """It must be known before the import, which may end this process."""
        self._waiting.send(message)
        self._ties.channel.flush_within(_SEND_SECONDS)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return os.sep
