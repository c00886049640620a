"""What an edit does to the disk, and the ways in which programs do it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_UNSEEN = frozenset({"port.txt"})
_LINK = "\udcff-> "
"""What the text of a symbolic link begins with, before the place that it leads to."""


@dataclass(frozen=True)
class Write:
    """Save a file."""

    path: str
    text: str
    how: Literal["in place", "in two parts", "by rename", "anew"] = "in place"
    times: Literal["now", "restored", "old", "ahead"] = "now"

    def apply(self, root):
        path = root / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_link(self.text):
            self._make_link(root, self.text.removeprefix(_LINK))
            return
        data = self.text.encode(errors="surrogateescape")
        former = path.stat() if path.exists() else path.parent.stat()
        if self.how == "by rename":
            aside = path.with_name(f".{path.name}.swp")
            aside.write_bytes(data)
            aside.replace(path)
        elif self.how == "in two parts":
            with path.open("wb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                file.write(data[len(data) // 2 :])
        else:
            if self.how == "anew":
                path.unlink(missing_ok=True)
            path.write_bytes(data)
        _set_times(path, former, self.times)

    def _make_link(self, root, target):
        path = root / self.path
        if self.how == "by rename" and not path.is_dir():
            aside = path.with_name(f".{path.name}.swp")
            aside.symlink_to(target)
            aside.replace(path)
            return
        Remove(self.path).apply(root)
        path.symlink_to(target)


@dataclass(frozen=True)
class Remove:
    """Delete a file or a folder."""

    path: str

    def apply(self, root):
        path = root / self.path
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Move:
    """Rename a file or a folder."""

    path: str
    to: str

    def apply(self, root):
        if not (root / self.path).exists():
            return
        (root / self.to).parent.mkdir(parents=True, exist_ok=True)
        (root / self.path).rename(root / self.to)


@dataclass(frozen=True)
class Link:
    """Keep a file or a folder somewhere else, with a symbolic link where it was."""

    path: str
    to: str

    def apply(self, root):
        Move(self.path, self.to).apply(root)
        (root / self.path).symlink_to(os.path.relpath(root / self.to, (root / self.path).parent))


@dataclass(frozen=True)
class Touch:
    """Set a time, of a file or a folder, to that of another: as `rsync -t` and `cp -p` restore them."""

    path: str
    like: str

    def apply(self, root):
        if (root / self.path).exists() and (root / self.like).exists():
            former = (root / self.like).stat()
            os.utime(root / self.path, ns=(former.st_atime_ns, former.st_mtime_ns))


@dataclass(frozen=True)
class Prune:
    """Remove folders in which nothing is left, as git does."""

    def apply(self, root):
        for folder, _, _ in os.walk(root, topdown=False):
            if folder != str(root) and not os.listdir(folder):
                os.rmdir(folder)


@dataclass(frozen=True)
class KeepFolderTimes:
    """Do other steps, and give each folder concerned the modification time that it had."""

    steps: tuple

    def apply(self, root):
        folders = {(root / step.path).parent for step in self.steps if hasattr(step, "path")}
        times = {folder: folder.stat() for folder in folders if folder.is_dir()}
        for step in self.steps:
            step.apply(root)
        for folder, former in times.items():
            if folder.is_dir():
                os.utime(folder, ns=(former.st_atime_ns, former.st_mtime_ns))


def is_link(text):
    """Whether this, of `read_tree`, is a symbolic link."""
    return text.startswith(_LINK)


def link_text(path, target):
    """The text of a link at that path to another one, both below the project's folder."""
    return f"{_LINK}{os.path.relpath(target, os.path.dirname(path) or '.')}"


def target_of(path, text):
    """The path, below the project's folder, to which a link at that path leads."""
    return os.path.normpath(os.path.join(os.path.dirname(path), text.removeprefix(_LINK)))


def read_tree(root):
    """Path → text of every file, and of every symbolic link."""
    files = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*names, *folders]):
            path = Path(folder, name)
            below = path.relative_to(root).as_posix()
            if path.is_symlink():
                files[below] = f"{_LINK}{path.readlink()}"
            elif path.is_file() and below not in _UNSEEN:
                files[below] = path.read_bytes().decode(errors="surrogateescape")
    return files


def _set_times(path, former, times):
    if times == "restored":
        os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns))
    elif times != "now":
        seconds = {"old": 1_000_000_000, "ahead": 4_000_000_000}[times]
        os.utime(path, (seconds, seconds))
