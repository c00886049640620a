"""Differential fuzzing for as long as wanted: `python -m tests.fuzz --projects 40 --steps 100`."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.edits import EDITS
from tests.fuzz.imports import WAYS
from tests.fuzz.snippets import SNIPPETS
from tests.fuzz.stale import StaleTrial
from tests.fuzz.trial import Trial


def main():
    """Run the trials; the exit status is 1 if there was a difference."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):  # either ends the server as well, also in the background
        signal.signal(number, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["XDG_CACHE_HOME"] = str(root / "cache")
    failures = _count_stale(root, options)
    for seed in range(options.seed, options.seed + options.projects):
        failures += not _try(root / f"seed{seed}", seed, options)
        if failures and options.first:
            break
    if failures:
        _say(f"{failures} differ; their projects and the servers' logs are in {root}")
    else:
        shutil.rmtree(root)
    return 1 if failures else 0


def _count_stale(root, options):
    if not options.stale:
        return 0
    try:
        StaleTrial(root / "stale", options.seed).run(options.stale)
    except AssertionError as error:
        _say(error)
        return 1
    _say(f"{options.stale} saves that bytecode cannot tell apart: each served right")
    return 0


def _try(folder, seed, options):
    begun = time.monotonic()
    try:
        outcome = Trial(folder, seed, tuple(options.without)).run(options.steps)
    except AssertionError as error:  # a `Difference`, or a server that did not start or end
        _say(error)
        return False
    _say(f"seed {seed}: {outcome}, {time.monotonic() - begun:.0f} s")
    return True


def _say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first project")
    parser.add_argument("--projects", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100, help="edits of each project")
    parser.add_argument("--stale", type=int, default=0, help="saves that bytecode cannot tell apart, before that")
    parser.add_argument("--first", action="store_true", help="stop at the first difference")
    choices = [*SNIPPETS, *WAYS, *EDITS]
    parser.add_argument("--without", action="append", default=[], choices=choices, help="what to leave out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
