"""Fixtures for the integrations."""

import pytest

from tests.support.flask import Flask


@pytest.fixture
def flask(serve, project):
    """Starts `flask firehot`."""
    return Flask(serve, project)
