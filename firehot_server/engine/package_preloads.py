"""What an environment's template preloads: every third-party module that the files of a package import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firehot_server.logs import logger
from firehot_server.supervisor.preloads import Preloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from firehot_server.config import Settings
    from firehot_server.supervisor.memory import Memory


class PackagePreloads(Preloads):
    """For one template.

    Args:
        requested_by: module → the file and line that first import it, in the order in which to preload.
        is_strict: failures are raised by whoever asked for the template, not logged.

    Attributes:
        failures: module → why it could not be preloaded, as this template found out.
    """

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        path: tuple[str, ...],
        requested_by: Mapping[str, tuple[str, int]],
        *,
        is_strict: bool,
    ) -> None:
        super().__init__(settings, memory, path)
        self.failures: dict[str, str] = {}
        self.requested_by = requested_by
        self.is_strict = is_strict
        memory.static = list(requested_by)

    def batches(self) -> Iterator[tuple[str, ...]]:
        yield self.wanted(self.requested_by)

    def reject_all(self, reasons: Iterable[tuple[str, str]]) -> None:
        found = dict(reasons)
        self.failures.update(found)
        super().reject_all(found.items())

    def tell(self, module: str, reason: str) -> None:
        if module not in self.failures or not self.is_strict:
            logger.warning("Not preloaded: %s. Each exec imports it again.", self.describe(module, reason))

    def settled(self) -> None:
        """All has been said: it is raised, or was a warning."""

    def describe(self, module: str, reason: str) -> str:
        """A failure with the place of the import."""
        file, line = self.requested_by.get(module, ("", 0))
        return f"{module}, imported by {file}:{line} ({reason})" if file else f"{module} ({reason})"
