"""An environment in programs of every kind: what their users see, and that nothing outlives them."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from firehot_server import isolate_imports
from firehot_server.errors import EnvironmentEnded
from tests.support import processes
from tests.support.waiting import SECONDS, until

EXAMPLE = """
from firehot_server import isolate_imports
from os import getpid, getppid

def run_under_environment(value: int):
    print(f"Running with value: {value} (pid: {getpid()}, parent_pid: {getppid()})")

with isolate_imports("shop") as environment:
    context1 = environment.exec(run_under_environment, 1)
    context2 = environment.exec(run_under_environment, 2)
    result1 = environment.communicate_isolated(context1)
    result2 = environment.communicate_isolated(context2)
    environment.update_environment()
    context3 = environment.exec(run_under_environment, 3)
    result3 = environment.communicate_isolated(context3)
"""
WAITING = """
import os, subprocess, sys, time
from firehot_server import isolate_imports

def wait():
    print(f"running {os.getpid()}\\n", end="", flush=True)  # in one piece
    while True:
        pass

with isolate_imports("shop") as environment:
    print("template", environment.communicate_isolated(environment.exec(os.getppid)), flush=True)
    processes = [environment.exec(wait) for _ in range(3)]
    sys.stdin.readline()
    {then}
"""


def assert_example(output):
    lines = output.splitlines()
    assert [line.partition(" (")[0] for line in sorted(lines)] == [f"Running with value: {n}" for n in (1, 2, 3)]
    assert len({line.partition("(")[2].partition(",")[0] for line in lines}) == 3
    assert len({line.rpartition(":")[2] for line in lines}) == 1


# -- kinds of programs


def test_a_script(place):
    """As it stands: no `__main__` guard."""
    place.write("script.py", EXAMPLE)
    status, output, errors = place.run("-W", "error", "script.py")
    assert (status, errors) == (0, "")
    assert_example(output)


def test_a_module(place):
    """Run by -m, and imported by another."""
    place.write("shop/jobs.py", EXAMPLE)
    for arguments in (["-m", "shop.jobs"], ["-c", "import shop.jobs"]):
        status, output, errors = place.run("-W", "error", *arguments)
        assert (status, errors) == (0, "")
        assert_example(output)


def test_a_notebook(place):
    """Cells run one by one in `__main__`; their source is in no file."""
    opened = EXAMPLE.replace(
        'with isolate_imports("shop") as environment:', 'environment = isolate_imports("shop").__enter__()'
    )
    before, entered, inside = opened.partition('environment = isolate_imports("shop").__enter__()\n')
    cells = [before, entered, textwrap.dedent(inside), "environment.close()"]
    program = f"import __main__\nfor cell in {cells!r}:\n    exec(compile(cell, '<cell>', 'exec'), __main__.__dict__)\n"
    status, output, errors = place.run("-W", "error", "-c", program)
    assert (status, errors) == (0, "")
    assert_example(output)


def test_a_prompt(place):
    """Typed line by line."""
    typed = EXAMPLE.replace(
        '(pid: {getpid()}, parent_pid: {getppid()})")\n', '(pid: {getpid()}, parent_pid: {getppid()})")\n\n'
    )
    status, output, _ = place.run("-i", "-q", input=typed.strip() + "\n\n")
    assert status == 0
    assert_example("".join(line for line in output.splitlines(True) if line != "False\n"))


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_a_test(place, mode):
    """Of pytest, in whichever import mode."""
    body = EXAMPLE.strip().replace("\nwith", "\ndef test_example():\n  with").replace("\n    ", "\n      ")
    place.write("tests/test_shop.py", body.replace("\n      print", "\n    print"))
    status, output, _ = place.run(
        "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--import-mode={mode}", "tests"
    )
    assert status == 0, output
    assert output.count("Running with value") == 3


# -- standard streams


def test_output_is_in_order_and_unaltered(place):
    """What the caller printed before comes before, also where both are buffered; bytes stay what they are."""
    place.write(
        "script.py",
        "import os, sys\n"
        "from firehot_server import isolate_imports\n"
        "def speak(n):\n"
        "    print('child', n)\n"
        "    sys.stderr.write('error %d\\n' % n)\n"
        "    sys.stdout.flush(); sys.stdout.buffer.write(b'\\x00\\xff{\"name\": 1}\\r\\n')\n"
        "with isolate_imports('shop') as environment:\n"
        "    for n in range(3):\n"
        "        print('parent', n)\n"
        "        environment.communicate_isolated(environment.exec(speak, n))\n"
        "    print('end')\n",
    )
    with open(place.root / "output", "w+b") as file:
        subprocess.run(
            [sys.executable, "script.py"],
            cwd=place.project,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(place.path)},
            stdout=file,
            stderr=file,
            check=True,
            timeout=60,
        )
        file.seek(0)
        raw = b'\x00\xff{"name": 1}\r\n'
        lines = [b"parent %d\n" % n + b"error %d\n" % n + b"child %d\n" % n + raw for n in range(3)]
        output = file.read()
    ordered = [line for line in output.splitlines() if not line.startswith(b"error")]
    expected = [line for line in b"".join([*lines, b"end\n"]).splitlines() if not line.startswith(b"error")]
    assert ordered == expected
    assert [output.count(b"error %d\n" % n) for n in range(3)] == [1, 1, 1]


def test_standard_input_is_the_real_one(place):
    """A function reads on where its caller stopped."""
    place.write(
        "script.py",
        "import sys\n"
        "from firehot_server import isolate_imports\n"
        "with isolate_imports('shop') as environment:\n"
        "    print([environment.communicate_isolated(environment.exec(lambda: sys.stdin.readline()))])\n",
    )
    assert place.run("script.py", input="typed\nmore\n") == (0, "['typed\\n']\n", "")


def test_on_a_terminal(place):
    """Functions have it: they see its size, and may ask questions."""
    place.write(
        "script.py",
        "import os, sys\n"
        "from firehot_server import isolate_imports\n"
        "with isolate_imports('shop') as environment:\n"
        "    ask = lambda: (sys.stdout.isatty(), input('name? '))\n"
        "    print(environment.communicate_isolated(environment.exec(ask)))\n",
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place.path)}
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=place.project, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as script:
        os.close(theirs)
        seen = b""
        while b"name? " not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, b"Ada\n")
        while b"(True, 'Ada')" not in seen:
            seen += os.read(ours, 1000)
        assert script.wait(SECONDS) == 0
    os.close(ours)


def test_streams_that_are_closed(place):
    """As in a daemon."""
    place.write(
        "script.py",
        "import os\nfrom firehot_server import isolate_imports\n"
        "for fd in (0, 1, 2): os.close(fd)\n"
        "with isolate_imports('shop') as environment:\n"
        "    answer = environment.communicate_isolated(environment.exec(abs, -1))\n"
        f"    os.mkdir({str(place.root / 'answer')!r} + str(answer))\n",
    )
    place.run("script.py")
    assert (place.root / "answer1").exists()


# -- the end


def started(place, then):
    """A program with three functions that never return, and goes on at a typed line; every process below it."""
    place.write("script.py", WAITING.replace("{then}", then))
    script = place.start("script.py", stdin=subprocess.PIPE)
    try:
        lines = [script.stdout.readline().split() for _ in range(4)]
        return script, [int(pid) for _, pid in lines]
    except BaseException:
        with script:
            raise


def assert_gone(pids):
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), f"the end of {pids}, zombies included")


@pytest.mark.parametrize(
    ("then", "status", "said"),
    [
        ("pass", 0, ""),
        ("raise ValueError('no more')", 1, "ValueError: no more"),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), 2); time.sleep(30)", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_leaving_ends_every_process(place, then, status, said):
    """However the block is left."""
    script, pids = started(place, then)
    with script:
        _, errors = script.communicate("\n", timeout=30)
    assert script.returncode == status
    assert said in errors
    assert_gone(pids)


def test_ctrl_c_at_the_terminal(place):
    """The signal goes to the whole group; only the caller answers it, so there is one traceback."""
    script, pids = started(place, "[environment.communicate_isolated(process) for process in processes]")
    with script:
        for pid in [*pids, script.pid]:
            os.kill(pid, signal.SIGINT)
        _, errors = script.communicate("\n", timeout=30)
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt" in errors
    assert_gone(pids)


@pytest.mark.parametrize("how", ["os._exit(9)", "os.kill(os.getpid(), 9)"])
def test_the_death_of_the_caller_ends_every_process(place, how):
    """Also those that are busy, at once."""
    script, pids = started(place, how)
    with script:
        script.communicate("\n", timeout=30)
    assert_gone(pids)


def test_leaving_ends_what_functions_started(place, tmp_path):
    """With SIGTERM, too."""

    def start(note):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
        note.write_text(str(child.pid))
        child.wait()

    with isolate_imports("shop") as environment:
        environment.exec(start, tmp_path / "note")
        until(lambda: (tmp_path / "note").exists() and (tmp_path / "note").read_text(), "the child")
    child = int((tmp_path / "note").read_text())
    until(lambda: not processes.is_alive(child), "the end of the child")


def test_nothing_is_left_open(place):
    """No descriptor, however often an environment is entered; no thread."""

    def enter():
        with isolate_imports("shop") as environment:
            environment.communicate_isolated(environment.exec(abs, -1))
            environment.exec(time.sleep, 100)
            assert threading.active_count() == threads
        return processes.open_descriptors("self")

    threads = threading.active_count()
    first = enter()
    assert [enter() for _ in range(3)] == [first] * 3


def test_several_environments(place):
    """Side by side, one within the other, each with its own template."""
    place.install("library.py")
    place.write("other/__init__.py", "import library\n")
    look = lambda: (os.getppid(), "library" in sys.modules)  # noqa: E731 - by value
    with isolate_imports("shop") as shop, isolate_imports("other") as other:
        processes_of = [shop.exec(look), other.exec(look), shop.exec(look)]
        one = shop.communicate_isolated(processes_of[0])
        two = other.communicate_isolated(processes_of[1])
        assert shop.communicate_isolated(processes_of[2]) == one
    assert (one[1], two[1]) == (False, True)
    assert one[0] != two[0]


def test_an_environment_within_a_function(place):
    """Functions may use the library themselves."""

    def nested():
        with isolate_imports("shop") as environment:
            return environment.communicate_isolated(environment.exec(abs, -3))

    with isolate_imports("shop") as environment:
        assert environment.communicate_isolated(environment.exec(nested)) == 3


def test_forking_the_caller(environment):
    """The copy holds nothing of the environment, and is told so; the original goes on."""

    def use():
        with pytest.raises(EnvironmentEnded, match="belongs to the process that this one was forked from"):
            environment.exec(abs, -1)
        environment.close()
        return processes.open_descriptors("self")

    before = processes.open_descriptors("self")
    running = environment.exec(lambda: time.sleep(0.2) or "done")
    assert processes.in_fork(use) < before
    assert environment.communicate_isolated(running) == "done"
    assert environment.communicate_isolated(environment.exec(abs, -1)) == 1


def test_a_fork_does_not_keep_processes_alive(place):
    """When the caller dies, its copies hold no lifeline."""
    script, pids = started(place, "print(f'copy {os.fork() or os.getpid()}\\n', end='', flush=True); time.sleep(1000)")
    with script:
        script.stdin.write("\n")
        script.stdin.flush()
        copies = {int(script.stdout.readline().split()[1]) for _ in range(2)} - {script.pid}
        script.kill()
        try:
            assert_gone(pids)
            assert all(processes.is_alive(copy) for copy in copies)
        finally:
            for copy in copies:
                os.kill(copy, signal.SIGKILL)


# -- logging


@pytest.mark.parametrize(
    ("level", "shown", "hidden"),
    [
        (None, [], ["firehot"]),
        ("warn", [], ["firehot"]),
        ("info", ["INFO: Preloaded"], ["DEBUG", "TRACE"]),
        ("debug", ["INFO: Preloaded", "DEBUG: 0 third-party imports found"], ["TRACE"]),
        ("TRACE", ["INFO", "DEBUG", "TRACE: exec job"], []),
        ("loud", ["FIREHOT_LOG_LEVEL=loud is none of trace, debug, info, warn, error; warn is used"], ["INFO"]),
    ],
)
def test_log_level(place, level, shown, hidden):
    """From the environment; the program's own configuration of logging is left alone."""
    place.write(
        "script.py",
        "from firehot_server import isolate_imports\n"
        "with isolate_imports('shop') as environment:\n"
        "    environment.communicate_isolated(environment.exec(abs, -1, name='job'))\n",
    )
    variables = {"FIREHOT_LOG_LEVEL": level} if level else {}
    status, output, errors = place.run("script.py", environment=variables)
    assert (status, output) == (0, "")
    assert all(text in errors for text in shown), errors
    assert not any(text in errors for text in hidden), errors
