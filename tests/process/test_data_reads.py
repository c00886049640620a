"""What a worker reads as data while it imports the app. In forked children, since an audit hook is for ever."""

import glob
import importlib.metadata
import io
import os
import pickle
import py_compile
import sys
import tempfile
import threading
import types
from importlib.abc import FileLoader, SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from firehot_server.fingerprint import data_digest_of
from firehot_server.worker.audit_events import AuditEvents
from firehot_server.worker.data_reads import DataReads
from firehot_server.worker.looks import Looks
from firehot_server.worker.reads import BytecodeCache, watch_source_reads
from tests.support.processes import in_fork


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text("colour: green")
    return folder


class Reader:
    """A process that imports an app in the project's folder, and what is announced of it."""

    def __init__(self, project):
        self._project = project
        self._events = AuditEvents()
        self.notes = []
        self.looks = []
        self.before = []
        self._reads = DataReads(
            lambda path: not path.startswith(("/installed", sys.prefix)),
            str(project),
            str(project / "cache"),
            lambda path: self.before.append((self._short(path), [name for name, _ in self.notes])),
            lambda read: (self.looks if read.kind == "look" else self.notes).append(
                (self._short(read.path), read.digest)
            ),
            lambda path: self.notes.append((self._short(path), "written")),
        )
        self._reads.listen(self._events)
        sys.path.insert(0, str(project))
        is_ours = lambda path: path.startswith(f"{project}/")  # noqa: E731
        watch_source_reads(is_ours, lambda *_: None, BytecodeCache(""), self._reads.running)

    def _short(self, path):
        return os.path.relpath(path, self._project)

    def imported(self):
        self._reads.imported()

    @property
    def heard_events(self):
        """The audit events for which somebody listens."""
        return set(self._events._handlers)


def reader_after(project, *steps):
    """What a reader (but for its process) is after these ran in the project's folder."""

    def run():
        os.chdir(project)
        reader = Reader(project)
        for step in steps:
            step(reader)
        return reader.notes, reader.before, reader.heard_events, reader.looks

    return in_fork(run)


def noted(project, *steps):
    """What is announced while these run in the project's folder."""
    return reader_after(project, *steps)[0]


def digest(path):
    return data_digest_of(str(path))


@pytest.mark.parametrize(
    "read",
    [
        lambda: open("config.yaml").close(),
        lambda: open(b"config.yaml", "rb").close(),
        lambda: Path("config.yaml").read_text(),
        lambda: io.open_code(os.path.abspath("config.yaml")).close(),
        lambda: os.close(os.open("config.yaml", os.O_RDONLY)),
        lambda: open("../project/config.yaml").close(),
    ],
)
def test_every_way_of_reading(project, read):
    """With path and digest, once."""
    assert noted(project, lambda _: read(), lambda _: read()) == [("config.yaml", digest(project / "config.yaml"))]


def test_what_is_not_there(project):
    """It was looked for."""

    def look(_):
        with pytest.raises(FileNotFoundError):
            Path("local.yaml").read_text()

    assert noted(project, look) == [("local.yaml", None)]


@pytest.mark.parametrize(
    "step",
    [
        lambda _: Path("new.log").write_text("x"),
        lambda _: open("config.yaml", "a").close(),
        lambda _: open("config.yaml", "r+").close(),
        lambda _: (Path("made.txt").write_text("x"), Path("made.txt").read_text()),
        lambda _: open("/proc/self/status").close(),
        lambda _: open(os.devnull).close(),
        lambda _: os.fdopen(os.dup(0)).close(),
        lambda _: _quietly(lambda: Path("/installed/data.txt").read_text()),
        lambda _: open(tempfile.mkstemp()[0]).close(),
        lambda _: _quietly(lambda: Path("cache/bytecode").read_bytes()),
    ],
)
def test_what_does_not_count(project, step):
    """Writing, devices, descriptors, what is installed, what the app has made itself."""
    assert noted(project, step) == []


def test_temporary_files(project, monkeypatch):
    """They come and go; a project among them counts."""
    (project.parent / "scratch.txt").write_text("x")
    monkeypatch.setattr(tempfile, "tempdir", str(project.parent))
    steps = [lambda _: Path("../scratch.txt").read_text(), lambda _: Path("config.yaml").read_text()]
    assert [name for name, _ in noted(project, *steps)] == ["config.yaml"]


def test_what_is_read_later_does_not_count(project):
    """The app will read it again; but that it writes what it had read does."""
    (project / "state.json").write_text("{}")
    before = digest(project / "state.json")
    assert noted(
        project,
        lambda _: Path("state.json").read_text(),
        lambda reader: reader.imported(),
        lambda _: Path("config.yaml").read_text(),
        lambda _: Path("config.yaml").write_text("x"),
        lambda _: Path("state.json").write_text("x"),
        lambda _: Path("state.json").write_text("y"),
    ) == [("state.json", before), ("state.json", "written")]


def test_modules_are_announced_elsewhere(project):
    """Not twice; but their source, read as a text, is data."""
    (project / "local_settings.py").write_text("DEBUG = True")

    def imported(_):
        __import__("local_settings")

    assert noted(project, imported) == []
    notes = noted(project, lambda _: exec(Path("local_settings.py").read_text()))
    assert [name for name, _ in notes] == ["local_settings.py"]


@pytest.mark.parametrize(
    "read",
    [
        "pkgutil.get_data('shop', 'note.txt')",
        "__loader__.get_data(__file__.replace('__init__.py', 'note.txt'))",
        "importlib.machinery.SourcelessFileLoader('x', 'y').get_data('shop/note.txt')",
        "importlib.machinery.ExtensionFileLoader('x', 'y').get_data('shop/note.txt')",
        "importlib.resources.files('shop').joinpath('note.txt').read_text()",
        "__loader__.get_resource_reader('shop').open_resource('note.txt').close()",
    ],
)
def test_data_files_that_the_import_system_reads_for_the_app(project, read):
    """By the loader of a module, which else reads source."""
    make_module(project, "shop/__init__.py", f"import pkgutil, importlib.machinery, importlib.resources\n{read}\n")
    (project / "shop/note.txt").write_text("note")
    assert noted(project, lambda _: __import__("shop")) == [("shop/note.txt", digest(project / "shop/note.txt"))]


def test_source_that_somebody_asks_the_loader_for(project):
    """It is a text then, whether or not it is imported, too."""
    make_module(project, "shop.py", "")
    make_module(
        project, "asking.py", "import importlib.util\nimportlib.util.find_spec('shop').loader.get_source('shop')\n"
    )
    assert [name for name, _ in noted(project, lambda _: __import__("asking"))] == ["shop.py"]


def test_a_loader_of_the_projects_own(project):
    """What it reads by the import system's functions, and runs, is announced nowhere else."""

    class Loader(FileLoader, SourceLoader):
        pass

    (project / "recipe.src").write_text("VALUE = 1")

    def load(_):
        spec = spec_from_loader("recipe", Loader("recipe", str(project / "recipe.src")))
        spec.loader.exec_module(module_from_spec(spec))

    assert [name for name, _ in noted(project, load)] == ["recipe.src"]


def test_bytecode_is_no_data(project):
    """Of a module without a source, where it is found is announced elsewhere; that of others may lie anywhere."""
    source = make_module(project, "shop.py", "")
    py_compile.compile(str(source), cfile=str(project / "shop.pyc"))
    source.unlink()
    assert noted(project, lambda _: __import__("shop")) == []


# -- modules that are imported when the app is


def make_module(project, name, source):
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return path


READING = """
import os, threading
from pathlib import Path
Path("config.yaml").read_text()
os.listdir("data")
Path("local.yaml").exists()
thread = threading.Thread(target=lambda: Path("data/b.txt").read_text())
thread.start()
thread.join()
def later():
    return Path("data/a.txt").read_text()
"""


def after_import(project, *steps):
    """What a reader is after these ran in the project's folder when the app was imported."""
    make(project, "a.txt", "b.txt")
    return reader_after(project, lambda reader: reader.imported(), *steps)


def test_what_a_module_reads_that_is_imported_by_a_request(project):
    """It counts, also in a thread that the module starts; what its functions do afterwards does not."""
    make_module(project, "late.py", READING)
    notes, _, heard, looks = after_import(project, lambda _: __import__("late"), lambda _: sys.modules["late"].later())
    assert [name for name, _ in notes] == ["config.yaml", "data", "data/b.txt"]
    assert ("local.yaml", None) in looks
    assert heard == {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link"}


def test_a_module_that_is_imported_by_another_one(project):
    """The outer one has not ended yet."""
    make_module(project, "late.py", "import inner\nopen('data/a.txt').close()\n")
    make_module(project, "inner.py", "open('config.yaml').close()\n")
    notes = after_import(project, lambda _: __import__("late"))[0]
    assert [name for name, _ in notes] == ["config.yaml", "data/a.txt"]


def test_what_a_request_reads_while_another_imports_does_not_count(project):
    """Only what the importing thread does."""
    make_module(project, "late.py", "from builtins import meet\nmeet()\nopen('config.yaml').close()\nmeet()\n")

    def serve(_):
        import builtins

        barrier = threading.Barrier(2, timeout=30)
        builtins.meet = barrier.wait
        thread = threading.Thread(target=request, args=(barrier,))
        thread.start()
        barrier.wait()  # the other thread is there before the module is imported
        __import__("late")
        thread.join()

    def request(barrier):
        barrier.wait()
        barrier.wait()
        Path("data/a.txt").read_text()
        os.listdir("data")
        os.path.exists("data/b.txt")
        barrier.wait()

    notes, _, _, looks = after_import(project, serve)
    assert [name for name, _ in notes] == ["config.yaml"]
    assert "data/b.txt" not in [name for name, _ in looks]


def test_a_module_that_fails_when_a_request_imports_it(project):
    """It has read what it has read."""
    make_module(project, "late.py", "open('config.yaml').close()\n1 / 0\n")

    def fail(_):
        with pytest.raises(ZeroDivisionError):
            __import__("late")

    notes = after_import(project, fail, lambda _: Path("data/a.txt").read_text())[0]
    assert [name for name, _ in notes] == ["config.yaml"]


def test_nothing_more_is_heard_after_a_module_that_reads_nothing(project):
    """A server that serves pays for nothing."""
    make_module(project, "late.py", "")
    original = os.stat
    _, _, heard, _ = after_import(project, lambda _: __import__("late"), lambda _: _assert(os.stat is original))
    assert heard == set()


def _assert(what):
    assert what


# -- folders


def make(project, *names):
    for name in names:
        path = project / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")


@pytest.mark.parametrize(
    "list_it",
    [
        lambda: os.listdir("data"),
        lambda: os.listdir(b"data"),
        lambda: os.scandir("data").close(),
        lambda: list(Path("data").iterdir()),
        lambda: list(Path("data").glob("*.txt")),
        lambda: list(os.walk("data")),
        lambda: glob.glob("data/*"),
        lambda: os.listdir("../project/data/"),
    ],
)
def test_every_way_of_listing(project, list_it):
    """With path and names, once."""
    make(project, "b.txt", "a.txt")
    assert noted(project, lambda _: list_it(), lambda _: list_it()) == [("data", b"a.txt\0b.txt")]


def test_the_working_directory(project):
    """Has no name in the event."""
    assert noted(project, lambda _: os.listdir()) == [(".", b"config.yaml")]


def test_a_folder_that_is_not_there(project):
    """It was to be listed; what is in it is announced when it is there."""
    assert noted(project, lambda _: _quietly(lambda: os.listdir("data"))) == [("data", None)]


@pytest.mark.parametrize(
    "step",
    [
        lambda _: os.listdir("/proc/self/fd"),
        lambda _: _quietly(lambda: os.listdir("/installed")),
        lambda _: os.listdir(tempfile.gettempdir()),
        lambda _: _quietly(lambda: os.listdir("cache/bytecode")),
        lambda _: os.listdir(os.open(".", os.O_RDONLY)),
    ],
)
def test_folders_that_do_not_count(project, step):
    """Those of the system, of what is installed, of temporary files, our own; and those without a name."""
    notes = noted(project, step)
    assert [digest for _, digest in notes if digest and b"config.yaml" in digest] == []
    assert {name for name, _ in notes} <= {"."}  # opened, as a file


@pytest.mark.parametrize(
    "search",
    [
        lambda: importlib.metadata.version("pytest"),
        lambda: importlib.metadata.entry_points(),
        lambda: list(importlib.metadata.distributions(path=["."])),
    ],
)
def test_a_search_for_what_is_installed_does_not_count(project, search):
    """It lists each folder of `sys.path`, the project's among them."""
    assert [name for name, _ in noted(project, lambda _: search()) if name == "."] == []


def test_a_folder_that_is_listed_later_does_not_count(project):
    """The app will list it again."""
    make(project, "a.txt")
    assert noted(project, lambda reader: reader.imported(), lambda _: os.listdir("data")) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda: Path("data/new.txt").write_text("x"), "new.txt"),
        (lambda: os.mkdir("data/new"), "new"),
        (lambda: os.remove("data/a.txt"), "a.txt"),
        (lambda: os.unlink("data/a.txt"), "a.txt"),
        (lambda: os.rename("config.yaml", "data/moved.yaml"), "moved.yaml"),
        (lambda: os.rename("data/a.txt", "a.txt"), "a.txt"),
        (lambda: os.replace("config.yaml", "data/a.txt"), "a.txt"),
        (lambda: (os.mkdir("data/b"), os.rmdir("data/b")), "b"),
        (lambda: os.symlink("a.txt", "data/link"), "link"),
        (lambda: os.link("data/a.txt", "data/link"), "link"),
    ],
)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_folder_that_the_app_changes_itself(project, change, name, is_late):
    """It is told, also when the app is imported: its own files must not reload it."""
    make(project, "a.txt")
    late = [lambda reader: reader.imported()] if is_late else []
    notes = noted(project, lambda _: os.listdir("data"), *late, lambda _: change())
    assert notes == [("data", b"a.txt"), (f"data/{name}", "written")]


def test_a_folder_that_was_not_listed(project):
    """What the app changes in it is nobody's business."""
    make(project, "a.txt")
    assert noted(project, lambda _: os.remove("data/a.txt"), lambda _: os.mkdir("data/b")) == []


# -- before it happens


def test_it_is_asked_before_anything_is_announced(project):
    """A process that waits there has not read it: once for each file and folder."""
    make(project, "a.txt")
    _, before, _, _ = reader_after(
        project,
        lambda _: Path("config.yaml").read_text(),
        lambda _: Path("config.yaml").read_text(),
        lambda _: os.listdir("data"),
        lambda _: os.listdir("data"),
        lambda _: Path("data/b.txt").write_text("x"),
        lambda reader: reader.imported(),
        lambda _: Path("data/a.txt").read_text(),
    )
    assert before == [("config.yaml", []), ("data", ["config.yaml"])]


# -- what it costs afterwards


@pytest.mark.parametrize(
    ("step", "events"),
    [
        (lambda: None, set()),
        (lambda: Path("config.yaml").read_text(), {"open"}),
        (lambda: os.listdir("."), {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}),
    ],
)
def test_what_is_heard_when_the_app_is_imported(project, step, events):
    """No more than is needed to tell that it writes what it has read."""
    _, _, heard, _ = reader_after(project, lambda _: step(), lambda reader: reader.imported())
    assert events <= heard
    assert heard & {"os.listdir", "os.scandir"} == set()
    assert events or not heard


def _quietly(function):
    try:
        function()
    except OSError:
        pass


# -- looks


def looked(project, *steps):
    """What is announced of looks while these run in the project's folder."""
    return reader_after(project, *steps)[3]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lambda: os.path.exists("config.yaml"), [("config.yaml", b"file")]),
        (lambda: Path("config.yaml").is_file(), [("config.yaml", b"file")]),
        (lambda: os.path.isdir("."), [(".", b"folder")]),
        (lambda: Path("local.yaml").exists(), [("local.yaml", None)]),
        (lambda: os.path.lexists("local.yaml"), [("local.yaml", None)]),
        (lambda: os.access("config.yaml", os.R_OK), [("config.yaml", b"file")]),
        (lambda: os.path.realpath("config.yaml"), []),
        (lambda: os.stat(0), []),
        (lambda: os.path.exists("/installed/data.txt"), []),
    ],
)
def test_every_way_to_look(project, look, expected):
    """Once; what is there counts, not its size."""
    assert looked(project, lambda _: look(), lambda _: look()) == expected


def test_looks_after_the_import_do_not_count(project):
    """Not even by one who has kept the function."""

    def look_later(reader):
        kept = os.stat
        reader.imported()
        kept("config.yaml")
        os.stat("config.yaml")

    assert looked(project, look_later) == []


def test_the_functions_that_look_are_as_good_as_the_originals():
    """As an attribute of a class, pickled, and in the lists of what functions can do."""

    def run():
        original = os.stat
        looks = Looks(lambda path: None)
        kind = type("Disk", (), {"look": os.stat})
        found = [
            kind().look(".").st_ino == original(".").st_ino,
            os.stat in os.supports_follow_symlinks,
            os.stat.__name__,
            pickle.loads(pickle.dumps(os.stat)) is os.stat,
        ]
        looks.end()
        return [*found, os.stat is original, original in os.supports_follow_symlinks]

    assert in_fork(run) == [True, True, "stat", True, True, True]


def test_what_the_app_puts_in_the_place_of_such_a_function_stays():
    """It is the app's."""

    def run():
        looks = Looks(lambda path: None)
        own = os.stat = lambda path: "own"
        looks.end()
        return os.stat is own

    assert in_fork(run) is True


def test_what_a_tracer_looks_at_does_not_count(project):
    """A debugger, say, that searches for the source of what it stops at; what the program does meanwhile counts."""
    tool = types.ModuleType("tool")
    source = "def trace(frame, event, arg):\n    os.path.exists('tool.cfg')\n    open('config.yaml').close()"
    exec(compile(source, "/installed/tool.py", "exec"), vars(tool))
    tool.os = os

    def run(_):
        former = sys.gettrace()
        sys.settrace(tool.trace)
        try:
            os.path.exists("local.yaml")
        finally:
            sys.settrace(former)

    notes, _, _, looks = reader_after(project, run)
    assert (notes, looks) == ([], [("local.yaml", None)])


def test_what_a_tracer_of_the_project_looks_at_counts(project):
    """It is part of the program."""
    (project / "tool.py").write_text(
        "import os, sys\ndef trace(frame, event, arg):\n    sys.settrace(None)\n    open('config.yaml').close()\n"
    )

    def run(_):
        former = sys.gettrace()
        tool = __import__("tool")
        sys.settrace(tool.trace)
        os.path.exists("local.yaml")
        sys.settrace(former)

    assert ("config.yaml", digest(project / "config.yaml")) in noted(project, run)
