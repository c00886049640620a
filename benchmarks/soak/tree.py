"""Which of a server's processes is what, as far as that can be seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..processes import PROC, children, descriptors, is_alive, listening_sockets

if TYPE_CHECKING:
    from pathlib import Path

Role = Literal["template", "checkpoint", "worker", "stand-by"]
"""A worker listens, be it one that shows a failure. A checkpoint has forked. What has not done either may stand by,
but also drain, or be a checkpoint that is new."""


def roles(pid: int, port: int, proc: Path = PROC) -> dict[int, Role]:
    """Of all processes below the supervisor `pid` whose server listens on `port`."""
    listening = listening_sockets(port, proc)
    found: dict[int, Role] = {}

    def look(parent: int, *, is_template: bool) -> None:
        for child in children(parent, proc):
            if is_alive(child, proc):
                found[child] = "template" if is_template else _role(child, listening, proc)
                look(child, is_template=False)

    look(pid, is_template=True)
    return found


def _role(pid: int, listening: set[str], proc: Path) -> Role:
    if not listening.isdisjoint(descriptors(pid, proc)):
        return "worker"
    return "checkpoint" if any(children(pid, proc)) else "stand-by"
