"""The templates of one environment: the one that forks now, and how another takes its place."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from firehot_server.discovery.locate import with_parents
from firehot_server.engine.lineages import Lineages
from firehot_server.errors import CannotPreload, EnvironmentEnded
from firehot_server.logs import logger
from firehot_server.messages import Paused
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.processes import CALLING
from firehot_server.supervisor.templates import Policy, Templates
from firehot_server.supervisor.terminal import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from firehot_server.config import Settings
    from firehot_server.engine.package_preloads import PackagePreloads
    from firehot_server.engine.pump import Pump
    from firehot_server.messages import Call, Configure, Exited, Message
    from firehot_server.supervisor.alarms import Alarms
    from firehot_server.supervisor.processes import TemplateProcess, WorkerProcess
    from firehot_server.supervisor.switchboard import Switchboard

# How long the children of templates may take to be gone when their lifelines are cut, in seconds.
_REAP_SECONDS = 5.0


class Line:
    """One interpreter's templates: the first one, and its extensions.

    Every method needs the pump's lock.
    """

    def __init__(
        self,
        first: TemplateProcess,
        configure: Configure,
        preloads: PackagePreloads,
        settings: Settings,
        switchboard: Switchboard,
        alarms: Alarms[Callable[[], None]],
        on_exited: Callable[[Exited], None],
    ) -> None:
        self.preloads = preloads
        self.modules: frozenset[str] = frozenset()
        """What the template has preloaded, and what it has been extended by."""
        self.is_ready = False
        self.hopeless = ""
        """Why there will be no template."""
        self._configure = configure
        self._settings = settings
        self._alarms = alarms
        self.templates = Templates(
            switchboard,
            preloads,
            ProgressLine(io.StringIO()),
            first,
            logger,
            Policy(CALLING, settings.preload_timeout, is_partial=False, forks_ahead=True),
            emit=self._hear,
            on_exited=on_exited,
            set_deadline=self._set_deadline,
        )
        self.lineages = Lineages(switchboard, self.templates, on_exited)

    def start(self) -> None:
        """Spawn the template; `is_ready` or `hopeless` will tell."""
        self.is_ready = False
        self.templates.start(self._configure, self._settings.environment)

    @property
    def is_settled(self) -> bool:
        """There is a template with all that was asked for, or will be none."""
        return bool(self.hopeless) or (self.is_ready and not self.templates.is_extending)

    def _hear(self, event: ev.Event) -> None:
        match event:
            case ev.TemplateReady():
                self.is_ready = True
                # Without what has just proved impossible.
                self.modules = frozenset(self.preloads.wanted(self.preloads.requested_by))
                self.templates.prepare()
            case ev.TemplateLost(hopeless=True):
                self.hopeless = event.reason
            case ev.TemplateLost():
                logger.warning("%s", event.reason)
                self.start()

    def _set_deadline(self, seconds: float | None) -> None:
        self._alarms.start(self.templates.expire, seconds)


class Family:
    """The line that forks now, and those that it has replaced, as long as their workers run.

    Args:
        make_line: a new line for these imports (module → place); whether failures are raised, rather than logged.
    """

    def __init__(self, pump: Pump, make_line: Callable[[Mapping[str, tuple[str, int]], bool], Line]) -> None:
        self._pump = pump
        self._make_line = make_line
        self._current: Line | None = None
        self._coming: Line | None = None
        """The one that is to take its place."""
        self._former: list[Line] = []

    def start(self, imports: Mapping[str, tuple[str, int]]) -> None:
        """Wait for the first template.

        Raises:
            EnvironmentEnded: none can be started.
        """
        self._current = self._make_line(imports, False)
        self._current.start()
        self._wait_for(self._current)
        self._current.preloads.is_strict = True

    def fork(self, call: Call, take: Callable[[WorkerProcess], None]) -> None:
        """Get a worker; see `Lineages.fork`. The next one is forked meanwhile."""
        assert self._current is not None
        self._current.lineages.fork(call, take)

    def hear(self, worker: WorkerProcess, message: Message) -> WorkerProcess | None:
        """See `Lineages.hear`."""
        copy = next(filter(None, [line.lineages.hear(worker, message) for line in self._lines()]), None)
        if copy is None and isinstance(message, Paused) and self._current is not None:
            copy = self._current.lineages.adopt(worker, message)
        return copy

    def answered(self, pid: int) -> None:
        """See `Lineages.answered`."""
        for line in self._lines():
            line.lineages.answered(pid)

    def ended(self, pid: int, *, was_killed: bool) -> None:
        """See `Lineages.ended`."""
        for line in self._lines():
            line.lineages.ended(pid, was_killed=was_killed)

    def withdraw(self, first: Message) -> None:
        """Forget this fork, if it has not come about yet."""
        for line in self._lines():
            line.templates.withdraw(first)
            line.lineages.withdraw(first)

    @property
    def hopeless(self) -> str:
        """Why there can be no worker; empty: there can."""
        return self._current.hopeless if self._current is not None else ""

    def update(self, imports: Mapping[str, tuple[str, int]], *, anew: bool) -> bool:
        """Have these imports preloaded from now on: nothing to do, an addition, or a new template.

        Args:
            anew: the interpreter itself is no longer what it should be.

        Returns:
            Whether something was done.

        Raises:
            CannotPreload: the former template goes on.
        """
        assert self._current is not None
        preloads = self._current.preloads
        preloads.requested_by = imports
        wanted = preloads.wanted(imports)
        had = _with_packages(self._current.modules)
        if anew or had - _with_packages(wanted):
            self._replace(imports)
            return True
        added = [name for name in wanted if name not in had]
        if added:
            self._extend(self._current, added)
        return bool(added)

    def _extend(self, line: Line, added: list[str]) -> None:
        line.preloads.failures.clear()
        line.templates.extend(added)
        self._wait_for(line)
        _raise_failures(line.preloads)
        line.lineages.retire()
        line.modules |= set(added)

    def _replace(self, imports: Mapping[str, tuple[str, int]]) -> None:
        line = self._coming = self._make_line(imports, True)
        try:
            line.start()
            self._wait_for(line)
            _raise_failures(line.preloads)
        except BaseException:
            self._dismiss(line)
            raise
        finally:
            self._coming = None
        former, self._current = self._current, line
        if former is not None:
            former.lineages.retire()
            former.templates.pass_orders_to(line.templates)
            self._dismiss(former)

    def _wait_for(self, line: Line) -> None:
        self._pump.wait(lambda: line.is_settled, "a template with all imports")
        if line.hopeless:
            raise EnvironmentEnded(line.hopeless)

    def _dismiss(self, line: Line) -> None:
        """It forks no more; its workers run on."""
        line.lineages.retire()
        line.templates.retire()
        self._former = [each for each in self._former if each.templates.has_children]
        self._former.append(line)

    def _lines(self) -> list[Line]:
        return [line for line in (self._current, self._coming, *self._former) if line is not None]

    def pids(self) -> list[int]:
        """Of every process that waits: to be forked, or to be told what to be."""
        return [
            pid
            for line in self._lines()
            for pid in (*line.templates.pids(), *line.templates.standby_pids, *line.lineages.pids())
        ]

    def close(self) -> None:
        """End all templates, after their children, which have been told to end: nobody else would reap those.

        Raises:
            Deadline: children are left.
        """
        for line in self._lines():
            line.lineages.retire()
            line.templates.retire()
        self._pump.wait(self._has_no_children, "the last processes to end", _REAP_SECONDS)

    def _has_no_children(self) -> bool:
        return not any(line.templates.has_children or line.lineages.pids() for line in self._lines())

    def end(self) -> None:
        """End every template, at once."""
        for line in self._lines():
            line.lineages.close()
            line.templates.close()

    def disown(self) -> None:
        """Close what this process has of them, a copy (by fork) of the process that they belong to."""
        for line in self._lines():
            line.lineages.disown()
            line.templates.disown()


def _with_packages(modules: Iterable[str]) -> set[str]:
    """What importing these imports: `a.b` brings `a` along."""
    return {parent for module in modules for parent in with_parents(module)}


def _raise_failures(preloads: PackagePreloads) -> None:
    if preloads.failures:
        described = "; ".join(preloads.describe(module, reason) for module, reason in preloads.failures.items())
        raise CannotPreload(f"cannot preload {described}. The former template goes on.")
