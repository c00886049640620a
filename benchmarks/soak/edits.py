"""Saves at random: which file, broken or not, how it is written, and how long until the next."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ..apps import FIRST_VERSION
from .app import BREAKS, EDITED, HALF, source
from .judge import HALF_SECONDS, Save

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

Way = Literal["renamed", "in place", "truncated", "in pieces"]

INTERVAL = (0.005, 2.0)
"""Seconds between two saves, evenly by their logarithm: as often below 0.1 s as above."""

REST_EVERY = 10
"""Saves after which it is waited for that the last one is answered."""

_BROKEN = 0.15
"""Of all saves. A broken file is the next to be saved, as often broken as any."""

_LARGEST_PADDING = 9


@dataclass(frozen=True, slots=True)
class Edit:
    """What to save, and how.

    Attributes:
        file: its place in `EDITED`.
        broken: one of `BREAKS`, or empty.
        way: written aside and renamed; in place; in place, and truncated some time before; or half of it first.
        half: seconds for which the file stays empty, or half of what it will be.
        pause: seconds until the next save. None: until this one is answered.
    """

    version: int
    file: int
    text: str
    broken: str
    way: Way
    half: float
    pause: float | None


def edits(chance: random.Random) -> Iterator[Edit]:
    """Edits without end; before each rest there is a good one."""
    file, broken, version = 0, "", FIRST_VERSION
    while True:
        version += 1
        rests = (version - FIRST_VERSION) % REST_EVERY == 0
        file = file if broken else chance.randrange(len(EDITED))
        broken = chance.choice(BREAKS) if chance.random() < _BROKEN and not rests else ""
        text = source(version, broken, padding=chance.randint(0, _LARGEST_PADDING))
        way = chance.choice(get_args(Way))
        pause = INTERVAL[0] * (INTERVAL[1] / INTERVAL[0]) ** chance.random()
        yield Edit(version, file, text, broken, way, chance.uniform(0.0, 0.75 * HALF_SECONDS), None if rests else pause)


async def save(edit: Edit, folder: Path) -> Save:
    """Save as an editor would; when it was begun and complete."""
    path = folder / EDITED[edit.file]
    begun = time.perf_counter()
    if edit.way == "renamed":
        aside = path.with_name(f".{path.name}.saving")
        aside.write_text(edit.text, encoding="utf-8")
        os.replace(aside, path)
    elif edit.way == "in place":
        path.write_text(edit.text, encoding="utf-8")
    elif edit.way == "truncated":
        os.truncate(path, 0)
        await asyncio.sleep(edit.half)
        path.write_text(edit.text, encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8") as file:
            file.write(HALF)
            file.flush()
            await asyncio.sleep(edit.half)
            file.write(edit.text.removeprefix(HALF))
    return Save(edit.version, edit.file, begun, time.perf_counter(), broken=bool(edit.broken))
