"""What an answer says: which code gave it, and whether it is the one that was asked for. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .app import EDITED
from .judge import UNNAMED, Verdict
from .wire import Lost

if TYPE_CHECKING:
    from .wire import Head

FAILURE_HEADER = "x-firehot-failure"
_BROKEN = re.compile(rb"broken-(\d+)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which code answered: the versions of its files, or the version whose failure it is."""

    versions: tuple[int, ...] = ()
    broken: int | None = None
    pid: int = 0


def read_versions(text: str) -> tuple[int, ...]:
    """The versions of the files, as the app writes them.

    >>> read_versions("100002-100000-100001")
    (100002, 100000, 100001)

    Raises:
        Lost: this is not from the app.
    """
    try:
        versions = tuple(map(int, text.split("-")))
    except ValueError:
        versions = ()
    if len(versions) != len(EDITED):
        raise Lost(Verdict.WRONG, f"versions: {text!r}")
    return versions


def origin_of(head: Head) -> Origin:
    """Of a good answer, by its headers.

    Raises:
        Lost: it is none.
    """
    if head.status != HTTPStatus.OK:
        raise Lost(Verdict.WRONG, f"status {head.status}")
    return Origin(read_versions(head.headers.get("x-versions", "")), pid=int(head.headers.get("x-pid", 0)))


def failure_in(head: Head, body: bytes) -> Origin | None:
    """Of an answer that shows a failure; None for any other.

    Raises:
        Lost: the failure is not of a save.
    """
    if head.status != HTTPStatus.INTERNAL_SERVER_ERROR or FAILURE_HEADER not in head.headers:
        return None
    named = _BROKEN.search(body)
    if named is None:
        raise Lost(Verdict.WRONG, f"a failure of no save: {body[:300]!r}")
    return Origin(broken=int(named[1]))


def refusal(head: Head) -> Origin:
    """Of a WebSocket that was refused.

    Raises:
        Lost: not as one is while the code is broken.
    """
    if head.status != HTTPStatus.FORBIDDEN:
        raise Lost(Verdict.WRONG, f"status {head.status} for a WebSocket")
    return Origin(broken=UNNAMED)


def understand(head: Head, body: bytes, sequence: int, **expected: Any) -> Origin:
    """Of an answer in JSON to the request of this number.

    Raises:
        Lost: it is the answer to another request, not whole, or none that this app gives.
    """
    failure = failure_in(head, body)
    if failure is not None:
        return failure
    origin = origin_of(head)
    check_sequence(head, sequence)
    _check_json(body, {"version": max(origin.versions), "seq": sequence, **expected})
    return origin


def check_sequence(head: Head, sequence: int) -> None:
    """This is the answer to the request of that number.

    Raises:
        Lost: it is that to another one.
    """
    found = head.headers.get("x-seq")
    if found != str(sequence):
        raise Lost(Verdict.OUT_OF_ORDER, f"the answer to {found}, expected that to {sequence}")


def _check_json(body: bytes, expected: dict[str, Any]) -> None:
    try:
        found = json.loads(body)
    except ValueError:
        found = body
    if found != expected:
        raise Lost(Verdict.WRONG, f"the body is {found!r}, expected {expected!r}")


def check_lines(body: bytes, origin: Origin, count: int) -> None:
    """A download: every line, in order, and all by the code that its head names.

    Raises:
        Lost: it differs.
    """
    lines = [line.split(" ") for line in body.decode().splitlines()]
    if [line[0] for line in lines] != [str(number) for number in range(count)]:
        raise Lost(Verdict.WRONG, f"{len(lines)} lines of {count}")
    check_unmixed(origin, *{line[1] for line in lines})


def check_unmixed(origin: Origin, *versions: str) -> None:
    """What comes later is by the same code.

    Raises:
        Lost: it does not.
    """
    if any(read_versions(text) != origin.versions for text in versions):
        raise Lost(Verdict.WRONG, f"a stream of {origin.versions} goes on with {versions}")
