"""The imports of one source text, found in its syntax tree. Pure: no file is read and nothing is imported."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .conditions import last_name, truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

_FILENAME: Final = "<firehot scan>"
_QUIET: Final = ("ignore", None, Warning, re.compile(_FILENAME), 0)
_CATCHES_IMPORT_ERROR: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_ALIASED: Final = frozenset({"TYPE_CHECKING", "import_module", "suppress"})  # names that this scan knows
_BLOCKS: Final = (
    "body",
    "handlers",
    "cases",
    "orelse",
    "finalbody",
)  # the fields that hold statements, in order
_BEARING_STATEMENTS: Final = frozenset(
    {
        *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If),
        *(ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar),
        *(ast.ExceptHandler, ast.Match, ast.match_case),
    }
)


@dataclass(frozen=True, slots=True)
class Import:
    """One import, as a statement or a call with a literal name asks for it.

    `module` is absolute; `names` are those of a from-import (`"*"` kept), empty for a plain import. A
    `deferred` one stands in a function, so importing the module does not run it. An `optional` one may fail:
    its ImportError is caught around it.
    """

    module: str
    names: tuple[str, ...]
    line: int
    deferred: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """What `scan` found: the imports in the order in which they run."""

    imports: tuple[Import, ...]


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A file whose imports are unknown: it does not parse (at `line`), or cannot be read (0)."""

    path: str
    line: int
    message: str

    @classmethod
    def of(cls, path: str, error: SyntaxError | OSError) -> Self:
        """What reading or scanning this file raised.

        >>> Unparsed.of("/app.py", FileNotFoundError(2, "No such file or directory"))
        Unparsed(path='/app.py', line=0, message='No such file or directory')
        """
        if isinstance(error, SyntaxError):
            return cls(path, error.lineno or 0, error.msg)
        return cls(path, 0, error.strerror or str(error))


class _Context(NamedTuple):
    deferred: bool
    optional: bool


_AT_IMPORT: Final = _Context(deferred=False, optional=False)
_IN_FUNCTION: Final = _Context(deferred=True, optional=False)  # a try around a `def` is over when the body runs

if TYPE_CHECKING:
    _Block = tuple[Iterator[ast.AST], _Context]


def scan(source: bytes | str, *, module: str, is_package: bool) -> Scan:
    """List the imports of `source`, the text of the module named `module`.

    Imports count at any nesting, except where a condition rules them out in this interpreter: under
    `if TYPE_CHECKING`, `if __name__ == "__main__"`, a test of another version or platform. `is_package` says
    that this is the text of an `__init__.py`, which relative imports depend on; those beyond the top are left
    out. Bytes are decoded as Python decodes a source file (PEP 263, byte order mark).

    Raises SyntaxError, with `msg` and `lineno` where known, if the text does not parse, for whatever reason.

    >>> scan("from . import db", module="shop.app", is_package=False).imports
    (Import(module='shop', names=('db',), line=1, deferred=False, optional=False),)
    """
    tree = _parse(source)
    marks = ("import_module", "__import__") if isinstance(source, str) else (b"import_module", b"__import__")
    # Expressions are most of a tree, and only calls import: they are visited in the few files that have one.
    calls = any(mark in source for mark in marks)  # type: ignore[operator]
    return Scan(tuple(_Scanner(module, is_package, calls).run(tree)))


def _parse(source: bytes | str) -> ast.Module:
    # The parser warns of invalid escapes. That is for the worker to show, when it really compiles the file.
    # A filter for our own file name, unlike `catch_warnings`, does no harm in a program with threads; it is
    # set again only where others came before it, because each change makes old warnings appear anew.
    if not warnings.filters or warnings.filters[0] != _QUIET:
        warnings.filterwarnings("ignore", module=_FILENAME)
    try:
        return ast.parse(source, _FILENAME)
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; nested too deep for the parser
        raise SyntaxError(str(error) or "too deeply nested") from error


class _Scanner:
    """One walk over one tree. The blocks still to be read wait on a stack, so nesting needs no recursion."""

    def __init__(self, module: str, is_package: bool, calls: bool) -> None:
        self._module = module
        self._package = module if is_package else module.rpartition(".")[0]
        self._calls = calls
        self._aliases: dict[str, str] = {}

    def run(self, tree: ast.Module) -> Iterator[Import]:
        stack: list[_Block] = [(iter(tree.body), _AT_IMPORT)]
        while stack:
            nodes, context = stack[-1]
            for node in nodes:
                if not self._calls and type(node) not in _BEARING_STATEMENTS:
                    continue
                yield from self._imports(node, context)
                if blocks := self._blocks(node, context):
                    stack.extend(reversed(blocks))
                    break
            else:
                stack.pop()

    def _imports(self, node: ast.AST, context: _Context) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, (), node.lineno, *context)
            case ast.ImportFrom():
                self._remember_aliases(node)
                if module := _resolve(node.module or "", self._package, node.level):
                    yield Import(module, tuple(alias.name for alias in node.names), node.lineno, *context)
            case ast.Call():
                if module := self._called_for(node):
                    yield Import(module, (), node.lineno, *context)

    def _blocks(self, node: ast.AST, context: _Context) -> list[_Block]:
        """What lies inside `node`, in the order in which it runs, each part with the context it runs in."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return [
                    *self._header([*node.decorator_list, node.args], context),
                    (iter(node.body), _IN_FUNCTION),
                ]
            case ast.Lambda():
                return [*self._header([node.args], context), (iter([node.body]), _IN_FUNCTION)]
            case ast.If():
                return self._branches(node, context)
            case ast.Try() | ast.TryStar():
                rest = [*node.handlers, *node.orelse, *node.finalbody]
                return [(iter(node.body), self._guarded(node, context)), (iter(rest), context)]
            case ast.With() | ast.AsyncWith():
                return [*self._header(node.items, context), (iter(node.body), self._guarded(node, context))]
            case ast.Import() | ast.ImportFrom():
                return []
            case _:
                return [(_children(node, node._fields if self._calls else _BLOCKS), context)]

    def _header(self, expressions: Iterable[ast.AST], context: _Context) -> list[_Block]:
        return [(iter(expressions), context)] if self._calls else []

    def _branches(self, node: ast.If, context: _Context) -> list[_Block]:
        holds = truth(node.test, self._module, self._aliases)
        blocks = self._header([node.test], context)
        if holds is not False:
            blocks.append((iter(node.body), context))
        if holds is not True:
            blocks.append((iter(node.orelse), context))
        return blocks

    def _guarded(self, node: ast.Try | ast.TryStar | ast.With | ast.AsyncWith, context: _Context) -> _Context:
        if isinstance(node, ast.Try | ast.TryStar):
            catches = any(self._catches(handler.type) for handler in node.handlers)
        else:
            catches = any(self._suppresses(item.context_expr) for item in node.items)
        return context._replace(optional=True) if catches else context

    def _catches(self, caught: ast.expr | None) -> bool:
        if isinstance(caught, ast.Tuple):
            return any(last_name(each, {}) in _CATCHES_IMPORT_ERROR for each in caught.elts)
        return caught is None or last_name(caught, {}) in _CATCHES_IMPORT_ERROR

    def _suppresses(self, manager: ast.expr) -> bool:
        return (
            isinstance(manager, ast.Call)
            and last_name(manager.func, self._aliases) == "suppress"
            and any(self._catches(argument) for argument in manager.args)
        )

    def _remember_aliases(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.asname and alias.name in _ALIASED:
                self._aliases[alias.asname] = alias.name

    def _called_for(self, call: ast.Call) -> str:
        """The module that `import_module("…")` or `__import__("…")` asks for; `""` for any other call."""
        function = last_name(call.func, self._aliases)
        if function not in ("import_module", "__import__"):
            return ""
        arguments = dict(zip(("name", "package"), call.args, strict=False))
        arguments |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        match arguments.get("name"):
            case ast.Constant(value=str(name)) if all(name.lstrip(".").split(".")):
                level = len(name) - len(name.lstrip("."))
            case _:
                return ""
        if function == "__import__":
            return "" if level or "level" in arguments or len(call.args) > 4 else name
        return _resolve(name[level:], self._package_argument(arguments.get("package")), level)

    def _package_argument(self, argument: ast.expr | None) -> str:
        match argument:
            case ast.Name(id="__package__"):
                return self._package
            case ast.Name(id="__name__"):
                return self._module
            case ast.Constant(value=str(package)):
                return package
            case _:
                return ""


def _children(node: ast.AST, fields: Iterable[str]) -> Iterator[ast.AST]:
    for field in fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            yield from (each for each in value if isinstance(each, ast.AST))
        elif isinstance(value, ast.AST):
            yield value


def _resolve(name: str, package: str, level: int) -> str:
    """The absolute name of `name`, `level` dots below `package`; `""` where that is beyond the top."""
    if not level:
        return name
    base = package.rsplit(".", level - 1)
    if not package or len(base) < level:
        return ""
    return f"{base[0]}.{name}" if name else base[0]
