"""What will be edited first? What is changed in git's work tree, and what was changed last. A guess costs little."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A file that was changed longer ago is none that somebody works on, in seconds.
_RECENT: Final = 24 * 3600.0
# As many recent files come of a checkout, and tell nothing.
_MANY: Final = 20
_COMMAND: Final = ("git", "--no-optional-locks", "status", "--porcelain", "-z", "--no-renames")


class GitChanges:
    """Asks git, and does not wait for the answer.

    Args:
        folder: of the work tree, or in it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                _COMMAND, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            pass  # there is no git

    @property
    def pids(self) -> list[int]:
        """Of git, while it works."""
        return [] if self._process is None else [self._process.pid]

    def take(self) -> tuple[str, ...]:
        """The changed files, absolute, if git has answered by now; it is not asked any further."""
        process, self._process = self._process, None
        if process is None:
            return ()
        with process:
            if process.poll() is None:
                process.kill()
                return ()
            assert process.stdout is not None
            return changed_files(process.stdout.read(), _top(self._folder))


def changed_files(status: bytes, top: str) -> tuple[str, ...]:
    """Those that `git status --porcelain -z` names, but for removed ones.

    >>> changed_files(b" M app.py\\0?? new.py\\0 D old.py\\0", "/work")
    ('/work/app.py', '/work/new.py')
    """
    lines = [os.fsdecode(line) for line in status.split(b"\0") if line]
    return tuple(os.path.join(top, line[3:]) for line in lines if "D" not in line[:2])


def _top(folder: str) -> str:
    """Of the work tree: git names files from there."""
    while not os.path.exists(os.path.join(folder, ".git")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def newest(files: Iterable[str], now: float) -> tuple[str, ...]:
    """Those that were changed lately, the newest first; none, if they are so many that it means nothing.

    Args:
        now: `time.time()`.
    """
    changed = {file: _modified(file) for file in files}
    recent = [file for file, modified in changed.items() if now - modified < _RECENT]
    return tuple(sorted(recent, key=lambda file: -changed[file])) if len(recent) <= _MANY else ()


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def module_name(file: str, path: Sequence[str]) -> str:
    """The name by which a file would be imported; empty, if it would not be.

    Args:
        path: the `sys.path`.

    >>> module_name("/app/shop/views.py", ["/app"]), module_name("/app/shop/__init__.py", ["/app"])
    ('shop.views', 'shop')
    """
    for folder in path:
        inside = os.path.join(os.path.abspath(folder), "")
        if file.startswith(inside) and file.endswith(".py"):
            return file[len(inside) : -len(".py")].replace(os.sep, ".").removesuffix(".__init__")
    return ""
