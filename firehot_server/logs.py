"""The logger `firehot`, its level from FIREHOT_LOG_LEVEL, and the level `trace` below debug."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

TRACE: Final = 5
"""Below `logging.DEBUG`: every message between the processes."""

VARIABLE: Final = "FIREHOT_LOG_LEVEL"
_LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

logger: Final = logging.getLogger("firehot")


class _StderrHandler(logging.Handler):
    """Writes to `sys.stderr` as it is at that moment: a test runner exchanges and closes it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)  # noqa: T201


def configure() -> None:
    """Set the level that the environment asks for; a level that the program has set itself stays, if it asks for none.

    An unknown value is named, and `warn` is used. Where the program has not configured logging, records go to stderr.
    """
    logging.addLevelName(TRACE, "TRACE")
    value = os.environ.get(VARIABLE)
    if value or logger.level == logging.NOTSET:
        logger.setLevel(_LEVELS.get((value or "warn").strip().lower(), logging.WARNING))
    if value and not logger.hasHandlers():
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("firehot %(levelname)s: %(message)s"))
        logger.addHandler(handler)
    if value and value.strip().lower() not in _LEVELS:
        logger.warning("%s=%s is none of %s; warn is used.", VARIABLE, value, "trace, debug, info, warn, error")
