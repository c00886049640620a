"""The user's stdout and stderr."""

from __future__ import annotations

import sys


def flush_output() -> None:
    """Write out what is buffered, before a fork (else every copy prints it) and before the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # no stream, or nobody reads it any more
