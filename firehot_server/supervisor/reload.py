"""`FirehotReload`: the reloader, in the shape of uvicorn's `ChangeReload`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from uvicorn.config import STARTUP_FAILURE, create_ssl_context

from firehot_server.config import Settings
from firehot_server.discovery.origin import Origins
from firehot_server.output import plug_closed_streams
from firehot_server.supervisor.processes import TemplateProcess, spawn_template
from firehot_server.supervisor.signals import SignalPipe

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from uvicorn import Config

logger = logging.getLogger("uvicorn.error")


class FirehotReload:
    """Serves an app, and reloads it by forking. Takes the place of uvicorn's `ChangeReload`.

    Args:
        config: uvicorn's configuration, with `reload=True` and the app as an import string.
        target: what a worker calls with the listening sockets: `uvicorn.Server(config).run`, or the like.
        sockets: bound sockets, from `config.bind_socket()`. They listen from here on.
        settings: our own options.
        template: one that was spawned in advance; by default it is spawned by `run`.

    Example:
        ```python
        config = uvicorn.Config("app:app", reload=True)
        server = uvicorn.Server(config)
        FirehotReload(config, target=server.run, sockets=[config.bind_socket()]).run()
        ```
    """

    def __init__(
        self,
        config: Config,
        target: Callable[[list[socket.socket] | None], None],
        sockets: list[socket.socket],
        settings: Settings | None = None,
        template: TemplateProcess | None = None,
    ) -> None:
        self.config = config
        self.target = target
        self.sockets = sockets
        self.settings = settings or Settings()
        self._template = template
        for sock in sockets:
            sock.listen(config.backlog)

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM.

        Raises:
            SystemExit: with uvicorn's status for a failed start, if no server could be started at all.
        """
        _check_certificate(self.config)
        plug_closed_streams()
        pid = os.getpid()
        try:
            with SignalPipe() as signals, _project_out_of_reach() as path:
                logger.info("Started reloader process [%d] using firehot", pid)
                template = self._template or spawn_template(self.settings.environment)
                # Here, so that the sockets listen, and the template starts, before the rest of the engine is loaded.
                from firehot_server.supervisor.loop import Supervisor

                supervisor = Supervisor(self.config, self.target, self.sockets, self.settings, path, template, signals)
                status = supervisor.run()
        finally:
            for sock in self.sockets:
                sock.close()
        logger.info("Stopping reloader process [%d]", pid)
        if status:
            sys.exit(status)


@contextlib.contextmanager
def _project_out_of_reach() -> Iterator[tuple[str, ...]]:
    """Meanwhile, this process cannot import project code: a project's own `random.py` shadows nothing here.

    Yields:
        `sys.path` as it was, which the app needs.
    """
    path = tuple(sys.path)
    origins = Origins.of_interpreter()
    sys.path[:] = [entry for entry in path if not origins.is_first_party(entry)]
    try:
        yield path
    finally:
        sys.path[:] = path


def _check_certificate(config: Config) -> None:
    """A certificate that cannot be used is no failure of the app: say so and end, rather than wait for an edit."""
    if not config.ssl_certfile or config.ssl_context_factory is not None:
        return
    arguments: dict[str, Any] = {
        name: getattr(config, f"ssl_{name}") for name in ("certfile", "keyfile", "cert_reqs", "ca_certs", "ciphers")
    }
    try:
        create_ssl_context(**arguments, password=config.ssl_keyfile_password, ssl_version=config.ssl_version)
    except (OSError, ValueError) as error:
        logger.error("Cannot serve TLS with --ssl-certfile %s: %s", config.ssl_certfile, error)
        sys.exit(STARTUP_FAILURE)
