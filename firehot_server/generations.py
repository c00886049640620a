"""Which generation is this process of?"""

from __future__ import annotations

_current: int | None = None


def generation() -> int | None:
    """How many times the app has been loaded, this time included: 1 at the first start, more after each reload.

    None where no server of this package runs: in other programs, and in calls of an `Environment`. Known while the app
    is imported and from then on.

    Example:
        ```python
        if firehot_server.generation() == 1:
            print("Listening on http://127.0.0.1:8000/")
        ```
    """
    return _current


def begin(number: int) -> None:
    """From here on this process is of this generation."""
    global _current
    _current = number
