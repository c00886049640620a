"""The processes of one environment, as their caller has them: templates, running calls, and their end."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from firehot_server.engine.family import Family, Line
from firehot_server.engine.package_preloads import PackagePreloads
from firehot_server.engine.pump import Pump
from firehot_server.errors import Deadline, EnvironmentEnded
from firehot_server.logs import logger
from firehot_server.messages import Call as CallMessage
from firehot_server.messages import Exited, Raised, Returned, Surroundings
from firehot_server.output import is_open, plug_closed_streams
from firehot_server.supervisor.alarms import Alarms
from firehot_server.supervisor.processes import CALLING, TemplateProcess, WorkerProcess, spawn_template
from firehot_server.supervisor.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psutil

    from firehot_server.config import Settings
    from firehot_server.engine.calls import Call
    from firehot_server.engine.payload import Packed
    from firehot_server.messages import Configure, Message
    from firehot_server.supervisor.memory import Memory

_CLOSED = "this environment is closed"

STOP_SECONDS = 5.0
"""What a process gets between SIGTERM and SIGKILL."""

# How long a template may take to report the end of a worker whose channel is closed, in seconds.
_EXIT_REPORT_SECONDS = 1.0
# How long a process may take to be forked, in seconds.
_BEGIN_SECONDS = 120.0
# How long a process that was told to run a function may take to read its arguments, in seconds.
_SEND_SECONDS = 60.0
# How long the kernel may take to end processes that it was told to kill, in seconds.
_KILL_SECONDS = 5.0
# For the standard streams, a process, and the stand-by that is forked meanwhile: descriptors, with some to spare.
_DESCRIPTORS = 12


class Session:
    """Spawns a template when it is made; `open` tells it what to import.

    Methods may be called from any thread.

    Args:
        configure: the template's first message.
        settings: what is excluded, the deadline of an import, and the template's environment variables.
        memory: what earlier runs found out.

    Raises:
        EnvironmentEnded: no interpreter can be started.
    """

    def __init__(self, configure: Configure, settings: Settings, memory: Memory) -> None:
        self._configure = configure
        self._settings = settings
        self._memory = memory
        self._running: dict[int, Call] = {}
        """By process id; until the process has ended."""
        self._alarms: Alarms[Callable[[], None]] = Alarms()
        self._plugs = plug_closed_streams()
        self._switchboard = Switchboard(logger)
        self._pump = Pump(self._switchboard, self._alarms)
        self._family = Family(self._pump, self._make_line)
        self._ended = ""
        """Why there are no processes any more."""
        self.updating = threading.Lock()
        """For whoever looks at the files: one at a time."""
        _sessions.add(self)
        self._first: TemplateProcess | None = None
        try:
            self._first = self._spawn()
        except BaseException:
            self.abandon()
            raise

    def open(self, imports: Mapping[str, tuple[str, int]]) -> None:
        """Wait until the template has imported these modules (module → file and line of the import).

        Raises:
            EnvironmentEnded: it cannot be started.
        """
        with self._pump:
            self._family.start(imports)

    def update(self, imports: Mapping[str, tuple[str, int]], *, anew: bool) -> bool:
        """See `Family.update`."""
        with self._pump:
            self._catch_up()
            has_changed = self._family.update(imports, anew=anew)
            self._check()
            return has_changed

    # -- calls

    def start(self, call: Call, packed: Packed) -> None:
        """Wait until the call's process has all that it needs to run.

        Raises:
            EnvironmentEnded: there are no processes any more.
            Deadline: the process does not take its arguments.
            OSError: too many files are open.
        """
        with self._pump:
            self._catch_up()
            _check_descriptors()
            numbers, streams = self._standard_streams()
            message = CallMessage(
                _surroundings(), packed.modules, standard=numbers, streams=streams, payload=packed.payload
            )
            self._family.fork(message, functools.partial(self._began, call))
            try:
                self._pump.wait(lambda: call.has_begun or self._is_over(), f"a process for {call.name}", _BEGIN_SECONDS)
                self._check()
                self._pump.wait(lambda: call.has_been_sent, f"{call.name} to take its arguments", _SEND_SECONDS)
            except BaseException:
                call.was_stopped = True
                call.cut()
                self._family.withdraw(message)
                raise

    def wait(self, call: Call, seconds: float | None) -> None:
        """Until the call has answered, or will not.

        Raises:
            Deadline: it has not in time.
            EnvironmentEnded: this is a copy, by fork, of the process that will hear the answer.
        """
        with self._pump:
            self._pump.wait(lambda: call.is_over, f"{call.name} (process {call.pid}) to return", seconds)

    def stop(self, call: Call) -> None:
        """End a call's process and its descendants: SIGTERM, then SIGKILL."""
        from firehot_server.engine import descendants  # psutil: for those who stop something

        if self._is_gone(call):
            return
        processes = descendants.below(call.pid)
        if self._is_gone(call):
            return  # that process id may be another's by now
        call.was_stopped = not call.is_over
        self._end([call], processes)

    def _is_gone(self, call: Call) -> bool:
        with self._pump:
            self._pump.catch_up()
            if self._pump.is_closed and not call.is_over:
                raise EnvironmentEnded(self._ended)
            return call.has_ended or self._pump.is_closed

    # -- the end

    def close(self) -> None:
        """End every process, calls with their descendants; none is left, not even as a zombie."""
        with self._pump:
            if self._ended:
                return
            self._pump.catch_up()
            self._ended = _CLOSED
            running = list(self._running.values())
            for call in running:
                call.was_stopped = not call.is_over
        try:
            if running:
                self._end(running, self._descendants_of(running))
            with self._pump:
                self._family.close()
        except Deadline as error:
            logger.error("%s", error)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """End every process, at once; all who wait are told."""
        with self._pump:
            if self._pump.is_closed:
                return
            self._ended = self._ended or _CLOSED
            for call in list(self._running.values()):
                self._over(call, None)
            self._family.end()
            if self._first is not None:
                self._first.end()
            self._pump.close(self._ended)
        self._unplug()

    def disown(self) -> None:
        """This is a copy, by fork, of the process that owns all this: keep nothing of it open."""
        self._ended = "this environment belongs to the process that this one was forked from"
        self._pump.disown(self._ended)  # first: an epoll's descriptor is its own, but what it watches is shared
        self.updating = threading.Lock()
        for call in self._running.values():
            if call.process is not None:
                call.process.close()
        self._running.clear()
        self._family.disown()
        if self._first is not None:
            self._first.disown()
        self._unplug()

    def _unplug(self) -> None:
        for fd in self._plugs:
            os.close(fd)
        self._plugs = ()
        _sessions.discard(self)

    def _descendants_of(self, running: list[Call]) -> list[psutil.Process]:
        from firehot_server.engine import descendants

        # One walk over all processes for each template, rather than for each of hundreds of workers.
        waiting = self._family.pids()
        orphans = [call.pid for call in running if not self._is_reported(call)]
        found = {process for pid in [*waiting, *orphans] for process in descendants.below(pid)}
        # A stand-by that is forked just now, and has not been told of, is nobody's process yet, and ends with the rest.
        called = {call.pid for call in running}
        unknown = {process for process in descendants.started_by(waiting, found) if process.pid not in called}
        return [process for process in found - unknown if process.pid not in waiting]

    def _end(self, calls: list[Call], processes: list[psutil.Process]) -> None:
        """Without the lock, but where it says: psutil waits, too."""
        from firehot_server.engine import descendants

        deadline = time.monotonic() + STOP_SECONDS
        descendants.terminate(processes)
        self._wait_for_end(calls, STOP_SECONDS)
        with self._pump:
            for call in calls:
                call.cut()
        descendants.kill_after(processes, deadline)
        self._wait_for_end(calls, _KILL_SECONDS)

    def _wait_for_end(self, calls: list[Call], seconds: float) -> None:
        with self._pump:
            try:
                self._pump.wait(lambda: all(call.has_ended for call in calls), "stopped processes to end", seconds)
            except Deadline as error:
                logger.debug("%s", error)

    def _standard_streams(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Which of the standard streams are open, and copies of their descriptors."""
        numbers = tuple(number for number in (0, 1, 2) if number not in self._plugs and is_open(number))
        return numbers, tuple(os.dup(number) for number in numbers)

    # -- all of this with the lock

    def _catch_up(self) -> None:
        self._check()
        self._pump.catch_up()
        self._check()

    def _check(self) -> None:
        if self._is_over():
            raise EnvironmentEnded(self._ended or self._family.hopeless)

    def _is_over(self) -> bool:
        return bool(self._ended or self._family.hopeless)

    def _spawn(self) -> TemplateProcess:
        try:
            return spawn_template(self._settings.environment, CALLING)
        except OSError as error:
            raise EnvironmentEnded(f"No interpreter can be started: {error}.") from error

    def _make_line(self, imports: Mapping[str, tuple[str, int]], is_strict: bool) -> Line:
        first, self._first = self._first, None
        return Line(
            first or self._spawn(),
            self._configure,
            PackagePreloads(self._settings, self._memory, self._configure.sys_path, imports, is_strict=is_strict),
            self._settings,
            self._switchboard,
            self._alarms,
            self._exited,
        )

    def _began(self, call: Call, process: WorkerProcess) -> None:
        call.began(process)
        self._running[process.pid] = call
        self._switchboard.attach(
            process, functools.partial(self._hear, call), functools.partial(self._channel_closed, call)
        )

    def _hear(self, call: Call, message: Message) -> None:
        if isinstance(message, Returned | Raised):
            call.hear(message)
            self._family.answered(call.pid)
        elif call.process is not None and (copy := self._family.hear(call.process, message)) is not None:
            del self._running[call.pid]  # that process waits from now on
            self._began(call, copy)

    def _channel_closed(self, call: Call) -> None:
        assert call.process is not None
        if self._is_reported(call):
            self._alarms.start(functools.partial(self._over, call, None), _EXIT_REPORT_SECONDS)
        else:
            self._over(call, None)

    def _is_reported(self, call: Call) -> bool:
        """Its parent lives, and will tell how it ends."""
        return call.process is not None and self._switchboard.is_attached(call.process.parent)

    def _exited(self, message: Exited) -> None:
        call = self._running.get(message.pid)
        if call is not None and call.process is not None:
            self._switchboard.drain(call.process)
            self._over(call, message.status)

    def _over(self, call: Call, status: int | None) -> None:
        if call.process is not None:
            self._running.pop(call.pid, None)
            by_signal = status is not None and os.WIFSIGNALED(status)
            self._family.ended(call.pid, was_killed=by_signal and not call.is_over and not call.was_stopped)
            self._switchboard.release(call.process)
            call.ended(status)


def _surroundings() -> Surroundings:
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        folder = ""  # it was removed
    return Surroundings(folder, dict(os.environ), tuple(sys.path))


def _check_descriptors() -> None:
    """A descriptor that arrives when there is no room for it is lost, and whatever came with it: look first.

    Raises:
        OSError: there is no room.
    """
    spare: list[int] = []
    try:
        while len(spare) < _DESCRIPTORS:
            spare += os.pipe()
    except OSError as error:
        raise OSError(error.errno, "too many open files for another process; see `ulimit -n`") from None
    finally:
        for fd in spare:
            os.close(fd)


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


def _disown_all() -> None:
    for session in list(_sessions):
        session.disown()


os.register_at_fork(after_in_child=_disown_all)
