"""Which form of an answer an HTTP client wants, by its Accept header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind: TypeAlias = Literal["html", "json", "text"]


class _Range(NamedTuple):
    """One media range of an Accept header, with its quality from 0 to 1."""

    type: str
    subtype: str
    quality: float


class _Rank(NamedTuple):
    """How much a client wants a form: by quality, then how exactly it was named, then how early."""

    quality: float = 0.0
    exactness: int = 0
    earliness: int = 0


def prefers(accept: str) -> Kind:
    """Choose the form of an answer from the value of an Accept header.

    HTML is for clients that name it, as browsers do; JSON for those that name it, a "+json" type or
    "application/*". Text is for all others: no header, "*/*", or nothing that could be had. Quality values
    decide; between equal ones the more exact range wins, then the earlier one.

    Raises nothing: a malformed quality counts as 1, a malformed range is ignored.

    Example: `prefers("text/html,application/xhtml+xml,*/*;q=0.8") == "html"`
    """
    ranges = [*_ranges(accept)]
    ranks: dict[Kind, _Rank] = {kind: _rank(kind, ranges) for kind in ("text", "html", "json")}
    return max(ranks, key=lambda kind: ranks[kind])


def _ranges(accept: str) -> Iterator[_Range]:
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        kind, slash, subtype = media.partition("/")
        if slash:
            yield _Range(kind, subtype, _quality(parameters))


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 1.0
            return quality if 0 <= quality <= 1 else 1.0
    return 1.0


def _rank(kind: Kind, ranges: list[_Range]) -> _Rank:
    """Rank a form by the most exact of the ranges that it falls under, as RFC 9110 has it (12.5.1)."""
    matches = [(_exactness(kind, one), -index, one.quality) for index, one in enumerate(ranges)]
    exactness, earliness, quality = max(matches, default=(0, 0, 0.0))
    return _Rank(quality, exactness, earliness) if exactness and quality else _Rank()


def _exactness(kind: Kind, one: _Range) -> int:
    """Say how exactly a media range names a form: 3 by its type, 2 or 1 by a wildcard, 0 not at all."""
    match kind, one.type, one.subtype:
        case ("html", "text", "html") | ("html", "application", "xhtml+xml"):
            return 3
        case "json", _, subtype if subtype == "json" or subtype.endswith("+json"):
            return 3
        case "text", "text", "plain":
            return 3
        case ("json", "application", "*") | ("text", "text", "*"):
            return 2
        case "text", "*", "*":
            return 1
    return 0
