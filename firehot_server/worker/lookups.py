"""Where an import looks for a module, and what it finds there: a file that appears in such a place would be found."""

from __future__ import annotations

import os
from importlib.machinery import FileFinder, ModuleSpec
from typing import TYPE_CHECKING

from firehot_server.fingerprint import NOTHING, lookup_digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def watch_lookups(is_first_party: Callable[[str], bool], announce: Callable[[str, bytes], None]) -> None:
    """From now on, announce every place of the project in which an import looks.

    The finder itself is changed, as the loader is in `reads`: so `sys.meta_path` is what it would be.

    Args:
        announce: called with folder and name, as a path, and what was found there (`fingerprint.lookup_digest_of`).
    """
    find = FileFinder.find_spec
    is_ours: dict[str, bool] = {}

    def find_spec(self: FileFinder, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = find(self, fullname, target)
        folder = self.path
        if folder not in is_ours:
            is_ours[folder] = is_first_party(os.path.join(folder, ""))
        if is_ours[folder]:
            path = os.path.join(folder, fullname.rpartition(".")[2])
            announce(path, _found(spec, path))
        return spec

    FileFinder.find_spec = find_spec  # type: ignore[method-assign, assignment]


def _found(spec: ModuleSpec | None, path: str) -> bytes:
    """Without a look at the disk, if what was found lies where the interpreter itself would find it."""
    if spec is None:
        return NOTHING
    if spec.loader is None:
        return os.fsencode(os.sep)
    if spec.origin is not None and spec.origin.startswith(path):
        return os.fsencode(spec.origin[len(path) :])
    return lookup_digest_of(path)
