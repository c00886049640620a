"""What counts as an import of a source text."""

import ast
import builtins
import sys
import types
import warnings
from contextlib import suppress
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firehot_server.discovery.conditions import truth
from firehot_server.discovery.imports import Import, scan

HERE, OTHER = ("linux", "win32") if sys.platform == "linux" else ("darwin", "linux")


def found(source, module="pkg.sub.mod", is_package=False):
    return scan(dedent(source), module=module, is_package=is_package).imports


def modules(source, **where):
    return [each.module for each in found(source, **where)]


def test_every_field_of_an_import():
    source = """\
        import a.b, c as d
        from e.f import g, h as i
        from j import *

        def build():
            import k
        try:
            import m
        except ImportError:
            m = None
    """
    assert found(source) == (
        Import("a.b", (), 1),
        Import("c", (), 1),
        Import("e.f", ("g", "h"), 2),
        Import("j", ("*",), 3),
        Import("k", (), 6, deferred=True),
        Import("m", (), 8, optional=True),
    )


@pytest.mark.parametrize(
    ("statement", "module", "is_package", "expected"),
    [
        ("from . import x", "pkg.sub.mod", False, ["pkg.sub"]),
        ("from . import x", "pkg.sub", True, ["pkg.sub"]),
        ("from .. import x", "pkg.sub.mod", False, ["pkg"]),
        ("from .. import x", "pkg.sub", True, ["pkg"]),
        ("from .x import y", "pkg.sub.mod", False, ["pkg.sub.x"]),
        ("from ..x.y import z", "pkg.sub.mod", False, ["pkg.x.y"]),
        ("from ... import x", "pkg.sub.mod", False, []),
        ("from ....x import y", "pkg.sub.mod", False, []),
        ("from . import x", "mod", False, []),
        ("from .x import y", "mod", False, []),
        ("from . import x", "pkg", True, ["pkg"]),
        ("from .. import x", "pkg", True, []),
    ],
)
def test_relative_imports(statement, module, is_package, expected):
    assert modules(statement, module=module, is_package=is_package) == expected


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n class B:\n  import x",
        "for i in y:\n import x",
        "for i in y: pass\nelse:\n import x",
        "while y:\n import x",
        "while y: pass\nelse:\n import x",
        "with y:\n import x",
        "match y:\n case 1:\n  pass\n case _ if z:\n  import x",
        "if y: pass\nelif z: pass\nelse:\n import x",
        "try:\n import x\nfinally: pass",
        "try: pass\nexcept KeyError:\n import x",
        "try: pass\nexcept KeyError: pass\nelse:\n import x",
        "try: pass\nfinally:\n import x",
        "try: pass\nexcept* KeyError:\n import x",
        "a = 1; import x; b = 2",
    ],
)
def test_any_nesting_counts(source):
    assert found(source) == (Import("x", (), found(source)[0].line),)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n import x",
        "async def f():\n async with y:\n  import x",
        "async def f():\n async for y in z:\n  import x",
        "def f():\n class A:\n  import x",
        "class A:\n def f(self):\n  if y:\n   import x",
        "try:\n def f():\n  import x\nexcept ImportError: pass",
        "import_module\nf = lambda: import_module('x')",
        "f = lambda: __import__('x')",
    ],
)
def test_what_a_function_holds_is_deferred(source):
    (each,) = found(source)
    assert (each.module, each.deferred, each.optional) == ("x", True, False)


@pytest.mark.parametrize(
    ("source", "optional"),
    [
        ("try:\n import x\nexcept ImportError: pass", True),
        ("try:\n import x\nexcept ModuleNotFoundError: pass", True),
        ("try:\n import x\nexcept Exception: pass", True),
        ("try:\n import x\nexcept BaseException: pass", True),
        ("try:\n import x\nexcept builtins.ImportError: pass", True),
        ("try:\n import x\nexcept (KeyError, ImportError): pass", True),
        ("try:\n import x\nexcept: pass", True),
        ("try:\n import x\nexcept* ImportError: pass", True),
        ("try:\n with y:\n  import x\nexcept ImportError: pass", True),
        ("def f():\n try:\n  import x\n except ImportError: pass", True),
        ("try:\n import x\nexcept KeyError: pass", False),
        ("try: pass\nexcept ImportError:\n import x", False),
        ("try: pass\nexcept ImportError: pass\nelse:\n import x", False),
        ("try: pass\nexcept ImportError: pass\nfinally:\n import x", False),
        ("with contextlib.suppress(ImportError):\n import x", True),
        ("with open(y), suppress(KeyError, ModuleNotFoundError):\n import x", True),
        ("from contextlib import suppress as quiet\nwith quiet(ImportError):\n import x", True),
        ("with suppress(KeyError):\n import x", False),
        ("with suppress(*errors):\n import x", False),
        ("with guard(ImportError):\n import x", False),
    ],
)
def test_an_import_whose_error_is_caught_is_optional(source, optional):
    assert found(source)[-1].optional is optional


@pytest.mark.parametrize(
    ("test", "branches"),
    [
        ("TYPE_CHECKING", ["no"]),
        ("typing.TYPE_CHECKING", ["no"]),
        ("t.TYPE_CHECKING", ["no"]),
        ("TC", ["no"]),
        ("not TYPE_CHECKING", ["yes"]),
        ("not not TYPE_CHECKING", ["no"]),
        ("TYPE_CHECKING and debug", ["no"]),
        ("TYPE_CHECKING or debug", ["yes", "no"]),
        ("not TYPE_CHECKING or debug", ["yes"]),
        ("not (TYPE_CHECKING or debug)", ["yes", "no"]),
        ("debug", ["yes", "no"]),
        ("not debug", ["yes", "no"]),
        ("False", ["no"]),
        ("1", ["yes"]),
        ("__name__ == '__main__'", ["no"]),
        ("'__main__' == __name__", ["no"]),
        ("__name__ != '__main__'", ["yes"]),
        ("sys.version_info >= (3, 11)", ["yes"]),
        ("sys.version_info < (3, 11)", ["no"]),
        ("sys.version_info[:2] < (3, 11)", ["no"]),
        ("sys.version_info[0] == 2", ["no"]),
        ("sys.version_info.major > 2", ["yes"]),
        ("sys.version_info[0] >= '3'", ["yes", "no"]),
        ("sys.version_info[9] >= 3", ["yes", "no"]),
        ("sys.version_info[n] >= 3", ["yes", "no"]),
        ("sys.version_info >= (3, minor)", ["yes", "no"]),
        ("other.version_info >= (3, 11)", ["yes", "no"]),
        ("(3, 11) <= sys.version_info < (4,)", ["yes", "no"]),
        (f"sys.platform == '{HERE}'", ["yes"]),
        (f"sys.platform == '{OTHER}'", ["no"]),
        (f"sys.platform in ('{OTHER}', '{HERE}')", ["yes"]),
        (f"sys.platform not in ('{OTHER}', '{HERE}')", ["no"]),
        ("sys.platform.startswith('win')", ["no"]),
        ("name.startswith('win')", ["yes", "no"]),
        ("os.name == 'nt'", ["no"]),
        ("x is None", ["yes", "no"]),
        ("make().TYPE_CHECK", ["yes", "no"]),
    ],
)
def test_branches_that_this_interpreter_never_takes(test, branches):
    source = f"from typing import TYPE_CHECKING as TC\nif {test}:\n import yes\nelse:\n import no"
    assert modules(source)[1:] == branches


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("importlib.import_module('x.y')", ["x.y"]),
        ("import_module(name='x')", ["x"]),
        ("import_module('.x', __package__)", ["pkg.sub.x"]),
        ("import_module('..x', package=__package__)", ["pkg.x"]),
        ("import_module('.x', __name__)", ["pkg.sub.mod.x"]),
        ("import_module('.x', 'other')", ["other.x"]),
        ("import_module('.x', compute())", []),
        ("import_module('.x')", []),
        ("import_module('....x', __package__)", []),
        ("import_module(name)", []),
        ("import_module(f'{x}.y')", []),
        ("import_module('')", []),
        ("import_module('x..y')", []),
        ("import_module(b'x')", []),
        ("import_module()", []),
        ("import_module(**options)", []),
        ("__import__('x.y')", ["x.y"]),
        ("__import__('x', globals(), locals(), ['y'])", ["x"]),
        ("__import__('x', globals(), locals(), ['y'], 1)", []),
        ("__import__('x', level=1)", []),
        ("import_module('a').f(import_module('b'))", ["a", "b"]),
        ("[import_module('x') for _ in y]", ["x"]),
        ("load_module('x')", []),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "{}",
        "a = b[{}]",
        "if {}: pass",
        "while {}: pass",
        "for a in {}: pass",
        "with {} as a: pass",
        "class A(B, metaclass={}): pass",
        "@{}\ndef f(): pass",
        "def f(a={}): pass",
        "f = lambda a={}: a",
        "match {}:\n case _: pass",
        "match a:\n case _ if {}: pass",
        "try: pass\nexcept {}: pass",
    ],
)
def test_calls_with_a_literal_name(expression, expected, place):
    imports = found(place.format(expression))
    assert sorted(each.module for each in imports) == sorted(expected)
    assert not any(each.deferred for each in imports)


def test_an_import_module_under_another_name():
    assert modules("from importlib import import_module as load\nload('x')") == ["importlib", "x"]


def test_statements_count_the_same_in_a_file_with_calls():
    source = """\
        import a
        @decorate
        def f(x: int = 1) -> None:
            global y
            import b
        class C(Base):
            import c
        if TYPE_CHECKING:
            import d
        import_module("e")
    """
    assert modules(source) == ["a", "b", "c", "e"]


def test_imports_stand_in_the_order_in_which_they_run():
    source = """\
        import a
        try:
            import b
            if x:
                import c
            import d
        except ImportError:
            import e
        else:
            import f
        finally:
            import g
        import h
    """
    assert modules(source) == list("abcdefgh")


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbfimport caf\xc3\xa9",
        b"# -*- coding: latin-1 -*-\nimport caf\xe9",
        "import caf\xe9".encode(),
    ],
)
def test_bytes_are_decoded_as_a_source_file(source):
    (each,) = scan(source, module="app", is_package=False).imports
    assert each.module == "caf\xe9"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import a\nimport", 2),
        (b"import a\n\nx = '\xff'", 1),
        (b"# coding: no-such-encoding\nimport a", None),
        ("import a\0", None),
        (b"import a\0", None),
        ("x = '\ud800'", None),
        ("x = " + "(" * 500 + ")" * 500, 1),
        ("x = " + "-" * 100_000 + "1", None),
        ("def f():\n\tx\n        y", 3),
    ],
)
def test_what_does_not_parse_is_a_syntax_error(source, line):
    with pytest.raises(SyntaxError) as caught:
        scan(source, module="app", is_package=False)
    assert caught.value.msg
    if line is not None and isinstance(source, str):
        assert caught.value.lineno == line


@pytest.mark.parametrize(
    "source",
    [
        "".join(" " * depth + "if x:\n" for depth in range(99)) + " " * 99 + "import deep",
        "if x: pass\n" + "elif x: pass\n" * 900 + "else:\n import deep",
        f"if {'not ' * 900}x: import deep",
        f"if {'(not y or ' * 90}x{')' * 90}: import deep",
        f"x = {'-' * 900}import_module('deep')",
        f"x = a{'.b' * 900}(import_module('deep'))",
    ],
    ids=["blocks", "elif", "not", "parentheses", "expression", "attributes"],
)
def test_deep_nesting_needs_no_recursion(source):
    assert modules(source) == ["deep"]


def test_a_condition_nested_deeper_than_the_stack_is_no_error():
    test = ast.parse(f"{'not ' * 901}TYPE_CHECKING", mode="eval").body
    assert truth(test, "app", {}) is True


def test_warnings_of_the_parser_are_left_to_the_worker():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        scan("x = '\\d'", module="app", is_package=False)
        scan("y = 1 is 1", module="app", is_package=False)
        mine = len(warnings.filters)
        scan("x = '\\d'", module="app", is_package=False)
        assert len(warnings.filters) == mine
    assert seen == []


# What a recording `__import__` sees of a program that takes every branch is what scan() says of it.

NAMES = st.sampled_from(["a", "a.b", "c", "d.e.f"])
SIMPLE = st.one_of(
    NAMES.map("import {}".format),
    NAMES.map("import {} as z".format),
    NAMES.map("from {} import y, w as z".format),
    NAMES.map("from .{} import y".format),
    st.just("from .. import y"),
    NAMES.map("__import__('{}')".format),
    st.just("pass"),
)
WRAPPERS = st.sampled_from(
    [
        "for flag in (True, False):\n if flag:\n{0}\n else:\n{1}",
        "if TYPE_CHECKING:\n{0}\nelse:\n{1}",
        "if not TYPE_CHECKING:\n{0}\nelif True:\n{1}",
        "if __name__ == '__main__':\n{0}\nelse:\n{1}",
        "if sys.version_info < (3, 11):\n{0}\nelse:\n{1}",
        "try:\n{0}\n   raise ImportError\nexcept ImportError:\n{1}",
        "try:\n{0}\nfinally:\n{1}",
        "try:\n pass\nexcept KeyError:\n pass\nelse:\n{0}\nfinally:\n{1}",
        "for _ in 'x':\n{0}\nelse:\n{1}",
        "while True:\n{0}\n   break\nif True:\n{1}",
        "with suppress(ImportError):\n{0}\n{1}",
        "for flag in (True, False):\n match flag:\n  case True:\n{0}\n  case _:\n{1}",
        "def f():\n{0}\n{1}",
        "async def f():\n{0}\n{1}",
        "class A:\n{0}\n{1}",
        "def f():\n   if True:\n    pass\n{0}\nif True:\n{1}",
        "lambda: __import__('never')\nif True:\n{0}\n{1}",
    ]
)
BLOCKS = st.recursive(
    st.lists(SIMPLE, min_size=1, max_size=3).map("\n".join),
    lambda inner: st.builds(
        lambda wrapper, *bodies: wrapper.format(*(indent(body, "   ") for body in bodies)),
        WRAPPERS,
        inner,
        inner,
    ),
    max_leaves=8,
)


class Anything(types.ModuleType):
    __all__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def really_imported(source):
    seen = set()

    def record(name, globals=None, locals=None, fromlist=(), level=0):
        package = (globals or {}).get("__package__", "")
        base = package.rsplit(".", level - 1)[0] if level else ""
        seen.add(".".join(part for part in (base, name) if part))
        return Anything(name)

    scope = {
        "__name__": "pkg.sub.mod",
        "__package__": "pkg.sub",
        "__builtins__": {**vars(builtins), "__import__": record},
        "TYPE_CHECKING": False,
        "suppress": suppress,
        "sys": sys,
    }
    exec(compile(source, "<generated>", "exec"), scope)
    return seen


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_a_scan_finds_what_the_interpreter_really_imports(source):
    imports = scan(source, module="pkg.sub.mod", is_package=False).imports
    assert {each.module for each in imports if not each.deferred} == really_imported(source)
