"""The soak of each server in turn: started on its copy of the app, run, and ended."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..probe import await_answer
from ..servers import START_DEADLINE, Launch, describe_failed_start, running
from .app import SOAK
from .report import SoakRow
from .run import Target, soak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..servers import Server
    from ..settings import Settings


def measure(server: Server, settings: Settings) -> SoakRow:
    """Let it run, and note what its users met."""
    row = SoakRow(server.name, settings.version(server), settings.seed)
    with started(server, settings, "soak", row.notes) as target:
        if target is not None:
            row.outcome = asyncio.run(soak(target, settings.reloads, settings.seed, progress("soak", server)))
            if target.has_ended():
                row.notes.append("ended by itself")
    return row


@contextmanager
def started(server: Server, settings: Settings, name: str, notes: list[str]) -> Iterator[Target | None]:
    """A running server that has answered; None if it did not, and a note why."""
    folder = settings.scratch / f"{name}-{server.name}"
    log = settings.results / f"{name}-{server.name}.log"
    shutil.copytree(settings.project(SOAK), folder / "project")
    launch = Launch(
        server, settings.environment(server), SOAK, folder / "project", user_cache=folder / "cache", log=log
    )
    with running(launch) as run:
        if await_answer(run.port, SOAK.path, START_DEADLINE, run.has_ended) is None:
            notes.append(f"{describe_failed_start(run)}; its output: {log}")
            yield None
        else:
            yield Target(run.port, run.process.pid, launch.folder, run.has_ended)


def progress(name: str, server: Server) -> Callable[[str], None]:
    """Says how it goes."""
    return lambda text: print(f"{name}: {server.name}: {text}", file=sys.stderr, flush=True)
