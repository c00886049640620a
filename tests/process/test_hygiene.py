"""A forked worker starts as a fresh interpreter would."""

import gc
import importlib
import importlib.util
import os
import pdb
import random
import signal
import subprocess
import sys

import pytest

from firehot_server.worker import hygiene
from firehot_server.worker.audit_events import DEBUGGER_EVENTS, AuditEvents
from tests.support.processes import in_fork
from tests.support.templates import running

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
INHERITED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
needs_numpy = pytest.mark.skipif(not HAS_NUMPY, reason="NumPy is not installed")


def fresh(function):
    """What a function returns in a fork that has been made fresh, as a template's copy is."""

    def run():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        gc.disable()
        hygiene.start_afresh(INHERITED)
        return function()

    return in_fork(run)


def test_signals_end_it_again():
    """SIGTERM and SIGHUP are no longer ignored; SIGINT is left to the supervisor by a handler."""
    handlers = fresh(lambda: [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)])
    assert handlers == [signal.SIG_DFL, signal.SIG_DFL]
    assert fresh(lambda: callable(signal.getsignal(signal.SIGINT)))


def test_ctrl_c_does_not_interrupt_it():
    """Not even while it waits: the supervisor will say what to do."""
    assert fresh(lambda: signal.raise_signal(signal.SIGINT) or "went on") == "went on"


def test_programs_that_the_app_starts_can_be_interrupted():
    """They inherit what is ignored, so nothing is."""
    show = "import signal; print([signal.getsignal(n) == signal.SIG_IGN for n in (1, 2, 15)])"

    def run():
        return subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=30).stdout

    assert fresh(run).strip() == "[False, False, False]"


def test_garbage_is_collected_again():
    """The template does without while it imports."""
    assert fresh(gc.isenabled)


def test_main_is_nobodys():
    """What the template ran as `__main__` is not there any more."""

    def run():
        import __main__

        return sorted(vars(__main__)), __main__.__name__, hasattr(__main__, "__file__")

    names, name, has_file = fresh(run)
    assert name == "__main__"
    assert not has_file
    assert all(name.startswith("__") for name in names)


def test_a_pickle_of_main_refers_to_what_the_app_put_there():
    """`__main__` is a module like any other: what is set in it is found in it."""

    def run():
        import pickle

        import __main__

        class Thing:
            pass

        Thing.__module__, Thing.__qualname__ = "__main__", "Thing"
        __main__.Thing = Thing
        return type(pickle.loads(pickle.dumps(Thing()))) is Thing

    assert fresh(run)


def draw():
    import numpy.random

    return random.random(), float(numpy.random.rand())


@needs_numpy
def test_random_numbers_differ_between_forks():
    """`random` reseeds itself, NumPy has to be told."""

    def fork_thrice():
        draw()  # here, so that the forks have the same generators
        return [fresh(draw) for _ in range(3)]

    draws = in_fork(fork_thrice)
    for values in zip(*draws, strict=True):
        assert len(set(values)) == 3


@needs_numpy
def test_random_numbers_differ_between_workers(world):
    """The same through a real template that has preloaded NumPy."""
    draw = "import random, numpy\n" + world.note("draw", "[random.random(), float(numpy.random.rand())]")
    with running(world) as template:
        assert template.skipped("numpy", "numpy.random") == {}
        draws = []
        for _ in range(2):
            assert template.run_in_worker(draw + "os._exit(0)\n") == 0
            draws.append(world.read("draw"))
    for one, other in zip(*draws, strict=True):
        assert one != other


@needs_numpy
def test_random_numbers_differ_between_workers_where_numpy_loads_its_generator_late(world):
    """`numpy.random` is imported by the first worker that asks for it, in each of them anew."""
    draw = "import numpy.random\n" + world.note("draw", "float(numpy.random.rand())")
    with running(world) as template:
        assert template.skipped("numpy") == {}
        draws = []
        for _ in range(2):
            assert template.run_in_worker(draw + "os._exit(0)\n") == 0
            draws.append(world.read("draw"))
    assert draws[0] != draws[1]


def test_numpy_is_not_imported_for_it():
    """Who does not use NumPy does not wait for it."""

    def run():
        for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
            del sys.modules[name]
        hygiene.start_afresh(INHERITED)
        return "numpy" in sys.modules

    assert in_fork(run) is False


def test_what_appeared_in_a_folder_is_found(tmp_path):
    """The finders' listings are forgotten, also those within the clock's resolution."""
    (tmp_path / "before.py").write_text("")

    def run():
        sys.path.insert(0, str(tmp_path))
        importlib.import_module("before")
        former = tmp_path.stat()
        (tmp_path / "after.py").write_text("")
        os.utime(tmp_path, ns=(former.st_atime_ns, former.st_mtime_ns))
        with pytest.raises(ImportError):
            importlib.import_module("after")  # this test's premise: the listing is remembered
        hygiene.forget_files()
        return importlib.import_module("after").__name__

    assert in_fork(run) == "after"


def test_a_folder_that_appeared_on_the_path_is_found(tmp_path):
    """The finders remember that there was no such folder; that is forgotten too."""

    def run():
        sys.path.insert(0, str(tmp_path / "later"))
        with pytest.raises(ImportError):
            importlib.import_module("nowhere_at_all")
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "after.py").write_text("")
        hygiene.forget_files()
        return importlib.import_module("after").__name__

    assert in_fork(run) == "after"


def test_a_foreign_finder_is_left_alone(tmp_path):
    """Archives and other path hooks have no listing to forget."""

    def run():
        sys.path_importer_cache["/somewhere"] = object()
        sys.path_importer_cache["/nowhere"] = None
        hygiene.forget_files()

    in_fork(run)


def announce_debuggers(announced):
    events = AuditEvents()
    for event in DEBUGGER_EVENTS:
        events.on(event, lambda *_: announced.append(1))


@pytest.mark.parametrize("enter", [breakpoint, pdb.Pdb])
def test_a_debugger_is_announced(enter):
    """Whatever way the user enters it."""

    def run():
        announced = []
        announce_debuggers(announced)
        assert announced == []
        sys.breakpointhook = lambda *_: None
        enter()
        return announced

    assert in_fork(run)


def test_a_debugger_is_not_announced_without_need():
    """Importing it is not entering it."""

    def run():
        announced = []
        announce_debuggers(announced)
        importlib.reload(importlib.import_module("bdb"))
        exec(compile("1 + 1", "<text>", "exec"))
        return announced

    assert in_fork(run) == []
