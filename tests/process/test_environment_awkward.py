"""An environment at awkward moments: forks, signals, closing, hostile objects, closed streams."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from firehot_server import CannotSend, EnvironmentEnded, IsolatedError, isolate_imports
from tests.support import processes
from tests.support.waiting import until


class Raises:
    """An object whose methods raise."""

    def __init__(self, error, when):
        self.error, self.when = error, when

    def __reduce__(self):
        if self.when == "pickled":
            raise self.error
        return _raise, (self.error,)


def _raise(error):
    raise error


class Hostile(Exception):
    """An exception that cannot be described."""

    def __str__(self):
        raise SystemExit(3)

    def __reduce__(self):
        raise KeyboardInterrupt


def slow_and_large():
    time.sleep(0.3)
    return b"x" * 3_000_000


@pytest.fixture
def alarm():
    """Call a function soon, in a signal handler."""
    former = signal.getsignal(signal.SIGALRM)

    def set_alarm(function, seconds=0.2):
        signal.signal(signal.SIGALRM, lambda *_: function())
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)


# -- forks


@pytest.mark.parametrize("fork", ["os.fork", "preexec_fn"])
def test_a_fork_does_not_disturb_what_runs(environment, fork):
    """What the kernel watches for the parent is shared with the copy, which must not touch it."""
    process = environment.exec(slow_and_large)
    lingering = environment.exec(lambda: threading.Thread(target=lambda: time.sleep(2)).start() or "at once")
    if fork == "os.fork":
        processes.in_fork(lambda: None)
    else:
        subprocess.run(["true"], preexec_fn=lambda: None, check=True)
    assert environment.communicate_isolated(lingering, timeout=1.5) == "at once"
    assert len(environment.communicate_isolated(process, timeout=30)) == 3_000_000


def test_a_copy_knows_what_was_answered_before_and_no_more(environment):
    """It cannot hear what its parent will."""
    done = environment.exec(abs, -1)
    assert environment.communicate_isolated(done) == 1
    running = environment.exec(time.sleep, 0.5)

    def ask():
        assert environment.communicate_isolated(done) == 1
        with pytest.raises(EnvironmentEnded, match="forked from"):
            environment.communicate_isolated(running)
        with pytest.raises(EnvironmentEnded, match="forked from"):
            environment.update_environment()
        return environment.stop_isolated(done)

    assert processes.in_fork(ask) is True
    assert environment.communicate_isolated(running) is None


def test_a_fork_while_another_thread_is_in_the_middle(place, environment):
    """The copy can use an environment of its own: no lock is left behind."""
    gate = threading.Event()

    class Slow:
        def __reduce__(self):
            gate.set()
            time.sleep(0.5)
            return int, ()

    thread = threading.Thread(target=lambda: environment.exec(abs, Slow()))
    thread.start()
    gate.wait(30)

    def use():
        with isolate_imports("shop") as own:
            return own.communicate_isolated(own.exec(abs, -3))

    assert processes.in_fork(use) == 3
    thread.join(30)


# -- closing


def test_closing_while_another_thread_updates(place):
    """The update ends with an error, and nothing is left of the template that it was making."""
    place.install("one.py")
    place.install("slow.py", "import time\ntime.sleep(60)\n")
    place.write("shop/app.py", "import one\n")
    with isolate_imports("shop") as environment:
        place.write("shop/app.py", "import slow\n")
        caught = []

        def update():
            with pytest.raises(EnvironmentEnded, match="closed") as info:
                environment.update_environment()
            caught.append(info.value)

        before = set(processes.children("self"))
        thread = threading.Thread(target=update)
        thread.start()
        until(lambda: set(processes.children("self")) - before, "the new template")
    thread.join(30)
    assert len(caught) == 1


def test_closing_while_another_thread_waits(place):
    """It is told."""
    with isolate_imports("shop") as environment:
        process = environment.exec(time.sleep, 60)
        caught = []

        def wait():
            with pytest.raises(IsolatedError, match="was stopped") as info:
                environment.communicate_isolated(process)
            caught.append(info.value)

        thread = threading.Thread(target=wait)
        thread.start()
    thread.join(30)
    assert len(caught) == 1


def test_an_environment_that_is_forgotten(place):
    """Ends when nobody can use it any more."""
    environment = isolate_imports("shop")
    environment.__enter__()
    environment.exec(time.sleep, 60)
    before = set(processes.children("self"))
    del environment
    assert len(before - set(processes.children("self"))) == 1


# -- signals


def test_stopping_in_a_signal_handler(environment, alarm):
    """While the same thread waits for that very process."""
    process = environment.exec(time.sleep, 60)
    alarm(lambda: environment.stop_isolated(process))
    with pytest.raises(IsolatedError, match="was stopped"):
        environment.communicate_isolated(process, timeout=30)


def test_calling_in_a_signal_handler(environment, alarm):
    """The outer call goes on."""
    answers = []
    process = environment.exec(lambda: time.sleep(0.5) or "slow")
    alarm(lambda: answers.append(environment.communicate_isolated(environment.exec(abs, -1))))
    assert environment.communicate_isolated(process, timeout=30) == "slow"
    assert answers == [1]


def test_closing_in_a_signal_handler(place, alarm):
    """The outer call is told."""
    with isolate_imports("shop") as environment:
        process = environment.exec(time.sleep, 60)
        alarm(environment.close)
        with pytest.raises(IsolatedError, match="was stopped"):
            environment.communicate_isolated(process, timeout=30)


def test_interrupts_at_any_moment(place):
    """Exceptions of signal handlers come out, and break nothing. In a process without other threads: the kernel hands a
    signal that the main thread holds back to any other, and Python runs its handler in the main thread all the same.
    """

    class Interrupt(Exception):
        pass

    def interrupt(*_):
        raise Interrupt

    def run():
        signal.signal(signal.SIGALRM, interrupt)
        with isolate_imports("shop") as environment:
            for number in range(60):
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + number * 0.0003)
                try:
                    while True:
                        environment.communicate_isolated(environment.exec(abs, -1))
                except (Interrupt, CannotSend):
                    pass  # what is raised while the call is pickled is taken for an error of that
            return environment.communicate_isolated(environment.exec(abs, -2), timeout=30)

    assert processes.in_fork(run) == 2


def test_polling(environment):
    """A timeout of 0 gives what has arrived."""
    process = environment.exec(abs, -1)

    def poll():
        try:
            return environment.communicate_isolated(process, timeout=0)
        except TimeoutError:
            return None

    assert until(poll, "the answer") == 1


# -- objects


@pytest.mark.parametrize("error", [SystemExit(7), ValueError("no")], ids=["SystemExit", "ValueError"])
def test_results_that_raise(environment, error):
    """When they are pickled there, and when they are unpickled here: never as themselves."""
    for when in ("pickled", "unpickled"):
        with pytest.raises(IsolatedError) as caught:
            environment.communicate_isolated(environment.exec(lambda when=when: Raises(error, when)))
        assert caught.value.type_name == type(error).__name__
    with pytest.raises(CannotSend):
        environment.exec(abs, Raises(error, "pickled"))


def test_an_exception_that_defies_description(environment):
    """Its type is told all the same."""
    with pytest.raises(IsolatedError) as caught:
        environment.communicate_isolated(environment.exec(lambda: _raise(Hostile())))
    assert caught.value.type_name == "Hostile"


def test_a_function_that_forks_and_returns_twice(environment):
    """The answer is that of the process that was called."""
    process = environment.exec(lambda: "copy" if os.fork() == 0 else time.sleep(0.2) or "original")
    assert environment.communicate_isolated(process) == "original"


def test_how_a_process_ended_is_not_rewritten(environment):
    """By stopping it later."""
    process = environment.exec(lambda: os._exit(3))
    until(lambda: not processes.is_alive(process.pid), "its end")
    assert environment.stop_isolated(process) is True
    with pytest.raises(IsolatedError, match="exited with status 3"):
        environment.communicate_isolated(process)


# -- streams


def test_a_module_that_replaces_stdout(place):
    """Third-party, so it has done so in the template."""
    place.install(
        "painter.py",
        "import sys\nclass Painted:\n    def __init__(self, to): self.write = to.write\n"
        "    def flush(self): pass\nsys.stdout = Painted(sys.stdout)\n",
    )
    place.write("shop/app.py", "import painter\n")
    with isolate_imports("shop") as environment:
        assert environment.communicate_isolated(environment.exec(abs, -1)) == 1


def test_descriptors_of_ours_never_are_standard_streams(place):
    """Where those are closed: what somebody prints must not go to a control channel."""
    place.write(
        "script.py",
        "import os\nfrom firehot_server import isolate_imports\n"
        "for fd in (0, 1, 2): os.close(fd)\n"
        "def look(): return [os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1, 2)]\n"
        "with isolate_imports('shop') as environment:\n"
        "    seen = environment.communicate_isolated(environment.exec(look))\n"
        "    noise = environment.communicate_isolated(environment.exec(os.write, 2, b'noise' * 1000))\n"
        "open('seen', 'w').write(f'{seen} {noise}')\n",
    )
    place.run("script.py")
    assert (place.project / "seen").read_text() == "['/dev/null', '/dev/null', '/dev/null'] 5000"


def test_a_removed_working_directory(place, tmp_path, monkeypatch):
    """With the empty entry on sys.path that a prompt has."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.chdir(gone)
    gone.rmdir()
    with isolate_imports("shop") as environment:
        assert environment.communicate_isolated(environment.exec(abs, -1)) == 1
