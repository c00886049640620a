"""Templates, from spawn to retirement: what they preload, what is wrong with them, and which one forks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firehot_server.channel import Channel
from firehot_server.messages import (
    Configure,
    Exited,
    Extend,
    Extended,
    Forked,
    Message,
    Preload,
    Preloaded,
    Preloading,
    Refused,
    Skipped,
    close_descriptors,
)
from firehot_server.supervisor import events as ev
from firehot_server.supervisor.ending import WHY_KILLED
from firehot_server.supervisor.forks import Forks, withdraw
from firehot_server.supervisor.processes import TemplateProcess, spawn_template

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Mapping

    from firehot_server.messages import Read
    from firehot_server.stamps import Stamped
    from firehot_server.supervisor.forks import Order
    from firehot_server.supervisor.preloads import Preloads
    from firehot_server.supervisor.processes import Process, WaitingProcess, WorkerProcess
    from firehot_server.supervisor.switchboard import Switchboard
    from firehot_server.supervisor.terminal import ProgressLine

# A template that ends before it has imported anything, so many times in a row, will never work.
_ATTEMPTS = 3
# What a new interpreter gets at least until its first import, in seconds.
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How templates are to behave.

    Attributes:
        worker: what their copies are for, `SERVING` or `CALLING`.
        preload_timeout: seconds that one module may take to be imported.
        is_partial: an extension may lack some of what it was asked for; else the former template stays.
        forks_ahead: when a stand-by is taken the next one is forked at once, not only when asked for.
    """

    worker: str
    preload_timeout: float
    is_partial: bool
    forks_ahead: bool


class Templates:
    """Owns every template process.

    Args:
        first: spawned already, and not yet told anything.
        emit: takes `TemplateReady` and `TemplateLost`.
        on_exited: takes the `Exited` of a template's child.
        set_deadline: (re)starts the preload deadline; None stops it.
        on_looked: takes the places of the project in which a template has looked for a module in vain.
        on_imported: takes the files of the modules that a template has imported since it told of some last.
        on_extended: called when a template with additions has taken over.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        preloads: Preloads,
        progress: ProgressLine,
        first: TemplateProcess,
        logger: logging.Logger,
        policy: Policy,
        *,
        emit: Callable[[ev.Event], None],
        on_exited: Callable[[Exited], None],
        set_deadline: Callable[[float | None], None],
        on_looked: Callable[[tuple[Read, ...]], object] = lambda _: None,
        on_imported: Callable[[tuple[Stamped, ...]], None] = lambda _: None,
        on_extended: Callable[[], None] = lambda: None,
    ) -> None:
        self._switchboard = switchboard
        self._preloads = preloads
        self._progress = progress
        self._logger = logger
        self._policy = policy
        self._emit = emit
        self._on_exited = on_exited
        self._set_deadline = set_deadline
        self._on_looked = on_looked
        self._on_imported = on_imported
        self._on_extended = on_extended
        self._first: TemplateProcess | None = first
        self._base: TemplateProcess | None = None
        self._extension: TemplateProcess | None = None
        self._extending: TemplateProcess | None = None
        self._is_extending = False
        """A copy was asked for that is not ready yet."""
        self._extras: list[str] = []
        """What templates should have beyond the base."""
        self._extended_by: list[str] = []
        """What the newest copy was asked to add."""
        self._extension_has: list[str] = []
        self._lost_extensions = 0
        """Of the present base."""
        self._retired: list[TemplateProcess] = []
        self._awaited = 0
        self._skipped: list[Skipped] = []
        self._attempts = 0
        self._started = 0.0
        self._ready = False
        self._forks: Forks | None = None
        self._forker: TemplateProcess | None = None
        """Whose they are."""
        self._orders: list[Order] = []
        """What waits for a template."""

    # -- starting

    def start(self, configure: Configure, environment: Mapping[str, str]) -> None:
        """Spawn a template; the present one is retired."""
        self.retire()
        self._configure, self._environment = configure, environment
        self._spawn()

    def _spawn(self) -> None:
        self._ready = False
        self._started = time.monotonic()
        self._skipped.clear()
        self._awaited = self._lost_extensions = 0
        first, self._first = self._first, None
        try:
            template = self._base = first or spawn_template(self._environment, self._policy.worker)
        except OSError as error:
            self._emit(ev.TemplateLost(f"No new interpreter can be started: {error}.", hopeless=True))
            return
        self._set_deadline(self._start_timeout)
        self._attach(template)
        self._switchboard.send(template, self._configure)
        for batch in self._preloads.batches():
            self._awaited += 1
            self._switchboard.send(template, Preload(batch))

    def _attach(self, template: TemplateProcess) -> None:
        self._switchboard.attach(template, lambda message: self._hear(template, message), lambda: self._lose(template))

    # -- forking

    def fork(self, first: Message, take: Callable[[WorkerProcess], None]) -> None:
        """Get a worker of the deepest template that is ready, now or when there is one; see `Forks.fork`."""
        if self._forks is not None:
            self._forks.fork(first, take)
        else:
            self._orders.append((first, take))

    def withdraw(self, first: Message | None = None) -> None:
        """Forget the worker that this was to be told, if it is not there yet; None: every one."""
        withdraw(self._orders, first)
        if self._forks is not None:
            self._forks.withdraw(first)

    def pass_orders_to(self, other: Templates) -> None:
        """Let another make the workers that were asked for here and are not there yet."""
        self._stop_forking()
        while self._orders:
            other.fork(*self._orders.pop(0))

    def prepare(self, *, is_favourite: bool = False) -> None:
        """Fork a stand-by, so that the next worker need not wait for a fork; see `Forks.prepare`."""
        if self._forks is not None:
            self._forks.prepare(is_favourite=is_favourite)

    def _fork_from(self, template: TemplateProcess) -> None:
        """This one makes workers from now on, also those that the one before was asked for and has not made."""
        self._stop_forking()
        self._forks = Forks(self._switchboard, template, "the template", is_ahead=self._policy.forks_ahead)
        orders, self._orders = self._orders, []
        for order in orders:
            self._forks.fork(*order)
        self._forker = template

    def _stop_forking(self) -> None:
        if self._forks is not None:
            self._orders += self._forks.close()
        self._forks = self._forker = None

    def _forked(self, template: TemplateProcess, message: Forked) -> None:
        if self._forks is not None and template is self._forker:
            self._forks.forked(message)
        else:
            template.workers.add(message.pid)
            close_descriptors(message)  # that template was replaced meanwhile; this ends the copy

    @property
    def debtor(self) -> WaitingProcess | None:
        """The template, if it owes somebody a worker."""
        return None if self._forks is None else self._forks.debtor

    def insist(self) -> None:
        """Ask once more for what was refused."""
        if self._forks is not None:
            self._forks.insist()

    @property
    def process_names(self) -> dict[Process, str]:
        """Of all of them and of the stand-by, for people."""
        names: dict[Process, str] = dict.fromkeys(self._retired, "A former template")
        names |= dict.fromkeys([t for t in self._all() if not t.retired], "The template")
        return names if self._forks is None else {**names, **self._forks.names}

    def _refused(self, message: Refused) -> None:
        if message.was_extending:
            self._is_extending = False
            self._extended_by = list(self._extension_has)
        elif self._forks is not None:
            self._forks.refused(message)

    @property
    def is_extending(self) -> bool:
        """A copy with additions is on its way."""
        return self._is_extending

    def extend(self, modules: Iterable[str]) -> None:
        """From some time on the template should have these, too."""
        new = [name for name in modules if name not in self._extras]
        if new:
            self._extras += new
            self._extend()

    def _extend(self) -> None:
        """Ask for a copy with all additions, unless one is on its way; what came meanwhile is asked for after that."""
        if self._base is not None and self._ready and not self._is_extending and self._extras != self._extended_by:
            self._is_extending = True
            self._extended_by = list(self._extras)
            self._switchboard.send(self._base, Extend(tuple(self._extras)))

    # -- what templates say

    def _hear(self, template: TemplateProcess, message: Message) -> None:
        match message:
            case Preloading():
                template.preloading = message.module
                self._set_deadline(self._policy.preload_timeout)
                if template is self._base:
                    self._progress.show(f"Preloading {message.module} ({message.number}/{message.total})")
            case Preloaded():
                template.preloading = None
                self._set_deadline(None)
                self._preloaded(template, message)
            case Extended():
                self._extended(template, message)
            case Forked():
                self._forked(template, message)
            case Exited():
                self._child_exited(template, message)
            case Refused():
                self._refused(message)
            case _:
                raise AssertionError(message)

    def _preloaded(self, template: TemplateProcess, message: Preloaded) -> None:
        if template not in (self._extending, self._base):
            return
        self._on_looked(message.looked)  # it may be retired for that
        if template is self._extending:
            self._on_imported(message.files)
            self._extension_is_ready(template, message)
        elif template is self._base:
            self._on_imported(message.files)
            self._skipped += message.skipped
            self._awaited -= 1
            if self._awaited == 0:
                self._judge(message.modules)

    def _judge(self, modules: int) -> None:
        self._progress.clear()
        self._attempts = 0
        self._preloads.reject_all((skipped.module, skipped.reason) for skipped in self._skipped)
        if any(skipped.lasting for skipped in self._skipped):
            self._discard_base()
            self._spawn()
            return
        self._ready = True
        assert self._base is not None
        self._fork_from(self._base)
        self._preloads.settled()
        took = (time.monotonic() - self._started) * 1000
        self._logger.info("Preloaded %s modules in %s ms%s", f"{modules:,}", f"{took:,.0f}", self._highlights())
        self._emit(ev.TemplateReady())

    def _highlights(self) -> str:
        names = self._preloads.packages()
        shown = ", ".join(names[:6])
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return f": {shown}{more}" if shown else ""

    def _extended(self, template: TemplateProcess, message: Extended) -> None:
        if template is not self._base:
            close_descriptors(message)  # it was retired meanwhile; this ends the copy
            return
        extension = TemplateProcess(message.pid, Channel.from_descriptor(message.channel[0]), message.lifeline[0])
        template.workers.add(message.pid)
        self._extending = extension
        self._attach(extension)

    def _extension_is_ready(self, template: TemplateProcess, message: Preloaded) -> None:
        self._preloads.reject_all((skipped.module, skipped.reason) for skipped in message.skipped)
        if any(skipped.lasting or not self._policy.is_partial for skipped in message.skipped):
            self._give_extension_up(template, [skipped.module for skipped in message.skipped])
            return
        self._extending = None
        self._is_extending = False
        self._extension_has = list(self._extended_by)
        if self._extension is not None:
            self._retire_one(self._extension)
        self._extension = template
        self._logger.debug("The template now holds %s modules", message.modules)
        self._preloads.settled()
        self._fork_from(template)
        self.prepare()
        self._on_extended()
        self._extend()

    def _give_extension_up(self, template: TemplateProcess, modules: list[str]) -> None:
        """Try again without these modules, or leave it at what there is."""
        self._extending = None
        self._is_extending = False
        self._switchboard.release(template)
        self._preloads.forget(modules)
        if self._policy.is_partial:
            self._extras = [name for name in self._extras if name not in modules]
        else:
            self._extras = list(self._extension_has)
            self._extended_by = list(self._extension_has)
        self._extend()

    def _child_exited(self, template: TemplateProcess, message: Exited) -> None:
        template.workers.discard(message.pid)
        self._on_exited(message)
        if template.retired and not template.workers:
            self._end(template)

    # -- losing

    @property
    def _start_timeout(self) -> float:
        """A new interpreter takes a while on a busy machine, however little a module may take."""
        return max(self._policy.preload_timeout, _START_SECONDS)

    def expire(self) -> None:
        """The preload deadline has passed."""
        late = [t for t in (self._base, self._extending) if t is not None and t.preloading is not None]
        for template in late:
            self._reject(template, f"it did not finish importing within {self._policy.preload_timeout:g} s")
        if not late and self._base is not None and not self._ready:
            self._end(self._base)
            self._base_lost(f"did not get ready within {self._start_timeout:g} s")

    def _lose(self, template: TemplateProcess) -> None:
        """The channel is closed: the process is gone, or as good as."""
        is_known = template.is_cut
        how = template.end()
        if template.retired:
            self._forget_retired(template)
        elif template.preloading is not None:
            self._reject(template, f"the process {how} while importing it")
        elif template is self._extending:
            self._give_extension_up(template, [])
        elif template is self._extension:
            self._switchboard.release(template)
            self._extension_lost(is_known=is_known)
        elif template is self._base:
            self._switchboard.release(template)
            self._base_lost(how, is_known=is_known)

    def _extension_lost(self, *, is_known: bool) -> None:
        """The template of which it was forked takes its place, and is extended anew."""
        if not is_known:
            self._logger.warning("The template has ended, unasked; the one before it forks. %s", WHY_KILLED)
        self._extension = None
        if self._base is not None:
            self._fork_from(self._base)
            self.prepare()
        if self._lost_extensions < _ATTEMPTS:
            self._lost_extensions += 1
            self._extended_by = []
            self._extend()

    def _base_lost(self, how: str, *, is_known: bool = False) -> None:
        """`is_known`: why has been said."""
        self._progress.clear()
        self._set_deadline(None)
        was_ready, self._ready = self._ready, False
        self._base = None
        self._drop_extension()
        self._attempts += not was_ready
        hopeless = self._attempts >= _ATTEMPTS
        text = "" if is_known else f"The template {how}; starting another."
        if hopeless:
            text = f"The template {how} before it could do anything, {_ATTEMPTS} times. Is the environment broken?"
        self._emit(ev.TemplateLost(text, hopeless=hopeless))

    def _reject(self, template: TemplateProcess, reason: str) -> None:
        module = template.preloading or ""
        self._progress.clear()
        self._set_deadline(None)
        self._preloads.reject(module, reason)
        if template is self._extending:
            self._give_extension_up(template, [module])
        elif template is self._base:
            self._discard_base()
            self._spawn()

    def _discard_base(self) -> None:
        if self._base is not None:
            self._end(self._base)
            self._base = None

    # -- retiring

    def retire(self) -> None:
        """No template forks any more; each ends when its last worker has."""
        self._ready = False
        self._set_deadline(None)
        self._progress.clear()
        self._drop_extension()
        if self._base is not None:
            self._retire_one(self._base)
            self._base = None

    def _drop_extension(self) -> None:
        self._stop_forking()
        for template in (self._extension, self._extending):
            if template is not None:
                self._retire_one(template)
        self._extension = self._extending = None
        self._is_extending = False
        self._extras.clear()
        self._extended_by.clear()
        self._extension_has.clear()

    def _retire_one(self, template: TemplateProcess) -> None:
        template.retired = True
        if template.workers:
            self._retired.append(template)
        else:
            self._end(template)

    def _forget_retired(self, template: TemplateProcess) -> None:
        if template in self._retired:
            self._retired.remove(template)
        self._switchboard.release(template)

    def _end(self, template: TemplateProcess) -> None:
        self._switchboard.release(template)
        template.end()
        if template in self._retired:
            self._retired.remove(template)

    def close(self) -> None:
        """End every template, and wait for those that this process has to reap."""
        self._stop_forking()
        for template in self._all():
            self._end(template)
        self._first = self._base = self._extension = self._extending = None

    def disown(self) -> None:
        """Close what this process has of them, a copy (by fork) of the process that they belong to."""
        for template in self._all():
            template.disown()
        if self._forks is not None:
            self._forks.disown()

    def pids(self) -> list[int]:
        """The process ids of every template."""
        return [template.pid for template in self._all()]

    @property
    def standby_pids(self) -> list[int]:
        """Of the stand-by of the one that forks, if there is one."""
        return [] if self._forks is None else self._forks.standby_pids

    @property
    def has_children(self) -> bool:
        """Something that a template forked lives, or has not been reaped."""
        return any(template.workers for template in self._all())

    def _all(self) -> list[TemplateProcess]:
        every = (self._first, self._extending, self._extension, self._base, *self._retired)
        return [template for template in every if template is not None]
