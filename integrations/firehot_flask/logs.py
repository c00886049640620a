"""What the server prints: the access log as under `flask run`, by Werkzeug's logger; firehot's own lines as they are.

The supervisor imports this module: it needs no framework.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"default": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s"}},
    "filters": {"said": {"()": "firehot_flask.logs.Said"}},
    "handlers": {
        "default": {
            "class": "logging.StreamHandler",
            "formatter": "default",
            "filters": ["said"],
            "stream": "ext://sys.stderr",
        },
        "access": {"class": "firehot_flask.logs.AccessLog"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
"""For uvicorn, in all processes."""

_SAID = ("Uvicorn running on socket", "Will watch for changes", "No supported WebSocket library")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_STYLES = {"1": "1", "3": "32", "304": "36", "4": "31;1", "404": "33", "5": "35;1"}
"""The beginning of a status → the ANSI codes of its line."""


class Said(logging.Filter):
    """Leaves out what the command has said better."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(_SAID)


class AccessLog(logging.Handler):
    """Writes each of uvicorn's records as Werkzeug would, to the logger by which apps configure that."""

    def emit(self, record: logging.LogRecord) -> None:
        client, method, path, version, status = record.args  # type: ignore[misc]
        line = _styled(f"{method} {_readable(str(path))} HTTP/{version}", str(status))
        address = str(client).rpartition(":")[0] or "<local>"
        werkzeug_logger().info('%s - - [%s] "%s" %s -', address, _now(), line, status)


def werkzeug_logger() -> logging.Logger:
    """Werkzeug's own, set up as Werkzeug does when it first logs: by then, the app may have done so."""
    from flask.logging import has_level_handler

    logger = logging.getLogger("werkzeug")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not has_level_handler(logger):
        logger.addHandler(logging.StreamHandler())
    return logger


def revive() -> None:
    """An app that configures logging, as Flask's documentation has it, turns off all loggers that there are."""
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).disabled = False


def _readable(path: str) -> str:
    from werkzeug.urls import uri_to_iri

    return uri_to_iri(path).translate(_ESCAPES)


_ESCAPES = {ord("\\"): r"\\", **{code: rf"\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}}
"""Control characters, that a decoded path may have."""


def _styled(line: str, status: str) -> str:
    style = _STYLES.get(status) or _STYLES.get(status[:1])
    return f"\x1b[{style}m{line}\x1b[0m" if style and sys.stderr.isatty() else line


def _now() -> str:
    now = time.localtime()
    return f"{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year} {time.strftime('%H:%M:%S', now)}"
