"""What a fork must undo so that a worker starts as a fresh interpreter would."""

from __future__ import annotations

import gc
import signal
import sys
from importlib.machinery import FileFinder
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from firehot_server.worker.randomness import reseed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Disposition: TypeAlias = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

_machinery: Any = sys.modules["_frozen_importlib_external"]


def start_afresh(dispositions: Mapping[signal.Signals, Disposition]) -> None:
    """Make a forked copy of the template forget that it was one.

    Args:
        dispositions: what the template inherited for each signal that it ignores.
    """
    _restore_signals(dispositions)
    gc.enable()
    sys.modules["__main__"] = ModuleType("__main__")
    reseed()


def resume(dispositions: Mapping[signal.Signals, Disposition]) -> None:
    """Make a copy of a checkpoint what the checkpoint was before it waited.

    Args:
        dispositions: what was done about each signal that a checkpoint ignores.
    """
    for number, disposition in dispositions.items():
        if disposition is not None:  # installed by native code: nothing that could be put back
            signal.signal(number, disposition)


def _restore_signals(dispositions: Mapping[signal.Signals, Disposition]) -> None:
    for number, disposition in dispositions.items():
        # The supervisor answers Ctrl-C for all. A handler rather than SIG_IGN: programs that the app starts inherit
        # what is ignored, but not a handler.
        python_s_own = disposition is signal.default_int_handler
        signal.signal(number, _leave_to_supervisor if python_s_own else disposition)


def _leave_to_supervisor(_number: int, _frame: FrameType | None) -> None:
    pass


def forget_files() -> None:
    """What this process remembers of folders and sources may be older than they are.

    Not `importlib.invalidate_caches()`: it imports `importlib.metadata`, which the app may never need.
    """
    for folder, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            del sys.path_importer_cache[folder]  # there was no such folder; by now there may be
        elif isinstance(finder, FileFinder):
            finder.invalidate_caches()
    # As `PathFinder.invalidate_caches` does: namespace packages look for their portions again.
    _machinery._NamespacePath._epoch += 1
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        # Not those without a time, which are no files: `attrs` and others show generated code by them.
        for path in [path for path, entry in linecache.cache.items() if len(entry) > 1 and entry[1] is not None]:
            del linecache.cache[path]
