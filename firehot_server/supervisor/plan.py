"""The plan: given what changed and what each waiting state has read, where to rewind to. Pure.

What a worker reads is numbered from 0 on, in the order of reading. So what a state has read is one number: the position
in that log at which it waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER: Final = 1 << 62
"""The position of what nothing has read: every state is still valid."""


@dataclass(frozen=True, slots=True)
class State:
    """A complete, valid state of the program that waits to be forked: the template is the first, checkpoints follow."""

    name: str
    position: int
    """It has read everything before this position, and nothing from there on."""


INTERPRETER: Final = State("a new interpreter", -1)
"""Has not even read what the template has."""

TEMPLATE: Final = State("the template", 0)
"""Has read nothing of the project, but for what counts as position -1: the environment's files."""


def rewind(position: int, states: Sequence[State]) -> State:
    """The deepest state that is still valid.

    Args:
        position: that of the first thing in the log that changed; -1 if it is something that the template has read.
        states: from the root on.

    Example:
        ```python
        rewind(-1, [TEMPLATE]) is INTERPRETER
        ```
    """
    return max((state for state in (INTERPRETER, *states) if state.position <= position), key=lambda s: s.position)
