"""The command: uvicorn's, option for option, and ours."""

import contextlib
import importlib
import os
import sys
from pathlib import Path

import click
import pytest
import uvicorn
from click.testing import CliRunner

from firehot_server import cli
from firehot_server.config import Settings

UVICORN = importlib.import_module("uvicorn.main").main
THEIRS = {parameter.name: parameter for parameter in UVICORN.params}
OURS = {parameter.name: parameter for parameter in cli.command.params}
ADDED = {"startup_timeout", "preload_timeout", "no_preload", "no_checkpoints", "no_overlap", "on_error"}


@pytest.fixture
def called(monkeypatch):
    """What uvicorn's command would have been called with, and our settings."""
    calls = []

    @contextlib.contextmanager
    def reloading_with(settings, template=None):
        calls.append(settings)
        yield

    monkeypatch.setattr(cli, "reloading_with", reloading_with)
    monkeypatch.setattr(UVICORN, "callback", lambda **options: calls.append(options))
    return calls


def run(*arguments, **variables):
    return CliRunner().invoke(cli.command, arguments, env=variables)


def shape_of(parameter):
    """What a user can tell one parameter from another by."""
    keys = ("name", "opts", "secondary_opts", "nargs", "multiple", "required", "envvar", "is_flag", "flag_value")
    return {key: getattr(parameter, key, None) for key in keys} | {
        "class": type(parameter),
        "type": parameter.type.to_info_dict(),
        "metavar": parameter.metavar,
        "hidden": getattr(parameter, "hidden", None),
    }


# -- uvicorn's parameters


@pytest.mark.parametrize("name", THEIRS)
def test_every_parameter_of_uvicorn_is_there(name):
    """With the same names, type, shape and environment variables."""
    assert shape_of(OURS[name]) == shape_of(THEIRS[name])


@pytest.mark.parametrize("name", sorted(THEIRS.keys() - {"reload_delay"}))
def test_defaults_are_those_of_uvicorn(name):
    """An app that ran with uvicorn runs the same here."""
    assert OURS[name].default == THEIRS[name].default


def test_a_reload_does_not_wait():
    """uvicorn's own delay gathers changes; here the server speculates instead."""
    assert THEIRS["reload_delay"].default > 0
    assert OURS["reload_delay"].default == 0


@pytest.mark.parametrize("name", sorted(THEIRS.keys() - {"reload_delay", "timeout_graceful_shutdown", "version"}))
def test_help_texts_are_those_of_uvicorn(name):
    """Where ours does the same."""
    assert getattr(OURS[name], "help", None) == getattr(THEIRS[name], "help", None)


def test_uvicorns_own_command_is_not_touched():
    """Both may be used in one process."""
    assert OURS["reload_delay"] is not THEIRS["reload_delay"]
    assert UVICORN.params != cli.command.params
    assert not ADDED & THEIRS.keys()


def test_environment_variables_have_the_same_prefix():
    """UVICORN_HOST works here, too."""
    assert cli.command.context_settings == UVICORN.context_settings
    assert cli.command.context_settings is not UVICORN.context_settings


# -- ours


def test_our_parameters_are_added():
    """Nothing else is, and nothing is there twice."""
    names = [parameter.name for parameter in cli.command.params]

    assert set(names) - set(THEIRS) == ADDED
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(ADDED))
def test_our_parameters_are_explained(name):
    """And each has a variable of its own."""
    assert OURS[name].help.startswith("With --reload: ")
    assert OURS[name].envvar == f"FIREHOT_{name.upper()}"


def test_our_defaults_are_those_of_the_library():
    """The command and `FirehotReload` behave alike."""
    assert OURS["startup_timeout"].default == Settings().startup_timeout
    assert OURS["preload_timeout"].default == Settings().preload_timeout


# -- calling it


def test_without_options(called):
    """uvicorn's command gets its own defaults, and nothing of ours."""
    assert run("app:app").exit_code == 0
    settings, options = called

    assert options.keys() == THEIRS.keys() - {"version"}
    assert options["app"] == "app:app"
    assert options["reload_delay"] == 0
    assert settings == Settings(environment=dict(os.environ))


def test_our_options_become_settings(called, tmp_path):
    """And are not passed on."""
    (tmp_path / "env").touch()
    arguments = ["--startup-timeout", "3", "--preload-timeout", "1.5", "--no-preload", "a", "--no-preload", "b.c"]
    arguments.append("--no-checkpoints")
    assert run("app:app", "--reload", *arguments, "--env-file", f"{tmp_path}/env").exit_code == 0
    settings, options = called

    assert (settings.startup_timeout, settings.preload_timeout) == (3.0, 1.5)
    assert settings.no_preload == ("a", "b.c")
    assert settings.checkpoints is False
    assert Path(settings.env_file) == tmp_path / "env"
    assert options["reload"] is True
    assert Path(options["env_file"]) == tmp_path / "env"
    assert not ADDED & options.keys()


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("FIREHOT_STARTUP_TIMEOUT", "3", "startup_timeout", 3.0),
        ("FIREHOT_PRELOAD_TIMEOUT", "4", "preload_timeout", 4.0),
        ("FIREHOT_NO_PRELOAD", "a b.c", "no_preload", ("a", "b.c")),
        ("FIREHOT_NO_CHECKPOINTS", "1", "checkpoints", False),
        ("FIREHOT_NO_CHECKPOINTS", "0", "checkpoints", True),
    ],
)
def test_our_environment_variables(called, variable, value, name, expected):
    """Several modules are separated by spaces."""
    assert run("app:app", **{variable: value}).exit_code == 0

    assert getattr(called[0], name) == expected


def test_uvicorns_environment_variables(called):
    """As uvicorn reads them."""
    assert run("app:app", UVICORN_PORT="9000", UVICORN_RELOAD_DELAY="0.5").exit_code == 0

    assert called[1]["port"] == 9000
    assert called[1]["reload_delay"] == 0.5


def test_the_settings_remember_the_shell(called):
    """Before uvicorn loads --env-file into this process's variables."""
    run("app:app", COLOUR="red")

    assert called[0].environment["COLOUR"] == "red"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("app:app", "--no-such-option"),
        ("app:app", "--lifespan", "perhaps"),
        ("app:app", "--log-level", "loud"),
        ("app:app", "--port", "http"),
        ("app:app", "--env-file", "/no/such/file"),
        ("app:app", "--startup-timeout", "0"),
        ("app:app", "--startup-timeout", "-1"),
        ("app:app", "--startup-timeout", "soon"),
        ("app:app", "--preload-timeout", "0"),
        ("app:app", "--no-preload"),
        ("app:app", "another:app"),
    ],
    ids=" ".join,
)
def test_wrong_usage(called, arguments):
    """The exit code is 2, as uvicorn's, and a sentence says what was wrong."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Error: " in result.output
    assert called == []


def test_version(called):
    """All that a report of a bug should name."""
    result = run("--version")

    assert result.exit_code == 0
    assert "firehot-server" in result.output
    assert uvicorn.__version__ in result.output
    assert sys.version.split()[0] in result.output
    assert sys.platform in result.output
    assert called == []


def test_help(called):
    """Every option has its place in it, ours behind the reload options."""
    result = run("--help")
    options = [p for p in cli.command.params if isinstance(p, click.Option)]
    order = ("--reload-delay", "--startup-timeout", "--no-preload", "--workers")

    assert result.exit_code == 0
    assert [p.name for p in options if not all(name in result.output for name in p.opts)] == []
    assert sorted(order, key=result.output.index) == list(order)
    assert called == []
