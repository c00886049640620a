"""Makes memory that a fork has in common with its parent this process's own, in advance.

A forked process copies each page at its first write to it, one fault at a time, just when somebody waits: a few
microseconds each, thousands of times in a reload. The kernel does it far faster when it is asked for many at once.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAGE: Final = os.sysconf("SC_PAGESIZE")
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE, Linux 5.14
_ENTRY: Final = 8  # bytes in /proc/self/pagemap for each page
_PRESENT: Final = re.compile(rb"[\x80-\xff]+")  # by the highest byte of an entry
# So many pages at a time, between which somebody may ask for the process.
_CHUNK: Final = 1024
# More than this is not copied in advance, and nothing if less than this would be left, in bytes.
_LIMIT: Final = 192 << 20
_ROOM: Final = 1 << 30

# Free memory for Python's heap to have ready; what it gets from the kernel at once; its largest block; in bytes.
_HEAP: Final = 8 << 20
_ARENA: Final = 1 << 20
_BLOCK: Final = 512
_HEADER: Final = sys.getsizeof(b"")
_arenas_kept: Final[list[bytes]] = []

Range = tuple[int, int]
"""Address of the first page, and the one behind the last."""


def own_pages(is_wanted: Callable[[], bool]) -> int:
    """Copy what is in use of this process's writable memory; the number of bytes.

    Args:
        is_wanted: asked now and then: True ends it, for there is something else to do.

    Does nothing where the system cannot do it.
    """
    done = 0
    if _madvise is None or not _has_room():
        return 0
    _ready_heap()
    for start, end in _chunks(_in_use()):
        if done >= _LIMIT or is_wanted() or _madvise(start, end - start, _POPULATE_WRITE) != 0:
            break
        done += end - start
    return done


def _ready_heap() -> None:
    """Let Python's heap have free pages that are in memory: what is imported and served next fills new ones.

    Blocks are filled and dropped, but for one or two in each arena, which would go back to the kernel otherwise.
    """
    blocks = [bytes(_BLOCK - _HEADER) for _ in range(_HEAP // _BLOCK)]
    _arenas_kept.extend(blocks[:: _ARENA // _BLOCK // 2])


def _find_madvise() -> Any:
    """By way of ctypes, of which nothing stays: to the app it is not imported. None, if there is no such function."""
    before = set(sys.modules)
    try:
        import ctypes

        madvise: Any = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    except (ImportError, OSError, AttributeError):
        return None
    finally:
        for name in sys.modules.keys() - before:
            del sys.modules[name]
    return madvise


# Here, while the template starts and the project cannot be imported yet: it may have a module of that name.
_madvise: Final = _find_madvise()


def _has_room() -> bool:
    """The machine, and the container if there is one, have memory to spare."""
    limit, used = (_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit is not None and used is not None and limit - used < _ROOM:
        return False
    try:
        with open("/proc/meminfo", "rb") as file:
            available = next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"MemAvailable"))
    except (OSError, StopIteration):
        return False
    return available >= _ROOM


def _number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):  # ValueError: "max"
        return None


def _in_use() -> Iterator[Range]:
    """Runs of pages that are in memory, of each private mapping that may be written to."""
    try:
        with open("/proc/self/maps", "rb") as maps, open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            for start, end in list(_writable(maps)):
                pagemap.seek(start // _PAGE * _ENTRY)
                entries = pagemap.read((end - start) // _PAGE * _ENTRY)
                for run in _PRESENT.finditer(entries[_ENTRY - 1 :: _ENTRY]):
                    yield start + run.start() * _PAGE, start + run.end() * _PAGE
    except OSError:
        return  # no such files: another system


def _writable(maps: Any) -> Iterator[Range]:
    for line in maps:
        where, flags, *_ = line.split(maxsplit=2)
        if flags == b"rw-p" and b"[v" not in line:  # not the kernel's own: [vvar], [vsyscall]
            start, _, end = where.partition(b"-")
            yield int(start, 16), int(end, 16)


def _chunks(ranges: Iterator[Range]) -> Iterator[Range]:
    for start, end in ranges:
        for first in range(start, end, _CHUNK * _PAGE):
            yield first, min(first + _CHUNK * _PAGE, end)
