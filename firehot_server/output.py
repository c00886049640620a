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
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None:
        ctypes.CDLL(None).fflush(None)  # what libraries printed through C's own buffer
