"""Cold start: from running the command to its first answer, the servers taking turns."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .probe import await_answer
from .report import OURS, ColdRow
from .servers import START_DEADLINE, WITHOUT_CHECKPOINTS, Launch, describe_failed_start, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .apps import App
    from .servers import Server
    from .settings import Settings

REST = 0.3
"""Seconds of quiet before each start."""

REMEMBERING = 2.0
"""Seconds that the unmeasured start is left alone, so that what it wants to remember gets written."""


@dataclass(frozen=True)
class _Variant:
    """A server, and whether it finds what earlier starts left in the user's cache directory."""

    server: Server
    keeps_cache: bool


def _variants(servers: tuple[Server, ...]) -> Iterator[_Variant]:
    for server in servers:
        ours = (server, WITHOUT_CHECKPOINTS) if server.name == OURS else ()
        yield from (_Variant(variant, keeps_cache) for keeps_cache in (True, False) for variant in ours)
        if not ours:
            yield _Variant(server, keeps_cache=True)


def measure(app: App, settings: Settings) -> list[ColdRow]:
    """Start each server once unmeasured, so that bytecode and disk caches are warm, then in rounds."""
    sessions = [_Session(app, variant, settings) for variant in _variants(settings.servers_of(app))]
    for session in sessions:
        session.start(linger=REMEMBERING, record=False)
    for _ in range(settings.starts):
        for session in sessions:
            if not session.row.notes:  # one that did not start would keep all others waiting for its deadline
                session.start()
    return [session.row for session in sessions]


class _Session:
    """One variant on its copy of one app."""

    def __init__(self, app: App, variant: _Variant, settings: Settings) -> None:
        name = f"cold-{app.name}-{variant.server.name}-{'kept' if variant.keeps_cache else 'empty'}"
        folder = settings.scratch / name
        self._app, self._variant = app, variant
        self._launch = Launch(
            variant.server,
            settings.environment(variant.server),
            app,
            folder / "project",
            user_cache=folder / "cache",
            log=settings.results / f"{name}.log",
        )
        self.row = ColdRow(
            app.name, variant.server.name, settings.version(variant.server), empty_cache=not variant.keeps_cache
        )
        shutil.copytree(settings.project(app), self._launch.folder)

    def start(self, linger: float = 0.0, record: bool = True) -> None:
        """Start, wait for the first answer, stop."""
        if not self._variant.keeps_cache:
            _empty(self._launch.user_cache)
        time.sleep(REST)
        with running(self._launch) as server:
            answer = await_answer(server.port, self._app.path, START_DEADLINE, server.has_ended)
            time.sleep(linger)
            trouble = describe_failed_start(server) if answer is None else ""
        if answer is None:
            self.row.notes.append(f"{trouble}; its output: {self._launch.log}")
            self._progress(self.row.notes[-1])
        elif record:
            self.row.milliseconds.append((answer.ended - server.started) * 1000)
            self._progress(f"{self.row.milliseconds[-1]:.0f} ms")

    def _progress(self, text: str) -> None:
        print(f"cold {self._app.name}: {self.row.label}: {text}", file=sys.stderr, flush=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
