"""What a worker reads is announced first, and no stale bytecode ever runs.

In forked children, since the loader is changed for the whole process.
"""

import contextlib
import importlib
import importlib.util
import marshal
import os
import sys
import threading
import time
import traceback
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

import pytest

from firehot_server.worker import emptied
from firehot_server.worker.reads import BytecodeCache, watch_source_reads
from firehot_server.worker.running import RunningModules
from tests.support.processes import forked, in_fork
from tests.support.waiting import SECONDS

WHOLE_SECOND = 1_700_000_000
NO_CODE = marshal.dumps("a text")


class Importer:
    """A fresh importing process: what it read, what it compiled, and what it got."""

    def __init__(self, project, cache_dir, *, writes=True):
        self.project = str(project)
        self.reads = []
        self.compiled = []
        sys.dont_write_bytecode = not writes
        sys.path.insert(0, self.project)
        sys.addaudithook(self._audit)
        self.running = RunningModules(lambda: None)
        cache = BytecodeCache(str(cache_dir) if cache_dir else "")
        watch_source_reads(self._is_first_party, self._announce, cache, self.running)

    def _is_first_party(self, path):
        return path.startswith(self.project + "/")

    def _announce(self, module, path, digest):
        self.reads.append((module, path, digest))

    def _audit(self, event, arguments):
        if event == "compile" and str(arguments[1]).startswith(self.project):
            self.compiled.append(arguments[1])


@pytest.fixture
def project(tmp_path):
    """A folder for first-party modules."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path):
    """A cache folder that does not exist yet."""
    return tmp_path / "cache" / "bytecode"


def load(project, cache, name="module", attribute="VALUE"):
    """Import one module in a fresh process: its value, what was announced and what was compiled."""

    def run():
        importer = Importer(project, cache)
        value = getattr(importlib.import_module(name), attribute)
        return value, importer.reads, importer.compiled

    return in_fork(run)


def save(project, source, name="module.py", mtime=WHOLE_SECOND):
    """Write a source file that always has the same modification time."""
    path = project / name
    path.write_text(source)
    os.utime(path, (mtime, mtime))
    return path


# ---------------------------------------------------------------- announcements


def test_a_module_that_is_being_saved_is_read_when_it_is_complete(project, cache):
    """Emptied just now, it is what comes next that is announced, and runs."""
    path = project / "module.py"

    def run():
        importer = Importer(project, cache)
        emptied._PATIENCE_SECONDS = SECONDS
        emptied.sleep = lambda _: path.write_text("VALUE = 1\n")
        path.touch()
        return importlib.import_module("module").VALUE, importer.reads

    value, reads = in_fork(run)

    assert value == 1
    assert reads == [("module", str(path), importlib.util.source_hash(b"VALUE = 1\n"))]


def test_a_module_that_was_filled_since_it_was_read(project, cache):
    """The machine was busy: more time has passed than is waited for."""
    path = project / "module.py"

    def run():
        importer = Importer(project, cache)
        emptied._PATIENCE_SECONDS = 0.0
        look = emptied.stat

        def fill(path):
            Path(path).write_text("VALUE = 1\n")
            return look(path)

        emptied.stat = fill
        path.touch()
        return importlib.import_module("module").VALUE, importer.reads

    value, reads = in_fork(run)

    assert value == 1
    assert reads == [("module", str(path), importlib.util.source_hash(b"VALUE = 1\n"))]


@pytest.mark.parametrize("seconds", [-10, 10])
def test_a_module_that_is_meant_to_be_empty_is_not_waited_for(project, cache, seconds):
    """It was emptied some time ago; or its time says nothing, since it is yet to come."""
    save(project, "", mtime=time.time() + seconds)

    def run():
        Importer(project, cache)
        emptied.sleep = lambda _: pytest.fail("it was waited for")
        return importlib.import_module("module").__name__

    assert in_fork(run) == "module"


def test_a_module_that_stays_empty_is_empty(project, cache):
    """After a moment."""
    (project / "module.py").touch()

    assert load(project, cache, attribute="__name__")[0] == "module"


def test_a_module_is_announced_with_its_name_path_and_digest(project, cache):
    """The digest is that of `importlib.util.source_hash`, with which the supervisor compares."""
    path = save(project, "VALUE = 1\n")
    _, reads, _ = load(project, cache)
    assert reads == [("module", str(path), importlib.util.source_hash(path.read_bytes()))]


def test_a_module_is_announced_before_it_runs(project, cache):
    """While it runs, the supervisor knows already."""
    save(project, "import builtins\nVALUE = list(builtins.announced)\n")

    def run():
        import builtins

        importer = Importer(project, cache)
        builtins.announced = importer.reads
        return importlib.import_module("module").VALUE

    assert [module for module, _, _ in in_fork(run)] == ["module"]


def test_packages_and_their_modules_are_announced_in_the_order_of_reading(project, cache):
    """Each file once, however often it is imported."""
    (project / "package").mkdir()
    save(project, "from package import inner\n", "package/__init__.py")
    save(project, "import module\nVALUE = 2\n", "package/inner.py")
    save(project, "import package.inner\nVALUE = 1\n")
    _, reads, _ = load(project, cache, "package.inner")
    assert [module for module, _, _ in reads] == ["package", "package.inner", "module"]


@pytest.mark.parametrize("source", ["VALUE = is_running()\n", "def f():\n    return is_running()\nVALUE = f()\n"])
def test_a_module_that_runs_is_known_to(project, cache, source):
    """For as long as it does, also where it fails."""
    save(project, f"from builtins import is_running\n{source}")
    save(project, "1 / 0\n", "broken.py")

    def run():
        import builtins

        importer = Importer(project, cache)
        builtins.is_running = lambda: importer.running.is_here
        value = importlib.import_module("module").VALUE
        with pytest.raises(ZeroDivisionError):
            importlib.import_module("broken")
        return value, importer.running.is_here

    assert in_fork(run) == (True, False)


def test_a_module_that_others_have_installed_is_not_known_to_run(project, cache, tmp_path):
    """What it reads is its own affair."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/library.py").write_text("from builtins import is_running\nVALUE = is_running()\n")

    def run():
        import builtins

        importer = Importer(project, cache)
        sys.path.insert(0, str(tmp_path / "installed"))
        builtins.is_running = lambda: importer.running.is_here
        return importlib.import_module("library").VALUE

    assert in_fork(run) is False


@pytest.mark.parametrize("source", ["VALUE = = 1\n", "1 / 0\n", "def f():\n    1 / 0\nf()\n", "import nothing\n", "\0"])
def test_the_traceback_of_a_failed_import_is_what_it_would_be(project, cache, source):
    """A program may keep it, or show it: no frame of ours is in it, and none of the import system that Python hides."""
    save(project, source)

    def told(prepare):
        prepare()
        sys.path.insert(0, str(project))
        try:
            import module  # noqa: F401
        except Exception as error:
            return [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]

    expected = in_fork(lambda: told(lambda: None))
    assert in_fork(lambda: told(lambda: Importer(project, cache))) == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file at hand that cannot be read")
def test_the_traceback_of_a_file_that_cannot_be_read(project, cache):
    """It shows the import system, and nothing of ours."""
    os.symlink("/proc/self/mem", project / "module.py")

    def files(prepare):
        prepare()
        sys.path.insert(0, str(project))
        try:
            import module  # noqa: F401
        except OSError as error:
            return {frame.filename for frame in traceback.extract_tb(error.__traceback__)}

    expected = in_fork(lambda: files(lambda: None))
    assert in_fork(lambda: files(lambda: Importer(project, cache))) == expected


def test_a_file_that_cannot_be_compiled_is_announced(project, cache):
    """Else the edit that mends it would be of no consequence."""
    save(project, "VALUE = 1 +\n")

    def run():
        importer = Importer(project, cache)
        with pytest.raises(SyntaxError):
            importlib.import_module("module")
        return importer.reads

    assert [module for module, _, _ in in_fork(run)] == ["module"]
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_module_that_raises_is_announced(project, cache):
    """And again when it is imported again."""
    save(project, "raise ValueError\n")

    def run():
        importer = Importer(project, cache)
        for _ in range(2):
            with pytest.raises(ValueError):
                importlib.import_module("module")
        return importer.reads

    assert [module for module, _, _ in in_fork(run)] == ["module", "module"]


def test_a_reloaded_module_is_announced_again(project, cache):
    """With the digest of what it is now."""
    path = save(project, "VALUE = 1\n")

    def run():
        importer = Importer(project, cache)
        module = importlib.import_module("module")
        save(project, "VALUE = 2\n")
        return importlib.reload(module).VALUE, [digest for _, _, digest in importer.reads]

    value, digests = in_fork(run)
    assert value == 2
    assert digests == [importlib.util.source_hash(text) for text in (b"VALUE = 1\n", b"VALUE = 2\n")]
    assert path.read_text() == "VALUE = 2\n"


def test_third_party_modules_are_not_announced(project, cache, tmp_path):
    """They are loaded as ever, their bytecode in `__pycache__`."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    save(installed, "VALUE = 3\n", "library.py")

    def run():
        importer = Importer(project, cache)
        sys.path.insert(0, str(installed))
        return importlib.import_module("library").VALUE, importer.reads

    assert in_fork(run) == (3, [])
    assert list((installed / "__pycache__").iterdir())
    assert not cache.exists()


def test_first_party_modules_leave_no_pycache(project, cache):
    """Their bytecode is kept elsewhere, so that no interpreter trusts it by its date."""
    save(project, "VALUE = 1\n")
    load(project, cache)
    assert not (project / "__pycache__").exists()
    assert len(list(cache.iterdir())) == 1


def test_a_module_loaded_from_its_place_is_announced(project, cache):
    """As editable installs and plug-in systems do it, without any finder."""
    path = save(project, "VALUE = 4\n", "plugin-with-dashes.py")

    def run():
        importer = Importer(project, cache)
        spec = importlib.util.spec_from_file_location("plugin", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.VALUE, module.__file__, importer.reads

    value, file, reads = in_fork(run)
    assert (value, file) == (4, str(path))
    assert [(module, read) for module, read, _ in reads] == [("plugin", str(path))]


def test_modules_look_as_they_always_do(project, cache):
    """`__file__`, `__cached__`, `__loader__`, code objects and `inspect.getsource` are a normal import's."""
    path = save(project, "def f():\n    return 1\n")

    def normal():
        sys.path.insert(0, str(project))
        sys.dont_write_bytecode = True
        return describe(importlib.import_module("module"))

    def watched():
        Importer(project, cache)
        return describe(importlib.import_module("module"))

    def describe(module):
        import inspect

        spec = module.__spec__
        return (
            module.__file__,
            module.__cached__,
            type(module.__loader__).__qualname__,
            (spec.origin, spec.cached, spec.has_location),
            module.f.__code__.co_filename,
            inspect.getsource(module.f),
            sorted(vars(module)),
        )

    assert in_fork(watched) == in_fork(watched) == in_fork(normal)
    assert path.exists()


def test_a_module_with_an_encoding_of_its_own(project, cache):
    """The bytes are decoded as the file says; a wrong declaration is a SyntaxError as ever."""
    (project / "module.py").write_bytes("# coding: latin-1\nVALUE = 'ä'\n".encode("latin-1"))
    assert load(project, cache)[0] == load(project, cache)[0] == "ä"
    (project / "module.py").write_bytes("VALUE = 'ä'\n".encode("latin-1"))
    with pytest.raises(SyntaxError):
        load(project, cache)


def test_lazy_imports_in_threads_are_announced(project, cache):
    """Each once, from whichever thread."""
    names = [f"module{number}" for number in range(20)]
    for name in names:
        save(project, "VALUE = 1\n", f"{name}.py")

    def run():
        importer = Importer(project, cache)

        def import_all():
            for name in names:
                importlib.import_module(name)

        threads = [threading.Thread(target=import_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(module for module, _, _ in importer.reads)

    assert in_fork(run) == sorted(names)


# ---------------------------------------------------------------- bytecode


def test_the_second_process_does_not_compile(project, cache):
    """It finds the first one's bytecode, and announces all the same."""
    save(project, "VALUE = 1\n")
    first = load(project, cache)
    second = load(project, cache)
    assert first[:2] == second[:2]
    assert (len(first[2]), len(second[2])) == (1, 0)


@pytest.mark.parametrize("with_cache", [True, False])
def test_bytecode_is_never_stale(project, cache, with_cache):
    """The same size and the same modification time do not deceive it, on the way there or back."""
    for value in (1, 2, 1, 3, 2):
        save(project, f"VALUE = {value}\n")
        assert load(project, cache if with_cache else None)[0] == value


def test_a_stale_pycache_is_not_believed(project, cache):
    """A `.pyc` of a normal interpreter, right by size and date but not by content, is left alone."""
    path = save(project, "VALUE = 1\n")

    def normal():
        sys.path.insert(0, str(project))
        sys.dont_write_bytecode = False
        return importlib.import_module("module").VALUE

    assert in_fork(normal) == 1
    save(project, "VALUE = 2\n")
    assert in_fork(normal) == 1, "this test's premise: a normal interpreter is deceived"
    assert load(project, cache)[0] == 2
    assert path.with_name("__pycache__").exists()


def test_files_with_the_same_content_keep_their_own_names(project, cache):
    """Tracebacks name the file that was run, not another with the same text."""
    source = "VALUE = (lambda: 1).__code__.co_filename\n"
    for name in ("one.py", "two.py"):
        save(project, source, name)
    for name in ("one", "two", "one", "two"):
        assert load(project, cache, name)[0] == str(project / f"{name}.py")


def test_a_file_that_was_moved_keeps_its_name_right(project, cache):
    """Renamed to where another file was before."""
    save(project, "VALUE = (lambda: 'a').__code__.co_filename\n", "one.py")
    save(project, "VALUE = (lambda: 'b').__code__.co_filename\n", "two.py")
    load(project, cache, "one")
    load(project, cache, "two")
    (project / "two.py").replace(project / "one.py")
    assert load(project, cache, "one")[0] == str(project / "one.py")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:7],
        lambda data: data[:16],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: bytes(16) + data[16:],
        lambda data: data[:8] + bytes(8) + data[16:],
        lambda data: data[:-4] + b"\xff\xff\xff\xff",
        lambda data: bytes(len(data)),
        lambda data: data[::-1],
        lambda data: data[:8] + importlib.util.source_hash(NO_CODE) + NO_CODE,
    ],
    ids=[
        "empty",
        "within the digest",
        "without bytecode",
        "one byte short",
        "one byte long",
        "another digest",
        "another seal",
        "changed at the end",
        "zeros",
        "backwards",
        "no code",
    ],
)
def test_a_damaged_cache_file_is_made_anew(project, cache, damage):
    """It is compiled again, and the next process finds it whole."""
    save(project, "VALUE = 1\n")
    load(project, cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    value, _, compiled = load(project, cache)
    assert (value, len(compiled)) == (1, 1)
    assert file.read_bytes() == whole
    assert load(project, cache)[2] == []


def test_a_cache_file_that_cannot_be_read_is_made_anew(project, cache):
    """A folder in its place, and a link to nowhere."""
    save(project, "VALUE = 1\n")
    load(project, cache)
    (file,) = cache.iterdir()
    file.unlink()
    file.mkdir()
    assert load(project, cache)[0] == 1
    assert list(cache.iterdir()) == [file]
    file.rmdir()
    file.symlink_to(project / "nowhere")
    assert load(project, cache)[0] == 1


def test_a_cache_that_cannot_be_written_is_only_slower(project, tmp_path):
    """No folder can be made there."""
    save(project, "VALUE = 1\n")
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "cache", tmp_path / "file", Path("/proc/firehot"), Path("/dev/null")):
        value, reads, compiled = load(project, place)
        assert (value, len(reads), len(compiled)) == (1, 1, 1)


def test_a_read_only_cache_is_only_slower(cache):
    """What is there is used; what is not is not kept."""
    code = compile("VALUE = 1\n", "module.py", "exec")

    def run():
        sys.dont_write_bytecode = False
        bytecode = BytecodeCache(cache.name)
        os.chdir(cache.parent)
        bytecode.store("known", b"12345678", code)
        cache.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)  # root may write anywhere
        bytecode.store("new", b"12345678", code)
        bytecode.store("known", b"87654321", code)
        return [bytecode.load(*entry) == code for entry in (("known", b"12345678"), ("new", b"12345678"))]

    cache.parent.mkdir()
    assert in_fork(run) == [True, False]
    assert [file.name for file in cache.iterdir()] == ["known"]
    cache.chmod(0o755)


def test_a_user_who_wants_no_bytecode_gets_none(project, cache):
    """`-B` and PYTHONDONTWRITEBYTECODE forbid writing, not reading."""
    save(project, "VALUE = 1\n")

    def run():
        importer = Importer(project, cache, writes=False)
        return importlib.import_module("module").VALUE, importer.compiled

    assert in_fork(run)[0] == 1
    assert not cache.exists()
    load(project, cache)
    assert in_fork(run) == (1, [])


def test_no_cache_folder_means_no_bytecode(project, tmp_path):
    """An empty name is no folder."""
    save(project, "VALUE = 1\n")
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        value, _, compiled = load(project, "")
        assert (value, len(compiled)) == (1, 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_each_optimisation_level_has_its_own(project, cache):
    """Bytecode without asserts is not run where they count."""
    path = str(save(project, "assert False\n"))
    keys = {
        in_fork(lambda level=level: set_optimisation(level) or BytecodeCache(str(cache)).key(path, SourceFileLoader))
        for level in (0, 1, 2)
    }
    assert len(keys) == 3


def set_optimisation(level):
    """What `cache_from_source` looks at."""

    class Flags:
        optimize = level

    sys.flags = Flags()


class Doubling(SourceFileLoader):
    """An import hook that changes what is compiled."""

    def source_to_code(self, data, path, **options):
        return super().source_to_code(data.replace(b"1", b"11"), path, **options)


class Tripling(SourceFileLoader):
    """Another one."""

    def source_to_code(self, data, path, **options):
        return super().source_to_code(data.replace(b"1", b"111"), path, **options)


def test_loaders_that_transform_the_source_keep_to_themselves(project, cache):
    """The same file through other loaders is other bytecode; each finds its own again."""
    path = save(project, "VALUE = 1\n")

    def run(kind):
        importer = Importer(project, cache)
        spec = ModuleSpec("module", kind("module", str(path)), origin=str(path))
        spec.has_location = True
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.VALUE, len(importer.compiled)

    kinds = (SourceFileLoader, Doubling, Tripling)
    assert [in_fork(run, kind) for kind in kinds] == [(1, 1), (11, 1), (111, 1)]
    assert [in_fork(run, kind) for kind in kinds] == [(1, 0), (11, 0), (111, 0)]


def test_a_loader_that_reads_elsewhere_is_believed(project, cache):
    """What its `get_data` gives is what is announced and run (decrypting loaders, templates)."""
    save(project, "VALUE = 1\n")

    class Reading(SourceFileLoader):
        def get_data(self, path):
            return b"VALUE = 9\n"

    def run():
        importer = Importer(project, cache)
        spec = PathFinder.find_spec("module")
        spec.loader = Reading("module", spec.origin)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.VALUE, importer.reads[0][2]

    assert in_fork(run) == (9, importlib.util.source_hash(b"VALUE = 9\n"))


# ---------------------------------------------------------------- several processes at once


def test_concurrent_writers_never_mix(project, cache):
    """Processes that store and load the same entry get the code of their source, or none."""
    key = BytecodeCache(str(cache)).key("/project/module.py", SourceFileLoader)
    versions = []
    for number in range(2):
        source = f"VALUE = {number}\n" * (1 + 3000 * number)
        versions.append((importlib.util.source_hash(source.encode()), compile(source, "module.py", "exec")))

    def work(seed):
        sys.dont_write_bytecode = False
        bytecode = BytecodeCache(str(cache))
        hits = 0
        for turn in range(200):
            digest, code = versions[(turn + seed) % 2]
            bytecode.store(key, digest, code)
            for expected, original in versions:
                loaded = bytecode.load(key, expected)
                assert loaded is None or loaded == original
                hits += loaded is not None
        assert hits

    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(forked(work, seed)) for seed in range(4)]
        assert [child.wait() for child in children] == [0] * 4
    assert [file.name for file in cache.iterdir()] == [key]


def test_threads_that_store_the_same_entry(cache):
    """Two threads of one process share its id, and still nobody loads half an entry."""
    code = compile("VALUE = 1\n" * 2000, "module.py", "exec")

    def run():
        sys.dont_write_bytecode = False
        bytecode = BytecodeCache(str(cache))
        failures = []

        def work():
            for _ in range(200):
                bytecode.store("key", b"12345678", code)
                if bytecode.load("key", b"12345678") not in (None, code):
                    failures.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(failures)

    assert in_fork(run) == 0
    assert [file.name for file in cache.iterdir()] == ["key"]


def test_a_writer_killed_half_way_harms_nobody(project, cache):
    """What it leaves behind is no entry."""
    save(project, "VALUE = 1\n")
    load(project, cache)
    (file,) = cache.iterdir()
    file.rename(file.with_suffix(".12345"))
    assert len(load(project, cache)[2]) == 1
    assert load(project, cache)[2] == []
