"""What was found in files, kept: when it still holds, on disk, and shared between processes."""

import marshal
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from firehot_server.discovery import helper, scan_cache, scans, sharing, sources
from firehot_server.discovery.imports import Unparsed
from firehot_server.discovery.locate import Locator
from firehot_server.discovery.origin import Origins
from firehot_server.discovery.package import PackageScanner
from firehot_server.discovery.processors import usable_processors
from firehot_server.discovery.scan_cache import ScanCache
from firehot_server.discovery.scans import is_settled, scanned
from firehot_server.discovery.sharing import scan_all
from tests.support.processes import run_python
from tests.support.waiting import until

ORIGINS = Origins.of_interpreter()
MODULES = ("single", "numpy", "apple", "pears")
SECOND = 1_000_000_000


class Package:
    """The package `app` with a few files, beside installed modules."""

    def __init__(self, root):
        self.root = root
        self.app = root / "app"
        self.app.mkdir()
        self.site = root / "site-packages"
        self.site.mkdir()
        for name in MODULES:
            (self.site / f"{name}.py").touch()
        self.cache = root / "cache"

    def write(self, name, text):
        (self.app / name).write_text(text)

    def scanner(self):
        path = [str(self.root), str(self.site)]
        return PackageScanner("app", path=path, origins=ORIGINS, cache_folder=str(self.cache))

    def scan(self):
        """Modules and the number of files parsed, of a new run."""
        found = self.scanner().scan()
        return list(found.third_party), found.parsed

    def cache_file(self):
        (file,) = (self.cache / "scans").iterdir()
        return file

    def sources(self):
        return sources.sources(Locator([str(self.root)]).find("app")).files


@pytest.fixture
def package(tmp_path):
    package = Package(tmp_path)
    package.write("a.py", "import single\n")
    package.write("b.py", "import numpy\n")
    return package


@pytest.fixture
def settle(package):
    """Wait until a change of any file written so far would show in its ctime."""

    def settle():
        until(lambda: all(is_settled(each.stamp, time.time_ns()) for each in package.sources()), "the clock")

    return settle


@pytest.fixture
def read_files(monkeypatch):
    """The names of the files that are read."""
    names = []

    def recording(path, *arguments):
        names.append(os.path.basename(path))
        return open(path, *arguments)

    monkeypatch.setattr("firehot_server.discovery.scans.open", recording, raising=False)
    return names


@pytest.mark.parametrize(
    ("ctime", "moment", "expected"),
    [
        (SECOND + 1, SECOND + 1, False),
        (SECOND + 1, SECOND + 20_000_001, False),
        (SECOND + 1, SECOND + 20_000_002, True),
        (5 * SECOND, 5 * SECOND + 20_000_001, False),
        (5 * SECOND, 7 * SECOND, False),
        (5 * SECOND, 7 * SECOND + 1, True),
        (9 * SECOND + 1, 5 * SECOND, False),
    ],
    ids=["now", "one tick", "later", "whole second", "two seconds", "later still", "in the future"],
)
def test_when_a_stamp_is_safe(ctime, moment, expected):
    """Once the clock has moved on for certain."""
    assert is_settled((1, 2, 3, 0, ctime), moment) is expected


def test_what_is_settled_is_not_read_again(package, settle, read_files):
    settle()
    scanner = package.scanner()
    assert scanner.scan().parsed == 2
    read_files.clear()

    assert scanner.scan().parsed == 0
    assert package.scan() == (["single", "numpy"], 0)
    assert read_files == []


def test_what_was_just_written_is_read_again_but_not_parsed(package, settle, read_files, monkeypatch):
    monkeypatch.setattr(scans, "_TICK_NS", 10 * SECOND)
    assert package.scan() == (["single", "numpy"], 2)
    read_files.clear()

    assert package.scan() == (["single", "numpy"], 0)
    assert read_files == ["a.py", "b.py"]

    monkeypatch.undo()
    settle()
    assert package.scan() == (["single", "numpy"], 0)  # as it is settled now, this is kept
    assert read_files == ["a.py", "b.py"]


def test_a_file_that_is_only_touched_is_not_parsed(package, settle):
    settle()
    package.scan()

    os.utime(package.app / "a.py")
    package.write("b.py", "import numpy\n")

    assert package.scan() == (["single", "numpy"], 0)


@pytest.mark.parametrize("is_new", [False, True], ids=["same scanner", "new scanner"])
def test_an_edit_that_keeps_size_and_mtime(package, settle, is_new):
    """As some tools do which restore times."""
    settle()
    file, scanner = package.app / "b.py", package.scanner()
    scanner.scan()
    times = file.stat()

    file.write_text("import apple\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert file.stat().st_mtime_ns == times.st_mtime_ns
    again = (package.scanner() if is_new else scanner).scan()
    assert (list(again.third_party), again.parsed) == (["single", "apple"], 1)


@pytest.mark.parametrize("age", [0, -3600 * SECOND], ids=["within one tick", "the clock was set back"])
@pytest.mark.parametrize("is_new", [False, True], ids=["same scanner", "new scanner"])
def test_an_edit_that_leaves_no_mark_at_all(package, monkeypatch, age, is_new):
    """The file is written twice within one tick of the clock, and read in between."""
    then = time.time_ns() - age

    def same_for_ever(status):
        return (status.st_dev, 1, status.st_size, then, then)

    monkeypatch.setattr(scans, "_TICK_NS", 60 * SECOND)  # however slow this machine is
    monkeypatch.setattr(sources, "stamp", same_for_ever)
    monkeypatch.setattr(scans, "stamp", same_for_ever)
    scanner = package.scanner()
    scanner.scan()

    package.write("b.py", "import apple\n")

    again = (package.scanner() if is_new else scanner).scan()
    assert (list(again.third_party), again.parsed) == (["single", "apple"], 1)


def test_a_file_that_changes_while_it_is_read(package, settle, monkeypatch):
    """What was read may be half of each: it is not trusted."""
    settle()
    original = scans.stamp
    calls = iter(range(1_000_000))
    monkeypatch.setattr(scans, "stamp", lambda status: (next(calls), *original(status)[1:]))

    assert not scanned(str(package.app / "a.py"), "app.a", False).settled


def test_real_edits_at_full_speed(package):
    """No pause between edit and scan, equal sizes: each is seen, whatever the clock does."""
    scanner = package.scanner()
    for number in range(100):
        name = ("numpy", "apple", "pears")[number % 3]
        package.write("b.py", f"import {name}\n")
        assert list(scanner.scan().third_party) == ["single", name]


@pytest.mark.parametrize("damage", ["empty", "garbage", "long", *range(0, 96, 7), -1, -40])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_cache_is_none(package, damage, how):
    """Whatever part of it: it is made anew."""
    package.scan()
    file = package.cache_file()
    data = bytearray(file.read_bytes())
    match damage:
        case "empty":
            data.clear()
        case "garbage":
            data[:] = os.urandom(len(data))
        case "long":
            data += b"more"
        case int() if how == "flip":
            data[damage] ^= 1
        case int():
            del data[damage:]
    file.write_bytes(data)

    assert package.scan() == (["single", "numpy"], 2)
    assert package.scan() == (["single", "numpy"], 0)


def test_a_cache_of_other_content(package):
    """With a right checksum, but of something that is no scan."""
    package.scan()
    for content in (None, 1, [1], {"a": 1}, {"a": (1, 2)}):
        body = marshal.dumps(content)
        package.cache_file().write_bytes(scan_cache._header(body) + body)
        assert package.scan() == (["single", "numpy"], 2)


def test_a_cache_of_another_version(package, monkeypatch):
    """Each interpreter, and each version of the code that scans, has a file of its own, which names it as well."""
    package.scan()
    ours = package.cache_file()

    with monkeypatch.context() as other:
        other.setattr(scan_cache, "CONDITIONS", "another")
        assert package.scan() == (["single", "numpy"], 2)
        assert package.scan() == (["single", "numpy"], 0)
    (theirs,) = set(ours.parent.iterdir()) - {ours}
    assert package.scan() == (["single", "numpy"], 0)

    ours.write_bytes(theirs.read_bytes())
    assert package.scan() == (["single", "numpy"], 2)


def test_the_conditions_change_with_the_code_and_the_interpreter(tmp_path, monkeypatch):
    for name in ("conditions", "imports", "sources", "scans", "scan_cache"):
        (tmp_path / f"{name}.py").write_text(name)
    monkeypatch.setattr(scans, "__file__", str(tmp_path / "scans.py"))
    before = scans._conditions()

    (tmp_path / "imports.py").write_text("other")
    edited = scans._conditions()
    monkeypatch.setattr(sys, "version", "4.0")
    upgraded = scans._conditions()
    (tmp_path / "conditions.py").unlink()

    assert len({before, edited, upgraded, scans.CONDITIONS}) == 4
    assert scans._conditions() == ""


def test_nothing_is_kept_of_code_that_cannot_be_identified(package, monkeypatch):
    monkeypatch.setattr(scan_cache, "CONDITIONS", "")

    assert [package.scan()[1] for _ in range(2)] == [2, 2]
    assert not package.cache.exists()


@pytest.mark.parametrize("obstacle", ["cache", "cache/scans"])
def test_a_folder_that_cannot_be_written(package, obstacle):
    """A file is in its place: it works without."""
    file = package.root / obstacle
    file.parent.mkdir(exist_ok=True)
    file.write_text("")

    assert [package.scan() for _ in range(2)] == [(["single", "numpy"], 2)] * 2


def test_a_disk_that_is_full(package, monkeypatch):
    """Nothing is left of what could not be written, and what was there before stays."""
    package.scan()
    kept = package.cache_file().read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scan_cache.os, "replace", full)
    package.write("c.py", "import apple\n")

    assert package.scan() == (["single", "numpy", "apple"], 1)
    assert package.cache_file().read_bytes() == kept


def test_removed_and_renamed_files_are_not_remembered(package):
    package.scan()
    (package.app / "a.py").unlink()
    (package.app / "b.py").rename(package.app / "c.py")

    assert package.scan() == (["numpy"], 1)
    assert list(ScanCache(str(package.cache), "app", [str(package.app)]).load()) == [str(package.app / "c.py")]


def test_two_scanners_at_once(package):
    """Threads with a scanner each, on one cache: every answer is right, and the cache is whole."""
    answers, failures = [], []

    def work(number):
        try:
            scanner = package.scanner()
            for turn in range(20):
                package.write(f"own{number}.py", f"import {MODULES[turn % 4]}\n")
                expected = {"single", "numpy", MODULES[turn % 4]}
                answers.append(expected <= set(scanner.scan().third_party))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (failures, all(answers), len(answers)) == ([], True, 60)
    package.scan()
    assert package.scan()[1] == 0
    assert len(list((package.cache / "scans").iterdir())) == 1


def test_two_processes_at_once(package, tmp_path):
    """Started together, neither meets half a cache of the other."""
    for number in range(40):
        package.write(f"m{number}.py", "import apple\n")
    script = (
        "import sys; from firehot_server.discovery.package import PackageScanner as S\n"
        "from firehot_server.discovery.origin import Origins\n"
        "path = sys.argv[1:3]; origins = Origins.of_interpreter()\n"
        "for _ in range(20):\n"
        "    found = S('app', path=path, origins=origins, cache_folder=sys.argv[3]).scan()\n"
        "    assert sorted(found.third_party) == ['apple', 'numpy', 'single'], found\n"
    )
    command = [sys.executable, "-c", script, str(package.root), str(package.site), str(package.cache)]
    running = [subprocess.Popen(command) for _ in range(3)]

    assert [process.wait() for process in running] == [0, 0, 0]
    assert package.scan()[1] == 0


def test_a_fresh_process_uses_what_another_kept(package):
    script = (
        "import sys; from firehot_server.discovery.package import PackageScanner as S\n"
        "from firehot_server.discovery.origin import Origins\n"
        "found = S('app', path=sys.argv[1:3], origins=Origins.of_interpreter(), cache_folder=sys.argv[3]).scan()\n"
        "print(found.parsed, *found.third_party)"
    )
    arguments = ("-c", script, str(package.root), str(package.site), str(package.cache))

    assert [run_python(*arguments).split() for _ in range(2)] == [["2", "single", "numpy"], ["0", "single", "numpy"]]


@pytest.fixture
def many(package):
    """Files that take this process a while; one does not parse, and one cannot be read."""
    for number in range(150):
        package.write(f"m{number}.py", f"import {MODULES[number % 4]}\n" + "def f(x):\n    return x + 1\n" * 100)
    package.write("broken.py", "import (\n")
    files = package.sources()
    (package.app / "m7.py").unlink()
    return files


@pytest.fixture
def started(monkeypatch):
    """The helper processes that were started."""
    processes = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(sharing.subprocess, "Popen", Recorded)
    return processes


def normalized(found):
    return [each._replace(settled=True) if isinstance(each, scans.Scanned) else each for each in found]


@pytest.mark.parametrize("helpers", [1, 3])
def test_helpers_find_the_same(many, started, helpers):
    """In the same order; and they are gone afterwards."""
    alone = normalized(scan_all(many, helpers=0))

    assert normalized(scan_all(many, helpers=helpers)) == alone
    assert len(alone) == len(many)
    assert [each.error[0] for each in alone if isinstance(each, scans.Scanned) and each.error] == [1]
    assert [each.message for each in alone if isinstance(each, Unparsed)] == ["No such file or directory"]
    assert len(started) == helpers
    assert all(process.returncode is not None for process in started)


def test_a_helper_really_helps(many, monkeypatch, started):
    """This process waits for the helper before its own first file: then nearly nothing is left to do."""
    own = []
    original = sharing._scanned

    def patient(source):
        if not own:
            until(lambda: started[0].poll() is not None, "the helper's end")
        own.append(source)
        return original(source)

    monkeypatch.setattr(sharing, "_scanned", patient)

    found = list(scan_all(many, helpers=1))

    assert len(found) == len(many)
    assert [source.path.rpartition("/")[2] for source in own] == [many[-1].path.rpartition("/")[2], "m7.py"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("after", [0, 20, 100])
def test_a_helper_that_dies_or_hangs(many, monkeypatch, started, sent, after):
    """It costs time only, at whatever moment."""
    expected = normalized(scan_all(many, helpers=0))
    original, count = sharing._scanned, iter(range(10_000))

    def scan_one(source):
        if next(count) == after:
            started[0].send_signal(sent)
        return original(source)

    monkeypatch.setattr(sharing, "_scanned", scan_one)

    assert normalized(scan_all(many, helpers=1)) == expected
    assert started[0].returncode is not None


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit(3)",
        "import os; os.write(1, b'\\0\\0')",
        "import os; os.write(1, b'\\0\\0\\1\\0' + b'x' * 200)",
    ],
    ids=["fails", "half a length", "half an answer"],
)
def test_a_helper_that_fails(many, monkeypatch, tmp_path, started, script):
    expected = normalized(scan_all(many, helpers=0))
    (tmp_path / "helper.py").write_text(script)
    monkeypatch.setattr(sharing, "_SCRIPT", str(tmp_path / "helper.py"))
    original = sharing._scanned

    def patient(source):
        until(lambda: started[0].poll() is not None, "the helper's end")
        return original(source)

    monkeypatch.setattr(sharing, "_scanned", patient)

    assert normalized(scan_all(many, helpers=1)) == expected


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python", "/dev/null"])
def test_a_helper_that_cannot_be_started(many, monkeypatch, executable):
    expected = normalized(scan_all(many, helpers=0))
    monkeypatch.setattr(sys, "executable", executable)

    assert normalized(scan_all(many, helpers=2)) == expected


def test_helpers_end_when_this_process_is_interrupted(many, monkeypatch, started):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sharing, "_scanned", interrupted)

    with pytest.raises(KeyboardInterrupt):
        scan_all(many, helpers=2)

    assert [process.returncode for process in started] != [None, None]
    assert all(process.returncode is not None for process in started)


@pytest.mark.parametrize(
    ("processors", "files", "expected"),
    [(1, 1000, 0), (2, 0, 0), (2, 199, 0), (2, 200, 1), (2, 1000, 1), (8, 599, 2), (8, 5000, 7)],
)
def test_how_many_helpers(monkeypatch, processors, files, expected):
    """One for each further processor, where there is enough to do."""
    monkeypatch.setattr(sharing, "usable_processors", lambda: processors)
    file = sources.Source("/app.py", "app", False, (1, 2, 2_500, 0, 0))

    assert sharing._helpers([file] * files) == expected


def test_the_processors_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_processors() == 3

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert usable_processors() == 4

    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_processors() == 1


def answers_of_helper(tmp_path, tasks, parent, conditions=scans.CONDITIONS):
    """What the script itself writes."""
    (tmp_path / "tasks").write_bytes(marshal.dumps(tasks))
    with (tmp_path / "tasks").open("rb") as given:
        command = [sys.executable, "-I", "-S", helper.__file__, str(parent), conditions]
        return subprocess.run(command, stdin=given, stdout=subprocess.PIPE, check=True).stdout


def test_the_helper_itself(package, tmp_path):
    """It passes over what cannot be read, does nothing for a parent of other code, and stops when that has gone."""
    file = str(package.app / "a.py")
    tasks = [(str(tmp_path / "missing.py"), "missing", False), (file, "app.a", False)]

    answer = answers_of_helper(tmp_path, tasks, os.getpid())

    assert int.from_bytes(answer[:4], "big") == len(answer) - 4
    number, found = marshal.loads(answer[4:])
    assert (number, scans.Scanned._make(found).asks) == (1, {("single", ()): 1})
    assert answers_of_helper(tmp_path, tasks, os.getpid(), "other code") == b""
    assert answers_of_helper(tmp_path, tasks, 1) == b""


def test_the_helper_runs_nothing_that_lies_beside_the_package(package, tmp_path, monkeypatch):
    """Such as another `typing` in site-packages, or what PYTHONPATH or the working folder hold."""
    (tmp_path / "typing.py").write_text("raise SystemExit(3)")
    (tmp_path / "firehot_server").symlink_to(Path(helper.__file__).parents[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(helper, "__file__", str(tmp_path / "firehot_server/discovery/helper.py"))

    assert answers_of_helper(tmp_path, [(str(package.app / "a.py"), "app.a", False)], os.getpid()) != b""


def test_a_first_scan_with_helpers(package, monkeypatch, started):
    """From end to end: all that was found by another process is kept too."""
    monkeypatch.setattr(sharing, "_helpers", lambda _: 1)
    for number in range(60):
        package.write(f"m{number}.py", f"import {MODULES[number % 4]}\n" + "x = 1\n" * 2000)

    assert package.scan() == (["single", "numpy", "apple", "pears"], 62)
    assert len(started) == 1
    assert package.scan()[1] == 0


def test_an_unreadable_file_does_not_cost_a_write_each_time(package, settle, monkeypatch):
    (package.app / "loop.py").symlink_to(package.app / "loop.py")
    settle()
    scanner = package.scanner()
    scanner.scan()
    monkeypatch.setattr(ScanCache, "save", lambda *_: pytest.fail("written"))

    assert [each.path for each in scanner.scan().unparsed] == [str(package.app / "loop.py")]
