"""Edit to first answer by the new code, the servers taking turns in one run."""

from __future__ import annotations

import random
import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from .apps import Edit
from .probe import Probers, await_answer, conclude
from .report import OURS, ReloadRow
from .servers import START_DEADLINE, Launch, describe_failed_start, running
from .waiting import examine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .apps import App
    from .probe import Outcome
    from .servers import RunningServer, Server
    from .settings import Settings

EDIT_DEADLINE = 30.0
"""Seconds after which an edit counts as lost."""

TAIL = 0.100
"""Seconds of asking on after the first new answer: an old worker that still answers then is stale, too."""

REST = (0.3, 0.6)
"""Seconds between edits. Random, so that no server's polling tick is met at the same phase each time."""

GIVE_UP_AFTER = 3
"""Lost edits in a row after which a server is not asked any more: each one costs the whole deadline."""

FORKING = 1.0
"""Seconds after the last edit until the memory is read: what will wait for the next edit is there by then."""

_SETTLING_ATTEMPTS = 6
_SETTLING_DEADLINE = 5.0


def measure(app: App, settings: Settings) -> list[ReloadRow]:
    """Start every server on a copy of the app, then edit each in turn, round after round.

    Turns, because a noisy neighbour on this machine then slows one round of all, not one server. The first
    round is what the first edit after a start costs; it is reported apart.
    """
    chance = random.Random(app.name)
    with ExitStack() as stack:
        sessions = [_Session(app, server, settings, stack) for server in settings.servers_of(app)]
        for number in range(1, settings.edits + 2):
            for session in _in_turn(sessions, number):
                time.sleep(chance.uniform(*REST))
                session.edit(Edit(number))
        time.sleep(FORKING)
        for session in sessions:
            session.examine_memory()
    return [session.row for session in sessions]


def _in_turn(sessions: list[_Session], number: int) -> Iterator[_Session]:
    """Those that still answer, another one first in each round: nobody always follows the same neighbour."""
    shift = number % len(sessions)
    for session in sessions[shift:] + sessions[:shift]:
        if session.alive:
            yield session


class _Session:
    """One server on its copy of one app, and what was measured of it."""

    def __init__(self, app: App, server: Server, settings: Settings, stack: ExitStack) -> None:
        folder = settings.scratch / f"reload-{app.name}-{server.name}"
        self._app, self._folder = app, folder / "project"
        self._log = settings.results / f"reload-{app.name}-{server.name}.log"
        self.row = ReloadRow(app.name, server.name, settings.version(server))
        self.alive = True
        shutil.copytree(settings.project(app), self._folder)
        launch = Launch(
            server,
            settings.environment(server),
            app,
            self._folder,
            user_cache=folder / "cache",
            log=self._log,
        )
        self._server: RunningServer = stack.enter_context(running(launch))
        self._await_start()

    def _await_start(self) -> None:
        self._progress("starting")
        answer = await_answer(self._server.port, self._app.path, START_DEADLINE, self._server.has_ended)
        if answer is None:
            self._leave(describe_failed_start(self._server))

    def edit(self, edit: Edit) -> None:
        """Save one edit and write down what its users met."""
        outcome = _observe(edit, self._app, self._server, self._folder)
        if edit.number == 1:
            self.row.first = outcome
        else:
            self.row.repeated.append(outcome)
        took = "LOST" if outcome.milliseconds is None else f"{outcome.milliseconds:.1f} ms"
        self._progress(f"edit {edit.number}: {took}")
        self._judge_health(edit)

    def examine_memory(self) -> None:
        """Write down what ours keeps waiting. Of what other servers' children do, nothing is known."""
        if self.alive and self.row.server == OURS:
            self.row.waiting = examine(self._server.process.pid, self._server.port)

    def _judge_health(self, edit: Edit) -> None:
        if self._server.has_ended():
            self._leave(f"ended by itself at edit {edit.number}, status {self._server.process.returncode}")
        elif all(outcome.milliseconds is None for outcome in self.row.outcomes[-GIVE_UP_AFTER:]) and (
            len(self.row.outcomes) >= GIVE_UP_AFTER
        ):
            self._leave(f"not asked any more after {GIVE_UP_AFTER} lost edits in a row")

    def _leave(self, reason: str) -> None:
        """Measure this server no further, and say where its output is."""
        self.alive = False
        self.row.notes.append(f"{reason}; its output: {self._log}")
        self._progress(self.row.notes[-1])

    def _progress(self, text: str) -> None:
        print(f"reload {self._app.name}: {self.row.server}: {text}", file=sys.stderr, flush=True)


def _observe(edit: Edit, app: App, server: RunningServer, folder: Path) -> Outcome:
    with Probers(server.port, app.path) as probers:
        probers.wait_for_count(_SETTLING_ATTEMPTS, _SETTLING_DEADLINE)
        saved = time.perf_counter()
        edit.save(app, folder)
        if probers.wait_for_version(edit.version, EDIT_DEADLINE):
            time.sleep(TAIL)
        return conclude(probers.finish(), saved, edit.version)
