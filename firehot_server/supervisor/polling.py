"""Looking at folders again and again, where nobody tells of all edits.

watchfiles can poll, but compares times in whole seconds: of two saves in one second it misses the second one. Some
file systems keep no better times than that (sshfs), or worse (FAT): what was saved lately is compared by content.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from firehot_server.fingerprint import data_digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Between two looks, in seconds; and, as a share of what a look takes, for large projects behind slow mounts.
DELAY_SECONDS: Final = 0.1
_REST: Final = 9

# No file system's times are coarser than this, in seconds.
_COARSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is known of a file, a folder or a link."""

    times: tuple[int, ...] = ()
    """Of modification and change, with the size; of a folder nothing, since what is in it does not count."""
    digest: bytes | None = None
    """Of a file's content, as long as another save might not show in `times`; else None."""
    since: float = 0.0
    """When this content was found, by the monotonic clock."""


_Listing: TypeAlias = dict[str, _Entry] | None
"""By path; None: there is no such folder."""


class Polling:
    """What is in some folders (not below them), compared from one look to the next.

    Args:
        folders: absolute paths. A folder may come and go.
        former: what was looked at before this. Of folders that it had, too, the first look tells what has changed
            since its last; of others, what changes from now on.
        delay: seconds between two looks.
    """

    def __init__(self, folders: Iterable[str], former: Polling | None = None, delay: float = DELAY_SECONDS) -> None:
        known: dict[str, _Listing] = {} if former is None else former._listings
        self._listings: dict[str, _Listing] = {f: known[f] if f in known else _list(f, None) for f in folders}
        self._delay = delay
        self._next = time.monotonic() + delay

    def look_if_due(self) -> set[str]:
        """`look`, if the last one was long enough ago; else nothing."""
        return self.look() if self._listings and time.monotonic() >= self._next else set()

    def look(self) -> set[str]:
        """Paths of what has changed, come or gone."""
        begun = time.monotonic()
        touched = set()
        for folder, before in self._listings.items():
            after = self._listings[folder] = _list(folder, before)
            touched |= _differences(folder, before, after)
        ended = time.monotonic()
        self._next = ended + max(self._delay, _REST * (ended - begun))
        return touched


def _list(folder: str, before: _Listing) -> _Listing:
    try:
        with os.scandir(folder) as items:
            found = {item.path: _look_at(item, before) for item in items}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return before  # it cannot be known now: another machine does not answer
    return {path: entry for path, entry in found.items() if entry is not None}


def _look_at(item: os.DirEntry[str], before: _Listing) -> _Entry | None:
    """None: it is gone already."""
    try:
        if item.is_dir(follow_symlinks=False):
            return _Entry()
        times = _times(item.stat(follow_symlinks=False))
        is_file = item.is_file(follow_symlinks=False)
    except FileNotFoundError:
        return None
    former = None if before is None else before.get(item.path)
    if former is not None and former.times == times:
        return _look_again(item.path, former)
    if not is_file or (before is None and _is_old(times)):
        return _Entry(times)
    return _Entry(times, data_digest_of(item.path), time.monotonic())


def _look_again(path: str, former: _Entry) -> _Entry:
    """Its times are what they were, which says little as long as they are new."""
    if former.digest is None:
        return former
    digest, now = data_digest_of(path), time.monotonic()
    if digest != former.digest:
        return replace(former, digest=digest, since=now)
    return former if now - former.since < _COARSE_SECONDS else replace(former, digest=None)


def _times(status: os.stat_result) -> tuple[int, ...]:
    # Not the inode: some FUSE file systems give a file another number each time they are asked.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _is_old(times: tuple[int, ...]) -> bool:
    return time.time() - times[0] / 1e9 > _COARSE_SECONDS


def _differences(folder: str, before: _Listing, after: _Listing) -> set[str]:
    if before is None or after is None:
        return set() if before is after else {folder, *(before or after or {})}
    return {path for path in before.keys() | after.keys() if _differ(before.get(path), after.get(path))}


def _differ(before: _Entry | None, after: _Entry | None) -> bool:
    if before is None or after is None or before.times != after.times:
        return True
    return after.digest is not None and before.digest != after.digest
