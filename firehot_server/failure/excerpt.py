"""Pieces of source text, cut to what a page can show."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from pathlib import Path

LINES_AROUND = 5
LINE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive lines of a source file.

    `first_line` is the 1-based number of the first of `lines`. The lines have no line ends; a line longer
    than 500 characters is cut. No lines at all means that the source could not be read.

    Example: `Excerpt(first_line=7, lines=("def users():", "    return 1 / 0"))`
    """

    first_line: int
    lines: tuple[str, ...]

    def line(self, number: int) -> str | None:
        """Give the line with this 1-based number of the file, or None if the excerpt does not have it."""
        index = number - self.first_line
        return self.lines[index] if 0 <= index < len(self.lines) else None


def excerpt_around(path: str, line: int) -> Excerpt:
    """Cut the lines around the 1-based `line` out of the file, five on either side.

    Raises nothing: a file that is missing or is no text gives an excerpt without lines.
    """
    first = max(1, line - LINES_AROUND)
    lines = _source_lines(path)[first - 1 : line + LINES_AROUND]
    return Excerpt(first, tuple(shortened(text.rstrip("\r\n"), LINE_LIMIT) for text in lines))


def shortened(text: str, limit: int) -> str:
    """Cut the text to about `limit` characters, and say how many were left out.

    Example: `shortened("a" * 100, 10) == "aaaaaaaaaa… (90 more characters)"`
    """
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]}… ({left_out:,} more characters)"


def _source_lines(path: str) -> list[str]:
    """Read all lines of a source file, as the interpreter numbers them; an unreadable file has none.

    Bytes that are not valid in the file's encoding come out as U+FFFD, for it is such a file's very fault
    that is to be shown.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            return []  # a pipe or a device, reading which might never end
        linecache.checkcache(path)
        return linecache.getlines(path) or _undecoded_lines(Path(path))
    except (OSError, ValueError):  # ValueError: a name that no file can have, such as one with a NUL in it
        return []


def _undecoded_lines(path: Path) -> list[str]:
    """Read a file that is not in the encoding it claims."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readlines()
