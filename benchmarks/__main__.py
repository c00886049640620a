"""The command line: `python -m benchmarks [reload] [cold] [options]`, from the repository's root."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from . import cold, reload
from .apps import APPS
from .check import Demand, cold_shortfalls, reload_shortfalls
from .environments import ROOT, SetupError, ensure, find_interpreter
from .report import as_json, cold_table, reload_table
from .servers import SERVERS
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .apps import App
    from .environments import Environment, Interpreter
    from .servers import Server

_Named = TypeVar("_Named")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)  # as Ctrl-C: the servers must be ended on the way out
    # A shell starts background jobs with SIGINT ignored, which the servers would inherit and not end at it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interpreter = find_interpreter(options.python, max(s.recipe.minimum for s in SERVERS.values()))
        servers = list(_usable(options.servers, interpreter))
        environments = {s.recipe.name: ensure(s.recipe, interpreter) for s in servers}
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = options.results or ROOT / "build" / "bench" / time.strftime("%Y%m%d-%H%M%S")
    results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="firehot-bench-")).resolve()
    try:
        return _run(options, _settings(options, servers, environments, results, scratch), interpreter)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benches", nargs="*", type=_bench, default=list(BENCHES), metavar="bench", help=_choices(BENCHES)
    )
    parser.add_argument("--apps", type=_names(APPS), default=tuple(APPS.values()), help=_listed(APPS))
    parser.add_argument("--servers", type=_names(SERVERS), default=tuple(SERVERS.values()), help=_listed(SERVERS))
    parser.add_argument("--edits", type=_positive, default=15, help="edits of each server, after a first one")
    parser.add_argument("--starts", type=_positive, default=5, help="cold starts of each server")
    parser.add_argument("--python", help="the interpreter for all servers; default: one that all can run on")
    parser.add_argument("--output", type=Path, help="also write everything measured to this JSON file")
    parser.add_argument("--results", type=Path, help="folder for logs; default: build/bench/<time>")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit 1 if firehot has a failed or stale request, a lost edit, or misses a ratio",
    )
    parser.add_argument(
        "--min-ratio",
        type=_demand,
        action="append",
        default=[],
        metavar="[APP:]PEER=RATIO",
        help="how many times faster than a peer a reload has to be, with --check",
    )
    parser.add_argument(
        "--max-cold",
        type=_demand,
        action="append",
        default=[],
        metavar="[APP:]PEER=RATIO",
        help="how much of a peer's time a cold start may take, with --check",
    )
    return parser


def _choices(table: Mapping[str, object]) -> str:
    return f"of {', '.join(table)}; default: all"


def _listed(table: Mapping[str, object]) -> str:
    return f"comma-separated, {_choices(table)}"


def _bench(text: str) -> str:
    if text not in BENCHES:
        raise argparse.ArgumentTypeError(f"unknown: {text}; known: {', '.join(BENCHES)}")
    return text


def _demand(text: str) -> Demand:
    try:
        demand = Demand.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    for name, table in ((demand.peer, SERVERS), (demand.app or next(iter(APPS)), APPS)):
        if name not in table:  # a typing error must not make the check pass
            raise argparse.ArgumentTypeError(f"unknown: {name}; known: {', '.join(table)}")
    return demand


def _names(table: Mapping[str, _Named]) -> Callable[[str], tuple[_Named, ...]]:
    def parse(text: str) -> tuple[_Named, ...]:
        try:
            return tuple(table[name.strip()] for name in text.split(","))
        except KeyError as error:
            raise argparse.ArgumentTypeError(f"unknown: {error}; known: {', '.join(table)}") from None

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _usable(servers: Sequence[Server], interpreter: Interpreter) -> Iterator[Server]:
    for server in servers:
        if interpreter.version[:2] >= server.recipe.minimum:
            yield server
        else:
            needed = ".".join(map(str, server.recipe.minimum))
            print(
                f"skipping {server.name}: it needs Python {needed}, this run has {interpreter}",
                file=sys.stderr,
            )


def _settings(
    options: argparse.Namespace,
    servers: Sequence[Server],
    environments: Mapping[str, Environment],
    results: Path,
    scratch: Path,
) -> Settings:
    return Settings(
        apps=options.apps,
        servers=tuple(servers),
        environments=environments,
        edits=options.edits,
        starts=options.starts,
        results=results,
        scratch=scratch,
    )


def _run(options: argparse.Namespace, settings: Settings, interpreter: Interpreter) -> int:
    machine = _machine(interpreter)
    report: dict[str, Any] = {"machine": machine} | {bench: [] for bench in options.benches}
    shortfalls: list[str] = []
    print(f"{machine['platform']}, {machine['cores']} cores, load {machine['load']}; Python {interpreter}")
    for bench in options.benches:
        for app in settings.apps:
            section = BENCHES[bench](app, settings, options)
            print(f"\n{section.title}\n\n{section.table}", flush=True)
            report[bench] += section.figures
            shortfalls += section.shortfalls
    _write(report, settings.results / "results.json", options.output)
    return _verdict(shortfalls) if options.check else 0


def _machine(interpreter: Interpreter) -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": str(interpreter),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _write(report: dict[str, Any], *files: Path | None) -> None:
    text = json.dumps(report, indent=1)
    for file in files:
        if file is not None:
            file.write_text(text, encoding="utf-8")
            print(f"written: {file}", file=sys.stderr)


def _verdict(shortfalls: Sequence[str]) -> int:
    for shortfall in shortfalls:
        print(f"check: {shortfall}")
    print("check: failed" if shortfalls else "check: passed")
    return 1 if shortfalls else 0


@dataclass(frozen=True)
class _Section:
    """What one bench has to say about one app."""

    title: str
    table: str
    figures: list[dict[str, Any]]
    shortfalls: list[str]


def _reload(app: App, settings: Settings, options: argparse.Namespace) -> _Section:
    rows = reload.measure(app, settings)
    return _Section(
        f"reload, {app.name}: ms from a save to the first answer by the new code",
        reload_table(rows),
        [as_json(row) for row in rows],
        list(reload_shortfalls(app.name, rows, options.min_ratio)),
    )


def _cold(app: App, settings: Settings, options: argparse.Namespace) -> _Section:
    rows = cold.measure(app, settings)
    return _Section(
        f"cold start, {app.name}: ms from the command to its first answer",
        cold_table(rows),
        [as_json(row) for row in rows],
        list(cold_shortfalls(app.name, rows, options.max_cold)),
    )


_Bench: TypeAlias = "Callable[[App, Settings, argparse.Namespace], _Section]"

BENCHES: dict[str, _Bench] = {
    "reload": _reload,
    "cold": _cold,
}


if __name__ == "__main__":
    sys.exit(main())
