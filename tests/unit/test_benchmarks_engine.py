"""The bench of the library: packages, a round of its driver with a library made up here, figures and demands."""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import apps, check, engine, engine_driver, environments, generated, packages, report
from benchmarks.__main__ import _parser, _usable
from benchmarks.check import Demand
from benchmarks.servers import LIBRARIES, Library
from benchmarks.settings import Settings

LIBRARY = """\
import sys
from contextlib import contextmanager
from pathlib import Path


class Environment:
    def exec(self, function, *arguments):
        {exec}
        return function(*arguments)

    def communicate_isolated(self, process):
        return {result}

    def update_environment(self):
        if "import sortedcontainers" in Path("small/app.py").read_text():
            {update}


@contextmanager
def isolate_imports(package):
    yield Environment()
"""
FASTAPI = "class FastAPI: get = lambda self, path: lambda function: function\n"
WORKS = {"exec": "pass", "result": "process", "update": "sys.modules['sortedcontainers'] = sys"}


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """What a machine needs to be measured on is nothing that a made-up library needs."""
    monkeypatch.setattr(engine, "REMEMBERING", 0.0)
    monkeypatch.setattr(engine, "PAUSE", 0.0)


@pytest.fixture
def measure(tmp_path):
    """A function that measures one round of a library whose methods contain the given statements."""

    def measured(module="made_up", **parts):
        package = packages.as_package(apps.SMALL)
        files = {**package.files, "made_up.py": LIBRARY.format(**WORKS | parts), "fastapi.py": FASTAPI}
        recipe = environments.Recipe("here", ())
        python = environments.Interpreter(Path(sys.executable), sys.version_info[:3])
        settings = Settings(
            apps=(),
            servers=(),
            packages=(package,),
            libraries=(Library("ours", "made-up", recipe, module),),
            environments={"here": environments.Environment(Path(sys.prefix), python, {"made-up": "1.0"})},
            edits=1,
            starts=1,
            rounds=1,
            reloads=1,
            faults=1,
            seed=1,
            results=tmp_path / "results",
            scratch=tmp_path / "scratch",
        )
        return engine.measure(replace(package, files=files), settings)[0]

    return measured


@pytest.mark.parametrize("result", ["process", "str(process)"])
def test_a_round_does_all_measurements(measure, result):
    """Of a library that returns values, and of one that returns their text."""
    row = measure(result=result)

    counts = {name: len(times) for name, times in row.milliseconds.items()}
    assert (row.failures, row.notes) == ({}, [])
    assert counts == {
        "enter": 1,
        "first-call": 1,
        "round-trip": 50,
        "spaced": 50,
        "import-app": 3,
        "echo": 2,
        "update": 20,
        "update-body": 4,
        "update-import": 1,
    }


def test_a_wrong_result_fails_its_own_figure_only(measure):
    """The next measurements follow."""
    row = measure(result="process[1:] if isinstance(process, bytes) else process", update="pass")

    assert row.failures == {"echo": "the 5 MB came back as something else", "update-import": "not seen"}
    assert len(row.milliseconds["update-body"]) == 4


def test_an_error_fails_its_figure_and_ends_the_round(measure):
    """What the library is worth after it, nobody knows."""
    row = measure(exec="assert not arguments, 'none wanted\\nreally'")

    assert row.failures == {"echo": "AssertionError: none wanted"}
    assert "update" not in row.milliseconds
    assert row.notes == []


def test_what_hangs_fails_at_its_deadline(measure, monkeypatch):
    """It takes nothing else with it but its own round."""
    monkeypatch.setattr(engine, "DEADLINE", 3.0)

    row = measure(exec="while arguments: pass")

    assert row.failures == {"echo": "not done within 3 s"}


def test_a_process_that_dies_fails_the_figure_that_it_was_at(measure):
    """As when the library's native code crashes."""
    row = measure(exec="import os\n        if arguments: os.kill(os.getpid(), 9)")

    assert row.failures == {"echo": "the process ended by itself, status -9"}


def test_a_library_that_cannot_be_entered_is_tried_once(measure):
    """The reason is kept, and there is nothing else to measure."""
    row = measure(module="no_such_library")

    assert row.failures == {"enter": "ModuleNotFoundError: No module named 'no_such_library'"}
    assert row.milliseconds == {}


def test_a_process_that_fails_after_its_figures_has_a_note(measure):
    """Its figures count: they were done."""
    row = measure(update="sys.modules['sortedcontainers'] = sys; import atexit, os; atexit.register(os._exit, 3)")

    assert row.failures == {}
    assert row.notes[0].startswith("ended with status 3 after a round; its output: ")


def engine_row(library, failures=(), **milliseconds):
    """A row of single times, its names with `_` for `-`."""
    times = {name.replace("_", "-"): [time] for name, time in milliseconds.items()}
    return report.EngineRow("heavy", library, "1.0", times, dict(failures))


def test_the_table_has_a_line_for_each_figure():
    """Ours first, then the peer's, then our part of its time."""
    ours = engine_row("ours", enter=500.0, update=0.0125)
    peer = engine_row("firehot", {"echo": "OSError: closed", "update-import": "not seen"}, enter=2000.0, echo=3.0)

    table = report.engine_table([ours, peer]).splitlines()

    lines = {cells(line)[0]: cells(line)[2:] for line in table if line.startswith("|")}
    assert lines["figure"] == ["ours 1.0", "firehot 1.0", "ours / firehot"]
    assert lines["enter"] == ["500", "2,000", "0.25"]
    assert lines["update"] == ["0.013", "-", "-"]
    assert lines["echo"] == ["-", "failed", "-"]
    assert lines["update-import"] == ["-", "not seen", "-"]
    assert table[-2:] == ["  firehot: echo: OSError: closed", "  firehot: update-import: not seen"]


def test_a_missing_library_has_no_column():
    """As on a Python that it does not support."""
    table = report.engine_table([engine_row("ours", enter=500.0)]).splitlines()

    assert cells(table[2])[2:] == ["500", "-"]


def cells(line: str) -> list[str]:
    """The cells of one line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_an_update_that_looks_at_nothing_is_no_comparison():
    """A library that did not see an import is quick, but at something else."""
    ours = engine_row("ours", enter=1.0, update=2.0)
    peers = engine_row("firehot", enter=2.0, update=0.001)
    blind = replace(peers, failures={"update-import": report.NOT_SEEN})

    shares = [
        [report.ENGINE_FIGURES[name].share([ours, row]) for name in ("enter", "update")] for row in (peers, blind)
    ]

    assert shares == [[0.5, 2000.0], [0.5, None]]


def test_figures_of_one_measurement_are_its_percentiles():
    """The same times, looked at twice."""
    row = report.EngineRow("heavy", "ours", "1.0", {"round-trip": [float(n) for n in range(1, 22)]})

    figures = report.engine_json(row)["figures"]

    assert (figures["round-trip"], figures["round-trip-p95"], figures["enter"]) == (11.0, 20.0, None)


def test_every_figure_is_of_a_measurement_that_is_made():
    """And every measurement is shown."""
    assert {figure.measurement for figure in report.ENGINE_FIGURES.values()} == set(engine_driver.MEASUREMENTS)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (engine_row("ours", enter=20.0), []),
        (engine_row("ours", enter=60.0), ["engine heavy: enter: 0.60 of firehot's time, wanted 0.5"]),
        (
            engine_row("ours", {"enter": "not done within 60 s"}),
            ["engine heavy: enter: not done within 60 s", "engine heavy: enter: unknown of firehot's time, wanted 0.5"],
        ),
        (engine_row("ours", {"echo": "failed"}, enter=20.0), ["engine heavy: echo: failed"]),
        (engine_row("other"), ["engine heavy: ours was not measured"]),
    ],
)
def test_the_check_names_what_falls_short(ours, expected):
    """One line for each thing owed; a demand on another package is none."""
    rows = [ours, engine_row("firehot", enter=100.0)]
    demands = [Demand("heavy", "enter", 0.5), Demand("files300", "enter", 0.1)]

    assert list(check.engine_shortfalls("heavy", rows, demands)) == expected


def test_the_peers_failures_are_no_shortfall():
    """Only a demand that needs them is."""
    rows = [engine_row("ours", enter=20.0), engine_row("firehot", {"echo": "failed"}, enter=100.0)]

    assert list(check.engine_shortfalls("heavy", rows, [])) == []
    assert list(check.engine_shortfalls("heavy", rows, [Demand(None, "echo", 1.0)])) == [
        "engine heavy: echo: unknown of firehot's time, wanted 1"
    ]


def test_the_command_line_knows_figures_and_packages():
    """A demand on anything else is refused, for it would never fail."""
    demand = "files300:round-trip-p95=0.5"

    options = _parser().parse_args(["engine", "--packages", "files300", "--max-engine", demand])

    assert options.benches == ["engine"]
    assert [package.name for package in options.packages] == ["files300"]
    assert options.max_engine == [Demand("files300", "round-trip-p95", 0.5)]


@pytest.mark.parametrize("demand", ["uvicorn=1", "small:enter=1", "enter"])
def test_an_unknown_figure_or_package_is_refused(demand, capsys):
    """It names what is known."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["engine", "--max-engine", demand])

    assert "--max-engine" in capsys.readouterr().err


@pytest.mark.parametrize("package", packages.PACKAGES.values(), ids=lambda package: package.name)
def test_a_package_imports_its_own_modules_as_its_own(package):
    """Nothing at the top level but the package: else it would pass for third-party."""
    modules = {file.split("/")[1].removesuffix(".py") for file in package.files}
    for file, source in package.files.items():
        assert file.startswith(f"{package.name}/")
        for node in ast.walk(ast.parse(source, file)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & modules


@pytest.mark.parametrize("package", packages.PACKAGES.values(), ids=lambda package: package.name)
def test_only_the_edit_of_imports_imports_something_new(package):
    """An edit of a body must be none of imports, and the other way round."""
    source = package.files[package.edited]

    assert imported(apps.Edit(1).source(package)) == imported(source)
    assert imported(packages.with_added_import(source)) == imported(source) | {packages.ADDED}
    assert all(packages.ADDED not in text for text in package.files.values())


def imported(source: str) -> set[str | None]:
    """The modules that a text imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_generated_app_is_the_same_each_time_and_includes_every_router():
    """150 of each kind, and one router that can be edited and asked."""
    app = generated.generate("files300", pairs=150)

    assert app == generated.FILES300
    assert sum(name.startswith("models/item_") for name in app.files) == 150
    assert app.files["app.py"].count("app.include_router(") == 150
    assert apps.Edit(1).source(app) != app.files[app.edited]
    assert app.path == "/items/075/version"
    for name, source in app.files.items():
        compile(source, name, "exec")


@pytest.mark.parametrize(
    ("version", "supported"), [((3, 10, 1), False), ((3, 11, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)]
)
def test_a_recipe_supports_a_range_of_pythons(version, supported):
    """From its minimum on, up to what has no wheel any more."""
    recipe = environments.Recipe("library", (), below=(3, 14))

    assert recipe.supports(environments.Interpreter(environments.ROOT, version)) is supported
    assert recipe.needs == "3.11 to below 3.14"


def test_a_library_that_this_python_is_too_new_for_is_skipped(capsys):
    """The others are measured, and the run says so."""
    usable = _usable(LIBRARIES, environments.Interpreter(environments.ROOT, (3, 14, 0)))

    assert [library.name for library in usable] == ["ours"]
    assert capsys.readouterr().err == "skipping firehot: it needs Python 3.11 to below 3.14, this run has 3.14.0\n"


def test_the_interpreter_is_one_that_all_support(monkeypatch):
    """The first of those that there are: too new and too old ones are passed over."""
    found = [environments.Interpreter(Path(f"/3.{minor}"), (3, minor, 0)) for minor in (14, 11, 12, 13)]
    monkeypatch.setattr(environments, "_candidates", lambda: [python.executable for python in found])
    monkeypatch.setattr(environments, "_examine", {python.executable: python for python in found}.get)
    recipes = [environments.Recipe("hmr", (), minimum=(3, 12)), environments.Recipe("library", (), below=(3, 14))]

    assert environments.find_interpreter(None, recipes).version == (3, 12, 0)
