"""What a condition is known to be before the program runs: `TYPE_CHECKING`, `sys.version_info >= (3, 12)`, …

Only what is exact is decided; about anything else nothing is said, and both branches count.
"""

from __future__ import annotations

import ast
import operator
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_UNKNOWN: Final = object()

_NAMES: dict[str, object] = {
    "sys.version_info": tuple(sys.version_info),
    "sys.version_info.major": sys.version_info.major,
    "sys.version_info.minor": sys.version_info.minor,
    "sys.platform": sys.platform,
    "os.name": os.name,
}

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}


def truth(test: ast.expr, module: str, aliases: Mapping[str, str]) -> bool | None:
    """Whether `test` holds in the running interpreter, as far as that is certain; `None` where it is not.

    `module` is the dotted name that `__name__` stands for, so `__name__ == "__main__"` is false. `aliases`
    maps local names to what they were imported as (`TC` to `TYPE_CHECKING`).

    >>> truth(ast.parse("not t.TYPE_CHECKING", mode="eval").body, "app", {})
    True
    """
    found = _value(test, module, aliases)
    return None if found is _UNKNOWN else bool(found)


def last_name(node: ast.AST, aliases: Mapping[str, str]) -> str:
    """The undotted name that a name or attribute expression ends with, aliases undone; `""` for others."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    return node.attr if isinstance(node, ast.Attribute) else ""


def _value(node: ast.expr, module: str, aliases: Mapping[str, str]) -> object:
    # Parentheses nest 200 deep at most, so neither does this recursion go deeper than a few calls for each;
    # `not not not …` needs none of them, hence the loop.
    negated = False
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node, negated = node.operand, not negated
    if negated:
        found = _value(node, module, aliases)
        return _UNKNOWN if found is _UNKNOWN else not found
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return _named(node, module, aliases)
        case ast.BoolOp():
            return _combined(node, [_value(each, module, aliases) for each in node.values])
        case ast.Tuple():
            items = tuple(_value(each, module, aliases) for each in node.elts)
            return _UNKNOWN if _UNKNOWN in items else items
        case ast.Compare(ops=[op], comparators=[right]):
            return _compared(op, _value(node.left, module, aliases), _value(right, module, aliases))
        case ast.Subscript():
            return _item(_value(node.value, module, aliases), node.slice)
        case ast.Call(func=ast.Attribute(value=base, attr="startswith"), args=[prefix], keywords=[]):
            return _starts(_value(base, module, aliases), _value(prefix, module, aliases))
        case _:
            return _UNKNOWN


def _named(node: ast.Name | ast.Attribute, module: str, aliases: Mapping[str, str]) -> object:
    if last_name(node, aliases) == "TYPE_CHECKING":
        return False
    dotted = _dotted(node)
    return module if dotted == "__name__" else _NAMES.get(dotted, _UNKNOWN)


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def _combined(node: ast.BoolOp, values: list[object]) -> object:
    decisive = isinstance(node.op, ast.Or)  # the truth value that settles the matter, whatever the others are
    known = [bool(value) for value in values if value is not _UNKNOWN]
    if decisive in known:
        return decisive
    return not decisive if len(known) == len(values) else _UNKNOWN


def _compared(op: ast.cmpop, left: object, right: object) -> object:
    compare = _COMPARISONS.get(type(op))
    if compare is None or left is _UNKNOWN or right is _UNKNOWN:
        return _UNKNOWN
    try:
        return compare(left, right)
    except TypeError:  # what cannot be compared raises in the program too: nothing is certain
        return _UNKNOWN


def _item(value: object, index: ast.expr) -> object:
    try:
        match value, index:
            case tuple(), ast.Constant(value=int(position)):
                return value[position]
            case tuple(), ast.Slice(lower=None, upper=ast.Constant(value=int(stop)), step=None):
                return value[:stop]
    except IndexError:
        pass
    return _UNKNOWN


def _starts(value: object, prefix: object) -> object:
    return value.startswith(prefix) if isinstance(value, str) and isinstance(prefix, str) else _UNKNOWN
