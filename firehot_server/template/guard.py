"""The guard: in the template, no project code is ever imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class FirstPartyImport(ImportError):
    """A third-party module asked for project code, which the template must not run."""


class ImportGuard:
    """A meta path finder that refuses first-party modules and leaves all else to the finders behind it.

    Args:
        is_first_party: whether a file or folder belongs to the project.

    Example:
        ```python
        with ImportGuard(origins.is_first_party):
            importlib.import_module("pandas")
        ```
    """

    def __init__(self, is_first_party: Callable[[str], bool]) -> None:
        self._is_first_party = is_first_party
        self._refused: list[str] = []

    def take_refused(self) -> list[str]:
        """The modules that were refused since the last call, also where the one who asked made do without."""
        refused, self._refused = self._refused, []
        return refused

    def __enter__(self) -> ImportGuard:
        sys.meta_path.insert(0, self)
        self._report, sys.unraisablehook = sys.unraisablehook, self._report_others
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.meta_path.remove(self)
        if sys.unraisablehook == self._report_others:
            sys.unraisablehook = self._report

    def _report_others(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Native code that cannot pass on what we raise would print it; who asked is named elsewhere."""
        if unraisable.exc_type is not FirstPartyImport:
            self._report(unraisable)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find as the other finders would.

        Raises:
            FirstPartyImport: what they found belongs to the project.
        """
        for finder in sys.meta_path:
            if finder is self:
                continue
            # A finder of the old kind has no such method; the interpreter passes it over, too.
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find is not None else None
            if spec is not None:
                if self.refuses(spec):
                    self._refused.append(fullname)
                    raise FirstPartyImport(f"it imports project code ({fullname})", name=fullname)
                return spec
        return None

    def refuses(self, spec: ModuleSpec) -> bool:
        """Whether a module of this kind belongs to the project."""
        if spec.has_location and spec.origin is not None:
            return self._is_first_party(spec.origin)
        # A namespace package has no file of its own; one first-party portion makes it the project's.
        return any(self._is_first_party(entry) for entry in spec.submodule_search_locations or ())
