"""What a fork must undo so that a worker starts as a fresh interpreter would."""

from __future__ import annotations

import gc
import signal
import sys
from importlib.machinery import FileFinder
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Disposition: TypeAlias = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


def start_afresh(dispositions: Mapping[signal.Signals, Disposition]) -> None:
    """Make a forked copy of the template forget that it was one.

    Args:
        dispositions: what the template inherited for each signal that it ignores.
    """
    _restore_signals(dispositions)
    gc.enable()
    sys.modules["__main__"] = ModuleType("__main__")
    _reseed()


def _restore_signals(dispositions: Mapping[signal.Signals, Disposition]) -> None:
    for number, disposition in dispositions.items():
        # The supervisor answers Ctrl-C for all. A handler rather than SIG_IGN: programs that the app starts inherit
        # what is ignored, but not a handler.
        python_s_own = disposition is signal.default_int_handler
        signal.signal(number, _leave_to_supervisor if python_s_own else disposition)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, dispositions)  # blocked since before the fork


def _leave_to_supervisor(_number: int, _frame: FrameType | None) -> None:
    pass


def forget_folders() -> None:
    """Listings that the template's finders remember may be older than the files.

    Not `importlib.invalidate_caches()`: it imports `importlib.metadata`, which the app may never need.
    """
    for folder, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            del sys.path_importer_cache[folder]  # there was no such folder; by now there may be
        elif isinstance(finder, FileFinder):
            finder.invalidate_caches()


def _reseed() -> None:
    """`random` reseeds itself after a fork, NumPy's global generator does not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
