"""Serving for another command, such as that of a framework: it says what to import, the rest is done here."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from firehot_server import clean
from firehot_server.errors import NoFork
from firehot_server.output import flush_output, plug_closed_streams

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Service:
    """What is served. All of it is of JSON's types, for it goes to another process.

    Attributes:
        app: import string of an ASGI app, or of a function that makes it (`"factory": True` in `options`). Workers
            import it, with `sys.path` and `sys.argv` as they are where `serve` is called. Its module may import the
            framework; the project it imports only in that function, so that a template can preload the module.
        options: more arguments of `uvicorn.run`, but for `reload`: host and port, `reload_dirs`, `log_config`.
        roots: names of modules of the project from which static imports lead to what is worth preloading. They are
            read, not imported.
        environment: the variables that the project is to find; by default those of this process.
        extra_files: absolute paths of files of which a change reloads, though nothing may have read them.
        exclude_patterns: `fnmatch` patterns for absolute paths; what one of them matches does not reload.
    """

    app: str
    options: Mapping[str, Any] = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    extra_files: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()


def serve(service: Service) -> NoReturn:
    """Replace this process, which may hold any of the project's code, by a clean one that serves and reloads.

    Process id, standard streams, working directory and ignored signals stay. Nothing that was registered with `atexit`
    runs here.

    Raises:
        NoFork: this system cannot fork. Serve by other means.
        TypeError: something in the service is not of JSON's types.

    Example:
        ```python
        # the body of a command such as "myframework develop"
        serve(Service("myframework.develop:make_app", options={"factory": True, "port": 8000}, roots=("mysite",)))
        ```
    """
    if not hasattr(os, "fork"):
        raise NoFork("This system has no fork: firehot_server cannot reload here.")
    plug_closed_streams()
    environment = dict(os.environ if service.environment is None else service.environment)
    descriptor = _write_down({"service": asdict(service), "path": sys.path})
    flush_output()
    os.execve(sys.executable, clean.command(__name__, str(descriptor), *sys.argv), environment)


def _write_down(what: dict[str, Any]) -> int:
    """A descriptor, which survives `exec`, of a file without a name."""
    text = json.dumps(what)
    with tempfile.TemporaryFile("w+") as file:
        file.write(text)
        file.flush()
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return descriptor


def main(descriptor: str, *arguments: str) -> None:
    """The clean process.

    Args:
        descriptor: of a file with what `serve` has written down.
        arguments: `sys.argv` of the command.
    """
    with open(int(descriptor)) as file:
        known = json.load(file)
    service = known["service"]
    from firehot_server.supervisor.processes import spawn_template
    from firehot_server.supervisor.signals import end_at_sigterm

    end_at_sigterm()
    template = spawn_template(os.environ)  # it starts while the rest is loaded here
    try:
        _run(template, service, known["path"], arguments)
    finally:
        template.end()


def _run(template: Any, service: dict[str, Any], path: list[str], arguments: tuple[str, ...]) -> None:
    import click
    import uvicorn

    from firehot_server.cli import environment_settings
    from firehot_server.launch import reloading_with

    sys.path[:], sys.argv[:] = path, arguments
    options = {"reload_delay": 0.0, **service["options"], "reload": True}
    try:
        settings = environment_settings(
            **{name: tuple(service[name]) for name in ("roots", "extra_files", "exclude_patterns")}
        )
    except click.BadParameter as error:
        variable = error.param.envvar if error.param else "FIREHOT_..."
        click.echo(f"Error: the environment variable {variable} cannot be used: {error.message}", err=True)
        sys.exit(error.exit_code)
    with reloading_with(settings, template):
        uvicorn.run(service["app"], **options)
