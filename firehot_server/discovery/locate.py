"""Where is a module's file? Answered without importing it or any of its parents.

`importlib.util.find_spec("a.b")` imports `a`, and `PathFinder` fails on a namespace package whose parent has
not been imported. So the path is searched here, entry by entry, with the interpreter's own finders for
directories and archives.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from importlib.machinery import (
    ExtensionFileLoader,
    FrozenImporter,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from _typeshed.importlib import PathEntryFinderProtocol

    from .origin import Origins

_BUILT_IN: Final = frozenset(sys.builtin_module_names)


class Kind(Enum):
    """What a module is made of."""

    BUILT_IN = "built-in or frozen: part of the interpreter itself"
    NAMESPACE = "directories without an __init__ module"
    SOURCE = "a Python source file"
    BINARY = "an extension module or bytecode without source"
    ARCHIVED = "something else, such as a member of a zip archive"


@dataclass(frozen=True, slots=True)
class Located:
    """A module that exists.

    `file` is absolute, and `None` for what is built-in, frozen or a namespace; `search` lists where the
    submodules of a package lie.
    """

    name: str
    kind: Kind
    file: str | None
    search: tuple[str, ...] | None

    @property
    def is_package(self) -> bool:
        """May it have submodules?"""
        return self.search is not None

    def is_first_party(self, origins: Origins) -> bool:
        """May somebody edit it? A namespace package is first-party as soon as one of its portions is."""
        if self.kind is Kind.NAMESPACE:
            return any(origins.is_first_party(portion) for portion in self.search or ())
        return origins.is_first_party(self.file)

    def is_stdlib(self, origins: Origins) -> bool:
        """Does it come with the interpreter?"""
        return self.kind is not Kind.NAMESPACE and origins.is_stdlib(self.file)


class Locator:
    """Finds modules on `path`, a list like `sys.path` (`""` is the working directory), and remembers them.

    One locator sees the file system as it was when it first looked: make a new one for every walk. Its
    finders are its own, so it neither meets nor leaves stale listings in `sys.path_importer_cache`.

    >>> Locator(sys.path).find("email.mime.text").kind
    <Kind.SOURCE: 'a Python source file'>
    """

    def __init__(self, path: Sequence[str]) -> None:
        self._path = tuple(filter(None, map(_absolute, path)))
        self._finders: dict[str, PathEntryFinderProtocol | None] = {}
        self._located: dict[str, Located | None] = {}

    def find(self, name: str) -> Located | None:
        """Locate the module of this absolute dotted name; `None`, never an error, if there is none."""
        if name not in self._located:
            self._located[name] = self._look_up(name)
        return self._located[name]

    def meant(self, module: str, names: Iterable[str]) -> list[Located]:
        """What `from module import names` asks for (`import module`, without names).

        The submodules among the names, else the module, or as much of that name as exists.

        >>> [each.name for each in Locator(sys.path).meant("xml", ["sax", "etree", "other"])]
        ['xml.sax', 'xml.etree']
        """
        base = self._deepest(module)
        if base is None:
            return []
        if base.name != module:
            return [base]
        return list(self._submodules(base, names)) or [base]

    def _deepest(self, name: str) -> Located | None:
        """Locate `name`, or the nearest parent that exists: `six` for `six.moves`, which is no file."""
        located = self.find(name)
        while located is None and "." in name:
            name = name.rpartition(".")[0]
            located = self.find(name)
        return located

    def _submodules(self, located: Located, names: Iterable[str]) -> Iterator[Located]:
        if located.is_package:
            found = (self.find(f"{located.name}.{name}") for name in names)
            yield from (each for each in found if each is not None)

    def _look_up(self, name: str) -> Located | None:
        if name in _BUILT_IN:
            return Located(name, Kind.BUILT_IN, None, None)
        if (frozen := FrozenImporter.find_spec(name)) is not None:
            return Located(name, Kind.BUILT_IN, None, _locations(frozen))
        parent, _, _ = name.rpartition(".")
        if not parent:
            return self._search(name, self._path) or _find_editable(name)
        package = self.find(parent)
        if package is None or not package.search:
            return None
        found = self._search(name, package.search)
        if found is None and package.kind is Kind.NAMESPACE:  # several projects' packages may meet in it
            return _find_editable(name)
        return found

    def _search(self, name: str, path: Iterable[str]) -> Located | None:
        """Do as `PathFinder` does: the first module or regular package wins, else all namespace portions."""
        portions: list[str] = []
        for entry in path:
            spec = self._ask(entry, name)
            if spec is not None and spec.loader is not None:
                return _located(name, spec)
            portions += _locations(spec) or ()
        return Located(name, Kind.NAMESPACE, None, tuple(portions)) if portions else None

    def _ask(self, entry: str, name: str) -> ModuleSpec | None:
        if entry not in self._finders:
            self._finders[entry] = _entry_finder(entry)
        finder = self._finders[entry]
        try:
            return finder.find_spec(name) if finder else None
        except Exception:  # a foreign path hook that cannot cope with parents that are not imported
            return None


def _absolute(entry: str) -> str | None:
    """`None` for what Python passes over, too."""
    try:
        absolute = os.path.abspath(entry)
    except (TypeError, FileNotFoundError):  # no text; the working directory was removed
        return None
    # What is no file may be a mark that an editable install's path hook waits for: it must stay as it is.
    return absolute if Path(absolute).exists() else entry


def _entry_finder(entry: str) -> PathEntryFinderProtocol | None:
    for hook in sys.path_hooks:
        try:
            return hook(entry)
        except ImportError:  # the hook's way of saying that this entry is not its own
            continue
    return None


def _find_editable(name: str) -> Located | None:
    """Ask the finders that setuptools and hatch install for editable packages: they only look up a table."""
    for finder in sys.meta_path:
        owner = getattr(finder, "__module__", "")
        if not owner.startswith("__editable__") and owner != "editables.redirector":
            continue  # other projects' finders may build or import something when asked
        try:
            spec = finder.find_spec(name, None)
            located = _located(name, spec) if spec else None
        except Exception:  # an editable install that has gone wrong is as good as absent
            continue
        if located:
            return located
    return None


def _located(name: str, spec: ModuleSpec) -> Located:
    if spec.origin is None:
        kind = Kind.NAMESPACE
    elif isinstance(spec.loader, SourceFileLoader):
        kind = Kind.SOURCE
    elif isinstance(spec.loader, ExtensionFileLoader | SourcelessFileLoader):
        kind = Kind.BINARY
    else:
        kind = Kind.ARCHIVED
    return Located(name, kind, spec.origin, _locations(spec))


def _locations(spec: ModuleSpec | None) -> tuple[str, ...] | None:
    if spec is None or spec.submodule_search_locations is None:
        return None
    return tuple(spec.submodule_search_locations)


def with_parents(name: str) -> list[str]:
    """`a.b.c` as `a`, `a.b`, `a.b.c`: the order in which an import runs them."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
