"""Fixtures for all layers."""

import contextlib
import signal
import sys

import pytest

from tests.support.server import ASGI, Project, Server

# A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: what the tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Nothing that one test learns reaches another, or the developer's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def project(tmp_path):
    """A small Starlette project that answers with `service.TEXT`."""
    project = Project(tmp_path / "project")
    project.write("app.py", ASGI)
    project.say("one")
    return project


@pytest.fixture
def serve(project):
    """Start the command on `project`; everything that was started is stopped."""
    started = []

    def start(*arguments, **options):
        started.append(Server(project, *arguments, **options))
        return started[-1]

    yield start
    with contextlib.ExitStack() as stack:  # whatever stopping one of them finds, the others are stopped
        for server in started:
            stack.callback(server.stop)
            sys.stdout.write(server.log)  # pytest shows it where the test failed
