"""Scans of a package's files, kept on disk from one run to the next. Losing them costs time, never correctness."""

from __future__ import annotations

import hashlib
import marshal
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .scans import CONDITIONS, Scanned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .scans import Ask

_SIZE: Final = 16  # bytes of a digest


class ScanCache:
    """One file for one package: digest of the conditions, digest of the body, body.

    Nothing is kept where `folder` is `""`, or where the code that scans cannot be identified.

    >>> ScanCache("", "shop", ()).load()
    {}
    """

    def __init__(self, folder: str, package: str, locations: Iterable[str]) -> None:
        # Conditions are part of the name, so that two versions of Python do not take turns in writing one file.
        key = _digest(*map(os.fsencode, (CONDITIONS, package, *locations))).hex()
        self._path = Path(folder, "scans", key) if folder and CONDITIONS else None

    def load(self) -> dict[str, Scanned]:
        """What was kept, by path; nothing, if the file is missing, damaged or made under other conditions."""
        if self._path is None:
            return {}
        try:
            data = self._path.read_bytes()
            if not _is_valid(data):
                return {}
            kept = marshal.loads(memoryview(data)[2 * _SIZE :])
            return {path: Scanned._make(fields) for path, fields in kept.items()}
        except (OSError, ValueError, TypeError, EOFError, AttributeError):
            return {}

    def save(self, scans: Mapping[str, Scanned]) -> None:
        """Keep these instead, all or nothing; in vain, without a word, where the folder cannot be written."""
        if self._path is None:
            return
        body = marshal.dumps(_shared(scans))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._path, _header(body) + body)
        except OSError:
            pass


def _shared(scans: Mapping[str, Scanned]) -> dict[str, tuple[object, ...]]:
    """The scans as `marshal` takes them, equal parts being the same object: it writes and reads each of those once."""
    known: dict[Ask, Ask] = {}
    shared: dict[str, tuple[object, ...]] = {}
    for path, scan in scans.items():
        asks = {known.setdefault(ask, ask): line for ask, line in scan.asks.items()}
        deferred = {known.setdefault(ask, ask): line for ask, line in scan.deferred.items()}
        shared[path] = tuple(scan._replace(asks=asks, deferred=deferred))
    return shared


def _is_valid(data: bytes) -> bool:
    return data[: 2 * _SIZE] == _header(memoryview(data)[2 * _SIZE :])


def _header(body: bytes | memoryview) -> bytes:
    return _digest(CONDITIONS.encode()) + _digest(body)


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        digest.update(b"%d:" % len(part))  # so that no two lists of parts are the same bytes
        digest.update(part)
    return digest.digest()


def _replace(path: Path, data: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
