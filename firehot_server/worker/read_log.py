"""The read log: in order, all of the project on which this process's state depends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from firehot_server.fingerprint import data_digest_of, name_of
from firehot_server.lookups import watch_lookups
from firehot_server.messages import Read, Reads, Unkept, Written
from firehot_server.worker.data_reads import DataReads
from firehot_server.worker.reads import BytecodeCache, watch_source_reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from firehot_server.discovery.origin import Origins
    from firehot_server.messages import Message
    from firehot_server.worker.audit_events import AuditEvents


class ReadLog:
    """Watches what this process reads, and tells.

    Modules, and the places where imports look for them, are seen for as long as the process lives; data files and
    folders only while the app is imported, and later while a module of the project is.

    Args:
        project: the working directory.
        cache_dir: our own cache folder; empty: none.
        send: tells the supervisor.
        lay_down: the same, but it needs not know at once: when it looks by itself, or is sent something.
        before: called with the path of a data file or folder that is about to be read for the first time.
    """

    def __init__(
        self,
        origins: Origins,
        project: str,
        cache_dir: str,
        send: Callable[[Message], None],
        lay_down: Callable[[Reads], None],
        before: Callable[[str], None],
    ) -> None:
        self._send = send
        self._lay_down = lay_down
        self._is_importing = False
        self._lock = threading.Lock()
        self._untold: list[Read] = []
        self._looked: dict[str, bytes] = {}
        self.modules = 0
        """How many were read."""
        self.is_quiet = False
        """This process waits: what it reads now is not the project's doing."""
        self._data = DataReads(
            origins.is_first_party,
            project,
            cache_dir,
            before,
            self._told,
            self._written,
        )
        bytecode = BytecodeCache(cache_dir, lambda reason: send(Unkept(reason)))
        watch_source_reads(origins.is_first_party, self._module, bytecode, self._data.running)
        watch_lookups(origins.is_first_party, self._lookup)

    def begin(self, events: AuditEvents) -> None:
        """The import of the app begins: data files and folders count."""
        self._is_importing = True
        self._data.listen(events)

    def imported(self) -> None:
        """It has ended."""
        self.flush()
        self._is_importing = False
        self._data.imported()

    def flush(self) -> None:
        """Tell what has not been told yet: places where an import looked, and which had no effect until now."""
        if not self._untold:
            return
        with self._lock:
            reads, self._untold = tuple(self._untold), []
        # The supervisor looks by itself only while the app is imported.
        (self._lay_down if self._is_importing else self._send)(Reads(reads))

    def _module(self, module: str, path: str, digest: bytes | None) -> None:
        self.modules += 1
        # A loader may have been given a name of any class of texts, which nobody else needs to know.
        self._told(Read("module", name_of(str.__str__(path)), digest, str.__str__(module)))

    def _told(self, read: Read) -> None:
        self._note(read)
        self.flush()

    def _written(self, path: str) -> None:
        if not self.is_quiet:
            self._send(Written(path))

    def _lookup(self, path: str, found: bytes) -> None:
        if self._looked.get(path) == found:
            return
        self._looked[path] = found
        self._note(Read("lookup", path, found))
        if found and not found.endswith((b".py", b"/")):
            # An extension module, or bytecode without a source: the loader that `reads` knows will not read it.
            file = path + found.decode()
            self._note(Read("data", file, data_digest_of(file)))

    def _note(self, read: Read) -> None:
        if self.is_quiet:
            return
        with self._lock:
            self._untold.append(read)
