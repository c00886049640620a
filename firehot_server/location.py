"""Where this package lies, and what else is no part of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PACKAGE = Path(__file__).parent
"""Its folder. It is not the project, even where it is installed editable."""

HIDDEN: Final = "__traceback_hide__"
"""A module with a variable of this name, such as an integration, tells nobody what is wrong with the project; nor does
a function with such a local variable. Debuggers of the field know the name as well."""
