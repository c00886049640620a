"""Where an import looks for a module, and what it finds there: a file that appears in such a place would be found."""

from __future__ import annotations

import os
from importlib.machinery import FileFinder, ModuleSpec, PathFinder
from time import time  # by name: programs replace `time.time`
from typing import TYPE_CHECKING, Any, Final

from firehot_server.fingerprint import FOLDER, NOTHING, lookup_digest_of, name_of
from firehot_server.machinery import as_machinery

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Announce = Callable[[str, bytes], object]

# The clock by which a kernel dates a change of a folder goes in steps, of 10 ms at most: two changes may have one date.
_STEP_SECONDS: Final = 0.02


def watch_lookups(is_first_party: Callable[[str], bool], announce: Announce) -> Callable[[], None]:
    """From now on, announce every place of the project in which an import looks.

    The finder itself is changed, as the loader is in `reads`: so `sys.meta_path` is what it would be.

    Args:
        announce: called with folder and name, as a path, and what was found there (`fingerprint.lookup_digest_of`).

    Returns:
        what ends it.
    """
    find = FileFinder.find_spec
    beginnings: dict[str, str] = {}
    """Folder → what all paths in it begin with; empty: it is not the project's."""

    @as_machinery
    def find_spec(self: Any, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = find(self, fullname, target)
        folder = self.path
        beginning = beginnings.get(folder)
        if beginning is None:
            beginning = os.path.join(name_of(folder), "")
            beginning = beginnings[folder] = beginning if is_first_party(beginning) else ""
        if beginning and (path := _place(beginning, fullname)):
            announce(path, _found(spec, path))
            if abs(time() - self._path_mtime) < _STEP_SECONDS:
                self._path_mtime = -1  # its list of names may be older than another change of that date
        return spec

    def end() -> None:
        FileFinder.find_spec = find  # type: ignore[method-assign]
        path_finder._path_importer_cache = classmethod(find_finder)

    path_finder: Any = PathFinder
    find_finder = path_finder._path_importer_cache.__func__
    FileFinder.find_spec = find_spec  # type: ignore[method-assign]
    path_finder._path_importer_cache = classmethod(_with_missing_folders(find_finder, is_first_party, announce))
    return end


def _with_missing_folders(
    find_finder: Callable[[Any, str], Any], is_first_party: Callable[[str], bool], announce: Announce
) -> Callable[[Any, str], Any]:
    """No finder is made for an entry of a path where there is no folder: yet it is looked for, and may come."""

    @as_machinery
    def find_finder_or_missing(cls: Any, entry: str) -> Any:
        finder = find_finder(cls, entry)
        if finder is not None:
            return finder
        try:
            folder = name_of(entry)
        except FileNotFoundError:  # the working directory was removed
            return None
        return _MissingFolder(folder, announce) if is_first_party(os.path.join(folder, "")) else None

    return find_finder_or_missing


class _MissingFolder:
    """In the place of a finder, for those who look for a module: there is none."""

    def __init__(self, folder: str, announce: Announce) -> None:
        self._beginning = os.path.join(folder, "")
        self._announce = announce

    def find_spec(self, fullname: str, _target: ModuleType | None = None) -> None:
        if path := _place(self._beginning, fullname):
            self._announce(path, NOTHING)


def _place(beginning: str, fullname: str) -> str:
    """Folder and name; empty where there can be no module: "shop/main" is none, though there may be such a file."""
    name = fullname.rpartition(".")[2]
    return "" if os.sep in name else beginning + name


def _found(spec: ModuleSpec | None, path: str) -> bytes:
    """Without a look at the disk, if what was found lies where the interpreter itself would find it."""
    if spec is None:
        return NOTHING
    if spec.loader is None:
        return FOLDER
    if spec.origin is not None and spec.origin.startswith(path):
        return spec.origin[len(path) :].encode(errors="surrogateescape")
    return lookup_digest_of(path)
