"""The watcher tells of every change below the folders that it was asked to watch."""

import os
import threading

import pytest
from uvicorn import Config
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from firehot_server.fingerprint import digest_of
from firehot_server.messages import Read
from firehot_server.supervisor import watcher as watcher_module
from firehot_server.supervisor.ledger import Ledger
from firehot_server.supervisor.rules import ReloadRules
from firehot_server.supervisor.watcher import Degraded, Polled, Touched, Watcher, Watching, forced_polling, poll_delay
from tests.support.processes import open_descriptors
from tests.support.waiting import ticks, until


class Recorder:
    """A watcher, and everything that it has told."""

    def __init__(self, **options):
        self.awake = threading.Event()
        self.notices = []
        self.watcher = Watcher(self.awake.set, **options)

    def take(self):
        self.awake.clear()
        self.notices += self.watcher.take()
        return self.notices

    @property
    def touched(self):
        """Every path that was touched."""
        return set().union(*(notice.paths for notice in self.take() if isinstance(notice, Touched)))

    def of(self, kind):
        return [notice for notice in self.take() if isinstance(notice, kind)]

    def watch(self, *folders):
        """Watch these folders, and wait until they are."""
        wanted = frozenset(map(str, folders))
        before = len(self.of(Watching))
        self.watcher.watch(wanted)
        until(lambda: len(self.of(Watching)) > before, "Watching")
        assert self.of(Watching)[-1] == Watching(wanted)

    def wait_touched(self, *paths):
        """Wait until all of these were touched."""
        wanted = set(map(str, paths))
        until(lambda: wanted <= self.touched, f"{wanted} to be reported")


def watcher_threads():
    return [thread for thread in threading.enumerate() if thread.name == "firehot-watcher"]


@pytest.fixture
def recorder():
    """A watcher that is closed, and all of whose threads have ended."""
    recorder = Recorder()
    yield recorder
    recorder.watcher.close()
    until(lambda: not watcher_threads(), "the watcher's threads to end")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture(params=["events", "polling"])
def either_way(request, monkeypatch):
    """With the system's events, and without."""
    if request.param == "polling":
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    else:
        monkeypatch.delenv("WATCHFILES_FORCE_POLLING", raising=False)
    return request.param


@pytest.fixture
def recorder_either_way(either_way):
    """A watcher of either kind."""
    recorder = Recorder()
    yield recorder
    recorder.watcher.close()
    until(lambda: not watcher_threads(), "the watcher's threads to end")


def old_file(path, text="1"):
    """A file that was saved long ago, to the second."""
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


# ---------------------------------------------------------------- what is told


def test_watching_is_told_first(recorder, folder):
    """With the folders; nothing counts before it."""
    recorder.watch(folder)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")
    assert recorder.notices[0] == Watching(frozenset({str(folder)}))
    assert all(isinstance(notice, Touched) for notice in recorder.notices[1:])


def test_each_notice_wakes(recorder, folder):
    """From the watcher's thread: whoever waits need not look."""
    recorder.watcher.watch(frozenset({str(folder)}))
    assert recorder.awake.wait(10)
    until(lambda: recorder.of(Watching), "Watching")
    (folder / "file.py").write_text("1")
    assert recorder.awake.wait(10)


def test_a_save_is_told(recorder_either_way, folder):
    """In place."""
    recorder = recorder_either_way
    path = old_file(folder / "file.py")
    recorder.watch(folder)
    path.write_text("22")
    recorder.wait_touched(path)


def test_a_save_within_the_same_second_is_told(recorder_either_way, folder):
    """The size, and the modification time in whole seconds, are those of the save before, or were restored."""
    recorder = recorder_either_way
    path = old_file(folder / "file.py")
    recorder.watch(folder)
    old_file(path, "2")
    recorder.wait_touched(path)


def test_an_atomic_save_is_told(recorder_either_way, folder):
    """Written aside, then renamed: the final name is touched."""
    recorder = recorder_either_way
    path = old_file(folder / "file.py")
    recorder.watch(folder)
    aside = folder / ".file.py.swp"
    aside.write_text("22")
    aside.replace(path)
    recorder.wait_touched(path)


def test_an_atomic_save_from_another_folder_is_told(recorder_either_way, folder, tmp_path):
    """The draft was written where nobody watches."""
    recorder = recorder_either_way
    path = folder / "file.py"
    path.write_text("1")
    recorder.watch(folder)
    (tmp_path / "draft").write_text("2")
    (tmp_path / "draft").replace(path)
    recorder.wait_touched(path)


def test_creation_and_deletion_are_told(recorder_either_way, folder):
    """A file that comes, and one that goes."""
    recorder = recorder_either_way
    going = folder / "going.py"
    going.write_text("1")
    recorder.watch(folder)
    coming = folder / "coming.py"
    coming.write_text("1")
    going.unlink()
    recorder.wait_touched(coming, going)


def test_a_rename_touches_both_names(recorder_either_way, folder):
    """The old one is gone, the new one is there."""
    recorder = recorder_either_way
    (folder / "old.py").write_text("1")
    recorder.watch(folder)
    (folder / "old.py").rename(folder / "new.py")
    recorder.wait_touched(folder / "old.py", folder / "new.py")


def test_a_file_that_moves_away_is_told(recorder, folder, tmp_path):
    """Out of everything that is watched."""
    (folder / "file.py").write_text("1")
    recorder.watch(folder)
    (folder / "file.py").rename(tmp_path / "file.py")
    recorder.wait_touched(folder / "file.py")


def test_a_new_folder_is_told(recorder_either_way, folder):
    """Its name is all that is told, since only folders that were asked for are watched."""
    recorder = recorder_either_way
    recorder.watch(folder)
    (folder / "package").mkdir()
    recorder.wait_touched(folder / "package")


def test_files_in_deeper_folders_are_not_told(recorder, folder):
    """Folders are watched one by one: `node_modules` costs nothing."""
    (folder / "deep").mkdir()
    recorder.watch(folder)
    (folder / "deep" / "file.py").write_text("1")
    (folder / "last.py").write_text("1")
    recorder.wait_touched(folder / "last.py")
    assert str(folder / "deep" / "file.py") not in recorder.touched


def test_only_what_is_watched_is_told(recorder, folder, tmp_path):
    """Neither the folder's siblings nor its parent's files."""
    recorder.watch(folder)
    (tmp_path / "beside.py").write_text("1")
    (folder / "last.py").write_text("1")
    recorder.wait_touched(folder / "last.py")
    assert {os.path.dirname(path) for path in recorder.touched} == {str(folder)}


def test_names_are_told_as_they_are(recorder, folder):
    """Spaces, letters of all kinds, and bytes that are no text."""
    recorder.watch(folder)
    names = ["with space.py", "ümläut.py", "日本.py", "new\nline.py"]
    for name in names:
        (folder / name).write_text("1")
    recorder.wait_touched(*(folder / name for name in names))


def test_a_link_to_a_folder_is_watched_by_its_own_name(recorder, folder, tmp_path):
    """As the path that was asked for has it."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    recorder.watch(link)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(link / "file.py")


def test_many_files_at_once_are_all_told(recorder, folder):
    """As after `git checkout`."""
    recorder.watch(folder)
    paths = [folder / f"file{number}.py" for number in range(2000)]
    for path in paths:
        path.write_text("1")
    recorder.wait_touched(*paths)


def test_a_file_that_never_rests_does_not_hide_others(recorder, folder):
    """A log that is written to all the time: a burst that does not end is told in parts."""
    done = threading.Event()

    def write():
        with (folder / "noise.log").open("w") as log:
            while not done.is_set():
                log.write("x")
                log.flush()

    recorder.watch(folder)
    noise = threading.Thread(target=write)
    noise.start()
    try:
        recorder.wait_touched(folder / "noise.log")
        (folder / "file.py").write_text("1")
        recorder.wait_touched(folder / "file.py")
    finally:
        done.set()
        noise.join()


def test_nothing_to_watch(recorder, folder):
    """No folder at all: it says so and waits for better times."""
    recorder.watch()
    recorder.watch(folder)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")


# ---------------------------------------------------------------- folders that come and go


def test_a_folder_that_is_not_there_is_passed_over(recorder_either_way, folder, tmp_path):
    """`Watching` comes all the same, and the others are watched."""
    recorder = recorder_either_way
    recorder.watch(folder, tmp_path / "nowhere")
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")


def test_a_folder_that_vanishes_is_told(recorder, folder):
    """Its own path is touched, and what was in it; nothing else breaks."""
    gone = folder / "gone"
    gone.mkdir()
    (gone / "file.py").write_text("1")
    recorder.watch(folder, gone)
    (gone / "file.py").unlink()
    gone.rmdir()
    recorder.wait_touched(gone / "file.py", gone)
    (folder / "after.py").write_text("1")
    recorder.wait_touched(folder / "after.py")


def test_a_folder_that_vanishes_without_its_parent_being_watched_is_told(recorder_either_way, folder, tmp_path):
    """Its own watch tells of its end."""
    recorder = recorder_either_way
    other = tmp_path / "other"
    other.mkdir()
    recorder.watch(folder, other)
    folder.rmdir()
    recorder.wait_touched(folder)
    (other / "file.py").write_text("1")
    recorder.wait_touched(other / "file.py")


def test_a_folder_that_moves_away_is_told(recorder, folder, tmp_path):
    """As by `git checkout` of another branch; its parent is watched."""
    (folder / "package").mkdir()
    recorder.watch(folder, folder / "package")
    (folder / "package").rename(tmp_path / "elsewhere")
    recorder.wait_touched(folder / "package")


def test_a_folder_that_came_back_is_watched_again(recorder_either_way, folder):
    """When it is asked for again."""
    recorder = recorder_either_way
    package = folder / "package"
    package.mkdir()
    recorder.watch(folder, package)
    package.rmdir()
    recorder.wait_touched(package)
    package.mkdir()
    recorder.watch(folder, package)
    (package / "file.py").write_text("1")
    recorder.wait_touched(package / "file.py")


def test_folders_that_vanish_while_they_are_asked_for(recorder, tmp_path):
    """Between the look and the watch: every request is answered."""
    done = threading.Event()
    flicker = tmp_path / "flicker"

    def come_and_go():
        while not done.is_set():
            flicker.mkdir(exist_ok=True)
            flicker.rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(50):
            recorder.watch(tmp_path, flicker)
    finally:
        done.set()
        thread.join()
    (tmp_path / "file.py").write_text("1")
    recorder.wait_touched(tmp_path / "file.py")


def test_a_file_in_the_place_of_a_folder(recorder, folder, tmp_path):
    """It is no folder, so it is passed over."""
    (tmp_path / "file").write_text("1")
    recorder.watch(folder, tmp_path / "file")
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")


# ---------------------------------------------------------------- from one set of folders to the next


def test_new_folders_take_the_place_of_the_former(recorder, folder, tmp_path):
    """What is no longer asked for is no longer told."""
    other = tmp_path / "other"
    other.mkdir()
    recorder.watch(folder)
    recorder.watch(other)
    until(lambda: len(watcher_threads()) == 1, "the former watch to end")
    (folder / "file.py").write_text("1")
    (other / "file.py").write_text("1")
    recorder.wait_touched(other / "file.py")
    assert str(folder / "file.py") not in recorder.touched


def test_changing_folders_loses_nothing(recorder, tmp_path):
    """Files are written all the time while the folders change: each is touched, or written before a `Watching`."""
    constant = tmp_path / "constant"
    others = [tmp_path / f"other{number}" for number in range(10)]
    for folder in (constant, *others):
        folder.mkdir()
    written = []
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            path = constant / f"file{number:05}"
            path.write_text("1")
            # How much had been told when the write was over: a later `Watching` asks to look for it.
            written.append((str(path), len(recorder.told)))
            number += 1

    recorder.told = []
    recorder.watcher._notices = recorder.told  # nothing is taken: the order of everything stays
    writer = threading.Thread(target=write)
    recorder.watcher.watch(frozenset({str(constant)}))
    until(lambda: recorder.told, "Watching")
    writer.start()
    try:
        for number, _ in zip(range(30), ticks(0.01), strict=False):
            folders = frozenset({str(constant), *map(str, others[: number % 10])})
            recorder.watcher.watch(folders)
        until(lambda: Watching(folders) in list(recorder.told)[-100:], "the last Watching")
        last = len(written)
        until(lambda: len(written) > last + 20, "more files")
    finally:
        done.set()
        writer.join()

    def missing():
        told = list(recorder.told)
        touched = set().union(*(notice.paths for notice in told if isinstance(notice, Touched)))
        final = max(index for index, notice in enumerate(told) if isinstance(notice, Watching))
        return [path for path, index in written if path not in touched and index > final]

    until(lambda: not missing(), "every file to be told of, or to be looked for")


def test_the_last_watching_is_that_of_the_last_request(recorder, monkeypatch, tmp_path):
    """An earlier request that takes longer does not come after it."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    slow.mkdir()
    quick.mkdir()
    release = threading.Event()

    def open_slowly(folders, *options):
        if folders == [str(slow)]:
            release.wait(10)
        return RustNotify(folders, *options)

    monkeypatch.setattr(watcher_module, "RustNotify", open_slowly)
    recorder.watcher.watch(frozenset({str(slow)}))
    recorder.watcher.watch(frozenset({str(quick)}))
    for _ in ticks(0.01, seconds=0.1):
        recorder.take()
    release.set()
    until(lambda: recorder.of(Watching), "Watching")
    until(lambda: len(watcher_threads()) == 1, "the first request's thread to end")
    assert recorder.of(Watching)[-1] == Watching(frozenset({str(quick)}))
    (quick / "file.py").write_text("1")
    recorder.wait_touched(quick / "file.py")


def test_a_save_just_before_the_folders_change_reaches_the_ledger(recorder, monkeypatch, folder, tmp_path):
    """The former watch had seen it and not yet told; the folder is in both sets, so nobody looks for it."""
    path = folder / "file.py"
    path.write_text("0")
    ledger = Ledger(ReloadRules(Config("app:app", reload=True, reload_dirs=[str(folder)])), [str(folder)])
    ledger.begin(1)
    ledger.read(1, Read("module", str(path), digest_of(str(path))))
    edits = []

    def feed():
        for notice in recorder.watcher.take():
            if isinstance(notice, Touched):
                edits.append(ledger.touch(notice.paths))
            elif isinstance(notice, Watching):
                edits.append(ledger.watching(notice.folders))
        return any(str(path) in edit.changed for edit in edits if edit)

    recorder.watcher.watch(frozenset({str(folder)}))
    until(lambda: feed() or edits, "the first Watching")

    def save_and_open(*arguments):
        path.write_text("1")
        return RustNotify(*arguments)

    monkeypatch.setattr(watcher_module, "RustNotify", save_and_open)
    recorder.watcher.watch(frozenset({str(folder), str(tmp_path)}))
    until(feed, "the save to be found", 3)


# ---------------------------------------------------------------- polling, and trouble


@pytest.mark.parametrize(
    ("setting", "forced"),
    [
        (None, None),
        ("", None),
        ("false", False),
        ("FALSE", False),
        ("disable", False),
        ("Disabled", False),
        ("true", True),
        ("1", True),
        ("0", True),
        ("anything", True),
    ],
)
def test_what_forces_polling(setting, forced):
    """As watchfiles documents it."""
    assert forced_polling(setting) is forced


@pytest.mark.parametrize(
    ("setting", "seconds"), [(None, 0.1), ("", 0.1), ("soon", 0.1), ("-1", 0.1), ("300", 0.3), ("1500", 1.5)]
)
def test_how_often_is_polled(setting, seconds):
    """As watchfiles documents it, but for the default."""
    assert poll_delay(setting) == seconds


MOUNTS = """
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:40 / FOLDER rw - KIND host rw
"""


@pytest.fixture
def recorder_on(tmp_path, folder, monkeypatch):
    """A watcher for which `folder` lies on a mount of this type, and that gets no event of what is saved there."""
    recorders = []

    def make(kind, setting="", events=False):
        monkeypatch.setenv("WATCHFILES_FORCE_POLLING", setting)
        if not events:
            monkeypatch.setattr(
                watcher_module,
                "RustNotify",
                lambda folders, *options: RustNotify([f for f in folders if f != str(folder)], *options),
            )
        mountinfo = tmp_path / "mountinfo"
        mountinfo.write_text(MOUNTS.replace("FOLDER", str(folder)).replace("KIND", kind))
        recorders.append(Recorder(mountinfo=str(mountinfo)))
        return recorders[-1]

    yield make
    for recorder in recorders:
        recorder.watcher.close()
    until(lambda: not watcher_threads(), "the watcher's threads to end")


@pytest.mark.parametrize("kind", ["9p", "virtiofs", "fuse.grpcfuse", "nfs4", "cifs"])
def test_a_mount_without_events_is_polled(recorder_on, folder, tmp_path, kind):
    """One line says so and names it, however often the folders change; folders elsewhere are not polled."""
    recorder = recorder_on(kind)
    (tmp_path / "elsewhere").mkdir()
    recorder.watch(folder)
    recorder.watch(folder, tmp_path / "elsewhere")
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")
    (polled,) = recorder.of(Polled)
    assert f" {folder}:" in polled.text
    assert f" {kind}." in polled.text
    assert list(recorder.watcher._polling._listings) == [str(folder)]


def test_a_mount_without_events_is_polled_by_any_name(recorder_on, folder, tmp_path):
    """By way of a link that lies elsewhere."""
    recorder = recorder_on("9p")
    (tmp_path / "link").symlink_to(folder)
    recorder.watch(tmp_path / "link")
    assert len(recorder.of(Polled)) == 1


def test_what_events_there_are_count_on_such_a_mount(recorder_on, folder):
    """Some machines do pass them on: then nobody waits for the next look."""
    recorder = recorder_on("virtiofs", events=True)
    recorder.watcher._delay = 1000
    recorder.watch(folder)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")


@pytest.mark.parametrize(("kind", "setting"), [("ext4", ""), ("overlay", ""), ("9p", "false")])
def test_nothing_is_polled_without_need(recorder_on, folder, kind, setting):
    """On a local file system, or where the user forbids it; not a word is said."""
    recorder = recorder_on(kind, setting, events=True)
    recorder.watch(folder)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")
    assert not recorder.of(Polled)
    assert not recorder.watcher._polling._listings


def test_polling_that_is_asked_for_is_said_once(recorder_on, folder):
    """On whatever mount: it is slower than events, so it should be no mystery."""
    recorder = recorder_on("ext4", "1")
    recorder.watch(folder)
    recorder.watch(folder)
    (polled,) = recorder.of(Polled)
    assert "WATCHFILES_FORCE_POLLING" in polled.text


def test_without_mountinfo_events_are_relied_on(folder):
    """On a system that has no such file."""
    recorder = Recorder(mountinfo=str(folder / "nosuch"))
    recorder.watch(folder)
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")
    assert not recorder.of(Polled)
    recorder.watcher.close()
    until(lambda: not watcher_threads(), "the watcher's threads to end")


def test_polling_loses_nothing_when_folders_change(recorder_on, folder, tmp_path):
    """A save between the last look of the former watch and the new one: the new one tells of it."""
    recorder = recorder_on("9p")
    recorder.watcher._delay = 1000
    recorder.watch(folder)
    recorder.watcher._delay = 0.1
    (folder / "file.py").write_text("1")
    recorder.watch(folder, tmp_path)
    recorder.wait_touched(folder / "file.py")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), WatchfilesRustInternalError("EMFILE")])
def test_a_system_that_refuses_events_is_polled(recorder, monkeypatch, folder, error):
    """All watches (ENOSPC) or all instances (EMFILE) are in use: one sentence, and polling."""

    def refuse(folders, debug, polling, *options):
        if not polling:
            raise error
        return RustNotify(folders, debug, polling, *options)

    monkeypatch.setattr(watcher_module, "RustNotify", refuse)
    recorder.watcher.watch(frozenset({str(folder)}))
    until(lambda: recorder.of(Watching), "Watching")
    (degraded,) = recorder.of(Degraded)
    assert "polling" in degraded.text
    (folder / "file.py").write_text("1")
    recorder.wait_touched(folder / "file.py")
    recorder.watch(folder)
    assert len(recorder.of(Degraded)) == 1


def test_closing_ends_the_thread(folder):
    """And gives back its descriptors; a second time does nothing."""
    before = open_descriptors("self")
    recorder = Recorder()
    recorder.watch(folder)
    assert len(watcher_threads()) == 1
    recorder.watcher.close()
    recorder.watcher.close()
    until(lambda: not watcher_threads(), "the watcher's threads to end")
    until(lambda: open_descriptors("self") <= before, "its descriptors to be closed")


def test_closing_before_anything_was_watched():
    """There is nothing to end."""
    Recorder().watcher.close()


def test_closing_while_folders_change_ends_every_thread(folder, tmp_path):
    """Whether the new watch is open yet or not."""
    for _ in range(20):
        recorder = Recorder()
        recorder.watcher.watch(frozenset({str(folder)}))
        recorder.watcher.watch(frozenset({str(folder), str(tmp_path)}))
        recorder.watcher.close()
        until(lambda: not watcher_threads(), "the watcher's threads to end")


def test_closing_while_a_watch_is_being_opened_ends_its_thread(monkeypatch, folder, tmp_path):
    """Also where a newer request waits behind it."""
    opening, release = threading.Event(), threading.Event()

    def open_slowly(*arguments):
        opening.set()
        release.wait(0.5)
        return RustNotify(*arguments)

    monkeypatch.setattr(watcher_module, "RustNotify", open_slowly)
    recorder = Recorder()
    recorder.watcher.watch(frozenset({str(folder)}))
    assert opening.wait(10)
    recorder.watcher.watch(frozenset({str(folder), str(tmp_path)}))
    recorder.watcher.close()
    release.set()
    until(lambda: not watcher_threads(), "the watcher's threads to end")


def test_a_hundred_changes_of_folders_leave_nothing_behind(recorder, folder):
    """One thread and one set of descriptors remain."""
    recorder.watch(folder)
    before = open_descriptors("self")
    for _ in range(100):
        recorder.watch(folder)
    until(lambda: len(watcher_threads()) == 1, "the former watches to end")
    until(lambda: open_descriptors("self") <= before, "their descriptors to be closed")
