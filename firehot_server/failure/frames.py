"""The calls that led to an exception, with the source around each."""

from __future__ import annotations

import os
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firehot_server.failure.excerpt import LINE_LIMIT, Excerpt, excerpt_around, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SAME_CALL_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One call on the way to the exception.

    `path` is the file as the interpreter names it (a surrogate stands for each byte that is not UTF-8),
    `line` is 1-based, `function` is "<module>" at a module's top level and "" for the place of a syntax
    error. `columns` are the 0-based first and past-the-end characters within that line of the expression
    that failed, or None where the interpreter does not know or means the whole line.

    Example: `Frame("/src/app.py", 7, "<module>", Excerpt(7, ("1 / 0",)), first_party=True)`
    """

    path: str
    line: int
    function: str
    excerpt: Excerpt
    first_party: bool
    columns: tuple[int, int] | None = None


def frames_of(
    error: BaseException, is_first_party: Callable[[str], bool], hidden: Callable[[str], bool]
) -> tuple[Frame, ...]:
    """List the calls that raised one exception, outermost first, without the hidden ones.

    Both callables get a file name. The place that a SyntaxError complains about comes last. Of the calls of
    an endless recursion only some are listed.
    """
    calls = [call for call in traceback.extract_tb(error.__traceback__) if not hidden(call.filename)]
    frames = [_frame(call, is_first_party) for call in _without_repeats(calls)]
    if isinstance(error, SyntaxError):
        frames.extend(_place_of_syntax_error(error, is_first_party))
    return tuple(frames)


def index_to_mend(frames: tuple[Frame, ...]) -> int:
    """Choose the innermost first-party frame, which the user can edit, or else the innermost of all.

    There must be at least one frame.
    """
    first_party = [index for index, frame in enumerate(frames) if frame.first_party]
    return first_party[-1] if first_party else len(frames) - 1


def _without_repeats(calls: list[traceback.FrameSummary]) -> Iterable[traceback.FrameSummary]:
    """Keep the innermost three of equal calls, so that endless recursion stays readable."""
    seen: dict[tuple[str, int | None, str], int] = {}
    kept: deque[traceback.FrameSummary] = deque()
    for call in reversed(calls):
        place = (call.filename, call.lineno, call.name)
        seen[place] = seen.get(place, 0) + 1
        if seen[place] <= SAME_CALL_LIMIT:
            kept.appendleft(call)
    return kept


def _frame(call: traceback.FrameSummary, is_first_party: Callable[[str], bool]) -> Frame:
    line = call.lineno or 0
    excerpt = excerpt_around(call.filename, line)
    columns = _columns_of_call(call, excerpt.line(line))
    return Frame(call.filename, line, call.name, excerpt, is_first_party(call.filename), columns)


def _columns_of_call(call: traceback.FrameSummary, text: str | None) -> tuple[int, int] | None:
    """Turn the compiler's UTF-8 offsets into characters; None if they span the whole line."""
    if text is None or call.colno is None or call.end_colno is None:
        return None
    encoded = text.encode("utf-8", "surrogatepass")
    one_line = call.end_lineno in (None, call.lineno)
    start = len(encoded[: call.colno].decode("utf-8", "replace"))
    end = len(encoded[: call.end_colno].decode("utf-8", "replace")) if one_line else len(text.rstrip())
    return None if text[start:end].strip() in ("", text.strip()) else (start, end)


def _place_of_syntax_error(error: SyntaxError, is_first_party: Callable[[str], bool]) -> Iterator[Frame]:
    path = error.filename
    if not isinstance(path, str) or not path:
        return  # the compiler does not say where, as for a NUL in the source; the import statement must do
    line = error.lineno if isinstance(error.lineno, int) and error.lineno > 0 else 1
    if isinstance(error.text, str) and not os.path.exists(path):
        # Such as exec() of a string: there is no file, but the line itself is known. What linecache has under that
        # name may be another string: since Python 3.13 the one of `python -c`.
        excerpt = Excerpt(line, (shortened(error.text.rstrip("\r\n"), LINE_LIMIT),))
    else:
        excerpt = excerpt_around(path, line)
    columns = _columns_of_syntax_error(error, line, excerpt.line(line))
    yield Frame(path, line, "", excerpt, is_first_party(path), columns)


def _columns_of_syntax_error(error: SyntaxError, line: int, text: str | None) -> tuple[int, int] | None:
    if text is None or not isinstance(error.offset, int) or error.offset < 1:
        return None
    start = min(error.offset - 1, len(text))
    end = error.end_offset if isinstance(error.end_offset, int) else 0
    if error.end_lineno not in (None, line):
        end = len(text) + 1
    # At least one column, though it may lie past the end of the line: that is where a ":" was expected.
    return start, max(start + 1, min(end - 1, len(text)))
