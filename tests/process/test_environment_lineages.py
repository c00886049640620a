"""Calls that need the same modules of the project: later ones go on from checkpoints that an earlier one has left."""

import importlib
import os
import threading

import pytest

from firehot_server import IsolatedExit
from tests.support.waiting import until

MODULE = """
import os, sys
with open({log!r}, "a") as log:
    log.write("{name} ")
{more}
VALUE = {value}
"""


class Shop:
    """A package whose modules note when they are imported."""

    def __init__(self, place, environment, tmp_path):
        self._place = place
        self._log = tmp_path / "imports"
        self._environment = environment
        self.write("stock", 1)
        self.write("views", 1, "from shop import stock\ndef look(): return stock.VALUE, VALUE")
        self.views = importlib.import_module("shop.views")
        self.imports()

    def write(self, name, value, more=""):
        text = MODULE.format(log=str(self._log), name=name, more=more, value=value)
        self._place.write(f"shop/{name}.py", text)

    def imports(self):
        """The modules that were imported since the last time."""
        names = self._log.read_text().split() if self._log.exists() else []
        self._log.write_text("")
        return names

    def call(self, function=None):
        process = self._environment.exec(function or self.views.look)
        return self._environment.communicate_isolated(process, timeout=30)


@pytest.fixture
def shop(place, environment, tmp_path):
    return Shop(place, environment, tmp_path)


def test_the_third_call_imports_nothing(shop):
    """The first leaves no checkpoints, for it may be the only one; the second does."""
    for expected in (["views", "stock"], ["views", "stock"], [], []):
        assert shop.call() == (1, 1)
        assert shop.imports() == expected


def test_what_was_edited_is_imported_again(shop):
    """Whatever lies before it is not read again, if a checkpoint waits there; the answer is that of the new files."""
    for _ in range(3):
        shop.call()
    shop.imports()
    shop.write("stock", 2)
    assert shop.call() == (2, 1)
    assert "stock" in shop.imports()
    shop.call()
    shop.call()
    shop.imports()
    assert shop.call() == (2, 1)
    assert shop.imports() == []


def test_a_package_of_dozens_of_modules(shop):
    """What each checkpoint has read is known, though it was not sent: edits near the end, the middle and the start."""
    names = [f"part{number}" for number in range(30)]
    for name in names:
        shop.write(name, 1)
    imports = "".join(f"from shop import {name}\n" for name in names)
    shop.write("views", 1, f"{imports}def look(): return [{', '.join(f'{name}.VALUE' for name in names)}]")
    values = [1] * len(names)
    for edited in (28, 15, 0, 29):
        for _ in range(3):
            assert shop.call() == values
        shop.imports()
        assert shop.call() == values
        assert shop.imports() == []
        values[edited] += 1
        shop.write(names[edited], values[edited])
        assert shop.call() == values
        assert shop.imports()[-1] == names[-1]


def test_what_the_import_did_to_its_surroundings_stays(shop):
    """Variables, the path and the folder are part of the state."""
    shop.write(
        "views",
        1,
        "os.environ['SHOP'] = 'open'; sys.path.append('/shop'); os.chdir('/')\n"
        "def look(): return os.environ.get('SHOP'), sys.path[-1], os.getcwd()",
    )
    assert [shop.call() for _ in range(4)] == [("open", "/shop", "/")] * 4


def test_calls_of_many_threads(shop):
    """Only one at a time leaves checkpoints; each call is answered."""
    answers = []
    for round in range(3):
        shop.write("stock", round)
        threads = [threading.Thread(target=lambda: answers.append(shop.call())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answers == [(0, 1)] * 6 + [(1, 1)] * 6 + [(2, 1)] * 6


def test_surroundings_of_their_own(shop, monkeypatch):
    """What an import does may depend on a variable: such a call does not go on from another's checkpoint."""
    shop.write("views", 1, "COLOUR = os.environ.get('COLOUR')\ndef look(): return COLOUR")
    assert [shop.call() for _ in range(3)] == [None] * 3
    monkeypatch.setenv("COLOUR", "green")
    assert [shop.call() for _ in range(3)] == ["green"] * 3


def test_a_checkpoint_that_does_not_bear_to_be_copied(shop):
    """A copy that is killed before it answers: from then on such calls import all again."""
    hook = "MADE = []\ndef ready():\n    MADE.append(1)\n    len(MADE) > 1 and os.abort()\n"
    shop.write("views", 1, f"{hook}os.register_at_fork(after_in_child=ready)\ndef look(): return 1")
    answers = []
    for _ in range(6):
        try:
            answers.append(shop.call())
        except IsolatedExit:
            answers.append("killed")
    assert answers.count("killed") <= 1
    assert answers[-2:] == [1, 1]


def test_nothing_is_left(place, shop, environment):
    """All checkpoints end with the environment."""
    for _ in range(3):
        shop.call()
    pids = environment._session._family.pids()
    assert len(pids) > 1
    environment.close()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the end of all that waited")
