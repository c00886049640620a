"""Fixtures for tests of single processes."""

import sys

import pytest

from firehot_server import isolate_imports
from tests.support import processes
from tests.support.packages import Place
from tests.support.templates import World, running


@pytest.fixture
def world(tmp_path):
    """A project and a folder of installed modules, both empty."""
    return World(tmp_path)


@pytest.fixture
def template(world):
    """A template that may import what `world` holds."""
    with running(world) as template:
        yield template


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A package `shop` and a folder of installed modules; this process can import both."""
    place = Place(tmp_path)
    for folder in reversed(place.path):
        monkeypatch.syspath_prepend(folder)
    loaded = set(sys.modules)
    yield place
    for name in sys.modules.keys() - loaded:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(place.root)):
            del sys.modules[name]


@pytest.fixture
def environment(place):
    """An environment of the package `shop`, as `place` has it at first."""
    with isolate_imports("shop") as environment:
        yield environment


@pytest.fixture(autouse=True)
def _nothing_left():
    """No process outlives a test, not even as a zombie."""
    before = set(processes.children("self"))
    yield
    assert set(processes.children("self")) <= before
