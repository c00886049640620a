"""The listening socket, made by Werkzeug: it says where it listens, or why it cannot, as under `flask run`."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import click
from werkzeug.exceptions import NotFound
from werkzeug.serving import BaseWSGIServer, load_ssl_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@contextlib.contextmanager
def listening(host: str, port: int, certificate: tuple[str, str] | None) -> Iterator[BaseWSGIServer]:
    """Inside, requests wait in the kernel for who has inherited the socket.

    Raises:
        SystemExit: somebody else listens there; it was said.
        click.BadParameter: the certificate cannot be used.
    """
    logging.getLogger("werkzeug").addHandler(_Echo())
    context = _ssl_context(*certificate) if certificate else None
    server = BaseWSGIServer(host, port, NotFound())
    server.ssl_context = context  # connections are not accepted here: only what is said depends on it
    server.socket.set_inheritable(True)
    server.log_startup()
    click.secho("Press CTRL+C to quit", fg="yellow", err=True)
    try:
        yield server
    finally:
        server.server_close()


def _ssl_context(certificate: str, key: str) -> ssl.SSLContext:
    try:
        return load_ssl_context(certificate, key)
    except OSError as error:
        raise click.BadParameter(f"{certificate} and {key} cannot be used: {error}", param_hint="--cert") from None


class _Echo(logging.Handler):
    """Without colours where nobody would see them."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)
