"""How a process ended, in words."""

from __future__ import annotations

import os
import signal
from typing import Final

WHY_KILLED: Final = "Somebody or something sent SIGKILL; when memory is short, the kernel does."


def ending(status: int) -> str:
    """How a process ended, from its `waitpid` status: "exited with status 3", "was killed by SIGSEGV"."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def capitalized(name: str) -> str:
    """At the beginning of a sentence.

    >>> capitalized("the checkpoint before models.User")
    'The checkpoint before models.User'
    """
    return name[:1].upper() + name[1:]
