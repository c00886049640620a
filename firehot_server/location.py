"""Where this package lies."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
"""Its folder. It is not the project, even where it is installed editable."""
