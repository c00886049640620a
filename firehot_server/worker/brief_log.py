"""What uvicorn logs, in brief.

It has six lines per start and stop; with fifty reloads an hour the supervisor's one line says it all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_LIFECYCLE = frozenset(
    {
        "Started server process [%d]",
        "Waiting for application startup.",
        "Application startup complete.",
        "ASGI 'lifespan' protocol appears unsupported.",
        "Shutting down",
        "Waiting for application shutdown.",
        "Application shutdown complete.",
        "Finished server process [%d]",
    }
)


_logger = logging.getLogger("uvicorn.error")


@contextlib.contextmanager
def filtered(logger: logging.Logger, keep: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Meanwhile, a logger takes only these records, which may be changed."""
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def quiet_lifecycle() -> AbstractContextManager[None]:
    """Meanwhile, uvicorn's lifecycle messages are only shown at `--log-level debug`."""

    def keep(record: logging.LogRecord) -> bool:
        return str(record.msg) not in _LIFECYCLE or _logger.isEnabledFor(logging.DEBUG)

    return filtered(_logger, keep)


def brief_cancelling(is_first_party: Callable[[str], bool]) -> AbstractContextManager[None]:
    """Meanwhile, of what is cancelled uvicorn logs the line of the project that it had come to, and no traceback.

    Args:
        is_first_party: whether a file belongs to the project.
    """

    def shorten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, asyncio.CancelledError):
            return True
        calls = traceback.extract_tb(error.__traceback__)
        mine = [call for call in calls if is_first_party(call.filename)]
        if mine:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = "Cancelled at %s:%s, in %s", (mine[-1].filename, mine[-1].lineno, mine[-1].name)
            record.exc_info = None
        return bool(mine)

    return filtered(_logger, shorten)


@contextlib.contextmanager
def capture_lifespan_errors(lifespan: Any) -> Iterator[list[str]]:
    """Meanwhile, what the lifespan would log as an error goes into the list that this yields.

    Args:
        lifespan: the server's `uvicorn.lifespan` object.
    """
    errors: list[str] = []
    logger, lifespan.logger = lifespan.__dict__.get("logger"), _Capture(errors)
    try:
        yield errors
    finally:
        lifespan.logger = logger


class _Capture(logging.Logger):
    def __init__(self, errors: list[str]) -> None:
        super().__init__("uvicorn.lifespan")
        self._errors = errors

    def handle(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self._errors.append(record.getMessage())
        elif _logger.isEnabledFor(record.levelno):
            _logger.handle(record)
