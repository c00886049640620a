"""Who may import whom: read from the source of every module, without importing any."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

import firehot_server

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "firehot_server"
PROCESSES = ("supervisor", "template", "worker")
SHARED = (
    *("messages", "channel", "lifeline", "errors", "ties", "waiting", "audit", "fingerprint", "output", "location"),
    "lookups",
    "stamps",
    "notices",
)
FRAMEWORKS = ("django", "flask", "starlette", "fastapi", "integrations", "firehot_django", "firehot_flask")


@dataclass(frozen=True)
class Import:
    """One imported name; `firehot_server.errors` stands for whatever is imported from there."""

    importer: str
    imported: str
    line: int
    is_for_types: bool

    def __str__(self):
        return f"{self.importer} (line {self.line}) imports {self.imported}"


def module_name(path, root=ROOT):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source, module, *, is_package=False):
    """Every import in a module, wherever it stands; submodules count that are imported from their package."""
    tree = ast.parse(source)
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).removeprefix("typing.") == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        for name in _names(node, package):
            yield Import(module, name, node.lineno, id(node) in for_types)


def _names(node, package):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.rsplit(".", node.level - 1)[0] if node.level else ""
        base = ".".join(part for part in (above, node.module) if part)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
        return [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return []


def is_within(name, *packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


IMPORTS = [
    found
    for path in sorted(PACKAGE.rglob("*.py"))
    for found in imports_of(path.read_text(), module_name(path), is_package=path.name == "__init__.py")
]


MODULES = {module_name(path) for path in PACKAGE.rglob("*.py")}


def imports_by(*importers, run_time_only=False):
    """What these modules and packages of firehot_server import."""
    names = [f"firehot_server.{importer}" for importer in importers]
    return [
        found for found in IMPORTS if is_within(found.importer, *names) and not (run_time_only and found.is_for_types)
    ]


def offending(imports, *packages):
    return [str(found) for found in imports if is_within(found.imported, *packages)]


def ours(*names):
    return [f"firehot_server.{name}" for name in names]


def reached_from(*names):
    """The modules of firehot_server that are imported with these."""
    reached, pending = set(), set(names)
    while pending:
        name = pending.pop()
        reached.add(name)
        found = [each for each in IMPORTS if each.importer == name and not each.is_for_types]
        pending |= {module for module in MODULES if any(is_within(each.imported, module) for each in found)} - reached
    return reached


@pytest.mark.parametrize("name", ["discovery", "failure"])
def test_it_stands_alone(name):
    """It knows nothing else of this package, not even types."""
    others = [
        found
        for found in imports_by(name)
        if is_within(found.imported, "firehot_server") and not is_within(found.imported, f"firehot_server.{name}")
    ]

    assert list(map(str, others)) == []


def test_the_template_knows_no_supervisor():
    """It only answers its messages."""
    assert offending(imports_by("template"), *ours("supervisor", "engine")) == []


def test_the_worker_knows_no_supervisor_and_needs_no_template():
    """It is forked from one, and gets what it needs to know as values."""
    assert offending(imports_by("worker"), *ours("supervisor", "engine")) == []
    assert offending(imports_by("worker", run_time_only=True), *ours("template")) == []


def test_the_supervisor_knows_neither_worker_nor_template():
    """Only what they say, in messages."""
    assert offending(imports_by("supervisor"), *ours("worker", "template", "engine")) == []


def test_the_engine_knows_neither_worker_nor_template():
    """It has a supervisor's view of them."""
    assert offending(imports_by("engine", "environment"), *ours("worker", "template")) == []


@pytest.mark.parametrize("name", SHARED)
def test_what_the_processes_share_needs_none_of_them(name):
    """More than one process imports it."""
    assert offending(imports_by(name, run_time_only=True), *ours(*PROCESSES, "engine")) == []


@pytest.mark.parametrize("name", SHARED)
def test_what_the_processes_share_is_shared(name):
    """What only one of them uses belongs to that one."""
    users = {user for user in (*PROCESSES, "engine") if offending(imports_by(user), *ours(name))}

    assert len(users) > 1


def test_a_template_and_its_copies_wait_without_a_server():
    """The library's processes fork as well: what waits and forks is for both."""
    reached = reached_from("firehot_server.waiting", "firehot_server.ties", "firehot_server.audit")

    assert not {name for name in reached if is_within(name, *ours(*PROCESSES, "engine", "environment"))}


def test_the_engine_knows_no_framework():
    """Integrations import the engine, never the other way."""
    assert offending(IMPORTS, *FRAMEWORKS) == []


def test_integrations_use_the_public_api():
    """What an integration needs, others need as well: it is exported."""
    public = set(firehot_server.__all__)
    imported = [
        found
        for path in sorted((ROOT / "integrations").rglob("*.py"))
        for found in imports_of(path.read_text(), module_name(path, ROOT / "integrations"))
        if is_within(found.imported, "firehot_server")
    ]

    assert [str(i) for i in imported if i.imported.partition(".")[2] not in {"", *public}] == []


def test_the_library_needs_no_server():
    """Neither to import it nor to run a function: a web server would be in every process."""
    reached = reached_from(*ours("environment", "worker.calling", "template.process"))
    found = [each for each in IMPORTS if each.importer in reached and not each.is_for_types]

    assert offending(found, "uvicorn", "watchfiles", "click") == []
    assert "firehot_server.supervisor.templates" in reached


def test_tests_are_not_part_of_it():
    """What is installed needs neither tests nor benchmarks nor the sample."""
    assert offending(IMPORTS, "tests", "benchmarks", "sample_app", "pytest") == []


def test_every_rule_is_about_something_that_exists():
    """A folder that was renamed would satisfy all of them."""
    for name in ("discovery", "failure", "engine", *PROCESSES):
        assert imports_by(name), name
    for name in SHARED:
        assert (PACKAGE / f"{name}.py").exists(), name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c", [("a.b", False)]),
        ("import a, b", [("a", False), ("b", False)]),
        ("from a import b, c", [("a.b", False), ("a.c", False)]),
        ("from . import b", [("x.y.b", False)]),
        ("from .b import c", [("x.y.b.c", False)]),
        ("from ..b import c", [("x.b.c", False)]),
        ("def f():\n    import a", [("a", False)]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", [("a", True), ("b", False)]),
        ("if typing.TYPE_CHECKING:\n    from a import b", [("a.b", True)]),
        ("import_module('a.b')", [("a.b", False)]),
        ("importlib.import_module('a')", [("a", False)]),
        ("# import a\n'import b'", []),
    ],
)
def test_how_imports_are_found(source, expected):
    """In functions, relative ones and by name; those for types are told apart."""
    found = sorted((i.imported, i.is_for_types) for i in imports_of(source, "x.y.z"))

    assert found == sorted(expected)
