"""The library: entering `isolate_imports`, calls, updates, ours and firehot's taking turns in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import engine_driver
from .apps import Edit
from .cold import REMEMBERING
from .packages import ADDED, with_added_import
from .report import EngineRow
from .servers import environment_variables, running_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .apps import App
    from .servers import Library
    from .settings import Settings

DEADLINE = 60.0
"""Seconds for one measurement of one round. One that takes longer is not tried again."""

PAUSE = 0.050
"""Seconds before each spaced call: a person or a test suite does not call in a tight loop."""

BODY_EDITS = 4
"""Edits without an import in each round: every other one keeps the file's size."""

DRIVER = Path(engine_driver.__file__)

_WARMING = ("enter", "first-call", "import-app")


def measure(package: App, settings: Settings) -> list[EngineRow]:
    """Use each library once unmeasured, so that bytecode and disk caches are warm, then all in rounds."""
    sessions = [_Session(package, library, settings) for library in settings.libraries]
    for session in sessions:
        session.warm_up()
    for _ in range(settings.rounds):
        for session in sessions:
            session.round()
    return [session.row for session in sessions]


class _Session:
    """One library on its copy of one package. A new process for each round: a round begins with entering."""

    def __init__(self, package: App, library: Library, settings: Settings) -> None:
        name = f"engine-{package.name}-{library.name}"
        self._package, self._library = package, library
        self._environment = settings.environment(library)
        self._scratch = settings.scratch / name
        self._folder = self._scratch / "project"
        self._log = settings.results / f"{name}.log"
        self.row = EngineRow(package.name, library.name, settings.version(library))
        package.write(self._folder)

    def warm_up(self) -> None:
        """Enter, import everything once and leave. Nothing is kept but what failed."""
        self._drive(_WARMING, linger=REMEMBERING)
        self.row.milliseconds.clear()

    def round(self) -> None:
        """Do all measurements that have not failed yet; none if the library cannot be entered."""
        if "enter" not in self.row.failures:
            self._drive([name for name in engine_driver.MEASUREMENTS if name not in self.row.failures])

    def _drive(self, measurements: Sequence[str], linger: float = 0.0) -> None:
        edited = self._folder / self._package.edited
        edited.write_text(self._package.files[self._package.edited], encoding="utf-8")
        results = self._scratch / "results.jsonl"
        results.write_text("", encoding="utf-8")
        known = len(self.row.failures)
        status = self._run(self._task(measurements, edited, results, linger))
        self._take(map(json.loads, results.read_text(encoding="utf-8").splitlines()), status)
        if status != 0 and len(self.row.failures) == known:
            self._note(f"ended with status {status} after a round; its output: {self._log}")

    def _task(self, measurements: Sequence[str], edited: Path, results: Path, linger: float) -> engine_driver.Task:
        return engine_driver.Task(
            module=self._library.module,
            package=self._package.name,
            measurements=tuple(measurements),
            results=str(results),
            edited=str(edited),
            bodies=tuple(Edit(number).source(self._package) for number in range(1, BODY_EDITS + 1)),
            with_import=with_added_import(self._package.files[self._package.edited]),
            added=ADDED,
            pause=PAUSE,
            linger=linger,
            deadline=DEADLINE,
        )

    def _run(self, task: engine_driver.Task) -> int | None:
        """The driver's status; None if it did not end, although it ends itself after its deadline."""
        self._progress(", ".join(task.measurements))
        command = [str(self._environment.scripts / "python"), "-P", str(DRIVER), json.dumps(asdict(task))]
        variables = environment_variables(self._environment, self._scratch / "cache", os.environ)
        variables["PYTHONPATH"] = str(self._folder)
        name = f"{self._library.name}'s driver"
        with running_command(name, command, self._folder, variables, self._log) as (process, _):
            try:
                return process.wait(timeout=DEADLINE * (len(task.measurements) + 1))
            except subprocess.TimeoutExpired:
                return None

    def _take(self, records: Iterable[dict[str, Any]], status: int | None) -> None:
        """Add what a round wrote down. What was begun and never came to an end has failed."""
        begun: list[str] = []
        for record in records:
            if len(record) == 1:
                begun.append(record["measurement"])
            elif "failed" in record:
                self._fail(begun.pop(), record["failed"])
            else:
                self.row.milliseconds.setdefault(begun.pop(), []).extend(record["milliseconds"])
        for name in begun:
            self._fail(name, _unfinished(status))

    def _fail(self, name: str, reason: str) -> None:
        self.row.failures[name] = reason
        self._progress(f"{name}: {reason}; its output: {self._log}")

    def _note(self, note: str) -> None:
        if note not in self.row.notes:  # each round may end so
            self.row.notes.append(note)

    def _progress(self, text: str) -> None:
        print(f"engine {self._package.name}: {self.row.library}: {text}", file=sys.stderr, flush=True)


def _unfinished(status: int | None) -> str:
    """Why a measurement has no end. The driver that passes its deadline ends itself with status 1."""
    if status in (None, 1):
        return f"not done within {DEADLINE:.0f} s"
    return f"the process ended by itself, status {status}"
