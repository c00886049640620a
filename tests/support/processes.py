"""Looking at processes from outside, by /proc."""

import os
from pathlib import Path


def children(pid):
    """The direct children of a process, zombies included."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass  # that thread has just ended
    return found


def descendants(pid):
    """Every process below this one."""
    below = []
    for child in children(pid):
        below += [child, *descendants(child)]
    return below


def state(pid):
    """The letter of /proc/PID/stat: R, S, Z...; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def is_alive(pid):
    """The process exists and is no zombie."""
    return state(pid) not in (None, "Z")


def open_descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
