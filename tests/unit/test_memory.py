"""What earlier runs learned about an app."""

import json
import sys

import pytest

from firehot_server.supervisor.memory import Memory


def remember(folder, app="app:app", app_dir="/work"):
    return Memory.of_app(folder, app, app_dir)


def test_nothing_is_known_of_a_new_app(tmp_path):
    """Neither is a file or a folder made for it before there is something to remember."""
    memory = remember(tmp_path / "cache")

    assert (memory.learned, memory.rejected, memory.static) == ([], {}, [])
    assert not (tmp_path / "cache").exists()


def test_what_was_learned_is_known_the_next_time(tmp_path):
    """In the same order, and with the same types."""
    memory = remember(tmp_path)
    memory.learned = ["numpy", "numpy.linalg"]
    memory.rejected = {"grpc": ("it left a thread running (poll)", "12:34")}
    memory.static = ["starlette"]
    memory.save()

    assert remember(tmp_path) == memory


def test_saving_again_replaces(tmp_path):
    """The file holds the last state only, and no draft is left beside it."""
    memory = remember(tmp_path)
    memory.learned = ["numpy"]
    memory.save()
    memory.learned = []
    memory.save()

    assert remember(tmp_path).learned == []
    assert [path.suffix for path in memory.path.parent.iterdir()] == [".json"]


@pytest.mark.parametrize(
    "other",
    [
        {"app": "other:app"},
        {"app": "app:other"},
        {"app_dir": "/elsewhere"},
        {"app": "p:app", "app_dir": "/work\0ap"},
    ],
    ids=str,
)
def test_apps_do_not_share_a_memory(tmp_path, other):
    """Neither by name nor by folder."""
    assert remember(tmp_path, **other).path != remember(tmp_path).path


@pytest.mark.parametrize("name", ["version", "prefix", "executable"])
def test_interpreters_and_environments_do_not_share_a_memory(tmp_path, monkeypatch, name):
    """What one has installed says nothing of another."""
    before = remember(tmp_path).path
    monkeypatch.setattr(sys, name, "/another")

    assert remember(tmp_path).path != before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '"text"',
        '{"learned": []}',
        '{"learned": null, "rejected": {}, "static": []}',
        '{"learned": [], "rejected": [], "static": []}',
        '{"learned": [], "rejected": {"a": []}, "static": []}',
        '{"learned": [], "rejected": {"a": ["only a reason"]}, "static": []}',
        '{"learned": [], "rejected": {"a": 1}, "static": []}',
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path, text):
    """It costs time, never correctness: nothing is known then, and no error is raised."""
    path = remember(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_text(text)
    memory = remember(tmp_path)

    assert (memory.learned, memory.rejected, memory.static) == ([], {}, [])


def test_a_file_that_is_no_text_is_as_good_as_none(tmp_path):
    """Half a block of a crashed file system, say."""
    path = remember(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe\x00")

    assert remember(tmp_path).learned == []


def test_half_of_a_damaged_file_is_not_used(tmp_path):
    """All or nothing."""
    path = remember(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"learned": ["numpy"], "rejected": {}}))

    assert remember(tmp_path).learned == []


def test_a_folder_that_cannot_be_written(tmp_path):
    """The caller is told; nothing else is."""
    (tmp_path / "cache").write_text("a file, not a folder")

    with pytest.raises(OSError):
        remember(tmp_path / "cache").save()


def test_memories_do_not_share_their_lists(tmp_path):
    """Each has its own."""
    remember(tmp_path).learned.append("numpy")

    assert remember(tmp_path).learned == []
