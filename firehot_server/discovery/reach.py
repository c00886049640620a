"""Which modules does importing the app reach by static imports? What the template is to preload, in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .imports import Import, Unparsed, scan
from .locate import Kind, Located, Locator, with_parents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .origin import Origins


@dataclass(frozen=True, slots=True)
class Reach:
    """What importing an app module, or some, reaches by static imports.

    `third_party` and `stdlib` are module names in the order in which an import would first ask for them,
    without parents that come along by themselves; built-in and frozen modules are left out.
    `first_party_files` are the absolute paths passed through, in order. `requested_by` gives for each of
    `third_party` the file and line that first ask for it, `("", 0)` where the app module itself is installed.
    """

    third_party: tuple[str, ...]
    stdlib: tuple[str, ...]
    first_party_files: tuple[str, ...]
    unparsed: tuple[Unparsed, ...]
    requested_by: Mapping[str, tuple[str, int]]


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def reach(
    *targets: str,
    path: Sequence[str],
    origins: Origins,
    include_deferred: bool = False,
    read: Callable[[str], bytes] = _read,
) -> Reach:
    """Walk the imports from the modules `targets` (`"shop.app"`), through first-party files, to others.

    `path` is the `sys.path` that the worker will have. With `include_deferred` the imports inside functions
    are followed too, after all the others. `read` returns the bytes of a source file, or raises OSError.

    Nothing is imported or executed, and nothing is raised: what is not installed is skipped, what does not
    parse is listed in `unparsed`, and a target that does not exist reaches nothing.

    >>> from firehot_server.discovery.origin import Origins
    >>> reach("json.tool", path=__import__("sys").path, origins=Origins.of_interpreter()).stdlib
    ('json.tool',)
    """
    walk = _Walk(Locator(path), origins, read)
    walk.follow([Import(target, (), 0) for target in targets], "")
    while include_deferred and walk.deferred:
        walk.follow(*walk.deferred.popleft())
    return walk.result()


class _Ask(NamedTuple):
    """One step of an import: parents are asked for before the module that is meant, the last one."""

    located: Located
    is_meant: bool
    file: str
    line: int


class _Walk:
    """What has been met so far. The files that are half read wait on a stack, as they would on Python's."""

    def __init__(self, locator: Locator, origins: Origins, read: Callable[[str], bytes]) -> None:
        self.deferred: deque[tuple[list[Import], str]] = deque()
        self._locator = locator
        self._origins = origins
        self._read = read
        self._visited: set[str] = set()  # first-party modules
        self._covered: set[str] = set()  # names to preload, and their parents
        self._third_party: dict[str, tuple[str, int]] = {}
        self._stdlib: list[str] = []
        self._files: dict[str, None] = {}
        self._unparsed: list[Unparsed] = []

    def result(self) -> Reach:
        return Reach(
            third_party=tuple(self._third_party),
            stdlib=tuple(self._stdlib),
            first_party_files=tuple(self._files),
            unparsed=tuple(self._unparsed),
            requested_by=self._third_party,
        )

    def follow(self, imports: Iterable[Import], file: str) -> None:
        """Run these imports of `file`, and those of every first-party module that they are first to meet."""
        stack = [self._asks(imports, file)]
        while stack:
            ask = next(stack[-1], None)
            if ask is None:
                stack.pop()
            elif inner := self._meet(ask):
                stack.append(inner)

    def _asks(self, imports: Iterable[Import], file: str) -> Iterator[_Ask]:
        for each in imports:
            for meant in self._locator.meant(each.module, each.names):
                for located in filter(None, map(self._locator.find, with_parents(meant.name))):
                    yield _Ask(located, located is meant, file, each.line)

    def _meet(self, ask: _Ask) -> Iterator[_Ask] | None:
        """Note what an import asks for; returns the imports inside it, if it is first-party and new."""
        located = ask.located
        if located.name in self._visited or located.name in self._covered:
            return None
        if located.is_first_party(self._origins):
            self._visited.add(located.name)
            return self._enter(located)
        if ask.is_meant:
            self._preload(ask)
        return None

    def _preload(self, ask: _Ask) -> None:
        located = ask.located
        if located.kind is Kind.BUILT_IN:  # there without being asked for
            return
        self._covered.update(with_parents(located.name))
        if located.is_stdlib(self._origins):
            self._stdlib.append(located.name)
        else:
            self._third_party[located.name] = (ask.file, ask.line)

    def _enter(self, located: Located) -> Iterator[_Ask] | None:
        file = located.file
        if file is None or located.kind is Kind.ARCHIVED:
            return None
        self._files[file] = None
        if located.kind is not Kind.SOURCE:
            return None
        imports = self._scan(located, file)
        if deferred := [each for each in imports if each.deferred]:
            self.deferred.append((deferred, file))
        return self._asks([each for each in imports if not each.deferred], file)

    def _scan(self, located: Located, file: str) -> tuple[Import, ...]:
        try:
            return scan(self._read(file), module=located.name, is_package=located.is_package).imports
        except (SyntaxError, OSError) as error:
            self._unparsed.append(Unparsed.of(file, error))
            return ()
