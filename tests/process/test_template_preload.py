"""Preloading: what modules may do wrong, what the template says of it, and what it goes on with."""

import dataclasses
import importlib.util
import os
import signal
from importlib.machinery import FileFinder
from pathlib import Path

import pytest

from firehot_server.errors import ChannelClosed
from firehot_server.messages import Preload, Preloaded, Preloading
from firehot_server.template.preload import preload
from tests.support import processes
from tests.support.templates import running

PRELUDE = "import _thread, asyncio, ctypes, os, signal, socket, subprocess, sys, threading, time\n"
NUMPY = importlib.util.find_spec("numpy")
OPENBLAS = sorted(map(str, Path(NUMPY.origin).parents[1].glob("numpy.libs/*openblas*"))) if NUMPY else []
# No file of the size of the process, wherever the system would put it.
NO_CORE = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"


def install(world, name, *lines):
    world.install(f"{name}.py", PRELUDE + "\n".join(lines) + "\n")


def test_modules_are_announced_in_order_and_imported_once(world, template):
    """Each with its number; what is imported already is not announced again."""
    for name in ("one", "two", "three"):
        install(world, name, f"assert {name!r} not in os.environ", f"os.environ[{name!r}] = 'imported'")
    template.send(Preload(("one", "two", "one", "json", "three")))
    messages = []
    while not messages or not isinstance(messages[-1], Preloaded):
        messages.append(template.receive())
    *announced, preloaded = messages
    assert [(message.module, message.number, message.total) for message in announced] == [
        ("one", 1, 5),
        ("two", 2, 5),
        ("three", 5, 5),
    ]
    assert preloaded.skipped == ()
    assert preloaded.modules > 100
    assert template.skipped("three", "two") == {}
    assert len(template.announced) == 0


def test_nothing_to_preload_is_answered(template):
    """An empty list is a way to ask whether the template is there."""
    first = template.preload()
    assert first.skipped == ()
    assert first.files  # what it was started with
    assert template.preload() == dataclasses.replace(first, files=())


def places(world, preloaded):
    """Where in the project it looked in vain."""
    within = [read for read in preloaded.looked if os.path.dirname(read.path) == str(world.project)]
    return {os.path.basename(read.path): read.digest for read in within}


def test_places_of_the_project_in_which_modules_were_looked_for(world, template):
    """Had there been one, it would have been found first: also one that is nowhere."""
    world.install("library.py", "try:\n    import local_settings\nexcept ImportError:\n    pass\nimport kit.part")
    world.install("kit/__init__.py")
    world.install("kit/part.py")
    world.write("kit/readme.txt")
    found = places(world, template.preload("library"))
    assert found == {"library": b"", "local_settings": b"", "kit": b"/"}
    assert template.preload().looked == ()


def test_places_in_which_modules_were_looked_for_by_a_copy(world, template):
    """It tells of its own."""
    world.install("library.py")
    world.install("more.py")
    template.preload("library")
    copy = template.extend("more")
    assert places(world, copy.hear(Preloaded)) == {"more": b""}


def test_the_import_system_is_what_it_was_when_all_is_preloaded():
    """Its copies are to find modules as fast as ever."""

    def run():
        before = FileFinder.find_spec
        preload(("wave",), lambda _: None, lambda _: False)
        return FileFinder.find_spec is before

    assert processes.in_fork(run) is True


def test_what_is_found_in_the_project_is_no_reason_for_another_template(world, template):
    """The module that wanted it is left to the worker."""
    world.write("local_settings.py")
    world.install("library.py", "import local_settings")
    preloaded = template.preload("library")
    assert [skipped.module for skipped in preloaded.skipped] == ["library"]
    assert places(world, preloaded) == {"library": b""}


def test_a_dotted_name_imports_its_parents(world, template):
    """As an import statement does."""
    world.install("library/__init__.py")
    world.install("library/deep/__init__.py")
    world.install("library/deep/part.py")
    assert template.skipped("library.deep.part") == {}
    assert template.has("library", "library.deep")


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise ValueError('no good')", "ValueError: no good"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit", "SystemExit"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("sys.exit('cannot go on')", "SystemExit: cannot go on"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line"),
        ("1 +", "SyntaxError"),
        ("raise MemoryError", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise ExceptionGroup('two', [ValueError(1), OSError(2)])", "ExceptionGroup: two"),
        ("class E(Exception):\n    def __str__(self): raise ValueError('in str')\nraise E", "E"),
        ("class E(Exception):\n    def __str__(self): return 5\nraise E", "E"),
        ("signal.raise_signal(signal.SIGINT)", None),
        ("del sys.modules[__name__]", "KeyError"),
        ("sys.stdout = sys.stderr = None", None),
    ],
)
def test_a_module_that_fails_is_skipped_with_the_reason(world, template, line, reason):
    """It is named; the others are preloaded; nothing of it lasts."""
    install(world, "bad", line)
    world.install("good.py")
    skipped = template.skipped("bad", "good")
    if reason is None:
        assert skipped == {}
    else:
        assert set(skipped) == {"bad"}
        assert skipped["bad"].reason.startswith(reason)
        assert "\n" not in skipped["bad"].reason
        assert not skipped["bad"].lasting
    assert template.has("good")
    status = template.run_in_worker("import good, os\nos._exit(7)\n")
    assert status == 7


def test_a_module_that_does_not_exist_is_skipped(template):
    """It is no error to ask for what is not installed."""
    assert template.skipped("nowhere.at_all")["nowhere.at_all"].reason.startswith("ModuleNotFoundError")


@pytest.mark.parametrize("modules", [("library",), ("library.part",), ("library.bad",)])
def test_a_package_of_which_half_is_loaded_is_lasting(world, template, modules):
    """What stays behind would not be run again: the next template must do without it."""
    world.install("library/__init__.py", "from library import part\nfrom library import bad\n")
    world.install("library/part.py")
    world.install("library/bad.py", "raise ValueError\n")
    (skipped,) = template.preload(*modules).skipped
    assert (skipped.module, skipped.reason, skipped.lasting) == (*modules, "ValueError", True)


def test_a_failing_submodule_of_a_loaded_package_does_not_last(world, template):
    """The package was whole before."""
    world.install("library/__init__.py")
    world.install("library/bad.py", "raise ValueError\n")
    assert template.skipped("library") == {}
    assert not template.skipped("library.bad")["library.bad"].lasting


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
        (NO_CORE + "ctypes.string_at(0)", -signal.SIGSEGV),
    ],
    ids=["exit", "kill", "abort", "segfault"],
)
def test_a_module_that_kills_the_process_was_announced(world, template, line, status):
    """Its name is the last word of the process; the channel ends, and the status tells how."""
    world.install("good.py")
    install(world, "deadly", NO_CORE + line)
    world.install("never.py")
    template.send(Preload(("good", "deadly", "never")))
    assert template.hear_all() == []
    assert template.announced == ["good", "deadly"]
    assert template.wait() == status


@pytest.mark.parametrize("line", ["while True: pass", "time.sleep(10**6)", "sum(range(10**18))"])
def test_a_module_that_hangs_was_announced_and_can_be_ended(world, template, line):
    """Its name is the last word; cutting the lifeline ends the process, also where it holds the interpreter."""
    install(world, "endless", line)
    template.send(Preload(("endless",)))
    assert template.hear(Preloading).module == "endless"
    assert template.is_alive
    template.cut()
    assert template.hear_all() == []
    assert template.wait() == -signal.SIGKILL


def test_a_hanging_module_outlives_signals_but_not_the_supervisor(world, template):
    """SIGTERM to the group changes nothing; the end of the lifeline does."""
    install(world, "endless", "while True: pass")
    template.send(Preload(("endless",)))
    template.hear(Preloading)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(template.pid, number)
    assert template.is_alive
    template.cut()
    assert template.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "line",
    [
        "os.closerange(3, 200)",
        "signal.signal(signal.SIGCHLD, signal.SIG_DFL)",
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.set_wakeup_fd(-1)",
    ],
)
def test_a_module_that_breaks_the_template_itself_is_noticed(world, template, line):
    """It took what the template works with: that is named, or the template ends, or goes on to tell of exits."""
    install(world, "rude", line)
    try:
        skipped = template.skipped("rude")
    except ChannelClosed:
        return
    if not skipped:
        worker = template.fork()
        worker.cut()
        assert template.exit_code(worker.pid) in (-signal.SIGKILL, 128 + signal.SIGKILL)


# ---------------------------------------------------------------- the audit


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["threading.Thread(target=time.sleep, args=(10**6,), name='poller', daemon=True).start()"], "poller"),
        (["_thread.start_new_thread(time.sleep, (10**6,))"], "1 native thread"),
        (["kept = [threading.Timer(10**6, print) for _ in '12']", "for timer in kept: timer.start()"], "thread"),
        (["kept = socket.socket()"], "a socket"),
        (["kept = socket.socketpair()"], "a socket"),
        (["kept = os.pipe()"], "a pipe"),
        (["kept = asyncio.new_event_loop()"], "an event loop"),
        (["import select", "kept = select.epoll()"], "an event loop"),
        ([f"kept = open({'/tmp/'!r} + str(os.getpid()) + '.firehot-test', 'w')", "os.unlink(kept.name)"], "writing"),
        (["import tempfile", "kept = tempfile.TemporaryFile()"], "writing"),
        (["kept = os.open('/dev/full', os.O_RDONLY)"], "a device"),
        (["kept = os.eventfd(0)"], "an event descriptor"),
        (["import ctypes", "kept = ctypes.CDLL(None).inotify_init()"], "a file watcher"),
        (["import signal as s", "kept = ctypes.CDLL(None).timerfd_create(1, 0)"], "a timer"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_module_leaves_behind_is_named(world, template, lines, reason):
    """A thread, a socket, a pipe...: a copy would break it, so a clean template must do without this module."""
    install(world, "leaver", *lines)
    world.install("good.py")
    skipped = template.skipped("leaver", "good")
    assert set(skipped) == {"leaver"}
    assert reason in skipped["leaver"].reason
    assert skipped["leaver"].lasting


@pytest.mark.parametrize(
    "lines",
    [
        ["kept = open(__file__)"],
        ["kept = open('/dev/null', 'w')", "other = os.open('/dev/urandom', os.O_RDONLY)"],
        ["kept = os.open('/', os.O_RDONLY)"],
        ["socket.create_server(('127.0.0.1', 0)).close()"],
        ["asyncio.run(asyncio.sleep(0))"],
        ["ends = os.pipe()", "for fd in ends: os.close(fd)"],
        ["subprocess.run([sys.executable, '-c', ''], check=True)"],
        ["import mmap", "kept = mmap.mmap(-1, 4096)"],
        ["lock = threading.Lock()", "local = threading.local()"],
        ["with open(os.devnull, 'w') as file: file.write('x')"],
        ["import tempfile", "with tempfile.TemporaryFile() as file: file.write(b'x')"],
        ["from concurrent.futures import ThreadPoolExecutor", "kept = ThreadPoolExecutor()"],
    ],
)
def test_what_does_no_harm_is_preloaded(world, template, lines):
    """What only reads, or is over when the import ends, may be copied."""
    install(world, "harmless", *lines)
    assert template.skipped("harmless") == {}


def test_garbage_is_not_held_against_a_module(world, template):
    """A socket in a dropped cycle is nobody's: the next collection closes it."""
    install(
        world,
        "careless",
        "import warnings",
        "warnings.simplefilter('ignore', ResourceWarning)",
        "def probe():",
        "    class Holder: pass",
        "    holder = Holder()",
        "    holder.itself = holder",
        "    holder.socket = socket.socket()",
        "probe()",
    )
    assert template.skipped("careless") == {}


def test_threads_that_were_joined_leave_nothing(world, template):
    """A joined thread may need a moment to leave the kernel: here 20 ms, for a thread-local of some C library."""
    install(
        world,
        "busy",
        "libc = ctypes.CDLL(None)",
        "key = ctypes.c_uint()",
        "libc.pthread_key_create(ctypes.byref(key), libc.usleep)  # called with its value when a thread ends",
        "def work():",
        "    libc.pthread_setspecific(key, ctypes.c_void_p(20_000))",
        "for _ in range(3):",
        "    thread = threading.Thread(target=work)",
        "    thread.start()",
        "    thread.join()",
    )
    assert template.skipped("busy") == {}


def test_each_module_answers_for_itself(world, template):
    """What one left behind is not held against the next."""
    install(world, "first", "kept = socket.socket()")
    install(world, "second", "pass")
    install(world, "third", "kept = os.pipe()")
    skipped = template.skipped("first", "second", "third")
    assert {name: skip.reason for name, skip in skipped.items()} == {
        "first": "it left a socket open",
        "third": "it left a pipe open",
    }


def test_everything_that_was_left_is_named(world, template):
    """With both a thread and a socket, the reason has both."""
    install(
        world,
        "leaver",
        "kept = socket.socket()",
        "threading.Thread(target=time.sleep, args=(10**6,), name='poller', daemon=True).start()",
    )
    skipped = template.skipped("leaver")["leaver"]
    assert "poller" in skipped.reason
    assert "a socket" in skipped.reason
    assert skipped.lasting


def test_a_module_that_fails_and_leaves_something_is_lasting(world, template):
    """Its thread runs on without it."""
    start = "threading.Thread(target=time.sleep, args=(10**6,), name='poller', daemon=True).start()"
    install(world, "leaver", start, "raise ValueError")
    skipped = template.skipped("leaver")["leaver"]
    assert "poller" in skipped.reason
    assert skipped.lasting


def test_a_descriptor_that_was_moved_is_no_new_one(world, template):
    """A module that closes what an earlier one left open, and opens the like, leaves what was there before."""
    install(world, "first", "kept = open(__file__)")
    install(world, "second", "import first", "first.kept.close()", "kept = open(__file__)")
    assert template.skipped("first", "second") == {}


@pytest.mark.skipif(NUMPY is None, reason="NumPy is not installed")
@pytest.mark.parametrize("threads", ["1", "2", "8", None])
def test_numpy_is_preloaded(world, threads):
    """OpenBLAS's pool survives forks: its threads are allowed, and the copies can multiply."""
    with running(world, OPENBLAS_NUM_THREADS=threads) as template:
        assert template.skipped("numpy", "numpy.random", "numpy.linalg") == {}
        multiply = "import os, numpy\na = numpy.ones((300, 300))\n"
        source = multiply + world.note("product", "float((a @ a)[0, 0])") + "os._exit(0)\n"
        assert template.run_in_worker(source) == 0
        assert world.read("product") == 300


@pytest.mark.parametrize(
    "modules",
    [
        ("pandas",),
        ("scipy.linalg",),
        ("scipy.stats",),
        ("numpy", "scipy", "scipy.special"),
        ("scipy", "scipy.ndimage", "scipy.fft", "scipy.optimize"),
    ],
    ids=" ".join,
)
def test_what_builds_on_numpy_is_preloaded(template, modules):
    """Each may bring a pool of its own, whichever of its modules loads it."""
    for package in {module.partition(".")[0] for module in modules}:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    assert template.skipped(*modules) == {}


@pytest.mark.skipif(not OPENBLAS, reason="there is no NumPy with an OpenBLAS of its own")
def test_openblas_is_allowed_to_whoever_loads_it(world, template):
    """OpenCV, for one, brings its own."""
    install(world, "vision", f"kept = ctypes.CDLL({OPENBLAS[0]!r})")
    install(world, "native", "_thread.start_new_thread(time.sleep, (10**6,))")
    assert set(template.skipped("vision", "native")) == {"native"}


@pytest.mark.skipif(NUMPY is None, reason="NumPy is not installed")
@pytest.mark.parametrize("threads", ["1", None])
def test_the_allowance_for_numpy_is_for_numpy(world, threads):
    """Another module's native thread is noticed beside it, whether or not OpenBLAS started any of its own."""
    install(world, "native", "_thread.start_new_thread(time.sleep, (10**6,))")
    with running(world, OPENBLAS_NUM_THREADS=threads) as template:
        skipped = template.skipped("numpy", "native")
        assert set(skipped) == {"native"}
        assert "1 native thread" in skipped["native"].reason


@pytest.mark.skipif(NUMPY is None, reason="NumPy is not installed")
def test_the_allowance_is_for_the_processors_that_may_be_used(world):
    """Bound to one processor (a container may be), OpenBLAS starts no thread, so none is allowed."""
    install(world, "native", "_thread.start_new_thread(time.sleep, (10**6,))")
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        with running(world, OPENBLAS_NUM_THREADS=None, OMP_NUM_THREADS=None) as template:
            assert set(template.skipped("numpy", "native")) == {"native"}
    finally:
        os.sched_setaffinity(0, processors)


# ---------------------------------------------------------------- output


@pytest.mark.parametrize("unbuffered", [None, "1"], ids=["buffered", "unbuffered"])
def test_what_a_module_prints_is_printed_once(world, capfd, unbuffered):
    """Not again by every copy that is forked."""
    install(world, "talker", "print('to stdout')", "print('to stderr', file=sys.stderr)", "sys.stdout.write('half')")
    with running(world, PYTHONUNBUFFERED=unbuffered) as template:
        template.preload("talker")
        for _ in range(3):
            assert template.run_in_worker("import sys\nsys.exit(0)\n") == 1
        copy = template.extend()
        copy.hear(Preloaded)
        copy.run_in_worker("")
    out, err = capfd.readouterr()
    assert (out.count("to stdout"), out.count("half"), err.count("to stderr")) == (1, 1, 1)


def test_what_a_module_prints_from_c_is_printed_once(world, capfd):
    """C's own buffer is copied by a fork as well, or lost at an end without tear-down."""
    install(world, "talker", "ctypes.CDLL(None).puts(b'from c')")
    with running(world, PYTHONUNBUFFERED=None) as template:
        template.preload("talker")
        for _ in range(3):
            template.run_in_worker("import sys\nsys.exit(0)\n")
    assert capfd.readouterr().out.count("from c") == 1


def test_what_a_worker_prints_from_c_is_not_lost(world, capfd):
    """A worker that ends by itself leaves nothing in C's buffer."""
    with running(world, PYTHONUNBUFFERED=None) as template:
        template.run_in_worker("import ctypes, sys\nctypes.CDLL(None).puts(b'from c')\nsys.exit(0)\n")
    assert capfd.readouterr().out.count("from c") == 1
