"""Where this package lies, and what else is no part of the project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGE = Path(__file__).parent
"""Its folder. It is not the project, even where it is installed editable."""

HIDDEN: Final = "__traceback_hide__"
"""A module with a variable of this name, such as an integration, tells nobody what is wrong with the project; nor does
a function with such a local variable. Debuggers of the field know the name as well."""


def files_of(modules: Iterable[str]) -> tuple[str, ...]:
    """From where these were imported; not those that are this package's, or in no file."""
    specs: list[Any] = [getattr(sys.modules.get(name), "__spec__", None) for name in modules]
    origins = [spec.origin for spec in specs if getattr(spec, "has_location", False)]
    return tuple(o for o in dict.fromkeys(origins) if isinstance(o, str) and not o.startswith(f"{PACKAGE}/"))
