"""The command line: `python -m benchmarks [reload] [cold] [engine] [log] [soak] [options]`, from the repository."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from . import cold, engine, log, reload
from .catalogue import APPS, STARTED
from .check import Demand, cold_shortfalls, engine_shortfalls, memory_shortfalls, reload_shortfalls
from .environments import ROOT, SetupError, ensure, find_interpreter
from .log_report import log_json, log_shortfalls, log_table
from .packages import PACKAGES
from .projects import lay_out
from .report import COLD_REFERENCES, ENGINE_FIGURES, OURS, as_json, cold_table, engine_json, engine_table, reload_table
from .servers import LIBRARIES, SERVERS
from .settings import Settings
from .soak import chaos
from .soak import measure as soak
from .soak.app import SOAK
from .soak.chaos_report import chaos_json, chaos_shortfalls, chaos_table
from .soak.report import counts_table, resources_table, soak_json, soak_shortfalls, times_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from .environments import Environment, Interpreter, Recipe
    from .servers import Library, Server

_Named = TypeVar("_Named")
_Candidate = TypeVar("_Candidate", "Server", "Library")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)  # as Ctrl-C: the servers must be ended on the way out
    # A shell starts background jobs with SIGINT ignored, which the servers would inherit and not end at it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interpreter = find_interpreter(options.python, _recipes(SERVERS.values(), LIBRARIES))
        servers = _usable(_servers(options), interpreter)
        libraries = _usable(LIBRARIES if "engine" in options.benches else (), interpreter)
        logged = [SERVERS[OURS]] if "log" in options.benches else []
        recipes = _recipes([*servers, *logged], libraries)
        environments = {recipe.name: ensure(recipe, interpreter) for recipe in recipes}
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = options.results or ROOT / "build" / "bench" / time.strftime("%Y%m%d-%H%M%S")
    results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="firehot-bench-")).resolve()
    try:
        settings = _settings(options, servers, libraries, environments, results, scratch)
        _lay_out_projects(settings, options.benches)
        return _run(options, settings, interpreter)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _leave(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benches", nargs="*", type=_bench, default=list(MEASURING), metavar="bench", help=_bench_choices()
    )
    _add_names(parser, "--apps", APPS, "reload, cold")
    _add_names(parser, "--servers", SERVERS, "reload, cold, soak")
    _add_names(parser, "--packages", PACKAGES, "engine")
    parser.add_argument("--edits", type=_positive, default=15, help="edits of each server, after a first one")
    parser.add_argument("--starts", type=_positive, default=5, help="cold starts of each server")
    parser.add_argument("--rounds", type=_positive, default=5, help="entries of each library, or fives of imports")
    parser.add_argument("--reloads", type=_positive, default=1_000, help="reloads of each server under load: soak")
    parser.add_argument("--chaos", action="store_true", help="soak: kill and stop processes of ours instead")
    parser.add_argument("--faults", type=_positive, default=100, help="processes that are killed or stopped: --chaos")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="to soak as another run has")
    parser.add_argument("--python", help="the interpreter for all of them; default: one that all can run on")
    parser.add_argument("--output", type=Path, help="also write everything measured to this JSON file")
    parser.add_argument("--results", type=Path, help="folder for logs; default: build/bench/<time>")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit 1 if ours has a failed or stale request, a lost edit, or a failed figure, or misses a ratio",
    )
    parser.add_argument(
        "--min-ratio",
        type=_demand(SERVERS, APPS),
        action="append",
        default=[],
        metavar="[APP:]PEER=RATIO",
        help="how many times faster than a peer a reload has to be, with --check",
    )
    parser.add_argument(
        "--max-waiting",
        type=_demand((OURS,), APPS),
        action="append",
        default=[],
        metavar=f"[APP:]{OURS}=MB",
        help="how much private memory all waiting processes together may have after the edits, with --check",
    )
    parser.add_argument(
        "--max-cold",
        type=_demand({**SERVERS, **dict.fromkeys(COLD_REFERENCES)}, STARTED),
        action="append",
        default=[],
        metavar="[APP:]PEER=RATIO",
        help="how much of a peer's time a cold start may take, with --check",
    )
    parser.add_argument(
        "--max-engine",
        type=_demand(ENGINE_FIGURES, PACKAGES),
        action="append",
        default=[],
        metavar="[PACKAGE:]FIGURE=RATIO",
        help=f"how much of firehot's time a figure of the library may take, with --check: {', '.join(ENGINE_FIGURES)}",
    )
    parser.add_argument(
        "--max-log",
        type=float,
        metavar="RATIO",
        help="how much of an import's time without the read log it may take with it, with --check",
    )
    return parser


def _add_names(parser: argparse.ArgumentParser, option: str, table: Mapping[str, object], benches: str) -> None:
    known = f"for {benches}: comma-separated, {_choices(table)}"
    parser.add_argument(option, type=_names(table), default=tuple(table.values()), help=known)


def _choices(table: Mapping[str, object]) -> str:
    return f"of {', '.join(table)}; default: all"


def _bench_choices() -> str:
    return f"of {', '.join(BENCHES)}; default: {', '.join(MEASURING)}"


def _bench(text: str) -> str:
    if text not in BENCHES:
        raise argparse.ArgumentTypeError(f"unknown: {text}; known: {', '.join(BENCHES)}")
    return text


def _demand(names: Collection[str], subjects: Collection[str]) -> Callable[[str], Demand]:
    def parse(text: str) -> Demand:
        try:
            demand = Demand.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        for name, known in ((demand.name, names), (demand.subject, subjects)):
            if name is not None and name not in known:  # a typing error must not make the check pass
                raise argparse.ArgumentTypeError(f"unknown: {name}; known: {', '.join(known)}")
        return demand

    return parse


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


def _recipes(servers: Iterable[Server], libraries: Iterable[Library]) -> tuple[Recipe, ...]:
    recipes = [*(server.recipe for server in servers), *(library.recipe for library in libraries)]
    return tuple(dict.fromkeys(recipes))  # several share one


def _servers(options: argparse.Namespace) -> Sequence[Server]:
    if not SERVING.intersection(options.benches):
        return ()
    only_ours = options.chaos and SERVING.intersection(options.benches) == {"soak"}
    return [server for server in options.servers if server.name == OURS or not only_ours]


def _usable(candidates: Sequence[_Candidate], interpreter: Interpreter) -> tuple[_Candidate, ...]:
    for candidate in candidates:
        if not candidate.recipe.supports(interpreter):
            needs = f"it needs Python {candidate.recipe.needs}, this run has {interpreter}"
            print(f"skipping {candidate.name}: {needs}", file=sys.stderr)
    return tuple(candidate for candidate in candidates if candidate.recipe.supports(interpreter))


def _settings(
    options: argparse.Namespace,
    servers: tuple[Server, ...],
    libraries: tuple[Library, ...],
    environments: Mapping[str, Environment],
    results: Path,
    scratch: Path,
) -> Settings:
    return Settings(
        apps=options.apps,
        servers=servers,
        packages=options.packages,
        libraries=libraries,
        environments=environments,
        edits=options.edits,
        starts=options.starts,
        rounds=options.rounds,
        reloads=options.reloads,
        faults=options.faults,
        seed=options.seed,
        results=results,
        scratch=scratch,
    )


def _lay_out_projects(settings: Settings, benches: Collection[str]) -> None:
    apps = [*(settings.apps if TIMING.intersection(benches) else ()), *([SOAK] if "soak" in benches else ())]
    for app in apps:
        if not settings.servers_of(app):
            continue
        environment = settings.environment(settings.servers[0])
        lay_out(app, environment, settings.project(app), settings.results / f"project-{app.name}.log")


def _run(options: argparse.Namespace, settings: Settings, interpreter: Interpreter) -> int:
    machine = _machine(interpreter)
    report: dict[str, Any] = {"machine": machine} | {bench: [] for bench in options.benches}
    shortfalls: list[str] = []
    print(f"{machine['platform']}, {machine['cores']} cores, load {machine['load']}; Python {interpreter}")
    for bench in options.benches:
        for section in BENCHES[bench](settings, options):
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
    """What one bench has to say about one app or package."""

    title: str
    table: str
    figures: list[dict[str, Any]]
    shortfalls: list[str]


def _reload(settings: Settings, options: argparse.Namespace) -> Iterator[_Section]:
    for app in settings.apps:
        if not settings.servers_of(app):
            print(f"reload {app.name}: skipped, none of the servers serves it", file=sys.stderr)
            continue
        rows = reload.measure(app, settings)
        yield _Section(
            f"reload, {app.name}: ms from a save to the first answer by the new code, asked for {app.path}",
            reload_table(rows),
            [as_json(row) for row in rows],
            [
                *reload_shortfalls(app.name, rows, options.min_ratio),
                *memory_shortfalls(app.name, rows, options.max_waiting),
            ],
        )


def _cold(settings: Settings, options: argparse.Namespace) -> Iterator[_Section]:
    for app in settings.apps:
        if not app.starts:
            print(f"cold {app.name}: skipped: its starts are not measured", file=sys.stderr)
            continue
        rows = cold.measure(app, settings)
        yield _Section(
            f"cold start, {app.name}: ms from the command to its first answer",
            cold_table(rows),
            [as_json(row) for row in rows],
            list(cold_shortfalls(app.name, rows, options.max_cold)),
        )


def _engine(settings: Settings, options: argparse.Namespace) -> Iterator[_Section]:
    for package in settings.packages:
        rows = engine.measure(package, settings)
        yield _Section(
            f"engine, {package.name}: ms of the library's calls, beside firehot's",
            engine_table(rows),
            [engine_json(row) for row in rows],
            list(engine_shortfalls(package.name, rows, options.max_engine)),
        )


def _log(settings: Settings, options: argparse.Namespace) -> Iterator[_Section]:
    row = log.measure(settings)
    yield _Section(
        f"log, {row.app}: ms of the app's import in a process of its own, without the read log and with it",
        log_table(row),
        [log_json(row)],
        list(log_shortfalls(row, options.max_log)),
    )


def _soak(settings: Settings, options: argparse.Namespace) -> Iterator[_Section]:
    if options.chaos:
        yield _chaos(settings)
        return
    rows = [soak.measure(server, settings) for server in settings.servers]
    tables = (counts_table(rows), times_table(rows), resources_table(rows))
    yield _Section(
        f"soak: every answer while files are saved (seed {settings.seed}); ms; after the first reloads → at the end",
        "\n\n".join(tables),
        [soak_json(row) for row in rows],
        list(soak_shortfalls(rows)),
    )


def _chaos(settings: Settings) -> _Section:
    rows = [chaos.measure(server, settings) for server in settings.servers if server.name == OURS]
    return _Section(
        f"soak, chaos: seconds from a fault to an answer, and to the new code (seed {settings.seed})",
        chaos_table(rows),
        [chaos_json(row) for row in rows],
        list(chaos_shortfalls(rows)),
    )


_Bench: TypeAlias = "Callable[[Settings, argparse.Namespace], Iterator[_Section]]"

BENCHES: dict[str, _Bench] = {
    "reload": _reload,
    "cold": _cold,
    "engine": _engine,
    "log": _log,
    "soak": _soak,
}

MEASURING = tuple(name for name in BENCHES if name != "soak")
"""Those that measure times, of what goes well."""

SERVING = frozenset(BENCHES) - {"engine", "log"}
"""The benches that `--servers` is about; `--packages` is about `engine`."""

TIMING = frozenset(MEASURING) & SERVING
"""The benches that `--apps` is about."""


if __name__ == "__main__":
    sys.exit(main())
