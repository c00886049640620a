"""Memory that one process holds alone: what it costs to let it wait. (What it shares is counted for each in RSS.)"""

from __future__ import annotations


def private_bytes(pid: int) -> int | None:
    """Bytes; None where the system does not tell, or the process is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return 1024 * sum(int(line.split()[1]) for line in file if line.startswith(b"Private_"))
    except (OSError, ValueError):
        return None


def affordable(number: int, measured: int, budget: int) -> int:
    """How many checkpoints may be left, when so many hold so many bytes. Pure.

    >>> affordable(8, 100 << 20, 256 << 20), affordable(16, 512 << 20, 256 << 20), affordable(0, 0, 1)
    (20, 8, 1)
    """
    each = max(measured // max(number, 1), 1)
    return max(budget // each, 1)
