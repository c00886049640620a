"""Folders are compared from one look to the next, where nobody tells of edits."""

import errno
import os
import time

import pytest

from firehot_server.supervisor import polling as polling_module
from firehot_server.supervisor.polling import Polling

LONG_AGO = 1_700_000_000


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("one.py", "two.py"):
        (folder / name).write_text("1")
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def clock(monkeypatch):
    """Both clocks, set by hand."""

    class Clock:
        now = time.monotonic()

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    ahead = time.time() - clock.now
    monkeypatch.setattr(polling_module.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(polling_module.time, "time", lambda: clock.now + ahead)
    return clock


def save(path, text):
    path.write_text(text)


def replace(path, text):
    aside = path.with_name(".aside")
    aside.write_text(text)
    aside.replace(path)


def remove(path, _text):
    path.unlink()


def retouch(path, _text):
    os.utime(path)


@pytest.mark.parametrize(("change", "text"), [(save, "22"), (save, "2"), (replace, "2"), (remove, ""), (retouch, "")])
def test_what_changes_is_told_once(folder, change, text):
    """By size or times, though the size be the same."""
    polling = Polling([str(folder)])
    assert polling.look() == set()
    change(folder / "one.py", text)
    assert polling.look() == {str(folder / "one.py")}
    assert polling.look() == set()


@pytest.mark.parametrize("change", [save, replace])
def test_saves_in_quick_succession_are_all_told(folder, change):
    """Of the same size, faster than a second."""
    polling = Polling([str(folder)])
    for number in range(10):
        change(folder / "one.py", str(number))
        assert polling.look() == {str(folder / "one.py")}


@pytest.fixture
def coarse(monkeypatch):
    """A file system that keeps times to two seconds, as FAT does; all saves are at the same time."""
    monkeypatch.setattr(
        polling_module, "_times", lambda status: (int(status.st_mtime // 2) * 2 * 10**9, status.st_size)
    )


def at(path, seconds):
    os.utime(path, (seconds, seconds))


def test_a_save_that_shows_in_no_time_is_told(folder, coarse, clock):
    """What was saved lately is compared by content, until another save could not have the same time."""
    path = folder / "one.py"
    polling = Polling([str(folder)])
    for number, passed in enumerate([0.0, 0.1, 0.5, 1.0]):
        clock.advance(passed)
        save(path, str(number + 2))
        at(path, LONG_AGO + 10)
        assert polling.look() == {str(path)}, number
        assert polling.look() == set()


def test_a_save_just_before_the_last_comparison_is_told(folder, coarse, clock):
    """However long looks are apart, there is one after the time in which two saves look the same."""
    path = folder / "one.py"
    polling = Polling([str(folder)])
    save(path, "2")
    at(path, LONG_AGO + 10)
    assert polling.look() == {str(path)}
    save(path, "3")
    at(path, LONG_AGO + 10)
    clock.advance(60)
    assert polling.look() == {str(path)}


def test_a_save_just_after_the_first_look_is_told(folder, coarse):
    """The file was saved just before it, and looks the same."""
    path = folder / "one.py"
    now = time.time()
    save(path, "2")
    at(path, now)
    polling = Polling([str(folder)])
    save(path, "3")
    at(path, now)
    assert polling.look() == {str(path)}


def test_what_rests_is_not_read(folder, clock, monkeypatch):
    """Neither what was saved long ago, nor, after a while, what was saved meanwhile."""
    read = []
    monkeypatch.setattr(polling_module, "data_digest_of", lambda path: read.append(path) or b"digest")
    polling = Polling([str(folder)])
    polling.look()
    assert read == []
    save(folder / "one.py", "2")
    polling.look()
    clock.advance(3)
    polling.look()
    assert read == [str(folder / "one.py")] * 2
    clock.advance(3)
    polling.look()
    assert len(read) == 2


def test_files_that_come_are_told(folder):
    """And folders, and links; but not what is in such a folder."""
    polling = Polling([str(folder)])
    (folder / "new.py").write_text("1")
    (folder / "package").mkdir()
    (folder / "link").symlink_to("/nowhere")
    assert polling.look() == {str(folder / name) for name in ("new.py", "package", "link")}
    (folder / "package" / "inner.py").write_text("1")
    assert polling.look() == set()


def test_what_becomes_something_else_is_told(folder):
    """A file, then a folder, then a pipe, which nobody opens."""
    polling = Polling([str(folder)])
    path = folder / "one.py"
    for make in (os.mkdir, os.mkfifo):
        path.unlink() if path.is_file() else path.rmdir()
        make(path)
        assert polling.look() == {str(path)}
        assert polling.look() == set()


def test_a_folder_that_goes_is_told_with_what_was_in_it(folder):
    """Once; and when it comes back."""
    polling = Polling([str(folder)])
    everything = {str(folder), str(folder / "one.py"), str(folder / "two.py")}
    folder.rename(folder.with_name("away"))
    assert polling.look() == everything
    assert polling.look() == set()
    folder.with_name("away").rename(folder)
    assert polling.look() == everything
    assert polling.look() == set()


def test_a_folder_that_is_not_there(folder):
    """It may come."""
    polling = Polling([str(folder / "package")])
    assert polling.look() == set()
    (folder / "package").mkdir()
    (folder / "package" / "new.py").write_text("1")
    assert polling.look() == {str(folder / "package"), str(folder / "package" / "new.py")}


def test_a_folder_that_cannot_be_read_now_has_not_changed(folder, monkeypatch):
    """The connection to another machine was lost: its files are not gone."""
    polling = Polling([str(folder)])

    def fail(_path):
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(polling_module.os, "scandir", fail)
        assert polling.look() == set()
    save(folder / "one.py", "2")
    assert polling.look() == {str(folder / "one.py")}


def test_the_next_one_tells_what_the_former_did_not(folder, tmp_path):
    """Of the folders that both have; in others, what changes from then on."""
    former = Polling([str(folder)])
    save(folder / "one.py", "2")
    save(tmp_path / "before.py", "1")
    polling = Polling([str(folder), str(tmp_path)], former)
    save(tmp_path / "after.py", "1")
    assert polling.look() == {str(folder / "one.py"), str(tmp_path / "after.py")}


def test_a_look_is_due_after_the_delay(folder, clock):
    """Not before."""
    polling = Polling([str(folder)], delay=0.5)
    save(folder / "one.py", "2")
    clock.advance(0.4)
    assert polling.look_if_due() == set()
    clock.advance(0.2)
    assert polling.look_if_due() == {str(folder / "one.py")}
    save(folder / "one.py", "3")
    assert polling.look_if_due() == set()
    clock.advance(0.6)
    assert polling.look_if_due() == {str(folder / "one.py")}


def test_slow_looks_are_further_apart(folder, clock, monkeypatch):
    """They take a tenth of the time at most."""
    scandir = os.scandir

    def slowly(path):
        clock.advance(1)
        return scandir(path)

    monkeypatch.setattr(polling_module.os, "scandir", slowly)
    polling = Polling([str(folder)], delay=0.1)
    clock.advance(0.2)
    polling.look_if_due()
    save(folder / "one.py", "2")
    clock.advance(8)
    assert polling.look_if_due() == set()
    clock.advance(1.5)
    assert polling.look_if_due() == {str(folder / "one.py")}
