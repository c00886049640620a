"""`flask firehot`: reads what `flask run` reads, and hands over to a server that reloads by forking.

flask loads this module for each of its commands: what only this one needs is imported when it runs.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import click
from flask.cli import ScriptInfo, pass_script_info, run_command, show_server_banner
from flask.helpers import get_debug_flag


def _parameters() -> list[click.Parameter]:
    """Those of `flask run`, whichever this version has."""
    return [_adapt(copy.copy(parameter)) for parameter in run_command.params]


def _adapt(parameter: click.Parameter) -> click.Parameter:
    if isinstance(parameter, click.Option) and parameter.name == "reload":
        parameter.help = "Reload when code changes, the default; or do what 'flask run --no-reload' does."
    return parameter


@pass_script_info
def _run(info: ScriptInfo, /, **options: Any) -> None:
    """Run a development server that reloads in milliseconds.

    It takes the options of 'flask run', and its environment variables (FLASK_RUN_PORT). The debugger is enabled by
    default with the '--debug' option, the reloader in any case.
    """
    context = click.get_current_context()
    if options["reload"] is False:
        context.invoke(run_command, **options)
    elif not hasattr(os, "fork"):
        click.echo(" * This system has no fork: reloading as 'flask run' does.", err=True)
        context.invoke(run_command, **{**options, "reload": True})
    else:
        _serve(context, info, options)


def _serve(context: click.Context, info: ScriptInfo, options: dict[str, Any]) -> None:
    from firehot_flask.certificates import certificate_files
    from firehot_flask.given import Given
    from firehot_flask.listener import listening
    from firehot_flask.service import make_service
    from firehot_server import serve

    given = Given.to(context, info)
    certificate = certificate_files(context, options["cert"])
    show_server_banner(get_debug_flag(), info.app_import_path)
    with listening(options["host"], options["port"], certificate) as listener:
        serve(make_service(given, options, listener, certificate))


command = click.Command(
    "firehot",
    params=_parameters(),
    callback=_run,
    help=_run.__doc__,
    short_help="Run a development server that reloads in milliseconds.",
    context_settings={"auto_envvar_prefix": "FLASK_RUN"},
)
