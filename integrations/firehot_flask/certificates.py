"""What `--cert` and `--key` name, as files: other processes are to read them."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import time
from typing import TYPE_CHECKING

import click
from platformdirs import user_cache_path
from werkzeug.serving import make_ssl_devcert

if TYPE_CHECKING:
    from pathlib import Path


def certificate_files(
    context: click.Context, given: tuple[str, str] | str | ssl.SSLContext | None
) -> tuple[str, str] | None:
    """The paths of a certificate and its key; None: no TLS.

    Args:
        given: what flask has made of the options.

    Raises:
        click.BadParameter: the certificate is in an object, which cannot be handed to another process.
    """
    if isinstance(given, ssl.SSLContext):
        raise click.BadParameter(
            "An ssl.SSLContext cannot be handed to the processes that serve; name a file here, and its key by '--key'.",
            context,
            param_hint="'--cert'",
        )
    if isinstance(given, str):  # "adhoc"
        folder = _adhoc_folder()
        return str(folder / "server.crt"), str(folder / "server.key")
    return given


def _adhoc_folder() -> Path:
    """In the user's cache: a browser that was told to trust the certificate does so after the next start, too.

    One for each year, as it is valid for one.
    """
    cache = user_cache_path("firehot", appauthor=False, ensure_exists=True)
    folder = cache / f"flask-adhoc-{time.localtime().tm_year}"
    if not folder.exists():
        draft = tempfile.mkdtemp(dir=cache)  # only the user may look inside
        make_ssl_devcert(os.path.join(draft, "server"))
        try:
            os.rename(draft, folder)
        except OSError:  # somebody else was quicker
            shutil.rmtree(draft)
    return folder
