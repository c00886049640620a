"""The plan: given an edit and what each waiting state has read, where to rewind to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class State:
    """A complete, valid state of the program that waits to be forked: the template is the first, checkpoints follow.

    `reads` holds every path on which it depends beyond its predecessor.
    """

    name: str
    reads: frozenset[str]


INTERPRETER = State("a new interpreter", frozenset())
"""Has read nothing of the project's, so it is never stale."""


def rewind(edited: frozenset[str], states: Sequence[State]) -> State:
    """The deepest state that is still valid.

    Args:
        edited: the paths that changed, appeared or disappeared.
        states: from the root on; each has read what its predecessors have read, too.

    Example:
        ```python
        rewind({"/app/.env"}, [State("the template", frozenset({"/app/.env"}))]) is INTERPRETER
        ```
    """
    deepest = INTERPRETER
    for state in states:
        if state.reads & edited:
            break
        deepest = state
    return deepest
