"""A failure as HTML, JSON or text: pure functions from values to bytes."""

from __future__ import annotations

import json
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from firehot_server.failure.accept import prefers
from firehot_server.failure.frames import index_to_mend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firehot_server.failure.report import Failure, Frame

__all__ = ["prefers", "render"]

# string.Template fills all places in one pass, so a "$" in a value is never taken for a place; it raises
# for a place without a value; and its "$name" collides with nothing in CSS or in the script. Values arrive
# escaped.
_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))

_TRACEBACK = (
    '<section aria-labelledby="traceback-title"><div class="bar"><h2 id="traceback-title">Traceback</h2>'
    '<button type="button" id="copy" hidden>Copy</button></div>'
    '<pre class="traceback" id="traceback" tabindex="0">{}</pre></section>'
)


def render(failure: Failure, accept: str, *, generation: int, wait_path: str) -> tuple[str, bytes]:
    """Render the failure in the form that the Accept header asks for.

    `accept` is the header's value, "" if there was none. `generation` is the one that failed. `wait_path`
    is the URL path that the HTML page keeps a request open to; it reloads itself once that request has
    ended.

    Returns the content type and the body. Raises nothing.

    Example: `render(failure, "application/json", generation=7, wait_path="/wait")[0] == "application/json"`
    """
    match prefers(accept):
        case "html":
            return "text/html; charset=utf-8", _encoded(_html(failure, generation, wait_path))
        case "json":
            return "application/json", _encoded(_json(failure, generation))
        case "text":
            return "text/plain; charset=utf-8", _encoded(_text(failure, generation))


def _encoded(text: str) -> bytes:
    # A file name that is not UTF-8 holds surrogates, which no encoding has; they are shown as "\udcff".
    return text.encode("utf-8", "backslashreplace")


def _json(failure: Failure, generation: int) -> str:
    frames = [{"path": f.path, "line": f.line, "function": f.function} for f in failure.frames]
    answer = {
        "error": failure.headline,
        "detail": failure.sentence,
        "cause": failure.cause,
        "generation": generation,
        "frames": frames,
        "traceback": failure.traceback,
    }
    return json.dumps(answer, indent=2) + "\n"


def _text(failure: Failure, generation: int) -> str:
    cause = f"Caused by the edit: {failure.cause} " if failure.cause else ""
    parts = (
        failure.headline,
        failure.sentence,
        f"{cause}(generation {generation})",
        failure.traceback.rstrip("\n"),
        "Waiting for the next save.",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(failure: Failure, generation: int, wait_path: str) -> str:
    return _PAGE.substitute(
        headline=escape(failure.headline),
        sentence=_filled('<p class="sentence">{}</p>', failure.sentence),
        more=_filled('<pre class="more" tabindex="0">{}</pre>', failure.more),
        cause=_filled('<p class="cause"><span>Caused by the edit:</span> {}</p>', failure.cause),
        generation=generation,
        wait_path=escape(wait_path),
        frames=_frames(failure.frames),
        traceback=_filled(_TRACEBACK, failure.traceback.rstrip("\n")),
    )


def _filled(markup: str, text: str) -> str:
    """Put the text, escaped, into the markup; "" if there is no text."""
    return markup.format(escape(text)) if text else ""


def _frames(frames: tuple[Frame, ...]) -> str:
    """Show the frame to mend, what it called that raised, and what called it: from the failure outwards."""
    if not frames:
        return ""
    lead = index_to_mend(frames)
    deeper, outer = frames[lead + 1 :], frames[:lead]
    parts = [_lead(frames[lead])]
    if deeper:
        parts += ["<h2>Raised deeper, in</h2>", *_stack(deeper)]
    if outer:
        parts += ["<h2>Called from</h2>", *_stack(outer)]
    return "\n".join(parts)


def _lead(frame: Frame) -> str:
    return (
        '<article class="lead" aria-labelledby="lead-title">'
        f'<h2 class="where" id="lead-title">{_where(frame)}</h2>{_excerpt(frame, focusable=True)}</article>'
    )


def _stack(frames: tuple[Frame, ...]) -> Iterator[str]:
    """Show calls innermost first: the user's own open, those in other people's code folded up run by run."""
    for first_party, run in groupby(reversed(frames), key=lambda frame: frame.first_party):
        calls = [_call(frame) for frame in run]
        if first_party or len(calls) == 1:
            yield from calls
        else:
            summary = f"<summary>{len(calls)} calls outside the project</summary>"
            yield f'<details class="run">{summary}{"".join(calls)}</details>'


def _call(frame: Frame) -> str:
    state = " open" if frame.first_party else ""
    summary = f'<summary class="where">{_where(frame)}</summary>'
    return f'<details class="call"{state}>{summary}{_excerpt(frame)}</details>'


def _where(frame: Frame) -> str:
    folder, slash, name = frame.path.rpartition("/")
    column = f":{frame.columns[0] + 1}" if frame.columns else ""
    place = f'<span class="folder">{escape(folder + slash)}</span><b>{escape(name)}:{frame.line}{column}</b>'
    return place + _filled(' <span class="function">in <code>{}</code></span>', frame.function)


def _excerpt(frame: Frame, *, focusable: bool = False) -> str:
    if not frame.excerpt.lines:
        return '<p class="no-source">There is no source to show.</p>'
    focus = ' tabindex="0"' if focusable else ""
    return f'<pre class="source"{focus}><code>{"".join(_rows(frame))}</code></pre>'


def _rows(frame: Frame) -> Iterator[str]:
    for number, text in enumerate(frame.excerpt.lines, frame.excerpt.first_line):
        if number != frame.line:
            yield f"<span>{_gutter(number)}{escape(text)}\n</span>"
            continue
        line = _gutter(number) + _marked(text, frame.columns)
        yield f'<span class="failed" aria-current="true">{line}\n</span>'
        if frame.columns and not frame.function:  # a syntax error, whose place may be past the line's end
            carets = _gutter("") + _carets(text, frame.columns)
            yield f'<span class="failed carets" aria-hidden="true">{carets}\n</span>'


def _gutter(number: int | str) -> str:
    return f'<span class="number">{number:>5}  </span>'


def _marked(text: str, columns: tuple[int, int] | None) -> str:
    if columns is None:
        return escape(text)
    start, end = columns
    return escape(text[:start]) + _filled("<mark>{}</mark>", text[start:end]) + escape(text[end:])


def _carets(text: str, columns: tuple[int, int]) -> str:
    """Underline the columns; tabs before them are kept, or the carets would not be below their characters."""
    start, end = columns
    return "".join("\t" if char == "\t" else " " for char in text[:start]) + "^" * (end - start)
