"""`firehot-uvicorn`: uvicorn's command with every option of its own, and a reloader that forks.

[`main`][firehot_server.entry.main] starts it.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
from typing import Any, get_args

import click
import uvicorn

from firehot_server.config import OnError, Settings
from firehot_server.launch import reloading_with

# Not `from uvicorn.main import main`'s module by attribute: in the package, `uvicorn.main` is the command itself.
_command: click.Command = importlib.import_module("uvicorn.main").main

_OWN_OPTIONS: tuple[click.Parameter, ...] = (
    click.Option(
        ["--startup-timeout"],
        type=click.FloatRange(min=0, min_open=True),
        default=Settings().startup_timeout,
        show_default=True,
        envvar="FIREHOT_STARTUP_TIMEOUT",
        metavar="SECONDS",
        help="With --reload: how long importing and starting the app may take before it is given up as stuck.",
    ),
    click.Option(
        ["--preload-timeout"],
        type=click.FloatRange(min=0, min_open=True),
        default=Settings().preload_timeout,
        show_default=True,
        envvar="FIREHOT_PRELOAD_TIMEOUT",
        metavar="SECONDS",
        help="With --reload: how long one third-party module may take to be preloaded.",
    ),
    click.Option(
        ["--no-preload"],
        multiple=True,
        envvar="FIREHOT_NO_PRELOAD",
        metavar="MODULE",
        help="With --reload: leave this module to each worker instead of preloading it; '*' for all. "
        "May be given several times.",
    ),
    click.Option(
        ["--no-checkpoints"],
        is_flag=True,
        envvar="FIREHOT_NO_CHECKPOINTS",
        help="With --reload: no process waits in the middle of importing your code; each reload imports all of it.",
    ),
    click.Option(
        ["--no-overlap"],
        is_flag=True,
        envvar="FIREHOT_NO_OVERLAP",
        help="With --reload: a new worker's lifespan starts up only when the old worker has ended, though requests are "
        "running there.",
    ),
    click.Option(
        ["--on-error"],
        type=click.Choice(get_args(OnError)),
        default=Settings().on_error,
        show_default=True,
        envvar="FIREHOT_ON_ERROR",
        help="With --reload: what answers while the newest code fails: a page with the failure, or the code before it, "
        "with a header that says so.",
    ),
)


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version  # slow to load, and seldom needed

        click.echo(
            f"firehot-server {version('firehot-server')} with uvicorn {uvicorn.__version__}, "
            f"{sys.implementation.name} {sys.version.split()[0]} on {sys.platform}"
        )
        context.exit()


def _parameters() -> list[click.Parameter]:
    """uvicorn's own parameters, whichever this version has, and ours behind those that they belong to."""
    adapted = [_adapt(copy.copy(parameter)) for parameter in _command.params]
    names = [parameter.name for parameter in adapted]
    place = names.index("reload_delay") + 1
    return [*adapted[:place], *_OWN_OPTIONS, *adapted[place:]]


def _adapt(parameter: click.Parameter) -> click.Parameter:
    if isinstance(parameter, click.Option):
        if parameter.name == "reload_delay":
            parameter.default = 0.0
            parameter.help = "Seconds without further changes to wait for before a reload."
        elif parameter.name == "timeout_graceful_shutdown":
            parameter.help = f"{parameter.help} [default: none; with --reload: 5]"
        elif parameter.name == "version":
            parameter.callback = _version
            parameter.help = "Display the versions and exit."
    return parameter


def _run(**options: Any) -> None:
    settings = _take_settings(options, env_file=options["env_file"])
    if options["reload"]:
        _check_folder()
    assert _command.callback is not None
    with reloading_with(settings, click.get_current_context().obj):
        _command.callback(**options)


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        message = "The working directory does not exist any more. Change to one that does."
        raise click.ClickException(message) from None


def _take_settings(options: dict[str, Any], **more: Any) -> Settings:
    """What our own options say; they are removed."""
    return Settings(
        startup_timeout=options.pop("startup_timeout"),
        preload_timeout=options.pop("preload_timeout"),
        no_preload=tuple(options.pop("no_preload")),
        checkpoints=not options.pop("no_checkpoints"),
        overlap=not options.pop("no_overlap"),
        on_error=options.pop("on_error"),
        environment=dict(os.environ),
        **more,
    )


def environment_settings(**more: Any) -> Settings:
    """What the environment alone (`FIREHOT_...`) says, for a service that has options of its own.

    Args:
        more: other fields of the settings.

    Raises:
        click.BadParameter: a variable has a value that its option cannot have.
    """
    options = click.Command("firehot", params=[*_OWN_OPTIONS]).make_context("firehot", []).params
    return _take_settings(options, **more)


command = click.Command(
    "firehot-uvicorn",
    params=_parameters(),
    callback=_run,
    context_settings=dict(_command.context_settings),
    help="Run an ASGI or WSGI app as uvicorn does. With --reload, a change is served in the time a fork takes.",
)
