"""One round of one library, in that library's own environment: `python -P engine_driver.py TASK`, TASK as JSON.

Needs nothing but the standard library and the library that it measures. Each line that it appends to the results is
a measurement's name alone, when it begins, or with its times in milliseconds or with what failed. What hangs ends
the whole process, which could not be trusted any more.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNMEASURED, CALLS = 5, 50
APP_CALLS = 3
ECHOES = 2
UPDATES = 20

DATA = bytes(range(256)) * 20_480
"""5 MB, and every byte that there is."""


@dataclass(frozen=True)
class Task:
    """What to do, with a deadline for each measurement with all its repetitions. Times are in seconds.

    `bodies` are texts of the edited file that import what it does already; `with_import` imports `added`, too.
    """

    module: str
    package: str
    measurements: tuple[str, ...]
    results: str
    edited: str
    bodies: tuple[str, ...]
    with_import: str
    added: str
    pause: float
    linger: float
    deadline: float


class WrongResultError(Exception):
    """The library answered, but not what it should have. Its message is the reason that is shown."""


class Session:
    """An entered `isolate_imports`, once the first measurement is done."""

    def __init__(self, task: Task, stack: ExitStack) -> None:
        self.task = task
        self._stack = stack
        self._environment: Any = None
        self._functions = importlib.import_module(f"{task.package}.calls")
        self._begun = 0.0

    def enter(self) -> Iterator[float]:
        """From the call of `isolate_imports` until its block is entered."""
        isolate_imports = importlib.import_module(self.task.module).isolate_imports
        self._begun = time.perf_counter()
        self._environment = self._stack.enter_context(isolate_imports(self.task.package))
        yield _milliseconds_since(self._begun)

    def first_call(self) -> Iterator[float]:
        """From the call of `isolate_imports` until a function's result is there."""
        self._nothing()
        yield _milliseconds_since(self._begun)

    def round_trip(self) -> Iterator[float]:
        """Calls without a pause."""
        for _ in range(UNMEASURED):
            self._nothing()
        for _ in range(CALLS):
            yield _timed(self._nothing)

    def spaced(self) -> Iterator[float]:
        """Calls with a pause before each, as people and test suites make them."""
        for _ in range(CALLS):
            time.sleep(self.task.pause)
            yield _timed(self._nothing)

    def import_app(self) -> Iterator[float]:
        """Calls that import the whole package: what the library has imported already, they need not."""
        for _ in range(APP_CALLS):
            begun = time.perf_counter()
            returned = self._call("import_app")
            yield _milliseconds_since(begun)
            _expect(returned, f"{self.task.package}.app", "the app was not imported")

    def echo(self) -> Iterator[float]:
        """Calls that carry much in both directions."""
        for _ in range(ECHOES):
            begun = time.perf_counter()
            returned = self._call("echo", DATA)
            yield _milliseconds_since(begun)
            _expect(returned, DATA, "the 5 MB came back as something else")

    def update(self) -> Iterator[float]:
        """Looks for changes where there are none."""
        for _ in range(UPDATES):
            yield _timed(self._environment.update_environment)

    def update_body(self) -> Iterator[float]:
        """Looks for changes where there are some, but none of imports."""
        for source in self.task.bodies:
            self._save(source)
            yield _timed(self._environment.update_environment)

    def update_import(self) -> Iterator[float]:
        """From a saved import to a function that finds the module imported, before anything of its own imports it."""
        _expect(self._call("is_loaded", self.task.added), False, f"{self.task.added} is there too early")
        self._save(self.task.with_import)
        begun = time.perf_counter()
        self._environment.update_environment()
        loaded = self._call("is_loaded", self.task.added)
        yield _milliseconds_since(begun)
        _expect(loaded, True, "not seen")

    def _nothing(self) -> None:
        _expect(self._call("nothing"), None, "a function without a result had one")

    def _call(self, function: str, *arguments: object) -> object:
        process = self._environment.exec(getattr(self._functions, function), *arguments)
        return self._environment.communicate_isolated(process)

    def _save(self, source: str) -> None:
        Path(self.task.edited).write_text(source, encoding="utf-8")


MEASUREMENTS: dict[str, Callable[[Session], Iterator[float]]] = {
    "enter": Session.enter,
    "first-call": Session.first_call,
    "round-trip": Session.round_trip,
    "spaced": Session.spaced,
    "import-app": Session.import_app,
    "echo": Session.echo,
    "update": Session.update,
    "update-body": Session.update_body,
    "update-import": Session.update_import,
}


def main() -> None:
    """Do the task. A failure ends it, and goes to stderr as well."""
    task = Task(**json.loads(sys.argv[1]))
    with ExitStack() as stack:
        session = Session(task, stack)
        for name in task.measurements:
            _record(name, session)
        time.sleep(task.linger)


def _record(name: str, session: Session) -> None:
    with Path(session.task.results).open("a", encoding="utf-8", buffering=1) as results:
        print(json.dumps({"measurement": name}), file=results)
        faulthandler.dump_traceback_later(
            session.task.deadline, exit=True
        )  # never cancelled: the last one is for leaving
        try:
            outcome: dict[str, Any] = {"milliseconds": list(MEASUREMENTS[name](session))}
        except WrongResultError as error:
            outcome = {"failed": str(error)}
        except BaseException as error:  # a panic of Rust code is no Exception
            print(json.dumps({"measurement": name, "failed": _one_line(error)}), file=results)
            raise
        print(json.dumps({"measurement": name} | outcome), file=results)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return _milliseconds_since(begun)


def _milliseconds_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def _expect(returned: object, expected: object, otherwise: str) -> None:
    if returned not in (expected, str(expected)):  # firehot gives the text of a result
        raise WrongResultError(otherwise)


if __name__ == "__main__":
    main()
