"""What a tracer (`sys.settrace`: coverage, say) looks at while it watches the program is not the program's doing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# By way of these one looks and opens.
_WAYS = frozenset({"codecs", "genericpath", "glob", "io", "linecache", "os", "pathlib", "posixpath", "tokenize"})


def is_by_tracer(frame: FrameType, is_first_party: Callable[[str], bool]) -> bool:
    """Whether a tracer of this thread, which is none of the project's own, does what is done in this frame."""
    tracer = sys.gettrace()
    if tracer is None:
        return False
    caller: FrameType | None = frame
    while caller is not None and _package(caller.f_globals.get("__name__")) in _WAYS:
        caller = caller.f_back
    owner = getattr(tracer, "__module__", None) or type(tracer).__module__
    if caller is None or _package(caller.f_globals.get("__name__")) != _package(owner):
        return False
    return not is_first_party(caller.f_code.co_filename)


def _package(module: object) -> str:
    return str(module).partition(".")[0]
