"""Who looks whether there is a file? No audit event tells of it, so the functions that look are others for a while."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_FUNCTIONS: Final = ("stat", "lstat", "access")
# Of what each function can do: programs look for it in these.
_ABILITIES: Final = (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks)


class Looks:
    """From its making to `end`, `os.stat` and its like tell of what they are asked. The import system's own do not.

    Args:
        note: called with the path, before each look.
    """

    def __init__(self, note: Callable[[Any], None]) -> None:
        self._telling = {name: _Telling(getattr(os, name), note) for name in _FUNCTIONS}
        for name, telling in self._telling.items():
            _replace(name, telling.original, telling)

    def end(self) -> None:
        """They are what they were. One that somebody has kept goes on to work, and tells nobody who cares; what
        somebody has put in its place meanwhile stays.
        """
        for name, telling in self._telling.items():
            if getattr(os, name) is telling:
                _replace(name, telling, telling.original)


def _replace(name: str, former: Callable[..., Any], function: Callable[..., Any]) -> None:
    for abilities in _ABILITIES:
        if former in abilities:
            abilities.discard(former)
            abilities.add(function)
    setattr(os, name, function)


class _Telling:
    """A function that tells before it looks. No function, so that it is bound to no object, as the original is not."""

    def __init__(self, original: Callable[..., Any], note: Callable[[Any], None]) -> None:
        functools.update_wrapper(self, original)
        self.original = original
        self._note = note

    def __call__(self, path: Any, *arguments: Any, **keywords: Any) -> Any:
        if keywords.get("dir_fd") is None:
            self._note(path)
        return self.original(path, *arguments, **keywords)

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _function, (self.original.__name__,)


def _function(name: str) -> Any:
    return getattr(os, name)
