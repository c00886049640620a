"""Is a file first-party, third-party or part of the standard library? Decided by its path alone.

Everything that is neither installed nor stdlib is first-party: also what PYTHONPATH or an editable install
adds, since whatever has not been installed may be edited at any moment.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self, TypeGuard

_SITE, _DIST = f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"
_EMPTY, _HERE, _UP = (f"{os.sep}{part}{os.sep}" for part in ("", ".", ".."))  # parts of an untidy path


@dataclass(frozen=True, slots=True)
class Origins:
    """The directories of one interpreter, sorted by whose code lies in them.

    Both fields hold absolute directories that end with a separator. Paths are compared as they are written,
    not resolved: package managers fill site-packages with links into their own caches, and those files are
    installed all the same. That a directory itself may be reached through a link (a virtual environment,
    `/tmp` on macOS) is covered by listing it both ways.

    >>> origins = Origins.of_interpreter()
    >>> origins.is_stdlib(os.__file__), origins.is_first_party("/work/app/main.py")
    (True, True)
    """

    installed: tuple[str, ...]
    stdlib: tuple[str, ...]

    @classmethod
    def of_interpreter(cls, extra_third_party: Iterable[str] = ()) -> Self:
        """The directories of the running interpreter.

        `extra_third_party` names further files or directories whose code is to be taken for installed, such
        as a vendored library that nobody edits; relative ones count from the working directory.
        """
        installed = [*site.getsitepackages(), site.getusersitepackages()]
        installed += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        return cls(_both_ways([*installed, *extra_third_party]), _both_ways(_stdlib_directories()))

    def is_third_party(self, path: str | None) -> bool:
        """Is this file installed, below anybody's site-packages or dist-packages directory?"""
        return _is_file(path) and self._is_installed(_directory_form(path))

    def is_stdlib(self, path: str | None) -> bool:
        """Does this come with the interpreter? Built-in and frozen modules (`None`, `<frozen os>`) do."""
        if not _is_file(path):
            return True
        form = _directory_form(path)
        return form.startswith(self.stdlib) and not self._is_installed(form)

    def is_first_party(self, path: str | None) -> bool:
        """Is this a file that somebody may edit: neither installed nor stdlib?"""
        if not _is_file(path):
            return False
        form = _directory_form(path)
        return not form.startswith(self.stdlib) and not self._is_installed(form)

    def _is_installed(self, form: str) -> bool:
        return form.startswith(self.installed) or _SITE in form or _DIST in form


def _is_file(path: str | None) -> TypeGuard[str]:
    """Not so for what a built-in or frozen module has as `__file__`, `spec.origin` or `co_filename`."""
    return path is not None and path not in ("built-in", "frozen") and not path.startswith("<frozen ")


def _directory_form(path: str) -> str:
    """The path, absolute, with a separator at its end: so `/work/app` is no prefix of `/work/apple`."""
    if not path.startswith(os.sep) or _EMPTY in path or _HERE in path or _UP in path:
        path = os.path.abspath(path)  # as `site` tidies sys.path; rare, and slower than all the rest
    return path + os.sep


def _stdlib_directories() -> list[str]:
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    # In a virtual environment sysconfig places platstdlib inside it; the extension modules (lib-dynload) stay
    # with the base interpreter.
    base_platstdlib = sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})
    return [
        str(Path(os.__file__).parent),
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        base_platstdlib,
        str(Path(sys.base_prefix, sys.platlibdir, archive)),
    ]


def _both_ways(directories: Iterable[str]) -> tuple[str, ...]:
    """Each directory as it is named and as it resolves, once."""
    named = [os.path.abspath(directory) for directory in directories]
    resolved = [os.path.realpath(directory) for directory in named]
    return tuple(dict.fromkeys(directory.rstrip(os.sep) + os.sep for directory in [*named, *resolved]))
