"""A template starts as a clean interpreter, and runs no project code on the way."""

import importlib.util
import inspect
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import run_python
from tests.support.templates import Template, running
from tests.support.waiting import SECONDS

ROOT = Path(__file__).parents[2]

COMPARE = """
import json, os, sys
from tests.support.templates import World, running

SELF = "[list(sys.flags), sys.warnoptions, sys._xoptions, __debug__]"
world = World(sys.argv[1])
world.install("probe.py", "import sys\\n" + world.note("template", SELF))
with running(world) as template:
    skipped = template.preload("probe").skipped
    status = template.run_in_worker("import os, sys\\n" + world.note("worker", SELF) + "os._exit(0)\\n")
print(json.dumps([skipped, status, eval(SELF), world.read("template"), world.read("worker")]))
"""

FORK_WITH_NUMPY = """
import sys
from firehot_server.messages import Preloaded
from tests.support.templates import World, running

with running(World(sys.argv[1])) as template:
    template.preload("numpy")
    copy = template.extend("numpy.random")
    print([*copy.hear(Preloaded).skipped], copy.run_in_worker("import os\\nos._exit(5)\\n"))
"""


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-W", "error::UserWarning", "-X", "dev", "-O"],
        ["-W", "ignore", "-W", "error::ResourceWarning", "-OO"],
        ["-X", "utf8=1", "-b", "-W", "error"],
        ["-B", "-s", "-P", "-X", "faulthandler"],
        ["-E", "-d"],
        ["-I"],
        ["-X", "int_max_str_digits=9999", "-X", "warn_default_encoding"],
    ],
    ids=" ".join,
)
def test_flags_and_warning_options_are_inherited(tmp_path, flags):
    """Template and worker have those with which the supervisor's interpreter was started."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    output = run_python(*flags, "-c", start + COMPARE, str(tmp_path), cwd=tmp_path)
    skipped, status, ours, template, worker = json.loads(output.splitlines()[-1])
    assert (skipped, status) == ([], 0)
    assert template == ours
    assert worker == ours


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="NumPy is not installed")
@pytest.mark.parametrize("flags", [["-W", "error"], ["-X", "dev"]], ids=" ".join)
def test_forking_with_known_threads_warns_nobody(tmp_path, flags):
    """Python 3.12 and later warn of a fork beside threads; OpenBLAS's are known to be no danger."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    finished = subprocess.run(
        [sys.executable, *flags, "-c", start + FORK_WITH_NUMPY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert finished.stdout == "[] 5\n", finished.stderr
    assert "DeprecationWarning" not in finished.stderr


def test_nothing_of_the_spawning_process_is_there(world):
    """Neither its modules nor its variables nor its descriptors: what the template has, it imported itself."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, False)
    world.install(
        "probe.py",
        "import os, sys, threading\n"
        + world.note(
            "state",
            "[sorted(sys.modules), sys.argv, dict(os.environ), threading.active_count(), sys.path,"
            " sorted(int(fd) for fd in os.listdir('/proc/self/fd'))]",
        ),
    )
    marker = {"FIREHOT_TEST": "given"}
    os.environ["FIREHOT_TEST_OURS"] = "not given"
    try:
        with running(world, FIREHOT_TEST_OURS=None, **marker) as template:
            assert template.preload("probe").skipped == ()
    finally:
        del os.environ["FIREHOT_TEST_OURS"]
        os.close(read_end)
        os.close(write_end)
    modules, argv, environment, threads, path, descriptors = world.read("state")
    assert not {"pytest", "_pytest", "tests", "httpx"} & set(modules)
    assert argv == ["firehot-test"]
    assert environment["FIREHOT_TEST"] == "given"
    assert "FIREHOT_TEST_OURS" not in environment
    assert threads == 1
    assert path == [str(world.project), str(world.installed), *sys.path]
    # Standard streams, channel, lifeline, two ends of the wake-up pipe, and what the probe itself has open.
    assert len(descriptors) <= 9


@pytest.fixture
def shadows(world, monkeypatch):
    """A project whose modules have the names of standard ones; the current folder is the project's."""
    names = ["random", "logging", "asyncio/__init__", "socket", "uvicorn", "click/__init__", "sitecustomize", "gc2"]
    for name in names:
        world.write(f"{name}.py", world.note(Path(name).parts[0], "1"))
    monkeypatch.chdir(world.project)
    return world


@pytest.mark.parametrize("path_variable", [None, ""], ids=["unset", "empty"])
def test_the_project_is_out_of_reach_while_the_template_starts(shadows, path_variable):
    """The project's own `random.py` is not run, although the template starts in the project's folder."""
    with running(shadows, PYTHONPATH=path_variable) as template:
        assert template.preload().skipped == ()
        assert list(shadows.notes.iterdir()) == []


def test_a_project_on_pythonpath_is_out_of_reach_while_the_template_starts(world):
    """PYTHONPATH often names the project: its `random.py`, however faithful, is not run in the template."""
    world.write("random.py", inspect.getsource(random) + world.note("random", "1"))
    # Without coverage, which starts in every interpreter and imports `random` itself.
    with running(world, PYTHONPATH=str(world.project), COVERAGE_PROCESS_CONFIG=None) as template:
        template.preload()
    assert not world.has("random")


def test_shadowing_modules_are_refused_when_a_preloaded_module_asks(shadows):
    """Once the path is known, the guard keeps them out."""
    shadows.install("asks.py", "import gc2\n")
    with running(shadows) as template:
        assert "project code" in template.skipped("asks")["asks"].reason
        assert list(shadows.notes.iterdir()) == []


def test_the_path_and_arguments_are_those_of_configure(world, template):
    """As a cold start would have them, in the worker; a second `Configure` replaces the first."""
    template.preload()
    for number, argv in enumerate((["one"], ["two", "--reload"])):
        template.configure(path=[str(world.project), f"/nowhere/{number}", *sys.path], argv=argv)
        status = template.run_in_worker("import os, sys\n" + world.note("path", "[sys.path, sys.argv]") + "os._exit(0)")
        assert status == 0
        assert world.read("path") == [[str(world.project), f"/nowhere/{number}", *sys.path], argv]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_are_ignored_from_the_first_moment(world, number, capfd):
    """A Ctrl-C while the template starts is the supervisor's to answer: no end, no traceback."""
    template = Template.spawn(world)
    try:
        os.kill(template.pid, number)
        template.preload()
    finally:
        template.end()
    assert capfd.readouterr().err == ""


def test_the_template_ends_when_it_cannot_start(world):
    """An interpreter that cannot import this package ends with a status; nobody waits for it in vain."""
    template = Template.spawn(world, PYTHONHOME="/nowhere")
    try:
        assert template.wait() != 0
        assert template.hear_all() == []
    finally:
        template.end()
