"""What the files of modules were like when they were read."""

import importlib
import os

import pytest

from firehot_server.stamps import Stamps, stamp_of
from tests.support.processes import in_fork


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Modules of somebody else's."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("stamped_one", "stamped_two"):
        (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
    return tmp_path


def test_each_module_that_is_read_later(library):
    """With bytecode or without; what was marked is not told again."""

    def run():
        stamps = Stamps()
        importlib.import_module("stamped_one")
        first = stamps.since_mark()
        stamps.mark()
        importlib.import_module("stamped_two")
        return first, stamps.since_mark()

    paths = [str(library / f"{name}.py") for name in ("stamped_one", "stamped_two")]
    for _ in range(2):
        assert in_fork(run) == tuple(((path, stamp_of(path)),) for path in paths)


def test_how_it_was_before_it_was_read(library):
    """The module itself is edited while it runs."""
    path = library / "stamped_one.py"
    path.write_text("with open(__file__, 'a') as file:\n    file.write('# more')\n")
    before = stamp_of(str(path))

    def run():
        stamps = Stamps()
        importlib.import_module("stamped_one")
        return stamps.since_mark()

    assert in_fork(run) == ((str(path), before),)
    assert stamp_of(str(path)) != before


def test_a_module_that_is_not_there(library):
    """The import system's own error, with nothing of ours in its traceback."""
    os.unlink(library / "stamped_one.py")

    def run():
        Stamps()
        try:
            importlib.import_module("stamped_one")
        except ModuleNotFoundError as error:
            return str(error)

    assert in_fork(run) == "No module named 'stamped_one'"
