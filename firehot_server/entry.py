"""Entry point of the command: starts a template, then loads what the command needs, both at the same time."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from firehot_server.supervisor.processes import TemplateProcess


def main(name: str = "firehot-uvicorn") -> None:
    """Run the command with the arguments in `sys.argv`.

    Args:
        name: how the command calls itself in its messages.
    """
    try:
        _main(name)
    except KeyboardInterrupt:  # before anything has begun: end as by the signal, without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _main(name: str) -> None:
    template = _spawn_ahead() if wants_template(sys.argv[1:], os.environ) else None
    try:
        from firehot_server.cli import command

        command(prog_name=name, obj=template)
    finally:
        if template is not None:
            template.end()  # not needed after all, or ended long ago


def wants_template(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the command will, in all likelihood, reload; without loading the parser to find out."""
    return hasattr(os, "fork") and ("--reload" in arguments or bool(environment.get("UVICORN_RELOAD")))


def _spawn_ahead() -> TemplateProcess:
    from firehot_server.output import plug_closed_streams
    from firehot_server.supervisor import open_files
    from firehot_server.supervisor.processes import spawn_template
    from firehot_server.supervisor.signals import end_at_sigterm

    end_at_sigterm()
    plug_closed_streams()
    if shortage := open_files.shortage():
        sys.exit(shortage)
    return spawn_template(os.environ)
