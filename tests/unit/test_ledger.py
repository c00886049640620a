"""The books of what was read: hints go in, edits come out."""

import importlib.util
import os

import pytest
from uvicorn import Config

from firehot_server.fingerprint import data_digest_of, digest_of
from firehot_server.supervisor.edits import Edit
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.rules import ReloadRules


class Project:
    """A folder of files, and a ledger of what was read of them."""

    def __init__(self, root, **options):
        self.root = root
        self.ledger = Ledger(ReloadRules(Config("app:app", reload=True, log_config=None, **options)), [str(root)])
        self.ledger.begin(1)
        self.watch()

    def path(self, name=""):
        return os.path.join(self.root, name) if name else str(self.root)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def read(self, name, worker=1):
        """A worker reads a file as it is now."""
        return self.ledger.read(worker, self.path(name), digest_of(self.path(name)))

    def read_data(self, name):
        """A worker reads a file that is no module, while it imports the app."""
        return self.ledger.read(1, self.path(name), data_digest_of(self.path(name)), is_data=True)

    def touch(self, *names):
        """The watcher has seen something of these."""
        return self.ledger.touch([self.path(name) for name in names])

    def watch(self):
        """The watcher follows what the ledger wants."""
        return self.ledger.watching(self.ledger.wanted_folders())

    def edit(self, **names):
        """The expected edit, by names."""
        return Edit(**{kind: tuple(map(self.path, files)) for kind, files in names.items()})


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
    """A module that appears may be what an import was looking for."""
    project.write("helpers.py", "")

    assert project.touch("helpers.py") == project.edit(added=["helpers.py"])
    assert not project.touch("helpers.py")


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
    project.write("app.py", "one")

    assert project.touch("app.py") == project.edit(added=["app.py"])


def test_an_unread_file_that_was_removed_and_came_back(project):
    """An import that failed meanwhile would find it now, though nothing had read it before it was removed."""
    project.write("helpers.py", "")
    project.touch("helpers.py")
    os.remove(project.path("helpers.py"))
    project.touch("helpers.py")
    project.ledger.begin(2)  # it fails: no module named helpers
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

    assert project.touch("app.py") == Edit()


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

    assert project.ledger.read(1, project.path("app.py"), digest) == project.edit(changed=["app.py"])


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

    assert project.ledger.read(2, project.path("app.py"), b"something else") == Edit()


# -- what the template has read


def test_a_file_of_the_template(project):
    """The .env file counts though it is no Python file, and the plan can tell where it was read."""
    path = project.write(".env", "A=1")
    project.ledger.template_read(path)
    project.write(".env", "A=2")

    assert project.touch(".env") == project.edit(changed=[".env"])
    assert project.ledger.template_reads == {path}


def test_the_reads_of_the_template_outlive_its_workers(project):
    """Each worker depends on them."""
    project.ledger.template_read(project.write(".env", "A=1"))
    project.ledger.begin(2)
    project.write(".env", "A=2")

    assert project.touch(".env")


def test_a_file_of_the_template_that_comes_later(project):
    """It was missing at the start; when it appears, that is an edit."""
    project.ledger.template_read(project.path(".env"))
    project.write(".env", "A=1")

    assert project.touch(".env") == project.edit(added=[".env"])


def test_a_file_of_the_template_that_is_still_missing(project):
    """That it is not there is what the template has read, and no edit."""
    project.ledger.template_read(project.path("config/.env"))
    (project.root / "config").mkdir()

    assert not project.touch("config")
    assert not project.watch()
    assert not project.touch("config/.env")


# -- what is watched


def test_the_folders_of_what_was_read_are_watched(project):
    """The roots from the start, others as files in them are read."""
    project.write("lib/deep/util.py", "")
    assert project.ledger.wanted_folders() == {project.path()}

    project.read("lib/deep/util.py")
    assert project.ledger.wanted_folders() == {project.path(), project.path("lib/deep")}


def test_folders_in_which_modules_may_appear_are_watched(project):
    """A package's search path, though no file of it was read."""
    (project.root / "namespace").mkdir()
    project.ledger.add_folders([project.path("namespace")])

    assert project.path("namespace") in project.ledger.wanted_folders()


def test_a_folder_that_is_missing_is_awaited_at_its_nearest_parent(project):
    """It may come; then it is watched itself."""
    project.ledger.add_folders([project.path("plugins/local")])
    assert project.ledger.wanted_folders() == {project.path()}

    project.write("plugins/local/one.py", "")
    project.touch("plugins")
    assert project.path("plugins/local") in project.ledger.wanted_folders()


def test_a_folder_that_appears_is_watched_and_its_files_are_new(project):
    """Files that were in it before the watch began are not missed."""
    project.write("routes/users.py", "")
    assert not project.touch("routes")

    assert project.watch() == project.edit(added=["routes/users.py"])


@pytest.mark.parametrize("name", [".git", "__pycache__", "node_modules"])
def test_a_folder_without_anything_of_the_project_is_not_watched(project, name):
    """Nor are its files new modules."""
    project.write(f"{name}/x.py", "")
    project.touch(name)

    assert not project.watch()
    assert project.path(name) not in project.ledger.wanted_folders()


def test_a_folder_that_went_and_came_back(project):
    """Its watch went with it; it is watched anew, and what changed meanwhile is found."""
    project.write("routes/users.py", "one")
    project.read("routes/users.py")
    project.watch()
    os.rename(project.path("routes"), project.path("other"))
    project.touch("routes")
    assert project.path("routes") not in project.ledger.wanted_folders()
    project.watch()
    os.rename(project.path("other"), project.path("routes"))
    project.write("routes/users.py", "two")
    project.touch("routes")

    assert project.path("routes") in project.ledger.wanted_folders()
    assert project.watch() == project.edit(changed=["routes/users.py"])


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

    assert project.path("templates/mail") in project.ledger.wanted_folders()


# -- links


def test_a_file_that_was_read_through_a_link(project, tmp_path):
    """The change is seen where the file really is, and reported by the name that was read."""
    (tmp_path / "shared").mkdir()
    real = tmp_path / "shared/util.py"
    real.write_text("one")
    (project.root / "util.py").symlink_to(real)
    project.read("util.py")
    assert str(tmp_path / "shared") in project.ledger.wanted_folders()

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
    assert not project.ledger.read(2, path, data_digest_of(path), is_data=True)
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
    assert project.touch("config.yaml", "src/config.yaml", "src/table.csv") == project.edit(changed=["src/config.yaml"])


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
