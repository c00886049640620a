"""What an answer is worth, given what was saved and when. Pure; times are readings of one clock, in seconds."""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ..apps import FIRST_VERSION
from ..probe import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LINGERING = 0.5
"""Seconds that an event stream or a WebSocket may go on with old code once newer code has answered."""

HALF_SECONDS = 0.020
"""Seconds that a file may be half written without anybody seeing it so."""

UNNAMED = -1
"""A failure was answered, but not which: so does a WebSocket that is refused. It is taken for the newest possible."""

INFINITY = float("inf")


class Verdict(enum.Enum):
    """What is wrong with an answer. The values are the table's headings."""

    REFUSED = "refused"
    RESET = "reset"
    CUT = "cut"
    TIMED_OUT = "timed out"
    DUPLICATED = "duplicated"
    OUT_OF_ORDER = "out of order"
    STALE = "stale"
    HALF_WRITTEN = "half"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Save:
    """One save: which of the files (by its place among them), from before its first change until it was complete."""

    version: int
    file: int
    begun: float
    ended: float
    broken: bool = False

    @property
    def may_be_seen_half(self) -> bool:
        """It took longer than anybody has to wait for."""
        return self.ended - self.begun > HALF_SECONDS


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, or the beginning of a stream.

    Attributes:
        begun: before anything was sent.
        ended: when the last byte had arrived.
        versions: of each file, as the answer says; 0 is half a file.
        broken: the version whose failure was answered.
        failure: what the client saw go wrong; then there is neither `versions` nor `broken`.
        note: the same in words.
        quick: the answer takes no time of its own, so that all it took was waiting.
        lasts: this is the last that came of a stream which a reload is to end; `begun` has no meaning.
    """

    client: str
    begun: float
    ended: float
    versions: tuple[int, ...] = ()
    broken: int | None = None
    failure: Verdict | None = None
    note: str = ""
    pid: int = 0
    quick: bool = False
    lasts: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """An exchange that should not have been so."""

    verdict: Verdict
    exchange: Exchange
    note: str

    def __str__(self) -> str:
        took = self.exchange.ended - self.exchange.begun
        return f"{self.verdict.value}: {self.exchange.client}, after {took:.3f} s: {self.note}"


@dataclass(frozen=True, slots=True)
class Wait:
    """What a quick request took that met a reload or several, and what these took until an answer, in seconds."""

    request: float
    reloads: float


class History:
    """What was on disk, and when.

    Args:
        saves: in the order in which they were made; versions count up from `FIRST_VERSION` + 1.
        files: how many there are.
    """

    def __init__(self, saves: Sequence[Save], files: int, grace: float = GRACE) -> None:
        self._saves = saves
        self._grace = grace
        self._ends = [save.ended for save in saves]
        self._of_file = [[save.version for save in saves if save.file == file] for file in range(files)]
        self._by_version = {save.version: save for save in saves}

    def expected(self, begun: float) -> int:
        """What a request begun then has to be answered with: this version or a newer one."""
        return FIRST_VERSION + bisect_left(self._ends, begun - self._grace)

    def saved(self, version: int) -> float:
        """When this version was complete."""
        return self._by_version[version].ended

    def age(self, exchange: Exchange) -> int | None:
        """The newest version of which, and of all before it, the answer knows; None if there can be no such answer."""
        if exchange.broken == UNNAMED:
            return self._failure_before(exchange.ended)
        if exchange.broken is not None:
            save = self._by_version.get(exchange.broken)
            return exchange.broken if save is not None and save.broken and save.begun <= exchange.ended else None
        if not all(self._was_served(*shown, exchange) for shown in enumerate(exchange.versions)):
            return None
        missing = (self._after(file, version) for file, version in enumerate(exchange.versions))
        return min(missing) - 1

    def _failure_before(self, when: float) -> int | None:
        return max((save.version for save in self._saves if save.broken and save.begun <= when), default=None)

    def _was_served(self, file: int, version: int, exchange: Exchange) -> bool:
        if version == FIRST_VERSION:
            return True
        save = self._by_version.get(version)
        return save is not None and save.file == file and not save.broken and save.begun <= exchange.ended

    def _after(self, file: int, version: int) -> int:
        """The next save of this file."""
        versions = self._of_file[file]
        place = bisect_right(versions, version)
        return versions[place] if place < len(versions) else FIRST_VERSION + len(self._saves) + 1

    def excuses_half(self, exchange: Exchange) -> bool:
        """Some file was being written for too long meanwhile."""
        return any(
            save.may_be_seen_half and save.begun < exchange.ended and exchange.begun < save.ended + self._grace
            for save in self._saves
        )


def judge(exchanges: Iterable[Exchange], saves: Sequence[Save], files: int, grace: float = GRACE) -> Judgement:
    """Sort all that was answered.

    Args:
        grace: seconds after a save during which old code may still answer.
    """
    return Judgement(list(exchanges), History(saves, files, grace), saves)


class Judgement:
    """All answers, sorted: see `judge`."""

    def __init__(self, exchanges: list[Exchange], history: History, saves: Sequence[Save]) -> None:
        self._exchanges = sorted(exchanges, key=lambda exchange: exchange.ended)
        self._history = history
        self._saves = saves
        self._ages = [self._age(exchange) for exchange in self._exchanges]
        self._ends = [exchange.ended for exchange in self._exchanges]
        ages = zip(self._exchanges, self._ages, strict=True)
        self._newest = list(accumulate((0 if each.broken == UNNAMED else age for each, age in ages), max))
        self.problems = list(self._judge())

    def _age(self, exchange: Exchange) -> int:
        """0 where there is none, so that it is older than any."""
        is_answer = exchange.failure is None and 0 not in exchange.versions
        return (self._history.age(exchange) or 0) if is_answer else 0

    @property
    def counts(self) -> Counter[Verdict]:
        """How many of each problem."""
        return Counter(problem.verdict for problem in self.problems)

    @property
    def reloads(self) -> int:
        """Saves that were answered by their own code, rather than by that of a later save."""
        return len({age for age in self._ages if age > FIRST_VERSION})

    def _judge(self) -> Iterator[Problem]:
        for exchange, age in zip(self._exchanges, self._ages, strict=True):
            found = self._verdict(exchange, age)
            if found is not None:
                yield Problem(found[0], exchange, found[1])

    def _verdict(self, exchange: Exchange, age: int) -> tuple[Verdict, str] | None:
        if exchange.failure is not None:
            return exchange.failure, exchange.note
        if 0 in exchange.versions:
            # The end of a stream tells nothing of its beginning, which was judged.
            is_excused = exchange.lasts or self._history.excuses_half(exchange)
            return None if is_excused else (Verdict.HALF_WRITTEN, "a file half written")
        if not age:
            return Verdict.WRONG, "no save has made this answer"
        return self._late(exchange, age) if exchange.lasts else self._old(exchange, age)

    def _old(self, exchange: Exchange, age: int) -> tuple[Verdict, str] | None:
        expected = self._history.expected(exchange.begun)
        if age < expected:
            since = exchange.begun - self._history.saved(age + 1)
            return Verdict.STALE, f"version {age}, {since:.3f} s after the save of {age + 1}"
        seen = self._newest_before(exchange.begun)
        if age < seen:
            return Verdict.OUT_OF_ORDER, f"version {age}, after an answer by {seen}"
        return None

    def _late(self, exchange: Exchange, age: int) -> tuple[Verdict, str] | None:
        beside = exchange.ended - self.answered_since(age + 1)
        return (Verdict.STALE, f"version {age} went on for {beside:.2f} s") if beside > LINGERING else None

    def _newest_before(self, when: float) -> int:
        """The newest version of any answer that had arrived by then."""
        place = bisect_right(self._ends, when)
        return self._newest[place - 1] if place else 0

    def answered_since(self, version: int) -> float:
        """When the first answer by this code or newer had arrived; infinity: never."""
        place = bisect_left(self._newest, version)
        return self._ends[place] if place < len(self._ends) else INFINITY

    @property
    def reload_seconds(self) -> list[float]:
        """Of each save that was answered: until the first answer by its code or newer."""
        return [took for save in self._saves if (took := self._took(save)) < INFINITY]

    def _took(self, save: Save) -> float:
        return self.answered_since(save.version) - save.ended

    @property
    def waits(self) -> list[Wait]:
        """Of each quick request that was under way while saved code did not answer yet."""
        readies = [self.answered_since(save.version) for save in self._saves]
        ends = [save.ended for save in self._saves]
        found = []
        for exchange in self._exchanges:
            met = range(bisect_right(readies, exchange.begun), bisect_left(ends, exchange.ended))
            if met and exchange.quick and exchange.failure is None and readies[met[-1]] < INFINITY:
                reloads = together((ends[place], readies[place]) for place in met)
                found.append(Wait(exchange.ended - exchange.begun, reloads))
        return found


def together(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of these times lasts; they are sorted by their beginnings and by their ends.

    >>> together([(1.0, 3.0), (2.0, 3.0), (5.0, 6.0)])
    3.0
    """
    length, until = 0.0, -INFINITY
    for begin, end in spans:
        length += max(0.0, end - max(begin, until))
        until = max(until, end)
    return length
