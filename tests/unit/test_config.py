"""Our own options."""

import dataclasses
import os
from pathlib import Path

import pytest

from firehot_server.config import Settings, cache_folder
from firehot_server.messages import DEFAULT_DRAIN_SECONDS


@pytest.mark.parametrize(
    ("no_preload", "module", "excluded"),
    [
        ((), "numpy", False),
        (("numpy",), "numpy", True),
        (("numpy",), "numpy.linalg", True),
        (("numpy",), "numpydoc", False),
        (("numpy.linalg",), "numpy", False),
        (("numpy.linalg",), "numpy.linalg.lapack", True),
        (("grpc", "numpy"), "numpy", True),
        (("*",), "numpy", True),
        (("*",), "uvicorn.server", True),
        (("",), "numpy", False),
    ],
)
def test_which_modules_are_left_to_the_worker(no_preload, module, excluded):
    """Those that were named, and what lies in them; all, for a star."""
    assert Settings(no_preload=no_preload).excludes(module) is excluded


def test_settings_cannot_be_changed():
    """They are the same for the whole run."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().startup_timeout = 1.0


def test_the_environment_is_a_copy(monkeypatch):
    """What is put into this process's variables later (uvicorn loads --env-file) is not in it."""
    settings = Settings()
    monkeypatch.setenv("LATER", "1")

    assert "LATER" not in settings.environment
    assert settings.environment == {name: value for name, value in os.environ.items() if name != "LATER"}


def test_deadlines_are_there_by_default():
    """Nothing waits for ever unless somebody asks for it."""
    assert 0 < Settings().startup_timeout < 600
    assert 0 < Settings().preload_timeout < 600
    assert 0 < DEFAULT_DRAIN_SECONDS < 60


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    """Below the cache folder of the desktop's conventions; it is not made by asking."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, appauthor: f"{tmp_path}/{name}")

    assert cache_folder() == tmp_path / "firehot"
    assert not Path(tmp_path / "firehot").exists()


@pytest.mark.parametrize("answer", ["~/.cache/firehot", RuntimeError("could not determine the home directory")])
def test_a_user_without_a_home_has_no_cache(monkeypatch, tmp_path, answer):
    """Nothing can be kept, least of all in the project."""

    def user_cache_dir(name, appauthor):
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr("platformdirs.user_cache_dir", user_cache_dir)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OSError, match="Not a directory"):
        (cache_folder() / "bytecode").mkdir(parents=True)
    assert list(tmp_path.iterdir()) == []
