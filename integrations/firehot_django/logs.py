"""How the server logs: what there is to know of a reload, without what Django's users do not look for."""

from __future__ import annotations

import logging
from typing import Any, Final

_LEVELS: Final = {0: "WARNING", 1: "INFO", 2: "INFO", 3: "DEBUG"}
# Django's banner tells where it serves; and `runserver` says nothing of processes and WebSockets' details.
_SAID_BY_DJANGO: Final = (
    "Uvicorn running on",
    "Will watch for changes in",
    "Started reloader process",
    "Stopping reloader process",
    "Started server process",
    "Finished server process",
    "Waiting for application",
    "Application startup complete",
    "Application shutdown complete",
    "ASGI 'lifespan' protocol",
    "Shutting down",
    '%s - "WebSocket',
    "connection open",
    "connection closed",
)
# Why most modules of most Django apps cannot be imported without the project. Checkpoints make up for it.
_NEEDS_PROJECT: Final = ("ImproperlyConfigured: ", "AppRegistryNotReady: ", "it imports project code ")


class Discreet(logging.Filter):
    """Leaves out what is of no use to somebody who works on a Django project."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show it."""
        if record.levelno >= logging.WARNING:
            return True
        message = str(record.msg)
        if message.startswith("Not preloaded: "):
            return not any(why in record.getMessage() for why in _NEEDS_PROJECT)
        return not message.startswith(_SAID_BY_DJANGO)


def log_config(verbosity: int, *, use_colors: bool) -> dict[str, Any]:
    """For `logging.config.dictConfig`.

    Args:
        verbosity: 0: warnings; 1: what somebody who works on a project wants to know; 2: all that uvicorn and
            firehot_server say; 3: reasons as well.
    """
    level = _LEVELS[verbosity]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"discreet": {"()": f"{__name__}.Discreet"}},
        "formatters": {
            "default": {
                "()": "uvicorn.logging.DefaultFormatter",
                "fmt": "%(levelprefix)s %(message)s",
                "use_colors": use_colors,
            }
        },
        "handlers": {
            "default": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "default",
                "filters": ["discreet"] if verbosity < 2 else [],
            }
        },
        "loggers": {"uvicorn": {"handlers": ["default"], "level": level, "propagate": False}},
    }
