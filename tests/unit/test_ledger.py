"""The books of what was read: hints go in, edits come out."""

import importlib.util
import os

import pytest
from uvicorn import Config

from firehot_server.config import Settings
from firehot_server.fingerprint import data_digest_of, digest_of, listing_of, look_of, lookup_digest_of
from firehot_server.messages import Read
from firehot_server.supervisor.edits import Edit
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.plan import INTERPRETER, NEVER, TEMPLATE
from firehot_server.supervisor.rules import ReloadRules


class Project:
    """A folder of files, and a ledger of what was read of them."""

    def __init__(self, root, settings=None, **options):
        self.root = root
        config = Config("app:app", reload=True, log_config=None, **options)
        self.ledger = Ledger(ReloadRules(config, settings), [str(root)])
        self.ledger.begin(1)
        self.watch()

    def path(self, name=""):
        return os.path.join(self.root, name) if name else str(self.root)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def hear(self, worker, read):
        """A worker says what it has read."""
        self.ledger.read(worker, read)
        return self.ledger.judge_suspects()

    def read(self, name, worker=1):
        """A worker reads a file as it is now."""
        return self.hear(worker, Read("module", self.path(name), digest_of(self.path(name))))

    def read_data(self, name, worker=1):
        """A worker reads a file that is no module, while it imports the app."""
        return self.hear(worker, Read("data", self.path(name), data_digest_of(self.path(name))))

    def look(self, name, worker=1):
        """A worker's import looks for a module in a folder: `routes/users` for `users` in `routes`."""
        return self.hear(worker, Read("lookup", self.path(name), lookup_digest_of(self.path(name))))

    def list(self, name="", worker=1):
        """A worker lists a folder while it imports the app."""
        return self.hear(worker, Read("listing", self.path(name), listing_of(self.path(name))))

    def touch(self, *names):
        """The watcher has seen something of these."""
        return self.ledger.touch([self.path(name) for name in names])

    def watch(self):
        """The watcher follows what the ledger wants."""
        return self.ledger.watching(self.ledger.places.wanted())

    def edit(self, position=None, **names):
        """The expected edit, by names; where it changes something, that is what was read first, unless said."""
        files = {kind: tuple(map(self.path, names)) for kind, names in names.items()}
        edit = Edit(**files)
        return Edit(**files, position=(0 if edit else NEVER) if position is None else position)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The working directory, with one module that nothing has read yet."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("one")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(root):
    return Project(root)


# -- what is an edit


def test_a_file_that_was_read_and_changed(project):
    """The ordinary save."""
    project.read("app.py")
    project.write("app.py", "two")

    assert project.touch("app.py") == project.edit(changed=["app.py"])


def test_the_module_that_was_read_last(project):
    """Whatever else was read since; of a worker that goes on from a checkpoint, what that one had read counts."""
    assert project.ledger.last_module == ""
    for name in ("a.py", "b.py", "c.yaml"):
        project.write(name, "")
    project.read("a.py")
    project.read("b.py")
    project.read_data("c.yaml")
    assert project.ledger.last_module == project.path("b.py")

    project.ledger.begin(2, position=1)
    assert project.ledger.last_module == project.path("a.py")


def test_a_save_that_changes_nothing(project):
    """The same content is no edit, however often it is written."""
    project.read("app.py")
    project.write("app.py", "one")

    assert project.touch("app.py") == project.edit(idle=["app.py"])


def test_a_change_that_was_taken_back(project):
    """What counts is what was read, not what was written between."""
    project.read("app.py")
    project.write("app.py", "two")
    project.touch("app.py")
    project.write("app.py", "one")

    assert not project.touch("app.py")


def test_a_file_that_nothing_has_read(project):
    """A change of it has no consequence."""
    project.write("app.py", "two")

    assert project.touch("app.py") == project.edit(idle=["app.py"])


def test_a_file_that_is_new(project):
    """Nothing has looked for it, so it makes no difference."""
    project.write("helpers.py", "")

    assert project.touch("helpers.py") == project.edit(idle=["helpers.py"])


@pytest.mark.parametrize("name", ["helpers.py", "helpers/__init__.py", "helpers.so", "helpers.abi3.so"])
def test_a_file_that_is_new_where_an_import_had_looked(project, name):
    """The same import would find it now."""
    project.look("helpers")
    project.write(name, "")

    assert project.touch(name) == project.edit(added=[name])


@pytest.mark.parametrize("name", ["helpers.txt", "helpers.py.txt", "routes/helpers.py", "helper.py"])
def test_a_file_that_is_new_where_no_import_would_find_it(project, name):
    """It has the name of a module that was looked for, or its place, but not both."""
    project.look("helpers")
    project.write(name, "")

    assert not project.touch(name)


def test_a_folder_that_is_new_where_an_import_had_looked(project):
    """A namespace package is found without any file in it."""
    project.look("plugins")
    (project.root / "plugins").mkdir()

    assert project.touch("plugins") == project.edit(added=["plugins"])


def test_a_module_that_becomes_a_package(project):
    """The package comes first from now on, though the module is still what it was."""
    project.look("app")
    project.read("app.py")
    project.write("app/__init__.py", "")

    assert project.touch("app", "app/__init__.py") == project.edit(changed=["app/__init__.py"])


def test_a_module_that_is_found_as_it_was(project):
    """The look finds what it found, whatever is beside it."""
    project.look("app")
    project.write("app.txt", "")
    project.write("app.pyi", "")

    assert not project.touch("app.txt", "app.pyi", "app.py")


def test_a_file_that_was_read_and_removed(project):
    """The next start will miss it."""
    project.read("app.py")
    os.remove(project.path("app.py"))

    assert project.touch("app.py") == project.edit(removed=["app.py"])


def test_a_file_that_was_removed_and_came_back(project):
    """An import that failed meanwhile would find it now."""
    project.read("app.py")
    os.remove(project.path("app.py"))
    project.touch("app.py")
    project.ledger.begin(2)
    project.look("app", worker=2)
    project.write("app.py", "one")

    assert project.touch("app.py") == project.edit(added=["app.py"])


def test_an_unread_file_that_was_removed_and_came_back(project):
    """An import that failed meanwhile would find it now, though nothing had read it before it was removed."""
    project.write("helpers.py", "")
    project.touch("helpers.py")
    os.remove(project.path("helpers.py"))
    project.touch("helpers.py")
    project.ledger.begin(2)
    project.look("helpers", worker=2)  # it fails: no module named helpers
    project.write("helpers.py", "")

    assert project.touch("helpers.py") == project.edit(added=["helpers.py"])


def test_a_folder_that_was_removed(project):
    """It stands for all that was read below it."""
    project.write("routes/users.py", "")
    project.read("routes/users.py")
    os.remove(project.path("routes/users.py"))
    os.rmdir(project.path("routes"))

    assert project.touch("routes").removed == (project.path("routes/users.py"),)


def test_a_file_that_the_rules_leave_out(root):
    """--reload-exclude goes before everything."""
    project = Project(root, reload_excludes=["app.py"])
    project.read("app.py")
    project.write("app.py", "two")

    assert project.touch("app.py") == Edit(silent=0)


# -- which worker counts


def test_only_the_newest_worker_counts(project):
    """What an older one still reports is not what the next one depends on."""
    project.ledger.begin(2)
    project.read("app.py", worker=1)
    project.write("app.py", "two")

    assert project.touch("app.py") == project.edit(idle=["app.py"])


def test_a_new_worker_starts_with_empty_books(project):
    """A file that it does not read any more is of no consequence."""
    project.read("app.py")
    project.ledger.begin(2)
    project.write("app.py", "two")

    assert not project.touch("app.py")


def test_a_file_saved_while_the_worker_was_reading_it(project):
    """The hint came before the news of the read; the difference shows when both are there."""
    digest = digest_of(project.path("app.py"))
    project.write("app.py", "two")
    assert not project.touch("app.py")

    assert project.hear(1, Read("module", project.path("app.py"), digest)) == project.edit(changed=["app.py"])


def test_a_file_touched_and_then_read_as_it_is(project):
    """The worker has read the new content already."""
    project.write("app.py", "two")
    project.touch("app.py")

    assert not project.read("app.py")


def test_a_touch_counts_for_the_present_worker_only(project):
    """The next one reads what was written before it began."""
    project.touch("app.py")
    project.ledger.begin(2)
    project.write("app.py", "two")

    assert project.hear(2, Read("module", project.path("app.py"), b"something else")) == Edit()


def test_a_file_that_appears_just_before_the_news_that_it_was_looked_for(project):
    """The hint came first; the difference shows when both are there."""
    project.write("helpers.py", "")
    assert not project.touch("helpers.py")

    looked = Read("lookup", project.path("helpers"), b"")
    assert project.hear(1, looked) == project.edit(added=["helpers.py"])


# -- where in the log


NAMES = ["a.py", "b.py", "c.py", "d.py"]


@pytest.fixture
def four(project):
    """Four modules, read one after the other."""
    for name in NAMES:
        project.write(name, "one")
        project.read(name)
    return project


@pytest.mark.parametrize(("name", "position"), [("a.py", 0), ("b.py", 1), ("c.py", 2), ("d.py", 3)])
def test_the_position_of_an_edit(four, name, position):
    """How much was read before the file that changed."""
    assert four.ledger.position == 4
    four.write(name, "two")

    assert four.touch(name) == four.edit(changed=[name], position=position)


def test_the_position_of_an_edit_of_several_files(four):
    """That of the one which was read first."""
    four.write("d.py", "two")
    four.write("b.py", "two")

    assert four.touch("d.py", "b.py") == four.edit(changed=["b.py", "d.py"], position=1)


def test_what_is_read_twice_keeps_its_first_position(four):
    """Whoever waits since then has read it."""
    four.read("b.py")

    assert four.ledger.position == 4
    four.write("b.py", "two")
    assert four.touch("b.py").position == 1


@pytest.mark.parametrize("position", range(5))
def test_a_worker_that_goes_on_from_a_position(four, position):
    """What was read before still counts, in its place; what was read later is forgotten."""
    four.ledger.begin(2, position)

    assert four.ledger.position == position
    for index, name in enumerate(NAMES):
        four.write(name, "two")
        assert four.touch(name) == (
            four.edit(changed=[name], position=index) if index < position else four.edit(idle=[name])
        )


def test_what_a_worker_reads_that_goes_on_from_a_position(four):
    """It is counted from there on."""
    four.ledger.begin(2, 1)
    four.read("d.py", worker=2)
    four.write("d.py", "two")

    assert four.touch("d.py") == four.edit(changed=["d.py"], position=1)


def test_a_worker_begins_with_nothing_unless_a_position_is_said(four):
    """It goes on from the template."""
    four.ledger.begin(2)

    assert four.ledger.position == TEMPLATE.position


def test_an_older_worker_does_not_move_the_position(four):
    """What it reads is not in the log of the one that goes on."""
    four.ledger.begin(2, 2)
    four.read("app.py", worker=1)

    assert four.ledger.position == 2


def test_the_name_of_a_module(project):
    """By which it was imported, also when it is not read any more; a file that is no module has none."""
    path = project.path("app.py")
    project.hear(1, Read("module", path, digest_of(path), "app"))
    project.ledger.begin(2)

    assert project.ledger.module_of(path) == "app"
    assert project.ledger.module_of(project.path("app.txt")) == ""


# -- what changed without being a reason to reload


def test_there_is_no_doubt_at_first(four):
    """The log says what is there."""
    assert four.ledger.doubt == NEVER


@pytest.fixture
def excluding(root):
    """Four modules, of which the third is excluded by the user."""
    project = Project(root, reload_excludes=["c.py"])
    for name in NAMES:
        project.write(name, "one")
        project.read(name)
    return project


def test_doubt_begins_where_an_excluded_file_was_read(excluding):
    """Whoever has read the old content would not be what a cold start is now."""
    excluding.write("c.py", "two")

    assert not excluding.touch("c.py")
    assert excluding.ledger.doubt == 2


@pytest.mark.parametrize(("position", "doubt"), [(0, NEVER), (2, NEVER), (3, 2), (4, 2)])
def test_doubt_ends_when_the_file_is_read_again(excluding, position, doubt):
    """By a worker that goes on from a state before it."""
    excluding.write("c.py", "two")
    excluding.touch("c.py")
    excluding.ledger.begin(2, position)

    assert excluding.ledger.doubt == doubt


def test_doubt_about_a_data_file_that_the_app_has_written_itself(project):
    """It does not reload, but what was made of the former content is no longer right."""
    project.read("app.py")
    project.write("state.json", "one")
    project.read_data("state.json")
    project.ledger.written(project.path("state.json"))
    assert project.ledger.doubt == NEVER
    project.write("state.json", "two")

    assert not project.touch("state.json")
    assert project.ledger.doubt == 1


def test_doubt_about_a_folder_in_which_the_app_has_made_a_file_itself(project):
    """The same of what it has listed."""
    (project.root / "uploads").mkdir()
    project.read("app.py")
    project.list("uploads")
    project.write("uploads/one.txt", "")
    project.ledger.written(project.path("uploads/one.txt"))

    assert not project.touch("uploads/one.txt")
    assert project.ledger.doubt == 1


# -- folders that were listed


def test_a_folder_that_was_listed(project):
    """A new name in it, or one less, may be what makes the difference."""
    (project.root / "data").mkdir()
    project.list("data")
    project.write("data/one.txt", "")
    assert project.touch("data/one.txt") == project.edit(added=["data/one.txt"])

    project.ledger.begin(2)
    project.list("data", worker=2)
    os.remove(project.path("data/one.txt"))
    assert project.touch("data/one.txt") == project.edit(removed=["data/one.txt"])


@pytest.mark.parametrize("name", ["__pycache__/x.pyc", ".one.txt.swp", "one.txt~", "4913", "one.txt.tmp", ".hidden"])
def test_a_name_that_comes_and_goes(project, name):
    """Bytecode and what editors leave for a moment are no part of a listing."""
    project.write("data/one.txt", "")
    project.list("data")
    project.write(f"data/{name}", "")

    assert not project.touch(f"data/{name}", f"data/{name.partition('/')[0]}")


def test_the_content_of_a_file_in_a_listed_folder(project):
    """Is no part of it."""
    project.write("data/one.txt", "one")
    project.list("data")
    project.write("data/one.txt", "two")

    assert not project.touch("data/one.txt")


@pytest.mark.parametrize("name", ["data/own.txt", "data/own"])
def test_a_file_that_the_app_makes_in_a_folder_that_it_lists(project, name):
    """Does not count; one that somebody else makes beside it does."""
    (project.root / "data").mkdir()
    project.list("data")
    project.ledger.written(project.path(name))
    project.write(name, "")
    assert not project.touch(name)

    project.write("data/other.txt", "")
    assert project.touch("data/other.txt") == project.edit(added=["data/other.txt"])


def test_a_file_that_the_app_removes_from_a_folder_that_it_lists(project):
    """Does not count."""
    project.write("data/old.txt", "")
    project.list("data")
    project.ledger.written(project.path("data/old.txt"))
    os.remove(project.path("data/old.txt"))

    assert not project.touch("data/old.txt")


def test_a_listed_folder_that_was_removed(project):
    """The next start will miss it."""
    (project.root / "data").mkdir()
    project.list("data")
    (project.root / "data").rmdir()

    assert project.touch("data") == project.edit(removed=["data"])


def test_a_folder_that_was_to_be_listed_and_appears(project):
    """It was missing; now there is something to list."""
    project.list("data")
    (project.root / "data").mkdir()

    assert project.touch("data") == project.edit(added=["data"])


# -- what the template has read


def test_a_file_of_the_template(project):
    """The .env file counts though it is no Python file, and needs a new interpreter."""
    project.ledger.template_starts([project.write(".env", "A=1")])
    project.write(".env", "A=2")

    assert project.touch(".env") == project.edit(changed=[".env"], position=INTERPRETER.position)


def test_the_reads_of_the_template_outlive_its_workers(project):
    """Each worker depends on them."""
    project.ledger.template_starts([project.write(".env", "A=1")])
    project.ledger.begin(2)
    project.write(".env", "A=2")

    assert project.touch(".env").position == INTERPRETER.position


def test_the_next_template_has_read_the_present_content(project):
    """So what had changed before it was started is of no consequence."""
    project.ledger.template_starts([project.write(".env", "A=1")])
    project.write(".env", "A=2")
    project.ledger.template_starts([project.path(".env")])

    assert not project.touch(".env")


def test_a_file_of_the_template_that_comes_later(project):
    """It was missing at the start; when it appears, that is an edit."""
    project.ledger.template_starts([project.path(".env")])
    project.write(".env", "A=1")

    assert project.touch(".env") == project.edit(added=[".env"], position=INTERPRETER.position)


def test_a_file_of_the_template_that_is_still_missing(project):
    """That it is not there is what the template has read, and no edit."""
    project.ledger.template_starts([project.path("config/.env")])
    (project.root / "config").mkdir()

    assert not project.touch("config")
    assert not project.watch()
    assert not project.touch("config/.env")


def test_a_file_of_the_template_counts_whatever_the_rules_say(root):
    """They are about the app's files."""
    project = Project(root, reload_excludes=[".env"])
    project.ledger.template_starts([project.write(".env", "A=1")])
    project.write(".env", "A=2")

    assert project.touch(".env").position == INTERPRETER.position


# -- where the template has looked for modules in vain


@pytest.fixture
def looked(project):
    """The template has these modules from elsewhere, or does without; in the project it would have found them first."""

    def look(*names, digest=b""):
        reads = [Read("lookup", project.path(name), digest) for name in names]
        edit = project.ledger.template_looked(reads)
        project.watch()
        return edit

    return look


@pytest.mark.parametrize("name", ["yaml.py", "yaml/__init__.py", "yaml.so"])
def test_a_file_that_would_shadow_a_module_of_the_template(project, looked, name):
    """A cold start would find it first, so the template is no longer right."""
    assert not looked("yaml", "starlette")
    project.write(name, "")

    assert project.touch(*{name, name.partition("/")[0]}).position == INTERPRETER.position


def test_a_file_that_shadows_before_it_is_known_that_it_was_looked_for(project, looked):
    """The template did not find it; it came right after that."""
    project.write("yaml.py", "")
    project.touch("yaml.py")

    assert looked("json", "yaml") == project.edit(added=["yaml.py"], position=INTERPRETER.position)


def test_a_package_that_shadows_before_it_is_known_that_it_was_looked_for(project, looked):
    """The same of a folder."""
    project.write("yaml/__init__.py", "")

    assert looked("yaml") == project.edit(added=["yaml/__init__.py"], position=INTERPRETER.position)


def test_a_folder_that_gave_way_to_a_module_elsewhere(project, looked):
    """Until it is a package, it still does."""
    (project.root / "yaml").mkdir()
    assert not looked("yaml", digest=b"/")
    project.write("yaml/readme.txt", "")
    assert not project.touch("yaml")
    project.write("yaml/__init__.py", "")

    assert project.touch("yaml/__init__.py").position == INTERPRETER.position


@pytest.mark.parametrize("name", ["json.txt", "lib/yaml.py", "yaml_tools.py"])
def test_a_file_that_shadows_nothing_of_the_template(project, looked, name):
    """Another name, or another folder."""
    looked("json", "yaml")
    project.write(name, "")

    assert not project.touch(name)


def test_what_the_template_learns_later_can_be_shadowed_as_well(project, looked):
    """Even by a file that was there when the template was started, and had gone when it looked."""
    project.write("yaml.py", "one")
    project.ledger.template_starts([])
    looked("json")
    os.remove(project.path("yaml.py"))
    project.touch("yaml.py")
    looked("yaml")
    project.write("yaml.py", "one")

    assert project.touch("yaml.py") == project.edit(added=["yaml.py"], position=INTERPRETER.position)


def test_a_shadowing_file_is_the_state_of_the_next_template(project, looked):
    """It is started with the file in place, and finds it as a cold start would."""
    looked("yaml")
    project.write("yaml.py", "")
    assert project.touch("yaml.py")
    project.ledger.template_starts([])
    looked("json")

    assert not project.touch("yaml.py")


def test_a_shadowing_file_that_the_rules_leave_out(root):
    """It does not reload; but what comes next begins in a new interpreter, once."""
    project = Project(root, reload_excludes=["yaml.py"])
    project.ledger.template_looked([Read("lookup", project.path("yaml"), b"")])
    project.write("yaml.py", "")

    assert not project.touch("yaml.py")
    assert project.ledger.doubt == INTERPRETER.position
    project.ledger.begin(2)
    assert project.ledger.doubt == INTERPRETER.position
    project.ledger.template_starts([])
    assert project.ledger.doubt == NEVER


# -- what is watched


def test_the_folders_of_what_was_read_are_watched(project):
    """The roots from the start, others as files in them are read; and what they lie in, since they go with it."""
    project.write("lib/deep/util.py", "")
    assert project.ledger.places.wanted() == {project.path()}

    project.read("lib/deep/util.py")
    assert project.ledger.places.wanted() == {project.path(), project.path("lib"), project.path("lib/deep")}


def test_folders_in_which_modules_may_appear_are_watched(project):
    """Where an import has looked in vain."""
    (project.root / "namespace").mkdir()
    project.look("namespace/plugin")

    assert project.path("namespace") in project.ledger.places.wanted()


def test_folders_that_were_listed_are_watched(project):
    """For what comes and goes in them, and for the case that they are replaced."""
    (project.root / "lib/data").mkdir(parents=True)
    project.list("lib/data")

    assert {project.path("lib/data"), project.path("lib")} <= project.ledger.places.wanted()


def test_a_folder_that_is_missing_is_awaited_at_its_nearest_parent(project):
    """It may come; then it is watched itself."""
    project.look("plugins/local/one")
    assert project.ledger.places.wanted() == {project.path()}

    project.write("plugins/local/one.py", "")
    project.touch("plugins")
    assert project.path("plugins/local") in project.ledger.places.wanted()


def test_a_folder_that_appears_is_watched_and_its_files_are_new(project):
    """Files that were in it before the watch began are not missed."""
    project.look("routes/users")
    project.write("routes/users.py", "")
    project.touch("routes")

    assert project.watch().added == (project.path("routes/users.py"),)


@pytest.mark.parametrize("name", [".git", "__pycache__", "node_modules"])
def test_a_folder_without_anything_of_the_project_is_not_watched(project, name):
    """Nor are its files new modules."""
    project.write(f"{name}/x.py", "")
    project.touch(name)

    assert not project.watch()
    assert project.path(name) not in project.ledger.places.wanted()


def test_a_folder_that_went_and_came_back(project):
    """Its watch went with it; it is watched anew, and what changed meanwhile is found."""
    project.write("routes/users.py", "one")
    project.read("routes/users.py")
    project.watch()
    os.rename(project.path("routes"), project.path("other"))
    project.touch("routes")
    assert project.path("routes") not in project.ledger.places.wanted()
    project.watch()
    os.rename(project.path("other"), project.path("routes"))
    project.write("routes/users.py", "two")
    project.touch("routes")

    assert project.path("routes") in project.ledger.places.wanted()
    assert project.watch() == project.edit(changed=["routes/users.py"])


def test_a_folder_that_lies_in_one_that_went_and_came_back(project):
    """Its watch went as well, though nothing was told of it."""
    project.write("shop/deep/views.py", "one")
    project.read("shop/deep/views.py")
    project.watch()
    os.rename(project.path("shop"), project.path("other"))
    os.rename(project.path("other"), project.path("shop"))
    assert not project.touch("shop")
    project.write("shop/deep/views.py", "two")

    assert project.ledger.places.is_watch_broken
    assert project.watch() == project.edit(changed=["shop/deep/views.py"])


@pytest.mark.parametrize("read", [Project.look, Project.list])
def test_what_came_before_the_watch_began_is_found(project, read):
    """The same of a module that was looked for, and of a name in a folder that was listed."""
    (project.root / "routes").mkdir()
    read(project, {Project.look: "routes/users", Project.list: "routes"}[read])
    project.write("routes/users.py", "")

    edit = project.watch()
    assert edit
    assert edit.position == 0


@pytest.mark.parametrize(
    ("kind", "name", "digest_of"),
    [("look", "cache.json", look_of), ("listing", "", listing_of)],
    ids=["look", "listing"],
)
def test_what_the_app_has_written_after_it_was_read_is_no_edit(project, kind, name, digest_of):
    """It is suspicious until the worker says so, which it does before it writes."""
    read = Read(kind, project.path(name).rstrip("/"), digest_of(project.path(name)))
    project.watch()
    project.write("cache.json", "")
    project.ledger.read(1, read)
    assert project.ledger.has_suspects
    project.ledger.written(project.path("cache.json"))

    assert not project.ledger.judge_suspects()
    assert not project.ledger.has_suspects


@pytest.mark.parametrize(
    ("kind", "name", "digest_of"),
    [
        ("module", "routes/users.py", digest_of),
        ("data", "routes/users.py", data_digest_of),
        ("lookup", "routes/users", lookup_digest_of),
        ("listing", "routes", listing_of),
    ],
    ids=["module", "data", "lookup", "listing"],
)
def test_what_changed_before_the_watch_began_and_is_told_only_then(project, kind, name, digest_of):
    """A worker has read it, and was not heard before the news that its folder is watched."""
    (project.root / "routes").mkdir()
    read = Read(kind, project.path(name), digest_of(project.path(name)))
    project.read("routes/__init__.py")
    project.write("routes/users.py", "")
    project.watch()

    edit = project.hear(1, read)
    assert edit.paths == (project.path("routes" if kind == "listing" else "routes/users.py"),)
    assert edit.position == 1


def test_what_changed_before_the_watch_began_does_not_concern_the_next_worker(project):
    """It began after that."""
    project.read("routes/__init__.py")
    project.write("routes/users.py", "one")
    project.watch()
    project.ledger.begin(2)
    read = Read("module", project.path("routes/users.py"), digest_of(project.path("routes/users.py")))
    project.write("routes/users.py", "two")

    assert not project.hear(2, read)


def test_what_changed_before_the_watch_began_is_found(project):
    """Between the read and the watch there is a moment in which no event is seen."""
    project.write("routes/users.py", "one")
    project.read("routes/users.py")
    project.write("routes/users.py", "two")

    assert project.watch() == project.edit(changed=["routes/users.py"])


def test_files_that_were_there_before_the_watch_are_not_new(project):
    """Only what appears later is."""
    project.write("lib/one.py", "")
    project.write("lib/two.py", "")
    project.read("lib/one.py")
    project.watch()

    assert not project.touch("lib/two.py")


def test_watching_the_same_folders_again_finds_nothing(project):
    """Nothing is read from disk for folders that were watched all the time."""
    project.read("app.py")
    project.write("app.py", "two")

    assert project.watch() == Edit()


def test_folders_of_reload_include_are_watched(root):
    """Files that nothing reads may count there."""
    (root / "templates/mail").mkdir(parents=True)
    project = Project(root, reload_includes=["*.html"])

    assert project.path("templates/mail") in project.ledger.places.wanted()


# -- links


def test_a_file_that_was_read_through_a_link(project, tmp_path):
    """The change is seen where the file really is, and reported by the name that was read."""
    (tmp_path / "shared").mkdir()
    real = tmp_path / "shared/util.py"
    real.write_text("one")
    (project.root / "util.py").symlink_to(real)
    project.read("util.py")
    assert str(tmp_path / "shared") in project.ledger.places.wanted()

    real.write_text("two")
    assert project.ledger.touch([str(real)]) == project.edit(changed=["util.py"])


def test_a_link_that_points_elsewhere_now(project):
    """Changing the link changes the content."""
    project.write("v1.py", "one")
    project.write("v2.py", "two")
    os.symlink("v1.py", project.path("current.py"))
    project.read("current.py")
    os.remove(project.path("current.py"))
    os.symlink("v2.py", project.path("current.py"))

    assert project.touch("current.py") == project.edit(changed=["current.py"])


def test_a_file_that_was_once_read_through_a_link_and_is_now_read_itself(project):
    """An earlier worker's way to the file does not hide a change of it from the present one's."""
    project.write("real.py", "one")
    os.symlink("real.py", project.path("link.py"))
    project.read("link.py")
    os.remove(project.path("link.py"))
    project.ledger.begin(2)
    project.read("real.py", worker=2)
    project.write("real.py", "two")

    assert project.touch("real.py") == project.edit(changed=["real.py"])


def link(project, name, target):
    """A link of this name in the project, instead of what there was."""
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(("name", "read"), [("part.py", Project.read), ("part.txt", Project.read_data)])
def test_a_file_that_becomes_a_link(project, name, read):
    """To the same content: no edit. But it changes elsewhere from then on."""
    project.write(name, "one")
    read(project, name)
    os.makedirs(project.path("store"))
    os.rename(project.path(name), project.path(f"store/{name}"))
    link(project, name, f"store/{name}")
    assert not project.touch(name)
    assert project.path("store") in project.ledger.places.wanted()
    project.watch()
    project.write(f"store/{name}", "two")

    assert project.touch(f"store/{name}") == project.edit(changed=[name])


def test_a_folder_that_becomes_a_link(project):
    """The same of all that is in it."""
    project.write("shop/views.py", "one")
    project.read("shop/views.py")
    project.watch()
    os.makedirs(project.path("store/5"))
    os.rename(project.path("shop"), project.path("store/5/shop"))
    link(project, "shop", "store/5/shop")
    assert not project.touch("shop")
    assert {project.path(name) for name in ("store", "store/5", "store/5/shop")} <= project.ledger.places.wanted()
    project.watch()
    project.write("store/5/shop/views.py", "two")

    assert project.touch("store/5/shop/views.py") == project.edit(changed=["shop/views.py"])


@pytest.mark.parametrize("moved", ["store/5/shop", "store/5", "store"])
def test_the_folder_of_a_link_that_goes(project, moved):
    """Or one in which it lies."""
    project.write("store/5/shop/views.py", "one")
    link(project, "shop", "store/5/shop")
    project.read("shop/views.py")
    project.watch()
    os.rename(project.path(moved), project.path("away"))

    assert os.path.dirname(project.path(moved)) in project.ledger.places.wanted()
    assert project.touch(moved) == project.edit(removed=["shop/views.py"])


def test_a_folder_in_which_a_folder_of_data_lies(project):
    """It takes it along, link or not; nothing else was read there."""
    project.write("conf/env/prod/x.yaml", "one")
    project.read_data("conf/env/prod/x.yaml")
    os.rename(project.path("conf/env"), project.path("conf/other"))

    assert project.path("conf") in project.ledger.places.wanted()
    assert project.touch("conf/env") == project.edit(removed=["conf/env/prod/x.yaml"])


def test_a_link_that_leads_to_nothing_yet(project):
    """What it leads to may appear, and with it the file."""
    link(project, "local.txt", "shared/local.txt")
    project.read_data("local.txt")
    assert project.ledger.places.wanted() == {project.path()}
    project.write("shared/local.txt", "one")

    assert project.touch("shared") == project.edit(added=["local.txt"])


def test_a_link_in_a_folder_of_which_something_was_read_before(project):
    """It did not matter then."""
    link(project, "local.txt", f"{project.root}/shared/local.txt")
    project.read("app.py")
    assert project.ledger.places.wanted() == {project.path()}
    (project.root / "shared").mkdir()
    project.read_data("local.txt")

    assert project.path("shared") in project.ledger.places.wanted()


@pytest.mark.parametrize("name", ["helpers.py", "helpers/__init__.py", "helpers"])
def test_a_module_that_a_link_leads_to_that_is_not_there_yet(project, name):
    """An import has looked for it in vain."""
    link(project, name, f"{project.root}/shared/target")
    project.look("helpers")
    project.write("shared/target/x.py" if name == "helpers" else "shared/target", "")

    edit = project.touch("shared")
    assert (len(edit.added) or len(edit.changed), edit.position) == (1, 0)


def test_a_module_that_is_looked_for_where_a_link_comes_later(project):
    """Its target comes later still."""
    project.look("helpers")
    link(project, "helpers.py", "shared.py")
    assert not project.touch("helpers.py")
    project.write("shared.py", "")

    assert project.touch("shared.py") == project.edit(added=["helpers.py"])


def test_a_lookup_in_a_folder_that_is_a_link(project):
    """A module appears where the link leads."""
    (project.root / "store/shop").mkdir(parents=True)
    link(project, "shop", "store/shop")
    project.look("shop/views")
    project.write("store/shop/views.py", "")

    assert project.touch("store/shop/views.py") == project.edit(added=["shop/views.py"])


def test_a_namespace_package_that_nothing_else_was_read_of(project):
    """It becomes a package: the folder itself is watched, and where it leads."""
    (project.root / "store/shop").mkdir(parents=True)
    link(project, "shop", "store/shop")
    project.look("shop")
    assert {project.path("shop"), project.path("store/shop")} <= project.ledger.places.wanted()
    project.write("store/shop/__init__.py", "")

    assert project.touch("store/shop/__init__.py").position == 0


def test_a_link_on_the_way_to_a_file_that_leads_elsewhere_now(project):
    """Not the one that was read; its folder is watched for it."""
    project.write("v1/data.txt", "one")
    project.write("v2/data.txt", "two")
    link(project, "versions/latest", "../v1")
    link(project, "current", "versions/latest")
    project.read_data("current/data.txt")
    assert project.path("versions") in project.ledger.places.wanted()
    project.watch()
    link(project, "versions/latest", "../v2")
    assert project.touch("versions/latest") == project.edit(changed=["current/data.txt"])
    assert project.path("v2") in project.ledger.places.wanted()


def test_a_file_that_was_read_by_two_names(project):
    """Both have changed."""
    project.write("real.py", "one")
    link(project, "link.py", "real.py")
    project.read("link.py")
    project.read("real.py")
    project.write("real.py", "two")

    assert project.touch("real.py") == project.edit(changed=["link.py", "real.py"])


def test_a_file_touched_where_it_lies_before_it_is_known_that_it_was_read(project):
    """The hint came first, by another name."""
    project.write("store/part.py", "one")
    link(project, "shop", "store")
    project.read("shop/other.py")  # so the link is known
    digest = digest_of(project.path("store/part.py"))
    project.write("store/part.py", "two")
    assert not project.touch("store/part.py")

    read = Read("module", project.path("shop/part.py"), digest)
    assert project.hear(1, read) == project.edit(changed=["shop/part.py"], position=1)


def test_a_file_that_changed_before_the_place_was_watched_that_it_lies_in_now(project):
    """The link was changed first, and the watch began after that."""
    project.write("store/part.py", "one")
    project.write("part.py", "one")
    project.read("part.py")
    project.watch()
    link(project, "part.py", "store/part.py")
    assert not project.touch("part.py")
    project.write("store/part.py", "two")

    assert project.watch() == project.edit(changed=["part.py"])


def test_links_that_lead_to_the_project_are_not_watched(tmp_path, project):
    """Where they are, others come and go."""
    os.symlink(project.root, tmp_path / "link")
    path = str(tmp_path / "link/app.py")
    project.hear(1, Read("module", path, digest_of(path)))

    assert str(tmp_path) not in project.ledger.places.wanted()
    project.write("app.py", "two")
    assert project.touch("app.py").changed == (path,)


# -- digests


# -- data


@pytest.mark.parametrize("name", ["config.yaml", ".env", "LICENSE"])
def test_a_data_file_that_was_read(project, name):
    """Counts whatever its name, though the rules are about Python files."""
    project.write(name, "one")
    project.read_data(name)
    project.watch()
    project.write(name, "two")
    assert project.touch(name) == project.edit(changed=[name])
    assert project.ledger.matters(project.path(name))


def test_a_data_file_that_nothing_has_read(project):
    """Does not."""
    project.write("config.yaml", "one")
    assert not project.touch("config.yaml")


def test_a_data_file_that_was_looked_for(project):
    """Counts when it comes."""
    project.read_data("local.yaml")
    project.watch()
    project.write("local.yaml", "one")
    assert project.touch("local.yaml") == project.edit(added=["local.yaml"])


def test_a_data_file_that_the_app_writes(project):
    """Does not count, also when the next worker reads it; that is news once."""
    project.write("state.json", "one")
    project.read_data("state.json")
    path = project.path("state.json")
    assert project.ledger.written(path) is True
    assert project.ledger.written(path) is False
    project.write("state.json", "two")
    assert not project.touch("state.json")
    project.ledger.begin(2)
    assert not project.read_data("state.json", worker=2)
    project.write("state.json", "three")
    assert not project.touch("state.json")


def test_a_large_data_file(project):
    """Is known by what the file system says of it."""
    project.write("table.csv", "x" * (1 << 20))
    project.read_data("table.csv")
    project.watch()
    assert not project.touch("table.csv")
    project.write("table.csv", "y" * (1 << 20))
    assert project.touch("table.csv") == project.edit(changed=["table.csv"])


def test_data_outside_of_the_reload_dirs(root):
    """Does not count, nor what the user excludes."""
    (root / "src").mkdir()
    project = Project(root, reload_dirs=["src"], reload_excludes=["*.csv"])
    for name in ("config.yaml", "src/config.yaml", "src/table.csv"):
        project.write(name, "one")
        project.read_data(name)
        project.watch()
        project.write(name, "two")
    edit = project.touch("config.yaml", "src/config.yaml", "src/table.csv")
    assert (edit.paths, edit.position, edit.silent) == ((project.path("src/config.yaml"),), 1, 0)


def test_the_digest_of_a_file_is_that_of_the_bytecode_cache(project):
    """So that a worker can send what the import system has computed anyway."""
    assert digest_of(project.path("app.py")) == importlib.util.source_hash(b"one")


@pytest.mark.parametrize("name", ["none.py", "", "app.py/none.py"], ids=["missing", "a folder", "below a file"])
def test_what_is_no_file_has_no_digest(project, name):
    """None, rather than an error."""
    assert digest_of(project.path(name)) is None


def test_a_file_that_cannot_be_read_has_a_digest_of_its_own(project, monkeypatch):
    """It is there: that is a change for whoever could read it."""

    def refuse(path, *_):
        raise PermissionError(path)

    monkeypatch.setattr("os.open", refuse)

    assert digest_of(project.path("app.py")) == b""


# -- extra files


@pytest.fixture
def extra(root, tmp_path):
    """A project with a file elsewhere that nobody reads, but which is to reload; and that file."""
    file = tmp_path / "elsewhere" / "limits.cfg"
    file.parent.mkdir()
    file.write_text("one")
    return Project(root, Settings(extra_files=(str(file),))), file


def test_an_extra_file_was_read_first(extra):
    """So its edit goes back to the template; the same content is no edit."""
    project, file = extra
    project.read("app.py")
    assert str(file.parent) in project.ledger.places.wanted()
    assert not project.ledger.touch([str(file)])

    file.write_text("two")

    assert project.ledger.touch([str(file)]) == Edit(changed=(str(file),), position=TEMPLATE.position)


def test_an_extra_file_is_an_edit_once(extra):
    """The worker that is made because of it knows it as it is; one that goes on from further on does not look."""
    project, file = extra
    project.read("app.py")
    file.write_text("two")
    project.ledger.begin(2, position=1)
    assert project.ledger.touch([str(file)])

    project.ledger.begin(3)

    assert not project.ledger.touch([str(file)])


def test_an_extra_file_that_changed_before_it_was_watched(extra):
    """It is found when the watch begins."""
    project, file = extra
    project.ledger.watching(frozenset())
    file.unlink()

    assert project.watch().removed == (str(file),)
