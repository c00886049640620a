"""Checkpoints: in the middle of its own import this process forks. The parent waits, the child goes on importing.

A parent that waits is a complete, valid state of the program: it has read what was read until then, and nothing since.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from firehot_server.audit import PauseAuditor
from firehot_server.errors import ChannelClosed
from firehot_server.messages import Fork, Obstacle, Paused, Pauses
from firehot_server.waiting import Waiting, ignore_signals
from firehot_server.worker import hygiene
from firehot_server.worker.culprits import Culprits
from firehot_server.worker.pacing import Pacing
from firehot_server.worker.page_copies import PageCopies
from firehot_server.worker.randomness import Randomness, states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from firehot_server.ties import Offspring, Ties
    from firehot_server.worker.audit_events import AuditEvents
    from firehot_server.worker.read_log import ReadLog


class Checkpoints:
    """Leaves checkpoints while the app is imported.

    Args:
        ties: those of this process.
        log: is told when an import found nothing, and says whether anything was read.
        is_first_party: whether a file belongs to the project.
        is_debugged: whether somebody holds this process in a debugger.
        take: waits for what the supervisor says to a copy first, and returns where that is to pause.
    """

    def __init__(
        self,
        ties: Ties,
        log: ReadLog,
        is_first_party: Callable[[str], bool],
        is_debugged: Callable[[], bool],
        take: Callable[[], Pauses | None],
    ) -> None:
        self._ties = ties
        self._log = log
        self._is_debugged = is_debugged
        self._take = take
        self._culprits = Culprits(is_first_party)
        self._pacing: Pacing | None = None
        """None: not now."""
        self._findings: tuple[str, ...] = ()
        self._refused: tuple[str, float] | None = None
        """Where, and when, this process was first not fit to be copied."""
        _gate_imports(self._looks_for, log.flush)

    def take_stock(self) -> None:
        """What this process has now is not the project's. Before somebody waits: to look at oneself takes a while."""
        self._auditor = PauseAuditor(lambda: self._ties.descriptors)
        self._copies = PageCopies()
        self._randomness = Randomness()

    def begin(self, plan: Pauses | None, events: AuditEvents) -> None:
        """The import begins; `None`: it will not pause."""
        if plan is None:
            return
        self._culprits.listen(events)
        self._pacing = Pacing(plan, time.monotonic(), self._copies.seconds)

    def give_up(self) -> None:
        """No more of it: the import has failed."""
        self._pacing = None

    def end(self, events: AuditEvents) -> tuple[float, Obstacle | None]:
        """The import is complete: pause here, too.

        Returns:
            seconds that all of the import took, and what it left behind that forbids a copy.
        """
        pacing = self._pacing
        if pacing is None:
            return 0.0, None
        pacing.advance(time.monotonic())
        if pacing.is_due_at_end:
            self._pause("at the end of the import")
        elif self._findings:
            self._findings = self._audit()  # what was open for a moment may be closed by now
        self._culprits.ignore(events)
        seconds, self._pacing = pacing.imported, None
        return seconds, self._obstacle()

    def _obstacle(self) -> Obstacle | None:
        if not self._findings:
            return None
        trace = self._culprits.of(self._findings)
        finding = "; ".join(self._findings)
        if trace is not None:
            return Obstacle(finding, trace.path, trace.line, time.monotonic() - trace.when)
        place, when = self._refused or ("at the end of the import", time.monotonic())
        return Obstacle(finding, "", 0, time.monotonic() - when, place)

    def opens(self, path: str) -> None:
        """The project is about to read a data file, or to list a folder."""
        if self._pacing is not None and path in self._pacing.plan.edited:
            self._consider(f"before {os.path.basename(path)}", path)

    def _looks_for(self, module: str) -> None:
        """The import system is about to look for a module."""
        if self._pacing is not None:
            self._consider(f"before {module}", module)

    def _consider(self, place: str, name: str) -> None:
        pacing = self._pacing
        if pacing is None or not self._log.modules or threading.get_ident() != threading.main_thread().ident:
            return
        pacing.advance(time.monotonic())
        edited, likely = name in pacing.plan.edited, name in pacing.plan.likely
        if pacing.is_due(self._log.modules, edited=edited, likely=likely):
            self._pause(place)

    def _pause(self, place: str) -> None:
        """Wait here, unless this process is not fit to be copied; returns in copies that go on with the import."""
        pacing = self._pacing
        assert pacing is not None
        self._findings = self._audit()
        if self._findings or self._is_debugged():
            self._refused = self._refused or (place, time.monotonic())
            pacing.refused()
            return
        self._log.flush()
        copied = self._copies.count()
        numbers = states()
        # Hooks of `os.register_at_fork` run in the copy while it still has this process's channel.
        self._log.is_quiet = True
        try:
            offspring = self._ties.fork()
        except OSError as error:  # the import around this must never hear of it
            self._log.is_quiet = False
            self._findings = (f"the system refuses another process ({error})",)
            pacing.refused()
            return
        pacing.paused(time.monotonic(), copied)
        if offspring is None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._ties.mask)
            self._randomness.go_on(numbers)
            self._auditor.rebase()
            self._log.is_quiet = False
        else:
            dispositions = ignore_signals()
            if not self._wait(offspring, place):
                os._exit(0)
            self._auditor.rebase()
            self._randomness.renew(numbers)
            self._resume(pacing, dispositions)
        self._copies.rebase()
        self._culprits.acquit()
        self._refused = None

    def _audit(self) -> tuple[str, ...]:
        try:
            return (*self._auditor.check(), *self._culprits.temporary_findings)
        except Exception as error:  # of this system: the import around this must never hear of it
            return (f"it cannot be examined here ({type(error).__name__}: {error})",)

    def _wait(self, offspring: Offspring, place: str) -> bool:
        """Be a checkpoint until the supervisor is gone; True in a copy that is to go on."""
        waiting = Waiting(self._ties)
        try:
            self._ties.channel.end_laying_down()
            ends = {"channel": (offspring.channel,), "lifeline": (offspring.lifeline,)}
            waiting.send(Paused(offspring.pid, place, **ends))
            for order in waiting.orders():
                assert isinstance(order, Fork)
                if waiting.fork(order):
                    return True
        except ChannelClosed:
            pass
        except BaseException:  # the import around this must never hear of it
            traceback.print_exc()
        return False

    def _resume(self, pacing: Pacing, dispositions: Mapping[signal.Signals, Any]) -> None:
        self._pacing = None  # what is imported until there is something to do is not the project's
        hygiene.resume(dispositions)
        plan = self._take()
        self._log.is_quiet = False
        if plan is not None:
            pacing.resume(plan, time.monotonic())
            self._pacing = pacing


def _gate_imports(before: Callable[[str], None], missed: Callable[[], None]) -> None:
    """From now on, call `before` with the name of each module that is about to be looked for; `missed`, if in vain.

    Not by a finder in `sys.meta_path`: it would not be the first one for long, and others would see it.
    """
    machinery: Any = sys.modules["_frozen_importlib"]
    find = machinery._find_spec

    def _find_spec(name: str, path: Any, target: ModuleType | None = None) -> Any:
        before(name)
        spec = find(name, path, target)
        if spec is None:
            missed()
        return spec

    machinery._find_spec = _find_spec
