"""Sources that are read at the very moment at which they are saved: who saves in place truncates before writing."""

from __future__ import annotations

from os import stat  # by name: while the app is imported, `os.stat` tells of what the project looks at
from time import sleep, time
from typing import Final

# A file that was emptied longer ago than this is meant to be empty, in seconds.
_PATIENCE_SECONDS: Final = 0.03
# One that is empty no longer was filled since it was read: so long may this process have had to wait for its turn. Not
# for ever: a loader may make nothing of a file that is not empty.
_DELAY_SECONDS: Final = 1.0
_STEP_SECONDS: Final = 0.001


def may_be_filled(path: str) -> bool:
    """Whether a file that was found empty was emptied just now; if so, after a moment: then it is to be read again.
    Also whether it is empty no longer: this process may have had to wait for its turn since.

    The supervisor cannot wait instead: to it, a file that is as it was read has not changed.
    """
    try:
        status = stat(path)
    except OSError:
        return False  # it is gone, or is none on disk
    if not 0 <= time() - status.st_mtime < (_DELAY_SECONDS if status.st_size else _PATIENCE_SECONDS):
        return False
    sleep(_STEP_SECONDS)
    return True
