"""Faults: processes of the server are killed or stopped at random, under load, before and during reloads."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..apps import FIRST_VERSION
from ..processes import descendants, is_alive
from .app import EDITED
from .chaos_report import ORPHAN_DEADLINE, ChaosRow, Fault
from .edits import edits, save
from .judge import judge
from .load import load
from .measure import progress, started
from .site import Site
from .tree import roles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..servers import Server
    from ..settings import Settings
    from .edits import Edit
    from .judge import Save
    from .run import Target
    from .tree import Role

PATIENCE = 15.0
"""Seconds after which it is not waited for any more."""

SIGNALS = (signal.SIGKILL, signal.SIGSTOP)

_BETWEEN = (0.1, 1.0)
"""Seconds until the next fault."""

_INTO_RELOAD = (0.0, 0.04)
"""Seconds from a save to a fault."""

_BEFORE_SAVE = (0.0, 0.2)
"""Seconds from a fault to a save."""

_START = 30.0


def measure(server: Server, settings: Settings) -> ChaosRow:
    """Harm it as often as asked for, and in the end kill what was started."""
    row = ChaosRow(server.name, settings.version(server), settings.seed)
    with started(server, settings, "chaos", row.notes) as target:
        if target is not None:
            asyncio.run(_Chaos(target, row, progress("chaos", server)).run(settings.faults))
    return row


class _Chaos:
    """One run."""

    def __init__(self, target: Target, row: ChaosRow, progress: Callable[[str], None]) -> None:
        self._target = target
        self._row = row
        self._progress = progress
        self._site = Site(target.port, random.Random(f"load {row.seed}"))
        self._chance = random.Random(f"faults {row.seed}")
        self._edits = edits(random.Random(f"edits {row.seed}"))
        self._saves: list[Save] = []

    async def run(self, faults: int) -> None:
        async with load(self._site) as lags:
            await self._site.shows(FIRST_VERSION, _START)
            for _ in range(faults):
                await asyncio.sleep(self._chance.uniform(*_BETWEEN))
                if self._target.has_ended():
                    self._row.notes.append("ended by itself")
                    break
                await self._harm()
            self._row.problems = judge(self._site.exchanges, self._saves, len(EDITED)).problems
            self._row.lag = max(lags)
            self._row.orphans = await self._orphans()

    async def _harm(self) -> None:
        edit, in_reload = next(self._edits), self._chance.random() < 0.5
        if in_reload:
            await self._save(edit)
            await asyncio.sleep(self._chance.uniform(*_INTO_RELOAD))
        with _harmed(self._choose, self._chance.choice(SIGNALS)) as (role, number):
            since, seen = time.perf_counter(), len(self._site.exchanges)
            if not in_reload:
                await asyncio.sleep(self._chance.uniform(*_BEFORE_SAVE))
                await self._save(edit)
            await self._site.wait_until(lambda: None not in self._recovery(edit, since, seen), PATIENCE)
            fault = Fault(role, number.name, in_reload, *self._recovery(edit, since, seen))
        self._row.faults.append(fault)
        self._progress(f"{len(self._row.faults)}: {fault}")

    def _choose(self) -> tuple[int, Role]:
        """A role, then a process: else the many checkpoints would meet with almost everything."""
        found = roles(self._target.pid, self._target.port)
        role = self._chance.choice(sorted(set(found.values())))
        return self._chance.choice([pid for pid, its in found.items() if its == role]), role

    async def _save(self, edit: Edit) -> None:
        self._saves.append(await save(edit, self._target.folder))

    def _recovery(self, edit: Edit, since: float, seen: int) -> tuple[float | None, float | None]:
        good = [exchange for exchange in self._site.exchanges[seen:] if exchange.failure is None]
        answered = min((each.ended for each in good if each.begun >= since and not each.lasts), default=None)
        shown = (each for each in good if max((each.broken or 0, *each.versions)) >= edit.version)
        reloaded = min((each.ended for each in shown), default=None)
        saved = max(since, self._saves[-1].ended)
        return (
            None if answered is None else answered - since,
            None if reloaded is None else max(0.0, reloaded - saved),
        )

    async def _orphans(self) -> int:
        family = list(descendants(self._target.pid))
        os.kill(self._target.pid, signal.SIGKILL)
        await asyncio.sleep(ORPHAN_DEADLINE)
        return sum(is_alive(pid) for pid in family)


@contextmanager
def _harmed(choose: Callable[[], tuple[int, Role]], number: signal.Signals) -> Iterator[tuple[Role, signal.Signals]]:
    """Send a signal to a process; if that stops it, it goes on afterwards, where it is still there."""
    process, role = _strike(choose, number)
    try:
        yield role, number
        _send(process, signal.SIGCONT)
    finally:
        os.close(process)


def _strike(choose: Callable[[], tuple[int, Role]], number: signal.Signals) -> tuple[int, Role]:
    """Processes come and go: choose until there is one. A descriptor for it, since its number may be reused."""
    while True:
        pid, role = choose()
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if _send(process, number):
            return process, role
        os.close(process)


def _send(process: int, number: signal.Signals) -> bool:
    try:
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return False
    return True
