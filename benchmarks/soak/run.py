"""One server under load while its files are saved."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..apps import FIRST_VERSION
from ..probe import GRACE
from .app import EDITED
from .edits import edits, save
from .judge import judge
from .load import load
from .resources import examine
from .site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .edits import Edit
    from .judge import Judgement, Save
    from .resources import Resources

LOST_AFTER = 15.0
"""Seconds without another save after which one that was not answered is lost."""

GIVE_UP_AFTER = 3
"""Lost saves in a row after which a server is not asked any more."""

SAVES_PER_RELOAD = 2
"""Many saves come before the one before is answered: after so many for each reload that is wanted, it is enough."""

SETTLING = 2.5
"""Seconds without a save: what old workers had to finish is finished by then."""

_START = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs already, on a copy of the app."""

    port: int
    pid: int
    folder: Path
    has_ended: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one server's users met.

    Attributes:
        lost: versions that were never answered although nothing was saved after them.
        requests: how many there were, streams included.
        farewells, drops: kept connections that the server closed, with an answer that said so or without a word.
        lags: seconds by which the load itself was late.
        early, late: what the server held after the first reloads and at the end.
    """

    saves: list[Save]
    lost: list[int]
    requests: int
    farewells: int
    drops: int
    lags: list[float]
    early: Resources | None
    late: Resources | None
    judgement: Judgement


async def soak(
    target: Target,
    reloads: int,
    seed: int,
    progress: Callable[[str], None],
    *,
    grace: float = GRACE,
    settling: float = SETTLING,
) -> Outcome:
    """Save until so many saves were answered by their own code, and judge every answer.

    Args:
        seed: decides what is saved and when, and who asks when.
        progress: told how it goes, now and then.
        grace: seconds after a save during which old code may still answer.
        settling: seconds without a save until it is examined what the server holds.
    """
    site = Site(target.port, random.Random(f"load {seed}"))
    saver = _Saver(target, site, progress, settling)
    async with load(site) as lags:
        await site.shows(FIRST_VERSION, _START)
        await saver.run(reloads, edits(random.Random(f"edits {seed}")))
    return Outcome(
        saver.saves,
        saver.lost,
        len(site.exchanges),
        site.farewells,
        site.drops,
        lags,
        saver.early,
        saver.late,
        judge(site.exchanges, saver.saves, len(EDITED), grace),
    )


class _Saver:
    """Saves, rests, and looks at the server meanwhile."""

    def __init__(self, target: Target, site: Site, progress: Callable[[str], None], settling: float) -> None:
        self._target = target
        self._site = site
        self._progress = progress
        self._settling = settling
        self._silences = 0
        self.saves: list[Save] = []
        self.lost: list[int] = []
        self.early: Resources | None = None
        self.late: Resources | None = None

    async def run(self, reloads: int, edits: Iterator[Edit]) -> None:
        """Save until it is enough, or there is no more answer."""
        for edit in edits:
            self.saves.append(await save(edit, self._target.folder))
            if edit.pause is not None:
                await asyncio.sleep(edit.pause)
                continue
            await self._rest(edit.version)
            is_enough = self._reloads >= reloads or len(self.saves) >= SAVES_PER_RELOAD * reloads
            if is_enough or self._target.has_ended() or self._silences == GIVE_UP_AFTER:
                break
        self.late = await self._examine()

    @property
    def _reloads(self) -> int:
        return len(self._site.shown - {FIRST_VERSION, 0})

    async def _rest(self, version: int) -> None:
        if await self._site.shows(version, LOST_AFTER):
            self._silences = 0
        else:
            self._silences += 1
            self.lost.append(version)
        self.early = self.early or await self._examine()
        self._progress(f"{len(self.saves)} saves, {self._reloads} reloads, {len(self._site.exchanges)} answers")

    async def _examine(self) -> Resources | None:
        await asyncio.sleep(self._settling)
        return await asyncio.to_thread(examine, self._target.pid)
