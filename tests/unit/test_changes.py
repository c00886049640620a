"""What changes outside: when is it noticed, and when is it a reason to reload?"""

import math
import os
import time
from types import SimpleNamespace

import pytest
from uvicorn import Config

from firehot_server.config import Settings
from firehot_server.discovery.origin import Origins
from firehot_server.fingerprint import digest_of
from firehot_server.messages import Read
from firehot_server.stamps import stamp_of
from firehot_server.supervisor.alarms import Alarms
from firehot_server.supervisor.changes import Changes
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.pauses import Prospects
from firehot_server.supervisor.plan import INTERPRETER, TEMPLATE
from firehot_server.supervisor.rules import ReloadRules
from firehot_server.supervisor.watcher import Touched, Watching
from firehot_server.supervisor.working_folder import WorkingFolder


class FakeWatcher:
    """Tells what it is made to."""

    def __init__(self):
        self.notices = []
        self.watched = []

    def take(self):
        notices, self.notices = self.notices, []
        return notices

    def watch(self, folders):
        self.watched.append(folders)
        self.notices.append(Watching(folders))


class World:
    """A project of two modules, of which a worker has read one, and site-packages."""

    def __init__(self, root, delay=0.0):
        self.root = root
        self.site = root.parent / "site-packages"
        self.site.mkdir()
        self.write("app.py", "one")
        self.write("other.py", "one")
        self.watcher = FakeWatcher()
        self.machine = SimpleNamespace(is_importing=False, is_failing=False)
        self.ledger = Ledger(ReloadRules(Config("app:app", reload=True, log_config=None), Settings()), [str(root)])
        self.ledger.begin(1)
        self.alarms = Alarms()
        self.prospects = Prospects()
        self.said = []
        """What workers say when they are heard."""
        self.reloads = []
        self.settled = 0
        self.changes = Changes(
            self.ledger,
            self.watcher,
            self.machine,
            self.prospects,
            self.alarms,
            WorkingFolder(),
            Origins(installed=(f"{self.site}/",), stdlib=()),
            delay,
            hear=self.hear,
            on_reload=self.reloads.append,
            on_settled=self.count_settled,
        )
        self.read("app.py")
        self.watch()

    def path(self, name):
        return str(self.root / name)

    def write(self, name, text):
        (self.root / name).write_text(text)

    def read(self, name):
        module = name.removesuffix(".py").replace("/", ".")
        self.ledger.read(1, Read("module", self.path(name), digest_of(self.path(name)), module))

    def hear(self):
        while self.said:
            self.said.pop(0)()

    def count_settled(self):
        self.settled += 1

    def watch(self):
        self.changes.update_watch()
        self.changes.take_notices()

    def touch(self, *names):
        self.watcher.notices.append(Touched(frozenset(map(self.path, names))))
        self.changes.take_notices()

    def ring(self):
        """Whatever runs out next, does."""
        for alarm in self.alarms.pop_due(math.inf):
            alarm()

    @property
    def causes(self):
        return [reload.cause for reload in self.reloads]


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def world(root):
    return World(root)


def test_a_module_that_was_read_changes(world):
    """It is the next import's business, too."""
    world.write("app.py", "two")
    world.touch("app.py")
    (reload,) = world.reloads
    assert (reload.cause, reload.position, reload.is_settled) == ("app.py changed", 0, True)
    assert world.prospects.pauses().edited == {"app"}


@pytest.mark.parametrize(("name", "text"), [("app.py", "one"), ("other.py", "two"), ("app.log", "line")])
def test_what_does_not_matter(world, name, text):
    """The same content, a file that nothing has read, one that is none of Python's."""
    world.write(name, text)
    world.touch(name)
    assert not world.reloads


def test_each_event_may_wait_for_the_next_one(root):
    """`--reload-delay`: what came meanwhile is one reload."""
    world = World(root, delay=1.0)
    world.read("other.py")
    world.write("app.py", "two")
    world.touch("app.py")
    world.write("other.py", "two")
    world.touch("other.py")
    assert not world.reloads
    world.ring()
    assert world.causes == ["app.py changed, other.py changed"]


def test_what_does_not_matter_puts_nothing_off(root):
    """A log that is written all the time."""
    world = World(root, delay=1.0)
    world.write("app.py", "two")
    world.touch("app.py")
    due = world.alarms.seconds_left(0.0)
    world.write("app.log", "line")
    world.touch("app.log")
    assert world.alarms.seconds_left(0.0) == due


def test_a_file_that_was_emptied_just_now(world):
    """Somebody is about to write it."""
    world.write("app.py", "")
    world.touch("app.py")
    assert not world.reloads
    world.write("app.py", "two")
    world.ring()
    assert world.causes == ["app.py changed"]


def test_a_file_that_is_being_written(world):
    """The reload begins, and is told when the file is as it is to be."""
    with open(world.path("app.py"), "w") as file:
        file.write("tw")
        file.flush()
        world.touch("app.py")
        (reload,) = world.reloads
        assert not reload.is_settled
        world.read("app.py")
        world.ring()
        assert world.settled == 0
    world.ring()
    assert (world.settled, len(world.reloads)) == (1, 1)


def test_a_file_that_was_written_on(world):
    """Then what was begun is of no use."""
    with open(world.path("app.py"), "w") as file:
        file.write("tw")
        file.flush()
        world.touch("app.py")
        world.read("app.py")
        file.write("o")
    world.ring()
    assert (world.settled, world.causes) == (0, ["app.py changed", "app.py changed"])


def test_the_app_has_written_it_itself(world):
    """It says so before it does, but perhaps nobody has listened yet."""
    world.ledger.read(1, Read("data", world.path("made.json"), None))
    world.said.append(lambda: world.ledger.written(world.path("made.json")))
    world.write("made.json", "two")
    world.touch("made.json")
    assert not world.reloads


# -- while a failure is shown


def save_later(world, name):
    """The same content, after the failure."""
    os.utime(world.path(name), (2e9, 2e9))
    world.touch(name)


def test_any_module_that_is_saved_tries_again(world):
    """What was amiss outside may be mended; from the template."""
    world.changes.failure_is_shown()
    save_later(world, "app.py")
    (reload,) = world.reloads
    assert (reload.cause, reload.position) == ("app.py saved", TEMPLATE.position)
    save_later(world, "app.py")
    assert len(world.reloads) == 1  # it is tried already


def test_a_save_in_the_moment_of_the_failure(world):
    """The clock of files is a little behind."""
    world.changes.failure_is_shown()
    now = time.time()
    os.utime(world.path("app.py"), (now - 0.005, now - 0.005))
    world.touch("app.py")
    assert world.causes == ["app.py saved"]


def test_the_installation_of_a_package_tries_again(world):
    """Nothing of the project is saved. What came with a `.pth` file is on the path."""
    source = world.root.parent / "library"
    source.mkdir()
    world.changes.failure_is_shown()
    world.ring()
    assert not world.reloads
    (world.site / "library.pth").write_text(f"{source}\n")
    world.ring()
    (reload,) = world.reloads
    assert reload.cause == "packages were installed"
    assert (reload.position, reload.added_folders) == (INTERPRETER.position, (str(source),))


def test_packages_are_not_looked_at_for_ever(world):
    """The next reload ends that."""
    world.changes.failure_is_shown()
    world.write("app.py", "two")
    world.touch("app.py")
    world.ring()
    assert world.alarms.seconds_left(0.0) is None


# -- packages and folders


def test_an_edit_after_an_installation(world):
    """Whatever it was: all that was imported may be another."""
    (world.site / "library-2.dist-info").mkdir()
    world.write("app.py", "two")
    world.touch("app.py")
    (reload,) = world.reloads
    assert (reload.cause, reload.position) == ("app.py changed, packages were installed", INTERPRETER.position)


def test_a_module_that_was_edited_in_place(world):
    """Looked at while a worker imports; a new template has it as it is."""
    library = world.site / "library.py"
    library.write_text("one")
    world.changes.imported(((str(library), stamp_of(str(library))),))
    world.ring()
    assert not world.reloads
    library.write_text("another")
    world.changes.look_at_held()
    world.ring()
    (reload,) = world.reloads
    assert (reload.cause, reload.position) == (f"{library} changed", INTERPRETER.position)
    world.changes.template_starts()
    world.changes.look_at_held()
    world.ring()
    assert len(world.reloads) == 1


def test_the_working_folder_is_removed_and_made_again(world, caplog):
    """It is another one then, in which no process works yet."""
    world.write("app.py", "two")
    os.rename(world.root, world.root.parent / "elsewhere")
    world.touch("app.py")
    world.ring()
    assert world.causes == ["app.py removed"]
    world.ring()
    world.ring()
    assert [record.message for record in caplog.records] == [
        f"The working directory, {world.root}, is gone; the server waits for it to be back."
    ]
    world.root.mkdir()
    world.ring()
    assert "the working directory was replaced" in world.causes


# -- while a worker imports


def test_what_an_import_reads_is_watched_after_a_while(world):
    """Not each of its folders by itself."""
    world.machine.is_importing = True
    before = len(world.watcher.watched)
    for name in ("a", "b"):
        (world.root / name).mkdir()
        world.write(f"{name}/m.py", "one")
        world.read(f"{name}/m.py")
        world.changes.update_watch()
    assert len(world.watcher.watched) == before
    world.ring()
    assert len(world.watcher.watched) == before + 1
    assert {world.path("a"), world.path("b")} <= world.watcher.watched[-1]


def test_an_import_is_looked_at_less_and_less_often_while_it_reads_nothing(world):
    """And as often as at first when it does; not at all when it is over."""
    world.machine.is_importing = True
    world.changes.import_begins()
    waits = []
    for number in range(5):
        if number == 4:
            world.said.append(lambda: world.read("other.py"))
        world.ring()
        waits.append(world.alarms.seconds_left(time.monotonic()))
    assert waits[0] < waits[1] < waits[2] < waits[3]
    assert waits[4] < waits[0]
    world.machine.is_importing = False
    world.ring()
    assert world.alarms.seconds_left(0.0) is None
