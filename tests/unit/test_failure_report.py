"""capture(): what a live exception becomes."""

from __future__ import annotations

import contextlib
import importlib
import linecache
import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firehot_server.failure.report import Excerpt, capture, sentence_only, with_cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firehot_server.failure.report import Failure


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, on sys.path and the working directory, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(project: Path, **sources: str | bytes) -> None:
    for name, source in sources.items():
        content = source.encode() if isinstance(source, str) else source
        (project / f"{name}.py").write_bytes(content)
    importlib.invalidate_caches()


def describe(error: BaseException, first_party: str = "", hide: Callable[[str], bool] | None = None) -> Failure:
    return capture(
        error,
        is_first_party=lambda path: path.startswith(first_party),
        hide=hide or (lambda path: path == __file__),
    )


def failure_of(project: Path, name: str = "app") -> Failure:
    return describe(error_of(name), str(project))


def error_of(name: str) -> BaseException:
    try:
        importlib.import_module(name)
    except BaseException as error:
        return error
    raise AssertionError(f"{name} can be imported")


def caught(raiser: Callable[[], object]) -> BaseException:
    try:
        raiser()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def raise_(error: BaseException) -> None:
    raise error


def test_an_exception_becomes_headline_frames_and_text(project: Path) -> None:
    """An error three modules deep is reported with its calls, outermost first, without the importer's."""
    write(
        project,
        app="import middle",
        middle="import deep\n",
        deep="def compute():\n    return 1 / 0\n\n\ncompute()\n",
    )

    failure = failure_of(project)

    assert failure.headline == "ZeroDivisionError: division by zero"
    assert [(Path(frame.path).name, frame.line, frame.function) for frame in failure.frames] == [
        ("app.py", 1, "<module>"),
        ("middle.py", 1, "<module>"),
        ("deep.py", 5, "<module>"),
        ("deep.py", 2, "compute"),
    ]
    assert failure.frames[-1].excerpt == Excerpt(1, ("def compute():", "    return 1 / 0", "", "", "compute()"))
    assert failure.frames[-1].columns == (11, 16)
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert failure.traceback.endswith("ZeroDivisionError: division by zero\n")
    assert "importlib" not in failure.traceback
    assert __file__ not in failure.traceback
    assert failure.cause == ""


def test_an_excerpt_has_five_lines_on_either_side(project: Path) -> None:
    """Out of a long file, eleven lines around the failing one are shown."""
    write(project, app="\n".join([*(f"x{n} = {n}" for n in range(1, 20)), "1 / 0", *["pass"] * 20]))

    excerpt = failure_of(project).frames[-1].excerpt

    assert (excerpt.first_line, len(excerpt.lines)) == (15, 11)
    assert excerpt.line(20) == "1 / 0"
    assert excerpt.line(14) is None
    assert excerpt.line(26) is None


@pytest.mark.parametrize(
    ("source", "headline", "line", "columns"),
    [
        pytest.param("x = 1\ndef f()\n    pass\n", "SyntaxError: expected ':'", 2, (7, 8), id="past the end"),
        pytest.param("x = (1,\ny = 2\n", "SyntaxError: '(' was never closed", 1, (4, 5), id="never closed"),
        pytest.param("if x:\npass\n", "IndentationError: expected an indented block", 2, (0, 4), id="indent"),
        pytest.param("def f(\n    x y\n):\n    pass\n", "SyntaxError: ", 2, None, id="inside brackets"),
        pytest.param("x = (a\n     b)\n", "SyntaxError: invalid syntax. Perhaps", 1, (5, 6), id="two lines"),
        pytest.param("é = 'ü' 5\n", "SyntaxError: ", 1, None, id="not ASCII"),
        pytest.param(b"x = 'caf\xe9'\n", "SyntaxError: (unicode error)", 1, None, id="not UTF-8"),
        pytest.param("# coding: nosuch\nx = 1\n", "SyntaxError: ", 1, None, id="unknown encoding"),
    ],
)
def test_a_syntax_error_ends_with_its_own_place(
    project: Path, source: str | bytes, headline: str, line: int, columns: tuple[int, int] | None
) -> None:
    """Whatever cannot be compiled is shown where it stands, after the import that met it."""
    write(project, app="import broken\n", broken=source)

    failure = failure_of(project)

    assert failure.headline.startswith(headline)
    assert len(failure.frames) == 2
    place = failure.frames[-1]
    assert (place.path, place.line, place.function) == (str(project / "broken.py"), line, "")
    assert place.excerpt.lines
    assert failure.sentence.startswith(f"Python cannot parse broken.py line {line};")
    if columns:
        assert place.columns == columns


def test_a_syntax_error_without_a_place_shows_the_import(project: Path) -> None:
    """The compiler names no file for a NUL in the source; the import statement that met it is shown."""
    write(project, app="x = 1\nimport broken\n", broken="x = '\0'\n")

    failure = failure_of(project)

    assert [(frame.line, frame.function) for frame in failure.frames] == [(2, "<module>")]
    assert failure.sentence == ""


def test_a_syntax_error_of_the_app_itself_has_one_frame(project: Path) -> None:
    """If nothing of the user's called the broken file, the file alone is shown."""
    write(project, app="def")

    failure = failure_of(project)

    assert [frame.path for frame in failure.frames] == [str(project / "app.py")]
    assert failure.traceback.startswith('  File "')


def test_a_syntax_error_in_a_string_shows_the_string(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code from exec() has no file; its line is known all the same."""
    write(project, app="exec('x = = 1')")
    # As since Python 3.13, if the process was started with -c.
    monkeypatch.setitem(linecache.cache, "<string>", (6, None, ["import app"], "<string>"))

    place = failure_of(project).frames[-1]

    assert (place.path, place.excerpt) == ("<string>", Excerpt(1, ("x = = 1",)))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no",),
        ("no", (None, None, None, None)),
        ("no", ("a\0b", "x", "y", 5)),
        ("no", (b"f", 9, -1, b"")),
    ],
)
def test_a_syntax_error_made_by_hand_is_reported(arguments: tuple[object, ...]) -> None:
    """A SyntaxError whose attributes are missing or of the wrong type does no harm."""
    failure = describe(caught(lambda: raise_(SyntaxError(*arguments))))

    assert failure.headline.startswith("SyntaxError")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        pytest.param(
            "import sys\nsys.exit(3)\n",
            "The app called sys.exit(3) while it was imported, in app.py line 2; "
            'remove the call or move it below `if __name__ == "__main__":`.',
            id="exit with a code",
        ),
        pytest.param(
            "import sys\nsys.exit()\n",
            "The app called sys.exit() while it was imported, in app.py line 2; "
            'remove the call or move it below `if __name__ == "__main__":`.',
            id="exit without a code",
        ),
        pytest.param(
            "raise SystemExit('bye')\n",
            "The app called sys.exit('bye') while it was imported, in app.py line 1; "
            'remove the call or move it below `if __name__ == "__main__":`.',
            id="exit with a message",
        ),
        pytest.param(
            "\nimport no_such_module\n",
            "No module 'no_such_module' can be found for the import in app.py line 2; "
            "correct the name, add the file, or install the package that provides it.",
            id="missing module",
        ),
        pytest.param(
            "from app import name\n",
            "The modules around app.py line 1 import one another in a circle; "
            "move one of these imports into the function that needs it.",
            id="circle",
        ),
        pytest.param(
            "try:\n    {}['key']\nexcept KeyError as error:\n    raise OSError('no settings') from error\n",
            "It was caused by KeyError: 'key', in app.py line 2.",
            id="explicit cause",
        ),
        pytest.param("raise ValueError('no')\n", "", id="nothing to add"),
    ],
)
def test_the_sentence_says_what_to_do(project: Path, source: str, sentence: str) -> None:
    """Kinds of failure with a known remedy get one sentence, and the others none."""
    write(project, app=source)

    assert failure_of(project).sentence == sentence


def test_an_exit_outside_an_import_has_its_own_sentence(project: Path) -> None:
    """sys.exit() in a start-up function is not said to have happened in an import."""
    write(project, app="import sys\n\n\ndef start():\n    sys.exit(1)\n")
    app = importlib.import_module("app")

    failure = describe(caught(app.start), str(project))

    assert failure.sentence == "The app called sys.exit(1) while it was starting, in app.py line 5; remove the call."


@pytest.mark.parametrize(
    ("source", "line"),
    [
        pytest.param("try:\n    1 / 0\nexcept Exception as e:\n    raise OSError from e\n", 2, id="cause"),
        pytest.param("try:\n    1 / 0\nexcept Exception:\n    raise OSError\n", 4, id="context"),
        pytest.param("try:\n    1 / 0\nexcept Exception:\n    raise OSError from None\n", 4, id="suppressed"),
        pytest.param("raise OSError from ValueError('never raised')\n", 1, id="cause without frames"),
        pytest.param("try:\n    import json.no\nexcept ImportError:\n    1 / 0\n", 4, id="fallback"),
        pytest.param(
            "try:\n    1 / 0\nexcept Exception as e:\n    raise ExceptionGroup('g', [e, OSError()])\n",
            2,
            id="group",
        ),
    ],
)
def test_the_frames_are_of_the_exception_to_mend(project: Path, source: str, line: int) -> None:
    """An explicit cause and a group's first member are what to mend; an exception's mere context is not."""
    write(project, app=source)

    assert failure_of(project).frames[-1].line == line


def test_a_cause_inside_a_library_is_not_what_to_mend(project: Path, tmp_path: Path) -> None:
    """A library's public exception, raised from an internal one, is shown where the user's code met it."""
    write(project, app="import library\n\nlibrary.get()\n")
    source = "def get():\n    try:\n        {}['x']\n    except KeyError as e:\n        raise ValueError from e\n"
    write(project, library=source)

    failure = describe(error_of("app"), str(project / "app.py"))

    assert [(frame.line, frame.first_party) for frame in failure.frames] == [(3, True), (5, False)]


def test_hidden_frames_are_gone_from_chains_and_groups(project: Path) -> None:
    """A file that hide() names appears in no part of the traceback, and all other calls do."""
    write(
        project,
        ours="def call(function):\n    function()\n",
        app="""
import ours

def first():
    raise KeyError("first")

def second():
    try:
        ours.call(first)
    except KeyError as error:
        raise ValueError("second") from error

def third():
    try:
        ours.call(second)
    except ValueError as error:
        raise ExceptionGroup("third", [error, OSError("fourth")])

def last():
    try:
        ours.call(third)
    except ExceptionGroup:
        raise RuntimeError("last")

ours.call(last)
""",
    )

    failure = describe(error_of("app"), str(project), hide=lambda path: path.endswith(("ours.py", __file__)))

    assert "ours.py" not in failure.traceback
    for word in ("in first", "in second", "in third", "in last", "OSError: fourth"):
        assert word in failure.traceback
    assert {frame.path for frame in failure.frames} == {str(project / "app.py")}


def test_the_text_is_the_interpreters(project: Path) -> None:
    """With nothing hidden, an ordinary traceback reads as the standard library prints it."""
    write(project, app="try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise OSError('no')\n")
    app = compile((project / "app.py").read_text(), str(project / "app.py"), "exec")
    error = caught(lambda: exec(app))

    failure = capture(error, is_first_party=lambda path: True, hide=lambda path: False)

    assert failure.traceback == "".join(traceback.format_exception(error))


def test_a_message_of_several_lines_is_split(project: Path) -> None:
    """The headline stays one line; what follows, notes included, is kept beside it."""
    write(project, app="e = ValueError('2 errors\\n  one\\n  two')\ne.add_note('seen in A')\nraise e\n")

    failure = failure_of(project)

    assert failure.headline == "ValueError: 2 errors"
    assert failure.more == "  one\n  two\nseen in A"


def test_first_party_is_what_the_caller_says(project: Path) -> None:
    """Each frame carries the caller's verdict on its file."""
    write(project, app="import json\n\njson.loads('{')\n")

    verdicts = [frame.first_party for frame in failure_of(project).frames]

    assert verdicts[0]
    assert not any(verdicts[1:])


def test_endless_recursion_is_condensed(project: Path) -> None:
    """A thousand calls become a dozen frames and a few hundred lines that say how many are missing."""
    write(project, app="def even(n):\n    odd(n)\n\ndef odd(n):\n    even(n)\n\neven(0)\n")

    failure = failure_of(project)

    assert failure.headline.startswith("RecursionError: ")
    assert len(failure.frames) == 7
    assert failure.frames[0].line == 7
    assert failure.traceback.count("\n") < 400
    assert "lines left out …" in failure.traceback
    assert failure.traceback.rstrip().splitlines()[-1].startswith("RecursionError: ")


class Unprintable(Exception):
    """Its message cannot be had."""

    def __str__(self) -> str:
        sys.exit(9)


class Untyped(type):
    """A metaclass that breaks what every class has."""

    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError(f"no {name}")


class Unnamed(Exception, metaclass=Untyped):
    """Its type has no qualified name."""


@pytest.mark.parametrize(
    ("error", "headline"),
    [
        pytest.param(Unprintable(), f"{__name__}.Unprintable: <exception str() failed>", id="str exits"),
        pytest.param(Unnamed(), "Unnamed", id="no name"),
        pytest.param(ValueError("x" * 10_000_000), "ValueError: xxxxx", id="10 MB"),
        pytest.param(ValueError("x\n" * 1_000_000), "ValueError: x", id="a million lines"),
        pytest.param(ValueError("\udcff"), "ValueError: \udcff", id="lone surrogate"),
        pytest.param(SystemExit(b"\0" * 10_000_000), "SystemExit: b'", id="10 MB exit code"),
        pytest.param(SyntaxError("bad", ("f", 1, 1, "x" * 10_000_000)), "SyntaxError: bad", id="10 MB line"),
        pytest.param(ValueError(), "ValueError", id="no message"),
        pytest.param(KeyboardInterrupt(), "KeyboardInterrupt", id="interrupt"),
    ],
)
def test_no_exception_is_too_strange(error: BaseException, headline: str) -> None:
    """Any exception is described, in bounded space, in values that pickle."""
    failure = describe(caught(lambda: raise_(error)))

    assert failure.headline.startswith(headline)
    assert len(failure.headline) < 400
    assert len(failure.traceback) < 100_000
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_a_cycle_of_causes_ends() -> None:
    """Two exceptions that name each other as cause are described once each."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert describe(caught(lambda: raise_(first))).headline == "ValueError: first"


def test_a_missing_source_leaves_the_excerpt_empty(project: Path) -> None:
    """A frame whose file is gone has a place but no lines."""
    exec_globals: dict[str, object] = {}
    exec(compile("def f():\n    1 / 0\n", str(project / "gone.py"), "exec"), exec_globals)

    place = describe(caught(exec_globals["f"])).frames[-1]

    assert (place.path, place.line, place.excerpt.lines) == (str(project / "gone.py"), 2, ())


def test_a_source_that_never_ends_is_not_read(project: Path) -> None:
    """A frame that names a pipe or a device gets no excerpt, instead of a wait for ever."""
    pipe = str(project / "pipe.py")
    os.mkfifo(pipe)

    place = describe(caught(lambda: raise_(SyntaxError("no", (pipe, 1, 1, None))))).frames[-1]

    assert (place.path, place.excerpt.lines) == (pipe, ())


def test_huge_lines_are_cut(project: Path) -> None:
    """A line of generated source takes no more room than a page can show."""
    write(project, app=f"x = [{'1, ' * 200_000}]; 1 / 0\n")

    failure = failure_of(project)

    assert all(len(line) < 600 for line in failure.frames[-1].excerpt.lines)
    assert len(failure.traceback) < 2_000


def test_columns_count_characters(project: Path) -> None:
    """Expressions after letters that are not ASCII are marked where they are."""
    write(project, app="name = 'äöü€'; x = 1 / 0; y = 2\n")

    frame = failure_of(project).frames[-1]

    assert frame.columns is not None
    start, end = frame.columns
    assert frame.excerpt.lines[0][start:end] == "1 / 0"


def test_a_failing_callable_is_survived(project: Path) -> None:
    """If the caller's own predicates raise, the exception is described without frames."""

    def broken(path: str) -> bool:
        raise LookupError(path)

    failure = capture(caught(lambda: 1 / 0), is_first_party=broken, hide=broken)

    assert failure.headline == "ZeroDivisionError"
    assert "LookupError" in failure.sentence
    assert __file__ in failure.traceback


def test_a_removed_working_directory_is_survived(project: Path, tmp_path: Path) -> None:
    """Paths are shown whole where there is no folder to be relative to."""
    write(project, app="import no_such_module\n")
    error = error_of("app")
    folder = tmp_path / "gone"
    folder.mkdir()
    with contextlib.chdir(folder):
        folder.rmdir()
        failure = describe(error, str(project))

    assert f"in {project / 'app.py'} line 1" in failure.sentence


def test_a_failure_without_an_exception_has_words_only() -> None:
    """sentence_only() makes a failure with neither traceback nor frames."""
    failure = sentence_only("The app crashed", "Its process got SIGSEGV.")

    assert (failure.headline, failure.sentence) == ("The app crashed", "Its process got SIGSEGV.")
    assert (failure.traceback, failure.frames, failure.cause, failure.more) == ("", (), "", "")


def test_the_cause_is_added_to_a_copy() -> None:
    """with_cause() gives a failure that differs in its cause only."""
    failure = sentence_only("a", "b")

    assert with_cause(failure, "app.py changed").cause == "app.py changed"
    assert failure.cause == ""
    assert with_cause(with_cause(failure, "app.py changed"), "") == failure
