"""Which Python files lie below a package? A walk over folders that reads no file, only what the folders say of them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from .imports import Unparsed
from .locate import Kind, Located

if TYPE_CHECKING:
    Stamp = tuple[int, int, int, int, int]  # device, inode, size in bytes, mtime and ctime in ns

_SUFFIX: Final = ".py"
_INITIAL: Final = "__init__.py"
_ENVIRONMENT_MARK: Final = "pyvenv.cfg"  # lies at the top of every virtual environment
_FOREIGN: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


class Source(NamedTuple):
    """A Python file, the module it is the text of, and what the file system says of its content."""

    path: str
    module: str
    is_package: bool
    stamp: Stamp


class Sources(NamedTuple):
    """All files of a package, parents before children; and the files and folders that could not be looked at."""

    files: list[Source]
    unreadable: list[Unparsed]


def sources(package: Located) -> Sources:
    """List the Python files below `package`, or the one file that it is. What does not exist (any more) is left out.

    Caches, hidden folders, installed packages, virtual environments and `node_modules` are passed over. Links are
    followed; a folder that several names lead to is read once, under its own name where that is below the package.

    >>> import sys
    >>> from .locate import Locator
    >>> [source.module for source in sources(Locator(sys.path).find("email.mime")).files][:2]
    ['email.mime', 'email.mime.application']
    """
    walk = _Walk()
    if package.search is not None:
        walk.run([(folder, package.name) for folder in package.search])
    elif package.file is not None and package.kind is Kind.SOURCE:
        walk.add_file(package.file, package.name, package.file)
    # By module name: a package before what is in it, as imports run, and the same whatever order folders list.
    return Sources(sorted(walk.files, key=lambda source: (source.module, source.path)), walk.unreadable)


def stamp(status: os.stat_result) -> Stamp:
    """What changes whenever the content of a file does, but for what happens within one tick of the clock."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class _Walk:
    """The folders still to be read wait in lists, links behind all others."""

    def __init__(self) -> None:
        self.files: list[Source] = []
        self.unreadable: list[Unparsed] = []
        self._folders: list[tuple[str, str]] = []
        self._links: list[tuple[str, str]] = []
        self._seen: set[tuple[int, int]] = set()  # so a link to a folder above it is not followed

    def run(self, folders: list[tuple[str, str]]) -> None:
        """Read these folders, each with the name of the package that it is, and all below them."""
        self._folders += folders
        while self._folders or self._links:
            if not self._folders:
                self._links.sort(reverse=True)
            path, module = (self._folders or self._links).pop()
            try:
                self._read(path, module)
            except (FileNotFoundError, NotADirectoryError):
                pass  # removed meanwhile, or only the mark that an editable install leaves in a package's path
            except OSError as error:
                self.unreadable.append(Unparsed.of(path, error))

    def _read(self, path: str, module: str) -> None:
        if not self._is_new(path):
            return
        with os.scandir(path) as listing:
            entries = list(listing)
        if any(entry.name == _ENVIRONMENT_MARK for entry in entries):
            return
        for entry in entries:
            if not entry.name.startswith("."):
                self._add(entry, module)

    def _is_new(self, path: str) -> bool:
        status = os.stat(path)
        known = len(self._seen)
        self._seen.add((status.st_dev, status.st_ino))
        return len(self._seen) > known

    def _add(self, entry: os.DirEntry[str], package: str) -> None:
        name = entry.name
        try:
            if name.endswith(_SUFFIX) and not entry.is_dir():
                module = package if name == _INITIAL else f"{package}.{name.removesuffix(_SUFFIX)}"
                self.add_file(entry.path, module, entry)
            elif name not in _FOREIGN and entry.is_dir():
                waiting = self._links if entry.is_symlink() else self._folders
                waiting.append((entry.path, f"{package}.{name}"))
        except OSError as error:  # a link that leads to itself, for one
            self.unreadable.append(Unparsed.of(entry.path, error))

    def add_file(self, path: str, module: str, entry: os.DirEntry[str] | str) -> None:
        """Take this file, if it is one: a dangling link is no module, and reading a FIFO would wait for ever."""
        try:
            status = entry.stat() if isinstance(entry, os.DirEntry) else os.stat(entry)
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode):
            self.files.append(Source(path, module, path.endswith(os.sep + _INITIAL), stamp(status)))
