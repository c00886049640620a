"""A waiting template: it forks workers and copies, tells how they end, and ends when nobody listens."""

import importlib.util
import os
import signal
import sys

import pytest

from firehot_server.messages import (
    Extend,
    Extended,
    Fork,
    Forked,
    Imported,
    Preload,
    Preloaded,
    Preloading,
    Read,
    Reads,
)
from tests.support import processes
from tests.support.waiting import until

EXIT = "os._exit(0)\n"
# How a process ends whose lifeline was cut: the latter if it had not yet tied itself to it.
CUT = {-signal.SIGKILL, 128 + signal.SIGKILL}


def test_a_worker_has_what_was_preloaded(world, template):
    """Without importing it: the very module, with the state in which the template left it."""
    world.install("library.py", "import os\nPID = os.getpid()\n")
    template.preload("library")
    source = "import os, library\n" + world.note("pids", "[library.PID, os.getppid(), os.getpid()]")
    assert template.run_in_worker(source + EXIT) == 0
    loaded_by, parent, pid = world.read("pids")
    assert loaded_by == parent == template.pid
    assert pid != template.pid


def test_a_worker_waits_until_it_is_told_to_begin(world, template):
    """Until then it has read nothing of the project, so that no edit can make it stale."""
    world.write("app.py", world.note("ran", "1") + "os._exit(0)\n")
    worker = template.fork()
    template.preload()  # a round trip
    assert processes.is_alive(worker.pid)
    assert not world.has("ran")
    path = world.write("app.py", world.note("ran", "2") + "app = None\n")
    worker.begin()
    reads, message = worker.read_on()
    assert [read for read in reads if read.kind == "module"] == [Read("module", str(path), read_digest(path), "app")]
    assert isinstance(message, Imported)
    assert world.read("ran") == 2


def test_a_module_that_appears_after_the_fork_is_found(world, template):
    """Between the fork and its beginning files may come and go: no stale listing of a folder is used."""
    world.write("package/__init__.py")
    template.preload("nowhere")  # so that every folder on the path has been listed
    worker = template.fork()
    world.write("package/fresh.py", "VALUE = 5\n")
    world.install("fresh_library.py", "VALUE = 6\n")
    world.write("app.py", "import package.fresh, fresh_library\n" + world.note("values", "1") + "app = None\n")
    worker.begin()
    reads, message = worker.read_on()
    assert [read.module for read in reads if read.kind == "module"] == ["app", "package", "package.fresh"]
    assert isinstance(message, Imported)
    assert world.has("values")


def test_a_folder_of_the_path_that_appears_later_is_searched(world, template):
    """A cold start would find what is in it, so the worker does, although the template saw no such folder."""
    later = world.project / "later"
    template.configure(path=[str(later), str(world.project), str(world.installed), *sys.path])
    template.preload("nowhere")
    later.mkdir()
    (later / "generated.py").write_text("VALUE = 7\n")
    world.write("app.py", "import os, generated\n" + world.note("value", "generated.VALUE") + EXIT)
    worker = template.fork()
    worker.begin()
    worker.hear_all()
    assert world.has("value"), "generated was not found"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("os._exit(3)", 3),
        ("os._exit(0)", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGHUP)", -signal.SIGHUP),
        ("os.abort()", -signal.SIGABRT),
        ("raise ValueError", 1),
    ],
)
def test_the_end_of_a_worker_is_told(template, source, code):
    """`Exited` carries the status by which it ended."""
    assert template.run_in_worker(f"import os, signal\n{source}\n") == code


def test_a_worker_is_ended_by_its_lifeline(world, template):
    """Whatever it does; the template tells of it."""
    world.write("app.py", "while True: pass\n")
    worker = template.fork()
    worker.begin()
    assert isinstance(worker.hear(), Reads)
    worker.cut()
    assert template.exit_code(worker.pid) in CUT


def test_a_waiting_worker_ends_with_its_channel(template):
    """Nobody will tell it to begin any more."""
    worker = template.fork()
    worker.channel.close()
    assert template.exit_code(worker.pid) == 1


def test_fifty_workers_that_end_leave_no_zombie(template):
    """Each is reaped and told of, once, also when many end at the same time."""
    workers = [template.fork() for _ in range(50)]
    for worker in workers:
        worker.cut()
    assert {template.exit_code(worker.pid) for worker in workers} <= CUT
    assert processes.children(template.pid) == []
    template.preload()
    assert sorted(message.pid for message in template.exited) == sorted(worker.pid for worker in workers)


def test_fifty_workers_in_a_row_leave_nothing_open(template):
    """The template has as many descriptors and children as before."""
    template.preload()
    before = processes.open_descriptors(template.pid)
    for _ in range(50):
        worker = template.fork()
        worker.cut()
        assert template.exit_code(worker.pid) in CUT
    assert processes.open_descriptors(template.pid) == before
    assert processes.children(template.pid) == []


def test_forks_asked_for_at_once_are_all_answered(world, template):
    """Requests that pile up behind an import are answered in order."""
    world.install("slow.py", "import time\ntime.sleep(0.2)\n")
    template.send(Preload(("slow",)))
    for _ in range(5):
        template.send(Fork())
    template.hear(Preloaded)
    workers = [template.take_worker(template.hear(Forked)) for _ in range(5)]
    assert len({worker.pid for worker in workers}) == 5
    assert sorted(processes.children(template.pid)) == sorted(worker.pid for worker in workers)


def test_a_worker_blocks_and_ignores_what_a_fresh_interpreter_does(world, template):
    """What a template ignores, and what was blocked while it started, is its own; programs would inherit it."""
    lines = "[line for line in open('/proc/self/status') if line.startswith(('SigBlk', 'SigIgn'))]"
    cold = processes.run_python("-c", f"print(''.join({lines}))")
    assert template.run_in_worker("import os\n" + world.note("masks", lines) + EXIT) == 0
    assert signal_masks("".join(world.read("masks"))) == signal_masks(cold)


def test_a_worker_has_no_descriptor_of_others(world, template):
    """Its channel, its lifeline, and nothing of the template or of its siblings; it closes what it inherited first."""
    siblings = [template.fork() for _ in range(3)]
    worker = template.fork()

    def own():
        return {fd: kind for fd, kind in processes.descriptor_kinds(worker.pid).items() if fd > 2}

    def kinds():
        return sorted(kind.partition(":")[0] for kind in own().values())

    until(lambda: kinds() == ["pipe", "socket"], "the worker to have its own descriptors alone")
    of_siblings = [set(processes.descriptor_kinds(sibling.pid).values()) for sibling in siblings]
    assert not any(set(own().values()) & others for others in of_siblings)


def test_a_worker_holds_no_lifeline_of_its_siblings(template):
    """Each ends when its own is cut, in whatever order."""
    workers = [template.fork() for _ in range(4)]
    for worker in (workers[2], workers[0], workers[3], workers[1]):
        worker.cut()
        assert template.exit_code(worker.pid) in CUT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_to_a_waiting_template_are_ignored(template, number):
    """They are the supervisor's to answer."""
    template.preload()
    for _ in range(10):
        os.kill(template.pid, number)
    assert template.preload().skipped == ()
    worker = template.fork()
    worker.cut()
    assert template.exit_code(worker.pid) in CUT


def test_the_end_of_the_channel_ends_the_template(template):
    """The supervisor is gone."""
    template.preload()
    template.close_channel()
    assert template.wait() == 0


def test_the_end_of_the_channel_ends_the_template_after_what_was_asked(world, template):
    """Whatever still lies in the channel cannot keep it: it has nobody to answer."""
    world.install("slow.py", "import time\ntime.sleep(0.2)\n")
    template.send(Preload(("slow",)))
    template.hear(Preloading)
    for _ in range(20):
        template.send(Fork())
    template.close_channel()
    assert template.wait() == 0


def test_the_end_of_the_lifeline_ends_the_template(template):
    """Even if the channel stays open."""
    template.preload()
    template.cut()
    assert template.wait() == -signal.SIGKILL


def test_a_worker_survives_its_template(world, template):
    """The supervisor holds its lifeline, so it may go on serving without a template."""
    world.write("app.py", "app = None\n")
    worker = template.fork()
    template.cut()
    assert template.wait() == -signal.SIGKILL
    worker.begin()
    reads, message = worker.read_on()
    assert [read.module for read in reads if read.kind == "module"] == ["app"]
    assert isinstance(message, Imported)


def test_a_stopped_template_answers_when_it_goes_on(template):
    """What was asked meanwhile is kept for it."""
    template.preload()
    os.kill(template.pid, signal.SIGSTOP)
    until(lambda: processes.state(template.pid) == "T", "the template to stop")
    template.send(Fork())
    os.kill(template.pid, signal.SIGCONT)
    assert template.take_worker(template.hear(Forked)).pid


# ---------------------------------------------------------------- copies with more modules


@pytest.fixture
def addition(world):
    """Two installed modules, one for the template and one for its copy."""
    world.install("base.py", "VALUE = 1\n")
    world.install("more.py", "import base\nVALUE = base.VALUE + 1\n")
    return world


def test_the_copy_has_the_addition_and_the_base_has_not(addition, template):
    """Extending is done in a fork: the base stays as it was."""
    template.preload("base")
    copy = template.extend("more")
    preloaded = copy.hear(Preloaded)
    assert preloaded.skipped == ()
    assert copy.announced == ["more"]
    assert copy.has("base", "more")
    assert template.has("base")
    assert not template.has("more")


def test_a_worker_of_the_copy_has_the_addition(addition, template):
    """The copy forks, reaps and tells as any template; its path and arguments are the base's."""
    template.preload("base")
    copy = template.extend("more")
    copy.hear(Preloaded)
    source = "import os, sys\n" + addition.note("state", "['more' in sys.modules, os.getppid(), sys.argv]")
    assert copy.run_in_worker(source + "os._exit(5)\n") == 5
    assert addition.read("state") == [True, copy.pid, ["firehot-test"]]
    source = "import os, sys\n" + addition.note("state", "'more' in sys.modules")
    assert template.run_in_worker(source + EXIT) == 0
    assert addition.read("state") is False


def test_a_copy_can_be_extended(addition, template):
    """Copies of copies are templates too."""
    first = template.extend("base")
    first.hear(Preloaded)
    second = first.extend("more")
    second.hear(Preloaded)
    assert second.has("more")
    assert not first.has("more")


def test_the_end_of_a_copy_is_told_by_its_base(template):
    """The base reaps it."""
    copy = template.extend()
    copy.hear(Preloaded)
    copy.close_channel()
    assert template.exit_code(copy.pid) == 0
    other = template.extend()
    other.hear(Preloaded)
    other.cut()
    assert template.exit_code(other.pid) in CUT
    assert processes.children(template.pid) == []


def test_an_addition_that_kills_the_copy_leaves_the_base(world, template):
    """The copy had announced it; the base goes on."""
    world.install("deadly.py", "import os\nos._exit(9)\n")
    copy = template.extend("deadly")
    assert copy.hear_all() == []
    assert copy.announced == ["deadly"]
    assert template.exit_code(copy.pid) == 9
    worker = template.fork()
    worker.cut()
    assert template.exit_code(worker.pid) in CUT


def test_an_addition_that_leaves_something_is_named(world, template):
    """The copy is audited as the base is; so is what comes from the project."""
    world.write("ours.py")
    world.install("leaver.py", "import socket\nkept = socket.socket()\n")
    copy = template.extend("leaver", "ours")
    leaver, ours = copy.hear(Preloaded).skipped
    assert (leaver.reason, leaver.lasting) == ("it left a socket open", True)
    assert "project code" in ours.reason


def test_a_copy_lives_on_without_its_base(addition, template):
    """Its lifeline is its own."""
    copy = template.extend("more")
    copy.hear(Preloaded)
    template.cut()
    assert template.wait() == -signal.SIGKILL
    assert copy.has("more")
    worker = copy.fork()
    worker.cut()
    assert copy.exit_code(worker.pid) in CUT


def test_a_copy_has_no_children_of_its_base(template):
    """It neither reaps nor tells of them."""
    worker = template.fork()
    copy = template.extend()
    copy.hear(Preloaded)
    worker.cut()
    assert template.exit_code(worker.pid) in CUT
    copy.preload()
    assert copy.exited == []


def test_what_was_asked_of_the_base_is_not_answered_by_the_copy(world, template):
    """Requests that arrive together with `Extend` are the base's alone."""
    world.install("slow.py", "import time\ntime.sleep(0.3)\n")
    template.send(Preload(("slow",)))
    template.hear(Preloading)
    template.send(Extend(()))
    template.send(Fork())
    template.send(Preload(()))
    template.hear(Preloaded)
    copy = template.take_copy(template.hear(Extended))
    worker = template.take_worker(template.hear(Forked))
    template.hear(Preloaded)
    assert processes.children(template.pid) == sorted([copy.pid, worker.pid])
    copy.send(Preload(("nowhere",)))
    answers = [copy.receive() for _ in range(3)]
    assert [type(answer) for answer in answers] == [Preloaded, Preloading, Preloaded], (
        "the copy also answered what was asked of the base"
    )
    assert processes.children(copy.pid) == []


def test_a_copy_has_no_descriptor_of_its_base(template):
    """Its channel, its lifeline and its own wake-up pipe, and nothing more."""
    template.fork()
    copy = template.extend()
    copy.hear(Preloaded)
    kinds = {fd: kind for fd, kind in processes.descriptor_kinds(copy.pid).items() if fd > 2}
    assert sorted(kind.partition(":")[0] for kind in kinds.values()) == ["pipe", "pipe", "pipe", "socket"]
    assert not set(kinds.values()) & {kind for fd, kind in processes.descriptor_kinds(template.pid).items() if fd > 2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_to_a_copy_are_ignored(template, number):
    """As to the base."""
    copy = template.extend()
    copy.hear(Preloaded)
    os.kill(copy.pid, number)
    assert copy.preload().skipped == ()


def read_digest(path):
    return importlib.util.source_hash(path.read_bytes())


def signal_masks(text):
    """The masks of /proc/PID/status, but for signals 32 and 33: those are the C library's own, which ignores them in
    what it spawns (Python 3.13's subprocess uses its posix_spawn)."""
    pairs = (line.split(":") for line in text.split("\n") if line)
    return {name: int(mask, 16) & ~(0b11 << 31) for name, mask in pairs}
