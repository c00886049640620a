"""What to tell a user about an exception, in one line and in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from firehot_server.failure.excerpt import shortened
from firehot_server.failure.frames import index_to_mend

if TYPE_CHECKING:
    from firehot_server.failure.frames import Frame

HEADLINE_LIMIT = 300


def headline(error: BaseException) -> str:
    """Name the type of an exception and the first line of its message, as the interpreter does."""
    message = _message(error).strip().partition("\n")[0]
    return shortened(f"{_type_name(error)}: {message}" if message else _type_name(error), HEADLINE_LIMIT)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and isinstance(error.msg, str):
        return error.msg  # str() would add the place, which is shown by itself
    try:
        return str(error)
    except BaseException:  # the user's __str__ may even call sys.exit()
        return "<exception str() failed>"


def sentence(error: BaseException, to_mend: BaseException, frames: tuple[Frame, ...]) -> str:
    """Say what happened, where, and what to do about it; "" where the headline has said it all.

    `frames` are those of `to_mend`: of `error` itself, or of the exception that it was raised from.
    """
    if not frames:
        return ""
    if to_mend is not error:
        return f"It was caused by {headline(to_mend)}, in {_place(frames[index_to_mend(frames)])}."
    raised, own = _place(frames[-1]), _place(frames[index_to_mend(frames)])
    match error:
        case SystemExit():
            return _sentence_about_exit(error, own, frames)
        case SyntaxError() if not frames[-1].function:
            return f"Python cannot parse {raised}; correct that line, or the one before it."
        case ModuleNotFoundError(name=str(name)):
            remedy = "correct the name, add the file, or install the package that provides it"
            return f"No module {name!r} can be found for the import in {raised}; {remedy}."
        case ImportError() | AttributeError() if "partially initialized module" in _message(error):
            remedy = "move one of these imports into the function that needs it"
            return f"The modules around {own} import one another in a circle; {remedy}."
    return ""


def _sentence_about_exit(error: SystemExit, place: str, frames: tuple[Frame, ...]) -> str:
    code = error.code if isinstance(error.code, int | str) else None
    call = f"sys.exit({'' if code is None else shortened(repr(code), 80)})"
    if any(frame.function == "<module>" for frame in frames):
        remedy = 'remove the call or move it below `if __name__ == "__main__":`'
        return f"The app called {call} while it was imported, in {place}; {remedy}."
    return f"The app called {call} while it was starting, in {place}; remove the call."


def _place(frame: Frame) -> str:
    """Name a frame's file and line, relative to the working directory if the file is below it."""
    try:
        path = str(Path(frame.path).relative_to(Path.cwd()))
    except (OSError, ValueError):  # OSError: the working directory was removed
        path = frame.path
    return f"{path} line {frame.line}"
