"""The interpreter's audit events (PEP 578): one hook for all, since a hook can never be removed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


DEBUGGER_EVENTS = ("builtins.breakpoint", "pdb.Pdb")
"""By these a debugger announces itself; a frame of ours around `breakpoint()` would be debugged instead."""


class AuditEvents:
    """Calls handlers, by the name of the event.

    Example:
        ```python
        events = AuditEvents()
        events.on("open", note_opened)
        events.off("open", note_opened)
        ```
    """

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Callable[..., None], ...]] = {}
        handlers = self._handlers

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in handlers:  # of the thousands in an import, next to none are
                for handler in handlers.get(event, ()):  # another thread may have taken them away
                    handler(*arguments)

        sys.addaudithook(hook)

    def on(self, event: str, handler: Callable[..., None]) -> None:
        """Call this with the event's arguments, before it happens. What it raises, the program meets."""
        self._handlers[event] = (*self._handlers.get(event, ()), handler)

    def off(self, event: str, handler: Callable[..., None]) -> None:
        """No longer."""
        rest = tuple(each for each in self._handlers.get(event, ()) if each != handler)
        if rest:
            self._handlers[event] = rest
        else:
            self._handlers.pop(event, None)
