"""What one Python file imports, in a form that can be kept; and when what was kept still holds."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .imports import Unparsed, scan
from .sources import Source, stamp

if TYPE_CHECKING:
    from .sources import Stamp

    Ask = tuple[str, tuple[str, ...]]  # module and names, as of `imports.Import`

_TICK_NS: Final = 20_000_000  # file times lag behind the clock by one tick of the kernel: 10 ms at the most
_COARSE_TICK_NS: Final = 2_000_000_000  # of file systems that keep whole seconds, or every other
_SECOND_NS: Final = 1_000_000_000


class Scanned(NamedTuple):
    """What was found in a file. Made of what `marshal` can write, but for being a tuple of its own.

    `asks` and `deferred` map what is imported to the line that first does so: at the module's own import, and only
    in a function. `error` is the line and message if the file does not parse. `settled` says that no change can
    follow that leaves `stamp` as it is.
    """

    stamp: Stamp
    settled: bool
    module: str
    is_package: bool
    digest: bytes
    asks: dict[Ask, int]
    deferred: dict[Ask, int]
    error: tuple[int, str] | None

    def is_of(self, source: Source) -> bool:
        """Is this a scan of the very content that `source` has now, by what the file system says of it?"""
        return self.settled and self.stamp == source.stamp and self._is_as(source)

    def _is_as(self, source: Source) -> bool:
        return self.module == source.module and self.is_package == source.is_package

    def renewed(self, source: Source) -> Scanned | None:
        """The same, if reading the file again shows the same content; `None` if it has to be parsed.

        Raises OSError if it cannot be read.
        """
        content = _read(source.path)
        if not self._is_as(source) or content.digest != self.digest:
            return None
        return self._replace(stamp=content.stamp, settled=content.settled)


def scanned(path: str, module: str, is_package: bool) -> Scanned:
    """Read and parse a file.

    Raises OSError if it cannot be read; what does not parse has its `error` set instead.

    >>> from .conditions import __file__ as path
    >>> ("operator", ()) in scanned(path, "conditions", False).asks
    True
    """
    content = _read(path)
    asks: dict[Ask, int] = {}
    deferred: dict[Ask, int] = {}
    error = None
    try:
        for each in scan(content.data, module=module, is_package=is_package).imports:
            (deferred if each.deferred else asks).setdefault((each.module, each.names), each.line)
    except SyntaxError as raised:
        unparsed = Unparsed.of(path, raised)
        error = (unparsed.line, unparsed.message)
    return Scanned(content.stamp, content.settled, module, is_package, content.digest, asks, deferred, error)


def is_settled(stamp: Stamp, moment: int) -> bool:
    """Would every change from `moment` on (ns since 1970) show in the stamp of a file?

    Not if its ctime is of the same tick of the clock, in which it may change once more; nor if it lies in the
    future, since the clock has been set back and may come by that time again.

    >>> is_settled((1, 2, 3, 0, 5_000_000_001), 5_010_000_000), is_settled((1, 2, 3, 0, 5_000_000_001), 5_030_000_000)
    (False, True)
    """
    changed = stamp[-1]
    tick = _TICK_NS if changed % _SECOND_NS else _COARSE_TICK_NS
    return changed + tick < moment


class _Content(NamedTuple):
    data: bytes
    digest: bytes
    stamp: Stamp
    settled: bool


def _read(path: str) -> _Content:
    moment = time.time_ns()
    with open(path, "rb") as file:
        before = stamp(os.fstat(file.fileno()))
        data = file.read()
        after = stamp(os.fstat(file.fileno()))
    return _Content(data, _digest(data), after, before == after and is_settled(after, moment))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _conditions() -> str:
    """What the result of a scan depends on, besides the file."""
    names = ("conditions", "imports", "sources", "scans", "scan_cache")
    try:
        code = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in names]
    except OSError:  # installed without sources
        return ""
    return f"{_digest(b''.join(code)).hex()} {sys.version} {sys.implementation.cache_tag} {sys.platform} {os.name}"


# By the text of the code rather than a number that somebody has to remember to raise. Read when the code itself is,
# so that an upgrade below a running process does not give new names to what old code found.
CONDITIONS: Final = _conditions()
