"""What a worker reads as data while it imports the app. In forked children, since an audit hook is for ever."""

import io
import os
import tempfile
from pathlib import Path

import pytest

from firehot_server.fingerprint import data_digest_of
from firehot_server.worker.audit_events import AuditEvents
from firehot_server.worker.data_reads import DataReads
from tests.support.processes import in_fork


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text("colour: green")
    return folder


def noted(project, *steps):
    """What is announced while these run in the project's folder."""

    def run():
        os.chdir(project)
        notes = []
        reads = DataReads(
            lambda path: not path.startswith("/installed"),
            str(project),
            str(project / "cache"),
            lambda path, digest: notes.append((os.path.relpath(path, project), digest and data_digest_of(path))),
            lambda path: notes.append((os.path.relpath(path, project), "written")),
        )
        AuditEvents().on("open", reads.opened)
        for step in steps:
            step(reads)
        return notes

    return in_fork(run)


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
        lambda reads: reads.imported(),
        lambda _: Path("config.yaml").read_text(),
        lambda _: Path("config.yaml").write_text("x"),
        lambda _: Path("state.json").write_text("x"),
        lambda _: Path("state.json").write_text("y"),
    ) == [("state.json", before), ("state.json", "written")]


def test_modules_are_announced_elsewhere(project):
    """Not twice; but their source, read as a text, is data."""
    (project / "local_settings.py").write_text("DEBUG = True")

    def imported(_):
        import sys

        sys.path.insert(0, str(project))
        __import__("local_settings")

    assert noted(project, imported) == []
    notes = noted(project, lambda _: exec(Path("local_settings.py").read_text()))
    assert [name for name, _ in notes] == ["local_settings.py"]


def _quietly(function):
    try:
        function()
    except OSError:
        pass
