"""Is a process stopped, so that it cannot do what it is asked for?"""

from __future__ import annotations


def is_stopped(pid: int) -> bool:
    """Whether the process got SIGSTOP, or the like, and no SIGCONT since."""
    try:
        import psutil  # the start of the server does not wait for it
    except (OSError, ImportError):
        return False  # this process has too many files open to look
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, OSError):
        return False  # it is gone, or there are too many files
