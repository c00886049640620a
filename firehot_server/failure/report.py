"""A failure as plain values: taken from a live exception once, then shown, logged or sent to another process.

Nothing here may raise: the code that failed is the user's, and so are its exceptions, with whatever their
`__str__` does. What cannot be had is left out.
"""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firehot_server.failure.excerpt import LINE_LIMIT, Excerpt, shortened
from firehot_server.failure.frames import Frame, frames_of
from firehot_server.failure.sentence import headline, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Excerpt", "Failure", "Frame", "capture", "sentence_only", "with_cause"]

TEXT_LINE_LIMIT = 1_000
TEXT_HEAD_LINES = 100
TEXT_TAIL_LINES = 200

_IMPORT_MACHINERY = ("<frozen importlib", importlib.__file__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the app cannot answer, in values that pickle.

    `headline` is one line, such as "SyntaxError: expected ':'". `sentence` says what happened, where, and
    what to do about it; "" where the headline has said it all. `traceback` is the text the interpreter
    would have printed, "" without an exception. `frames` are the calls that led to it, outermost first.
    `cause` is the edit that broke the app, such as "routes/users.py changed"; "" on the first start. `more`
    is what the message says after its first line, notes included; it is part of `traceback` too.
    """

    headline: str
    sentence: str
    traceback: str
    frames: tuple[Frame, ...]
    cause: str
    more: str = ""


def capture(
    error: BaseException,
    *,
    is_first_party: Callable[[str], bool],
    hide: Callable[[str], bool],
) -> Failure:
    """Describe an exception that was caught.

    Both callables get a frame's file name. Frames that `hide` is true for, and those of the import
    machinery, are left out everywhere: in the exceptions of a chain and of a group as well.
    `Failure.frames` are those of the exception to mend: the one at the bottom of `raise ... from ...`, the
    first one of a group; but not one that never went through first-party code, if another did. An exception
    raised while another one was being handled is itself the one to mend, as in
    `except ImportError: import fallback`.

    Raises nothing.

    Example:
        try:
            importlib.import_module("app")
        except BaseException as error:
            failure = capture(error, is_first_party=in_project, hide=in_this_package)
    """

    def hidden(path: str) -> bool:
        return path.startswith(_IMPORT_MACHINERY) or hide(path)

    try:
        return _described(error, is_first_party, hidden)
    except Exception as problem:  # an exception class can break every promise that exceptions make
        return _bare(error, problem, hidden)


def sentence_only(headline: str, sentence: str) -> Failure:
    """Describe a failure that has no exception: a killed process, a passed deadline, a missing app.

    Example: `sentence_only("The app crashed", "Importing app.py ended the process with SIGSEGV.")`
    """
    return Failure(headline, sentence, traceback="", frames=(), cause="")


def with_cause(failure: Failure, cause: str) -> Failure:
    """Give the same failure with the edit that caused it, such as "routes/users.py changed"."""
    return replace(failure, cause=cause)


def _described(error: BaseException, is_first_party: Callable[[str], bool], hidden: Callable[[str], bool]) -> Failure:
    to_mend, frames = _to_mend([(step, frames_of(step, is_first_party, hidden)) for step in _causes(error)])
    return Failure(
        headline=headline(error),
        sentence=sentence(error, to_mend, frames),
        traceback=_text(error, hidden),
        frames=frames,
        cause="",
        more=_more(error),
    )


def _bare(error: BaseException, problem: Exception, hidden: Callable[[str], bool]) -> Failure:
    """Describe an exception by what cannot fail: its type's name, and the places without their source."""
    name = type.__dict__["__name__"].__get__(type(error))
    lines = ["Traceback (most recent call last):"]
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not _is_true(hidden, code.co_filename):
            lines.append(f'  File "{code.co_filename}", line {line}, in {code.co_name}')
    sentence = f"More cannot be shown: describing this exception raised {type(problem).__name__}."
    return Failure(name, sentence, _condensed("\n".join([*lines, name, ""])), frames=(), cause="")


def _is_true(predicate: Callable[[str], bool], path: str) -> bool:
    try:
        return predicate(path)
    except Exception:  # what made the description fail may have been this very callable
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go from an exception to the one it was raised from, or the first of its group, and on to the last."""
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        yield step
        step = step.exceptions[0] if isinstance(step, BaseExceptionGroup) else step.__cause__


def _to_mend(
    chain: list[tuple[BaseException, tuple[Frame, ...]]],
) -> tuple[BaseException, tuple[Frame, ...]]:
    """Choose the deepest cause that shows the user's own code, or else any code, or else the error itself.

    Libraries raise their public exceptions from internal ones; those mean nothing to the user.
    """
    own = [step for step in chain if any(frame.first_party for frame in step[1])]
    some = [step for step in chain if step[1]]
    return [*chain[:1], *some[-1:], *own[-1:]][-1]


def _more(error: BaseException) -> str:
    """Give the lines of the message after the first, and the notes."""
    if isinstance(error, SyntaxError):
        return ""
    whole = "".join(traceback.format_exception_only(error))
    return _condensed(whole.partition("\n")[2].strip("\n"))


def _text(error: BaseException, hidden: Callable[[str], bool]) -> str:
    shown = traceback.TracebackException.from_exception(error)
    pending = [shown]
    while pending:
        step = pending.pop()
        step.stack[:] = [_slim(call) for call in step.stack if not hidden(call.filename)]
        followed = (step.__cause__, step.__context__, *(step.exceptions or ()))
        pending.extend(other for other in followed if other is not None)
    return _condensed("".join(shown.format()))


def _slim(call: traceback.FrameSummary) -> traceback.FrameSummary:
    """Cut a huge source line before it is formatted: placing carets under it parses all of it."""
    line = call.line or ""
    if len(line) <= LINE_LIMIT:
        return call
    return traceback.FrameSummary(
        call.filename, call.lineno, call.name, lookup_line=False, line=shortened(line, LINE_LIMIT)
    )


def _condensed(text: str) -> str:
    """Cut each line, and the middle out of very many of them; the end, where the message is, matters most."""
    lines = [shortened(line, TEXT_LINE_LIMIT) for line in text.split("\n")]
    left_out = len(lines) - TEXT_HEAD_LINES - TEXT_TAIL_LINES
    if left_out > 0:
        lines[TEXT_HEAD_LINES:-TEXT_TAIL_LINES] = [f"  … {left_out:,} lines left out …"]
    return "\n".join(lines)
