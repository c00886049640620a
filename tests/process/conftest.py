"""Fixtures for tests of single processes."""

import pytest

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
