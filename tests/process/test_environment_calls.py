"""Functions in processes of their own: what they get, what comes back, and how it fails."""

import asyncio
import functools
import gc
import importlib
import os
import pickle
import signal
import sys
import threading
import time

import pytest

from firehot_server import CannotSend, EnvironmentEnded, FirehotError, IsolatedError, IsolatedExit, isolate_imports
from firehot_server.engine import session
from firehot_server.errors import Deadline
from tests.support import processes
from tests.support.processes import open_descriptors
from tests.support.waiting import until


@pytest.fixture
def call(environment):
    """Run a function in a process of its own, and wait for what it returns."""

    def run(function, *arguments, **keywords):
        return environment.communicate_isolated(environment.exec(function, *arguments, **keywords))

    return run


class Point:
    """Of a test module: it goes by name, or by value, and comes back as itself."""

    def __init__(self, x, y=0):
        self.x, self.y = x, y

    def shifted(self, by):
        return type(self)(self.x + by, self.y)


class TwoArguments(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


# -- what can be called


def test_any_callable(call):
    """Built-in, lambda, closure, partial, bound method, class; with keywords, named like our own arguments or not."""
    number = 5

    def nested(x, *, func=0, args=()):
        return x + number + func + len(args)

    assert call(len, "four") == 4
    assert call(lambda x: x * 2, 4) == 8
    assert call(nested, 1, func=2, args=(1, 2)) == 10
    assert call(functools.partial(nested, 1)) == 6
    assert call("abc".upper) == "ABC"
    assert call(complex, 1, 2) == 1 + 2j


def test_a_class_comes_back_as_itself(call):
    """The very class, not a copy of it, also where it exists in a function only."""

    class Local(Point):
        pass

    for kind in (Point, Local):
        moved = call(kind(1, 2).shifted, 4)
        assert type(moved) is kind
        assert (moved.x, moved.y) == (5, 2)


def test_a_function_that_calls_itself(call):
    """And others beside it."""

    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert call(even, 10) is True


def test_a_module_that_no_path_leads_to_goes_by_value(place, call, monkeypatch):
    """As the test modules of pytest's importlib mode."""
    path = place.write("elsewhere/hidden.py", "FACTOR = 3\ndef triple(x):\n    return helper(x)\n")
    path.write_text(path.read_text() + "def helper(x):\n    return FACTOR * x\n")
    spec = importlib.util.spec_from_file_location("hidden.away", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "hidden.away", module)
    spec.loader.exec_module(module)
    assert call(module.triple, 5) == 15


def test_ignored_modules_given_as_a_string(place):
    """One name, not its letters."""
    place.install("library.py")
    place.write("shop/app.py", "import library\n")
    with isolate_imports("shop", ignored_modules="library") as environment:
        assert not environment.communicate_isolated(environment.exec(lambda: "library" in sys.modules))


def test_functions_of_modules_run_the_code_on_disk(place, call):
    """Also after saves that neither the size nor the time of the file shows."""
    file = place.write("shop/prices.py", "def price():\n    return 10\n")
    prices = importlib.import_module("shop.prices")
    saved = file.stat()
    for number in range(11, 20):
        place.write("shop/prices.py", f"def price():\n    return {number}\n")
        os.utime(file, ns=(saved.st_atime_ns, saved.st_mtime_ns))
        assert call(prices.price) == number
    assert prices.price() == 10


def test_a_function_that_is_gone_from_disk(place, call):
    """The error names it."""
    place.write("shop/prices.py", "def price():\n    return 10\n")
    prices = importlib.import_module("shop.prices")
    place.write("shop/prices.py", "")
    with pytest.raises(IsolatedError, match="price"):
        call(prices.price)


def test_third_party_imports_are_there_already(place):
    """The package itself is not: it is imported anew in each process."""
    place.install("library.py", "import os\nPID = os.getpid()\n")
    place.write("shop/app.py", "import library, os\nPID = os.getpid()\n")
    place.write("shop/jobs.py", "def pids():\n    from shop import app\n    return app.library.PID, app.PID\n")
    jobs = importlib.import_module("shop.jobs")
    with isolate_imports("shop") as environment:
        runs = [environment.exec(jobs.pids) for _ in range(2)]
        found = [environment.communicate_isolated(run) for run in runs]
    assert [own for _, own in found] == [run.pid for run in runs]
    assert len({library for library, _ in found}) == 1
    assert found[0][0] not in [run.pid for run in runs]


def test_ignored_modules_are_not_preloaded(place):
    """Nor what is below them."""
    for name in ("library", "other"):
        place.install(f"{name}/__init__.py")
        place.install(f"{name}/part.py")
    place.write("shop/app.py", "import library.part, other.part\n")
    with isolate_imports("shop", ignored_modules=["library"]) as environment:
        loaded = environment.communicate_isolated(environment.exec(lambda: list(sys.modules)))
    assert "other.part" in loaded
    assert "library" not in loaded


# -- what it finds around it


def test_it_finds_what_its_caller_has_now(place, call, monkeypatch):
    """Working directory, environment variables, sys.path; changes of its own stay its own."""
    monkeypatch.setenv("SHOP_COLOUR", "green")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(place.installed)
    monkeypatch.syspath_prepend("/nowhere/special")

    def look():
        os.environ["SHOP_COLOUR_CHANGED"] = "1"
        return os.environ.get("SHOP_COLOUR"), "HOME" in os.environ, os.getcwd(), sys.path[0]

    assert call(look) == ("green", False, str(place.installed), "/nowhere/special")
    assert "SHOP_COLOUR_CHANGED" not in os.environ


def test_each_has_a_process_and_random_numbers_of_its_own(call):
    """Nothing one does is seen by the next."""

    def draw():
        import random

        sys.modules["left.behind"] = None
        return os.getpid(), os.getppid(), random.random(), "left.behind" in sys.modules

    first, second = call(draw), call(draw)
    assert first[0] != second[0]
    assert first[1] == second[1] != os.getpid()
    assert first[2] != second[2]


def test_names(environment):
    """Given or made up; the process id is the real one."""
    named = environment.exec(os.getpid, name="my job")
    unnamed = environment.exec(os.getpid)
    assert named.process_name == "my job"
    assert "-" in unnamed.process_name
    assert named.process_uuid != unnamed.process_uuid
    assert environment.communicate_isolated(named) == named.pid
    assert "my job" in repr(named)


# -- sizes and numbers


def test_large_arguments_and_results(call):
    """100 MB, there and back."""
    data = os.urandom(1_000_000) * 100
    assert call(lambda x: x, data) == data


def test_many_at_once_in_any_order(environment, tmp_path):
    """All run at the same time, and are asked in another order."""

    def square(n, gate):
        open(gate).close()
        return n * n

    gate = tmp_path / "gate"
    os.mkfifo(gate)
    runs = [environment.exec(square, n, gate) for n in range(100)]
    assert all(processes.is_alive(run.pid) for run in runs)
    with open(gate, "w"):
        order = sorted(range(100), key=lambda n: n * 7919 % 100)
        assert {n: environment.communicate_isolated(runs[n]) for n in order} == {n: n * n for n in range(100)}


def test_many_threads_at_once(environment):
    """Each gets its own answer, while one of them waits for a slow one."""
    slow = environment.exec(lambda: time.sleep(0.5) or "slow")
    answers = {}

    def work(n):
        answers[n] = environment.communicate_isolated(environment.exec(lambda: n))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    threads.append(threading.Thread(target=lambda: answers.update(slow=environment.communicate_isolated(slow))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {**{n: n for n in range(40)}, "slow": "slow"}


def test_from_asyncio(environment):
    """By `asyncio.to_thread`."""

    async def run(n):
        process = await asyncio.to_thread(environment.exec, pow, n, 2)
        return await asyncio.to_thread(environment.communicate_isolated, process)

    async def main():
        return await asyncio.gather(*map(run, range(20)))

    assert asyncio.run(main()) == [n * n for n in range(20)]


def test_hundreds_of_calls_leave_nothing(environment):
    """No descriptor, process, or memory in the caller or in the template.

    Memory that comes and goes hides in the least of several measurements; what is left for good does not.
    """
    (template,) = processes.children("self")

    def run(times):
        for _ in range(times):
            process = environment.exec(abs, -1)
            assert environment.communicate_isolated(process) == 1
        until(lambda: len(processes.children(template)) == 1, "the stand-by alone")
        until(lambda: environment.update_environment() or not environment._session._running, "the last one's end")
        gc.collect()
        return [(open_descriptors(pid), processes.private_kilobytes(pid)) for pid in (os.getpid(), template)]

    def least():
        caller_and_template = zip(*(run(20) for _ in range(5)), strict=True)
        return [tuple(map(min, zip(*rounds, strict=True))) for rounds in caller_and_template]

    before = least()
    run(200)
    for (descriptors, memory), (descriptors_after, memory_after) in zip(before, least(), strict=True):
        assert descriptors_after <= descriptors
        assert memory_after - memory < 4_000


def test_a_standby_that_was_not_told_of_yet_is_nobodys_process(environment, monkeypatch):
    """It does not hear SIGTERM: leaving would wait for it as for a process that does not want to end."""
    process = environment.exec(time.sleep, 60)
    (template,) = processes.children("self")
    until(lambda: len(processes.children(template)) == 2, "the call and the stand-by")
    session = environment._session
    monkeypatch.setattr(session._family, "pids", lambda: [template])

    assert [member.pid for member in session._descendants_of(list(session._running.values()))] == [process.pid]


# -- how it fails


def test_an_exception_comes_back(call):
    """Type, message, the whole traceback without frames of ours, and the exception itself as the cause."""

    def inner():
        raise KeyError("no such thing")

    with pytest.raises(IsolatedError) as caught:
        call(lambda: inner())
    error = caught.value
    assert (error.type_name, error.message) == ("KeyError", "'no such thing'")
    assert "raised KeyError: 'no such thing'" in str(error)
    assert isinstance(error.__cause__, KeyError)
    assert error.traceback.startswith("Traceback (most recent call last):")
    assert "in inner" in error.traceback
    assert "firehot_server" not in error.traceback
    assert error.__notes__ == [error.traceback.rstrip()]


def test_a_chain_of_exceptions(call):
    """The text has it all."""

    def fail():
        try:
            raise ValueError("first")
        except ValueError as error:
            raise RuntimeError("second") from error

    with pytest.raises(IsolatedError) as caught:
        call(fail)
    assert "ValueError: first" in caught.value.traceback
    assert "direct cause" in caught.value.traceback


def test_an_exception_that_cannot_be_pickled(call):
    """There is no cause, but everything in words."""

    def locked():
        error = ValueError("has a lock")
        error.lock = threading.Lock()
        raise error

    def two():
        raise TwoArguments(1, 2)

    for function, name, message in ((locked, "ValueError", "has a lock"), (two, "TwoArguments", "1 and 2")):
        with pytest.raises(IsolatedError) as caught:
            call(function)
        assert (caught.value.type_name, caught.value.message) == (name, message)
        assert caught.value.__cause__ is None


def test_a_broken_exception(call):
    """Its own `__str__` raises."""

    class Broken(Exception):
        def __str__(self):
            raise ValueError

    def fail():
        raise Broken

    with pytest.raises(IsolatedError) as caught:
        call(fail)
    assert caught.value.type_name.endswith("Broken")


def test_a_keyboard_interrupt_is_an_exception_like_any(call):
    """One that the function raises itself."""

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(IsolatedError) as caught:
        call(interrupt)
    assert caught.value.type_name == "KeyboardInterrupt"


def test_a_result_that_cannot_be_pickled(call):
    """The note says what it was."""
    with pytest.raises(IsolatedError, match="cannot pickle") as caught:
        call(threading.Lock)
    assert "returned a lock, which cannot be sent" in caught.value.traceback


def test_an_argument_that_cannot_be_pickled(environment):
    """No process is started for it."""
    with pytest.raises(CannotSend, match="len or an argument cannot be sent to another process: cannot pickle"):
        environment.exec(len, threading.Lock())
    with pytest.raises(TypeError):
        environment.exec(len, threading.Lock())


@pytest.mark.parametrize(
    ("function", "how", "status"),
    [
        (lambda: sys.exit(3), "exited with status 3", 3),
        (lambda: sys.exit(), "exited with status 0", 0),
        (lambda: sys.exit("no"), "exited with status 1", 1),
        (lambda: os._exit(4), "exited with status 4", 4),
        (lambda: os.abort(), "was killed by SIGABRT", -signal.SIGABRT),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL", -signal.SIGKILL),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "was killed by SIGTERM", -signal.SIGTERM),
    ],
)
def test_a_process_that_ends_without_an_answer(environment, function, how, status):
    """The error says how, twice the same."""
    process = environment.exec(function, name="job")
    for _ in range(2):
        with pytest.raises(IsolatedExit) as caught:
            environment.communicate_isolated(process)
        assert str(caught.value) == f"job (process {process.pid}) {how} before it returned a value"
        assert caught.value.status == status
        assert caught.value.traceback == ""


def test_a_process_that_closes_everything(call):
    """Its channel too."""
    with pytest.raises(IsolatedExit):
        call(lambda: os.closerange(3, 100))


def test_asking_twice_gives_the_same(environment):
    """The very object; the same error."""
    process = environment.exec(list, "ab")
    first = environment.communicate_isolated(process)
    assert environment.communicate_isolated(process) is first
    failing = environment.exec(int, "x")
    errors = []
    for _ in range(2):
        with pytest.raises(IsolatedError) as caught:
            environment.communicate_isolated(failing)
        errors.append((str(caught.value), caught.value.traceback))
    assert errors[0] == errors[1]


def test_a_timeout_leaves_the_process_alone(environment):
    """It says how long, for what; later the answer is there."""
    process = environment.exec(lambda: time.sleep(0.3) or "done", name="slow")
    with pytest.raises(TimeoutError, match=rf"waited 0\.01 s for slow \(process {process.pid}\) to return"):
        environment.communicate_isolated(process, timeout=0.01)
    with pytest.raises(TimeoutError):
        environment.communicate_isolated(process, timeout=0)
    assert environment.communicate_isolated(process, timeout=30) == "done"
    assert environment.communicate_isolated(process, timeout=0) == "done"


def test_threads_of_the_function_go_on(environment, tmp_path):
    """The answer does not wait for them; the process does, as Python does, and runs what is registered for its end."""
    note = tmp_path / "note"

    def start():
        import atexit

        atexit.register(lambda: note.write_text(note.read_text() + " and atexit"))
        threading.Thread(target=lambda: time.sleep(0.2) or note.write_text("thread")).start()
        return "started"

    assert environment.communicate_isolated(environment.exec(start)) == "started"
    until(lambda: note.exists() and note.read_text() == "thread and atexit", "the thread, then the end")


def test_errors_can_be_pickled():
    """They leave an environment within another, and a process pool."""
    for error in (IsolatedError("job", "ValueError", "no", "Traceback..."), IsolatedExit("job", "was stopped", None)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    again = pickle.loads(pickle.dumps(Deadline("the end", 5.0)))
    assert (str(again), again.seconds) == ("waited 5 s for the end", 5.0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda environment: environment.exec(5), "exec needs a function to call, not a int"),
        (lambda environment: environment.exec(lambda: environment), "an environment cannot be sent to another process"),
    ],
)
def test_what_is_no_call(environment, function, message):
    """Said at once, in one sentence."""
    with pytest.raises(TypeError, match=message):
        function(environment)


def test_what_is_no_process(environment):
    """Of any type."""
    with pytest.raises(FirehotError, match="None is not a process of this environment"):
        environment.communicate_isolated(None)
    assert environment.stop_isolated(None) is False


def test_an_async_function(call):
    """The error says what to do."""

    async def later():
        return 1

    with pytest.raises(IsolatedError, match="cannot pickle a coroutine"):
        call(later)


def test_too_many_open_files(place):
    """Only the call fails that there is no room for; what is stopped makes room."""
    place.write(
        "script.py",
        "import resource, time\n"
        "from firehot_server import isolate_imports\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "with isolate_imports('shop') as environment:\n"
        "    running = []\n"
        "    try:\n"
        "        while True:\n"
        "            running.append(environment.exec(time.sleep, 100))\n"
        "    except OSError as error:\n"
        "        print(len(running) > 5, error.strerror)\n"
        "    for process in running:\n"
        "        environment.stop_isolated(process)\n"
        "    print(environment.communicate_isolated(environment.exec(abs, -1)))\n",
    )
    status, output, errors = place.run("-W", "error", "script.py")
    assert (status, errors) == (0, "")
    assert output == "True too many open files for another process; see `ulimit -n`\n1\n"


# -- stopping


def sleep_for_ever():
    while True:
        time.sleep(1)


def test_stopping(environment):
    """It is gone at once, and whoever asks for its answer is told."""
    process = environment.exec(sleep_for_ever, name="sleeper")
    assert environment.stop_isolated(process) is True
    assert not processes.is_alive(process.pid)
    with pytest.raises(IsolatedExit, match="was stopped before it returned a value"):
        environment.communicate_isolated(process)
    assert environment.stop_isolated(process) is True


def test_stopping_wakes_who_waits(environment):
    """In another thread."""
    process = environment.exec(sleep_for_ever)
    caught = []

    def wait():
        with pytest.raises(IsolatedExit) as info:
            environment.communicate_isolated(process)
        caught.append(info.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert environment.stop_isolated(process)
    thread.join(30)
    assert len(caught) == 1


def test_stopping_lets_it_tidy_up(environment, tmp_path):
    """SIGTERM comes first."""

    def tidy(folder):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit((folder / "tidied").write_text("yes") and 7))
        (folder / "ready").touch()
        sleep_for_ever()

    process = environment.exec(tidy, tmp_path)
    until((tmp_path / "ready").exists, "the handler")
    assert environment.stop_isolated(process)
    assert (tmp_path / "tidied").read_text() == "yes"


def test_stopping_what_will_not_end(environment, tmp_path, monkeypatch):
    """SIGKILL after the deadline, for it and for what it started."""
    monkeypatch.setattr(session, "STOP_SECONDS", 0.3)

    def stubborn(folder):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = os.fork()
        if child:
            (folder / "child").write_text(str(child))
        sleep_for_ever()

    process = environment.exec(stubborn, tmp_path)
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), "the child")
    child = int((tmp_path / "child").read_text())
    assert environment.stop_isolated(process)
    assert not processes.is_alive(process.pid)
    assert not processes.is_alive(child)


def test_stopping_what_has_completed(environment):
    """True: the answer stays."""
    process = environment.exec(abs, -1)
    assert environment.communicate_isolated(process) == 1
    assert environment.stop_isolated(process) is True
    assert environment.communicate_isolated(process) == 1


def test_stopping_what_is_not_known(place, environment):
    """Of another environment."""
    with isolate_imports("shop") as other:
        process = other.exec(abs, -1)
        assert environment.stop_isolated(process) is False
        with pytest.raises(FirehotError, match="is not a process of this environment"):
            environment.communicate_isolated(process)


# -- an environment that is not open


def test_not_entered(place):
    """The message says what to write."""
    with pytest.raises(EnvironmentEnded, match="enter this environment first"):
        isolate_imports("shop").exec(abs, -1)


def test_closed(place):
    """Answers stay; what ran has been stopped."""
    with isolate_imports("shop") as environment:
        done = environment.exec(abs, -1)
        assert environment.communicate_isolated(done) == 1
        running = environment.exec(sleep_for_ever)
    assert environment.communicate_isolated(done) == 1
    with pytest.raises(IsolatedExit, match="was stopped"):
        environment.communicate_isolated(running)
    with pytest.raises(EnvironmentEnded, match="closed"):
        environment.exec(abs, -1)
    with pytest.raises(EnvironmentEnded, match="closed"):
        environment.update_environment()
    with pytest.raises(EnvironmentEnded, match="once"):
        environment.__enter__()
    environment.close()


@pytest.mark.parametrize("name", ["no_such_package", "shop.no_such_module", "", "sys", ".", "shop..app"])
def test_no_such_package(place, name):
    """ImportError, and nothing is left behind."""
    descriptors = open_descriptors(os.getpid())
    with pytest.raises(ImportError) as caught, isolate_imports(name):
        pass
    assert str(caught.value)
    assert open_descriptors(os.getpid()) == descriptors
