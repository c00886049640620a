"""What a worker reads of the project, and bytecode that is never stale.

CPython trusts a `.pyc` whose source has the same size and the same modification time in whole seconds. Two saves in
one second, a restored modification time or a jumping clock defeat that. Here the source of every first-party module
is read, and its content decides whether cached bytecode may run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from threading import get_ident
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from firehot_server.machinery import as_machinery
from firehot_server.worker.emptied import may_be_filled

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import ModuleType

ANNOUNCING: Final = "get_announced_code"
"""The name of the function that reads the source of modules, and announces it."""

READING: Final[set[int]] = set()
"""The threads that read a module's source or bytecode just now, by their identifiers (`threading.get_ident`)."""

_MAGIC = importlib.util.MAGIC_NUMBER.hex()
_BLOCK_BYTES = 1 << 16
_DIGEST_SIZE = 8  # of importlib.util.source_hash, in bytes


def watch_source_reads(
    is_first_party: Callable[[str], bool],
    announce: Callable[[str, str, bytes | None], None],
    cache: BytecodeCache,
    running: AbstractContextManager[None],
) -> None:
    """From now on, announce every first-party module's source before it runs.

    The loader itself is changed, not wrapped in a finder: what subclasses it (import hooks of test and typing tools)
    and what calls it directly (editable installs) is covered as well, and modules look as they always do.

    Args:
        announce: called with the module's name, the path and the digest of the content that will run; None: there is
            no such file.
        running: entered, in the thread that imports it, for as long as such a module runs.
    """
    load_by_mtime = SourceFileLoader.get_code
    read_file = SourceFileLoader.get_data

    @as_machinery
    def source_of(loader: SourceFileLoader, path: str) -> bytes:
        read: Any = loader.get_data
        return _content(path) if getattr(read, "__func__", None) is read_file else read(path)

    @as_machinery
    def get_announced_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        if not is_first_party(path):
            return load_by_mtime(self, fullname)
        try:
            source = source_of(self, path)
            while not source and may_be_filled(path):
                source = source_of(self, path)
        except FileNotFoundError:
            announce(fullname, path, None)  # it was to be loaded from just there
            raise
        digest = importlib.util.source_hash(source)
        announce(fullname, path, digest)
        key = cache.key(path, type(self))
        code = cache.load(key, digest)
        if code is None:
            code = self.source_to_code(source, path)
            cache.store(key, digest, code)
        return code

    execute = SourceFileLoader.exec_module

    @as_machinery
    def exec_module(self: SourceFileLoader, module: ModuleType) -> None:
        if not is_first_party(self.path):
            execute(self, module)
            return
        with running:
            execute(self, module)

    SourceFileLoader.get_code = get_announced_code  # type: ignore[method-assign, assignment]
    SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]


class BytecodeCache:
    """Compiled modules on disk, valid by content.

    Args:
        folder: where; empty: nowhere.
        unkept: called once with the reason if the folder cannot be written, which is no error, only slower.
    """

    def __init__(self, folder: str, unkept: Callable[[str], None] = lambda _reason: None) -> None:
        self._folder = folder
        self._unkept = unkept
        self._has_complained = False

    def key(self, path: str, loader: type) -> str:
        """One name per source file, interpreter, optimisation level and transforming loader."""
        interpreter = f"{_MAGIC}\0{sys.implementation.cache_tag}\0{sys.flags.optimize}"
        text = f"{interpreter}\0{path}\0{loader.__module__}.{loader.__qualname__}"
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def load(self, key: str, digest: bytes) -> CodeType | None:
        """The code compiled from the source with this digest, if it is there and whole."""
        if not self._folder:
            return None
        try:
            data = _content(f"{self._folder}/{key}")
        except OSError:
            return None
        body = data[2 * _DIGEST_SIZE :]
        if data[: 2 * _DIGEST_SIZE] != digest + importlib.util.source_hash(body):
            return None
        code = marshal.loads(body)
        return code if isinstance(code, CodeType) else None

    def store(self, key: str, digest: bytes, code: CodeType) -> None:
        """Keep, all or nothing; not where the disk does not allow it or the user forbids bytecode."""
        if not self._folder or sys.dont_write_bytecode:
            return
        body = marshal.dumps(code)
        target = Path(self._folder, key)
        draft = target.with_suffix(f".{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(digest + importlib.util.source_hash(body) + body)
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True) if target.parent.is_dir() else None
            if not self._has_complained and not isinstance(error, FileNotFoundError):  # another thread's draft
                self._has_complained = True
                self._unkept(error.strerror or str(error))


@as_machinery
def _content(path: str) -> bytes:
    """All of the file, without a file object, which takes longer than the reading: an import reads hundreds."""
    thread = get_ident()
    READING.add(thread)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        READING.discard(thread)
    try:
        # To its end, which need not be where its size says: on a disk of another machine that may be an older one.
        parts = [os.read(fd, os.fstat(fd).st_size + 1)]
        while parts[-1]:
            parts.append(os.read(fd, _BLOCK_BYTES))
        return b"".join(parts)
    finally:
        os.close(fd)
