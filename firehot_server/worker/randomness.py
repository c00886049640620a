"""The global generators of `random` and `numpy.random`, over a fork: fresh in a copy, unless the project seeded them.

After `random.seed(1)` a cold start draws the same numbers each time, and so must a copy that goes on from there.
"""

from __future__ import annotations

import sys
from typing import Any, Final

# An unseeded generator whose state is as many steps on is recognised; each step is 624 numbers drawn.
_STEPS: Final = 16

States = dict[str, Any]
"""Module → the state of its global generator."""


class Randomness:
    """Knows the generators' states from when they were last fresh."""

    def __init__(self) -> None:
        self._fresh = states()
        self._seeded: set[str] = set()
        """Those that the project has seeded."""

    def go_on(self, before: States) -> None:
        """This is the copy of a process that only waits: its numbers are drawn here."""
        _restore(before)

    def renew(self, before: States) -> None:
        """This is one of many copies: fresh numbers, but where the project has chosen them.

        Args:
            before: the states when the process began to wait.
        """
        self._seeded |= {name for name, state in before.items() if not self._is_fresh(name, state)}
        reseed()
        _restore({name: state for name, state in before.items() if name in self._seeded})
        self._fresh = states()

    def _is_fresh(self, name: str, state: Any) -> bool:
        """Also if it was loaded since then: by its own import it is."""
        return name not in self._fresh or _descends(self._fresh[name], state)


def states() -> States:
    """Those of the generators that are loaded."""
    found: States = {}
    random, numpy_random = sys.modules.get("random"), sys.modules.get("numpy.random")
    if random is not None:
        found["random"] = random.getstate()
    if numpy_random is not None:
        found["numpy.random"] = numpy_random.get_state()
    return found


def reseed() -> None:
    """`random` reseeds itself after a fork, NumPy's global generator does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _restore(before: States) -> None:
    for name, state in before.items():
        if name == "random":
            sys.modules[name].setstate(state)
        else:
            sys.modules[name].set_state(state)


def _words(state: Any) -> tuple[int, ...]:
    """The generator's 624 words; `random` puts the position behind them."""
    return tuple(map(int, state[1][:624]))


def _descends(fresh: Any, state: Any) -> bool:
    """One state follows from the other by drawing numbers."""
    if _words(fresh) == _words(state):
        return True
    import random

    generator = random.Random()
    generator.setstate((3, (*_words(fresh), 624), None))
    for _ in range(_STEPS):
        generator.getrandbits(32 * 624)
        if generator.getstate()[1][:624] == _words(state):
            return True
    return False
