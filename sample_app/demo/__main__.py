"""One job, by a new interpreter each time and by forked processes: how long does each take?

Both ways run the same function. A copy of this package in a temporary folder is used, so that a file may be edited.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from firehot_server import isolate_imports
from sample_app.demo.job import best_species

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server import Environment

TIMES = 5
HERE = "--here"
PACKAGE = Path(__file__).parents[1]
PLAIN = "from sample_app.demo.job import best_species; print(best_species())"


def main() -> None:
    """Compare, in a copy."""
    if sys.argv[1:] == [HERE]:
        compare()
        return
    with TemporaryDirectory() as folder:
        shutil.copytree(PACKAGE, Path(folder, PACKAGE.name), ignore=shutil.ignore_patterns("*.sqlite3*"))
        subprocess.run([sys.executable, "-m", "sample_app.demo", HERE], cwd=folder, check=True)


def compare() -> None:
    """Time both ways, then edit."""
    plain = [timed(in_new_interpreter) for _ in range(TIMES)]
    started = time.perf_counter()
    with isolate_imports("sample_app") as environment:
        entering = milliseconds_since(started)
        forked = [timed(lambda: in_forked_process(environment)) for _ in range(TIMES)]
        report(median(t for t, _ in plain), entering, median(t for t, _ in forked))
        print(f"\nThe answer, either way:     {' / '.join({answer for _, answer in plain + forked})}")
        edit(PACKAGE / "trends.py", "TREND_WINDOW = 7", "TREND_WINDOW = 3")
        print(f"After an edit of trends.py: {in_forked_process(environment)}")


def in_new_interpreter() -> str:
    """As task runners do it: a process that imports everything."""
    return subprocess.run([sys.executable, "-c", PLAIN], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def in_forked_process(environment: Environment) -> str:
    """A process that has the third-party modules, and imports this package only."""
    return str(environment.communicate_isolated(environment.exec(best_species)))


def report(plain: float, entering: float, forked: float) -> None:
    """A line for each, in milliseconds."""
    print(f"The job, in a new interpreter:  {plain:8,.0f} ms")
    print(f"Entering the environment, once: {entering:8,.0f} ms")
    print(f"The job, by exec:               {forked:8,.0f} ms   {plain / forked:.0f} times as fast")


def timed(function: Callable[[], str]) -> tuple[float, str]:
    """How many milliseconds it took, and what it returned."""
    started = time.perf_counter()
    answer = function()
    return milliseconds_since(started), answer


def milliseconds_since(started: float) -> float:
    """From a reading of `time.perf_counter()` until now."""
    return (time.perf_counter() - started) * 1000


def edit(file: Path, before: str, after: str) -> None:
    """As in an editor."""
    source = file.read_text()
    if before not in source:
        raise SystemExit(f"{file} has no {before!r} to edit")
    file.write_text(source.replace(before, after))


if __name__ == "__main__":
    main()
