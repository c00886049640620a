"""Real workers that leave checkpoints while they import the app, and copies of these that go on with other files."""

import os
import signal

import pytest

from firehot_server.fingerprint import data_digest_of, digest_of
from firehot_server.messages import Exited, Failed, Imported, Obstacle, Paused, Pauses
from tests.support import processes
from tests.support.templates import Worker, running
from tests.support.waiting import until

# One line by which the clock moves on: the import takes long enough for a checkpoint to be worth its fork, or seems so.
LONG = "import time; clock = time.monotonic; time.monotonic = lambda clock=clock: clock() + 1.0\n"
# So small a share of the import may be spent on checkpoints that there are none but those that are asked for.
NEXT_TO_NOTHING = 1e-6


class Import:
    """The import of an app, from the template or from a checkpoint: what it read, and the checkpoints that it left."""

    def __init__(self, world, worker, pauses):
        self._world = world
        self.workers = [worker]
        self.checkpoints = {}
        self.read_until = {}
        self.reads = []
        worker.begin(pauses=pauses)
        while True:
            reads, message = worker.read_on()
            self.reads += reads
            if not isinstance(message, Paused):
                break
            place = message.place.removeprefix("before ")
            self.checkpoints[place] = worker
            self.read_until[place] = list(self.modules)
            worker = Worker(message)
            self.workers.append(worker)
        self.end = message

    @property
    def worker(self):
        """The process that has imported the app."""
        return self.workers[-1]

    @property
    def modules(self):
        """Those that were read, by name."""
        return [read.module for read in self.reads if read.kind == "module"]

    def resume(self, place, pauses=None):
        """Go on from the checkpoint at this place, with the files as they are now."""
        copy = self.checkpoints[place].fork()
        return Import(self._world, copy, pauses)


@pytest.fixture
def template(world, monkeypatch):
    """A template that was started in the project's folder, as the user's command is."""
    monkeypatch.chdir(world.project)
    with running(world) as template:
        yield template


@pytest.fixture
def start(world, template):
    """Starts the import of the app; it leaves checkpoints before these, and at the end where that is said."""
    imports = []

    def start(*edited, resume=None, **plan):
        pauses = Pauses(edited=frozenset(edited), share=NEXT_TO_NOTHING, **plan)
        made = Import(world, template.fork(), pauses) if resume is None else resume[0].resume(resume[1], pauses)
        imports.append(made)
        return made

    yield start
    for made in reversed(imports):
        for worker in reversed(made.workers):
            worker.end()


def note(world):
    """Source that leaves what the app's modules are made of, whenever it runs."""
    return world.note("made", "[a.VALUE, b.VALUE, c.VALUE]")


@pytest.fixture
def project(world):
    """Three modules, imported one after the other."""
    for name in ("a", "b", "c"):
        world.write(f"{name}.py", f"{LONG}VALUE = 'one'\n")
    world.write("app.py", f"import a\nimport b\nimport c\n{note(world)}app = None\n")
    return world


# -- leaving them


def test_the_import_pauses_before_what_was_edited(project, start):
    """A process waits there that has read all that comes before, and nothing of what follows."""
    made = start("b", "c")
    assert made.read_until == {"b": ["app", "a"], "c": ["app", "a", "b"]}
    assert made.modules == ["app", "a", "b", "c"]
    assert isinstance(made.end, Imported)
    assert project.read("made") == ["one", "one", "one"]


def test_each_is_the_child_of_the_one_before(project, template, start):
    """And the worker is that of the last one."""
    made = start("b", "c")
    b, c = made.checkpoints["b"], made.checkpoints["c"]
    assert processes.children(template.pid) == [b.pid]
    assert processes.children(b.pid) == [c.pid]
    assert processes.children(c.pid) == [made.worker.pid]
    assert processes.children(made.worker.pid) == []


def test_an_import_that_is_not_to_pause(project, template):
    """Nothing waits."""
    worker = template.fork()
    worker.begin()
    _, message = worker.read_on()
    assert isinstance(message, Imported)
    assert (message.seconds, message.obstacle) == (0.0, None)
    assert processes.children(template.pid) == [worker.pid]


@pytest.mark.parametrize(("at_end", "places"), [(True, ["at the end of the import"]), (False, [])])
def test_the_end_of_the_import(project, start, at_end, places):
    """For edits of what is imported only later."""
    made = start(at_end=at_end)
    assert list(made.checkpoints) == places
    assert isinstance(made.end, Imported)


def test_it_pauses_before_a_data_file_that_was_edited(world, start):
    """The file is not read yet; nor is a folder listed."""
    data = world.write("data/one.txt", "one")
    world.write("app.py", f"import os\n{LONG}text = open('data/one.txt').read()\n{LONG}names = os.listdir('data')\n")
    made = start(str(data), str(data.parent))
    assert [read.path for read in made.reads if read.kind in ("data", "listing")] == [str(data), str(data.parent)]
    assert list(made.checkpoints) == ["one.txt", "data"]
    assert made.read_until["one.txt"] == ["app"]


def test_it_pauses_before_a_data_file_that_a_loader_reads(world, start):
    """The import system opens it for the app."""
    note = world.write("shop/note.txt", "one")
    world.write("shop/__init__.py", "import pkgutil\nVALUE = pkgutil.get_data('shop', 'note.txt').decode()\n")
    world.write("app.py", f"{LONG}import shop\n{world.note('made', '[shop.VALUE]')}")
    made = start(str(note))
    assert list(made.checkpoints) == ["note.txt"]
    assert made.read_until["note.txt"] == ["app", "shop"]
    note.write_text("two")
    start(resume=(made, "note.txt"))
    assert world.read("made") == ["two"]


def test_it_does_not_pause_before_anything_of_the_project_was_read(project, start):
    """That would be the template once more."""
    made = start("app")
    assert made.checkpoints == {}


def test_the_digests_are_those_of_what_was_read(project, start):
    """With these the supervisor compares."""
    made = start("b", "c")
    assert [read.digest for read in made.reads if read.kind == "module"] == [
        digest_of(str(project.project / f"{name}.py")) for name in ("app", "a", "b", "c")
    ]


def test_how_long_all_of_it_took_is_told(project, start):
    """Without the time that a checkpoint has waited, and with that of what it had imported."""
    made = start("b", "c")
    again = start("c", resume=(made, "c"))
    assert 3.0 <= made.end.seconds < 4.0
    assert 3.0 <= again.end.seconds < 4.0


# -- going on from them


@pytest.mark.parametrize(
    ("place", "reads", "values"),
    [("b", ["b", "c"], ["one", "two", "two"]), ("c", ["c"], ["one", "one", "two"])],
)
def test_a_copy_goes_on_with_the_files_as_they_are_now(project, start, place, reads, values):
    """It reads what follows, and has what came before."""
    made = start("b", "c")
    for name in ("a", "b", "c"):
        project.write(f"{name}.py", f"{LONG}VALUE = 'two'\n")
    again = start(resume=(made, place))
    assert again.modules == reads
    assert isinstance(again.end, Imported)
    assert project.read("made") == values


def test_it_is_as_if_the_program_had_been_started_anew(project, start):
    """After many edits in many places, the last state of each file is what counts."""
    made = start("b", "c")
    for number in range(5):
        project.write("c.py", f"{LONG}VALUE = {number}\n")
        start(resume=(made, "c"))
        assert project.read("made") == ["one", "one", number]
    project.write("b.py", f"{LONG}VALUE = 'two'\n")
    later = start("c", resume=(made, "b"))
    assert project.read("made") == ["one", "two", 4]
    project.write("c.py", f"{LONG}VALUE = 'three'\n")
    start(resume=(later, "c"))
    assert project.read("made") == ["one", "two", "three"]


def test_a_copy_leaves_checkpoints_as_well(project, start):
    """Where it is told to, which may be elsewhere."""
    made = start("b")
    again = start("c", resume=(made, "b"))
    assert again.read_until == {"c": ["b"]}
    assert processes.children(made.checkpoints["b"].pid) == [made.worker.pid, again.checkpoints["c"].pid]


def test_a_copy_that_is_not_to_pause(project, start):
    """It goes on without."""
    made = start("b", "c")
    again = made.resume("b", pauses=None)
    again.worker.end()
    assert again.checkpoints == {}
    assert isinstance(again.end, Imported)


def test_a_module_that_has_appeared(project, start):
    """No folder's listing from before is used, and the fact that it was looked for in vain is known."""
    project.write("b.py", f"try:\n    import fresh\nexcept ImportError:\n    fresh = None\n{LONG}VALUE = bool(fresh)\n")
    made = start("b")
    assert ("lookup", str(project.project / "fresh"), b"") in [(r.kind, r.path, r.digest) for r in made.reads]
    project.write("fresh.py", "")
    again = start(resume=(made, "b"))
    assert again.modules == ["b", "fresh", "c"]
    assert project.read("made") == ["one", True, "one"]


def test_a_module_that_was_removed(project, start):
    """It is not found any more, and the import fails as it would."""
    made = start("b")
    (project.project / "c.py").unlink()
    again = start(resume=(made, "b"))
    assert isinstance(again.end, Failed)
    assert again.end.failure.headline == "ModuleNotFoundError: No module named 'c'"
    assert (str(project.project / "c"), b"") in [(read.path, read.digest) for read in again.reads]


def test_a_data_file_that_was_changed(world, start):
    """It is read as it is now, by who had paused before it."""
    data = world.write("one.txt", "one")
    world.write("app.py", f"{LONG}text = open({str(data)!r}).read()\n{world.note('text', 'text')}app = None\n")
    made = start(str(data))
    data.write_text("two")
    again = start(resume=(made, "one.txt"))
    assert world.read("text") == "two"
    assert [(r.kind, r.digest) for r in again.reads if r.path == str(data)] == [("data", data_digest_of(str(data)))]


def test_a_failure_after_a_checkpoint(project, start):
    """It is told as ever, without a trace of the checkpoint; mended, the import goes on from there."""
    project.write("b.py", f"{LONG}import nothing_at_all\n")
    made = start("b")
    assert isinstance(made.end, Failed)
    assert made.end.failure.headline == "ModuleNotFoundError: No module named 'nothing_at_all'"
    assert "firehot_server" not in made.end.failure.traceback
    project.write("b.py", "VALUE = 'mended'\n")
    again = start(resume=(made, "b"))
    assert isinstance(again.end, Imported)
    assert project.read("made") == ["one", "mended", "one"]


def test_a_package_that_imports_itself_in_a_circle(world, start):
    """What is half imported is so in a copy, too."""
    world.write("shop/__init__.py", f"{LONG}from shop import models\n")
    world.write("shop/models.py", f"{LONG}from shop import views\nNAME = 'models'\n")
    world.write("shop/views.py", f"{LONG}import shop.models\nNAME = 'views'\n")
    source = "import shop.models, shop.views\n" + world.note("names", "[shop.models.NAME, shop.views.NAME]")
    world.write("app.py", source + "app = None\n")
    made = start("shop.models", "shop.views")
    world.write("shop/views.py", "import shop.models\nNAME = 'views, two'\n")
    again = start(resume=(made, "shop.views"))
    assert again.modules == ["shop.views"]
    assert world.read("names") == ["models", "views, two"]


# -- as a process


def test_the_ends_of_copies_are_told(project, start):
    """By the checkpoint of which they were made."""
    made = start("b")
    checkpoint = made.checkpoints["b"]
    made.worker.cut()
    assert checkpoint.hear() == Exited(made.worker.pid, signal.SIGKILL)
    copy = checkpoint.fork()
    copy.cut()
    message = checkpoint.hear()
    assert message.pid == copy.pid
    copy.channel.close()


def test_a_checkpoint_ends_with_its_channel(project, template, start):
    """And its parent reaps it; what was made of it lives."""
    made = start("b")
    checkpoint = made.checkpoints["b"]
    checkpoint.channel.close()
    assert template.exit_code(checkpoint.pid) == 0
    assert processes.is_alive(made.worker.pid)


def test_a_checkpoint_is_ended_by_its_lifeline(project, template, start):
    """What was made of it lives."""
    made = start("b")
    made.checkpoints["b"].cut()
    assert template.exit_code(made.checkpoints["b"].pid) == -signal.SIGKILL
    assert processes.is_alive(made.worker.pid)


def test_a_checkpoint_leaves_signals_to_the_supervisor(project, start):
    """A Ctrl-C is sent to the whole group; a copy does with it what the app had set up before."""
    project.write("a.py", f"{LONG}import signal\nVALUE = signal.signal(signal.SIGTERM, signal.SIG_IGN) and 'one'\n")
    project.write("app.py", f"import signal\nimport a\nimport b\n{project.note('term', SHOW_TERM)}app = None\n")
    made = start("b")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(made.checkpoints["b"].pid, number)
    start(resume=(made, "b"))
    assert project.read("term") == [True, []]


SHOW_TERM = (
    "[signal.getsignal(signal.SIGTERM) == signal.SIG_IGN, "
    "[int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())]]"
)


def test_what_the_user_registered_for_the_end_does_not_run_in_a_checkpoint(project, start, template):
    """It is the worker's end that it was registered for."""
    project.write(
        "a.py", f"{LONG}import atexit\natexit.register(lambda: open({str(project.notes)!r} + '/bye', 'w'))\nVALUE = 1\n"
    )
    made = start("b")
    checkpoint = made.checkpoints["b"]
    checkpoint.channel.close()
    assert template.exit_code(checkpoint.pid) == 0
    assert not project.has("bye")


def test_copies_leave_nothing_open(project, start):
    """The checkpoint has as many descriptors and children as before."""
    made = start("b")
    checkpoint = made.checkpoints["b"]
    before = processes.open_descriptors(checkpoint.pid)
    for _ in range(10):
        copy = checkpoint.fork()
        copy.cut()
        assert checkpoint.hear().pid == copy.pid
        copy.channel.close()
    until(lambda: processes.open_descriptors(checkpoint.pid) == before, "nothing to be left open")
    assert processes.children(checkpoint.pid) == [made.worker.pid]


def test_a_random_number_is_another_in_each_copy(project, start):
    """As in each start of the program."""
    project.write("a.py", f"{LONG}import random\nVALUE = random.random()\n")
    project.write("b.py", f"{LONG}import random\nVALUE = random.random()\n")
    made = start("b")
    drawn = [project.read("made")]
    for _ in range(2):
        start(resume=(made, "b"))
        drawn.append(project.read("made"))
    assert len({a for a, _, _ in drawn}) == 1
    assert len({b for _, b, _ in drawn}) == 3


def test_a_thread_imports_without_a_checkpoint(project, start):
    """A fork there would copy that thread alone."""
    project.write(
        "a.py",
        "import threading\nthread = threading.Thread(target=__import__, args=('c',))\nthread.start()\nthread.join()\n"
        "import os\nwhile len(os.listdir('/proc/self/task')) > 1: pass\n"
        f"{LONG}VALUE = 'one'\n",
    )
    made = start("b", "c")
    assert list(made.checkpoints) == ["b"]


# -- what no copy may share


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("import socket; kept = socket.socket()", "it left a socket open"),
        ("kept = open(__file__ + '.log', 'w')", "it left a file for writing open"),
        ("import tempfile; kept = tempfile.TemporaryDirectory()", "it made temporary files"),
        ("import subprocess; kept = subprocess.Popen(['true'])", "it left a child process running"),
    ],
)
def test_no_checkpoint_behind_what_no_copy_may_share(project, start, source, finding):
    """Those before it are left; and who did it is told."""
    project.write("b.py", f"{LONG}VALUE = 'one'\n{source}\n")
    made = start("b", "c", at_end=True)
    assert list(made.checkpoints) == ["b"]
    assert isinstance(made.end, Imported)
    obstacle = made.end.obstacle
    assert (obstacle.finding, obstacle.path, obstacle.line) == (finding, str(project.project / "b.py"), 3)
    assert 0.0 <= obstacle.seconds <= made.end.seconds


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("kept = open(__file__)", "it left a file for reading open"),
        ("import os; kept = os.pipe()", "it left a pipe open"),
    ],
)
def test_no_checkpoint_behind_what_is_found_without_being_seen(project, start, source, finding):
    """No audit event tells who did it; it is told all the same."""
    project.write("b.py", f"{LONG}VALUE = 'one'\n{source}\n")
    made = start("b", "c", at_end=True)
    assert list(made.checkpoints) == ["b"]
    assert made.end.obstacle.finding == finding


def test_an_obstacle_that_is_gone_is_none(project, start):
    """What was left open for a while forbids a checkpoint for that while only."""
    project.write("b.py", f"{LONG}VALUE = 'one'\nimport socket\nkept = socket.socket()\nimport between\nkept.close()\n")
    project.write("between.py", LONG)
    made = start("b", "between", "c")
    assert list(made.checkpoints) == ["b", "c"]
    assert not isinstance(made.end.obstacle, Obstacle)


def test_a_debugged_import_leaves_no_checkpoint(project, start):
    """A person holds it: two processes would read from one terminal."""
    project.write("b.py", f"{LONG}import pdb\npdb.Pdb()\nVALUE = 'one'\n")
    made = start("b", "c")
    assert list(made.checkpoints) == ["b"]
