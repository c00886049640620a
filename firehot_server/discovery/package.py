"""Which third-party modules do all files below a package import? For a library: any of its modules may be imported.

`reach` follows what one app imports. Here there is no start, so every file counts, and so do imports in functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .imports import Unparsed
from .locate import Kind, Located, Locator, with_parents
from .scan_cache import ScanCache
from .scans import Scanned
from .sharing import scan_all
from .sources import sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .origin import Origins
    from .scans import Ask
    from .sources import Source

    Place = tuple[str, int]  # file and line


@dataclass(frozen=True, slots=True)
class PackageImports:
    """What the files of a package import.

    `third_party` maps each module that is to be preloaded to the file and line that first ask for it. Its order is
    that of the package's modules by name, what importing them runs before what only their functions import; parents
    that come along by themselves are left out. `unparsed` lists the files and folders whose imports are unknown.
    `parsed` counts the files that had to be parsed for this answer: 0 where all was remembered.
    """

    third_party: Mapping[str, Place]
    unparsed: tuple[Unparsed, ...]
    parsed: int


class PackageScanner:
    """Scans one package again and again, parsing only what has changed. Nothing is imported or executed.

    `path` is the `sys.path` that the package is imported with. What is learned is kept below `cache_folder` for the
    next run, unless that is `""`. Not to be used by two threads at once; other processes may scan the same package.

    What is installed may change too: that is noticed, but for modules which an editable install adds.

    >>> import sys
    >>> from .origin import Origins
    >>> PackageScanner("json", path=sys.path, origins=Origins.of_interpreter()).scan().third_party
    {}
    """

    def __init__(self, package: str, *, path: Sequence[str], origins: Origins, cache_folder: str = "") -> None:
        """Find the package.

        Raises ImportError, with `name` and one sentence for people, if it is not there or has no Python source.
        """
        self._package = package
        self._path = tuple(path)
        self._origins = origins
        located = _found(package, Locator(path))
        self._cache = ScanCache(cache_folder, package, located.search or (located.file or "",))
        self._scans: Mapping[str, Scanned] = self._cache.load()
        self._last_whole: dict[str, Scanned] = {}  # of files that do not parse now: what they were before
        self._asks: Mapping[Ask, Place] | None = None  # of `_scans`, once they have been gone through

    def scan(self) -> PackageImports:
        """What the package imports now; of a file that does not parse any more, what it imported when it did.

        Raises ImportError if the package is gone.
        """
        locator = Locator(self._path)  # a new one: modules outside of the package may have come or gone as well
        located = locator.find(self._package)
        if located is None:
            raise _missing(self._package)
        files, unreadable = sources(located)
        parsed, failed = self._update(files)
        if self._asks is None:
            self._asks = _asks({path: self._last_whole.get(path, scan) for path, scan in self._scans.items()})
        return PackageImports(
            third_party=_third_party(self._asks, self._package, locator, self._origins),
            unparsed=(*unreadable, *failed, *_unparsed(self._scans)),
            parsed=parsed,
        )

    def _update(self, files: Sequence[Source]) -> tuple[int, list[Unparsed]]:
        """Make `_scans` those of `files`; how many were parsed, and which could not be read."""
        changed = [source for source in files if not _is_known(source, self._scans)]
        renewed = _renewed(changed, self._scans)
        unknown = [source for source in changed if source.path not in renewed]
        found = dict(zip((source.path for source in unknown), scan_all(unknown), strict=True))
        failed = [each for each in found.values() if isinstance(each, Unparsed)]
        latest = {**self._scans, **renewed, **found}
        self._keep({source.path: scan for source in files if isinstance(scan := latest[source.path], Scanned)})
        return len(found) - len(failed), failed

    def _keep(self, scans: Mapping[str, Scanned]) -> None:
        # Compared by identity: what has not changed is the same object, and there is much of it.
        if list(map(id, scans.values())) != list(map(id, self._scans.values())):
            self._remember_whole(scans)
            self._scans = scans
            self._asks = None
            self._cache.save(scans)

    def _remember_whole(self, scans: Mapping[str, Scanned]) -> None:
        former = {**self._scans, **self._last_whole}
        broken = [path for path, scan in scans.items() if scan.error]
        self._last_whole = {path: former[path] for path in broken if path in former and not former[path].error}


def _found(package: str, locator: Locator) -> Located:
    if not all(part.isidentifier() for part in package.split(".")):
        raise ImportError(f"{package!r} names no package: give it as in an import, such as 'my_package'.", name=package)
    located = locator.find(package)
    if located is None:
        raise _missing(package)
    if located.kind is not Kind.SOURCE and not any(sources(located)):
        raise ImportError(
            f"{package!r} has no Python source ({located.kind.value}): name a package with .py files to scan.",
            name=package,
        )
    return located


def _missing(package: str) -> ImportError:
    return ImportError(
        f"No package or module {package!r} is on sys.path: check the name, install it, or add its folder's parent.",
        name=package,
    )


def _is_known(source: Source, scans: Mapping[str, Scanned]) -> bool:
    known = scans.get(source.path)
    return known is not None and known.is_of(source)


def _renewed(changed: Iterable[Source], scans: Mapping[str, Scanned]) -> dict[str, Scanned]:
    """Those scans that still hold, as the content of the files is the same: of a file that was only touched."""
    renewed = {}
    for source in changed:
        try:
            again = scans[source.path].renewed(source)
        except (KeyError, OSError):  # new; or gone, which `scan_all` will tell
            continue
        if again:
            renewed[source.path] = again
    return renewed


def _asks(scans: Mapping[str, Scanned]) -> dict[Ask, Place]:
    """Everything that is imported, and where first: in functions last, as `reach` has it."""
    asks: dict[Ask, Place] = {}
    for path, scan in scans.items():
        for ask, line in scan.asks.items():
            if ask not in asks:
                asks[ask] = (path, line)
    for path, scan in scans.items():
        for ask, line in scan.deferred.items():
            if ask not in asks:
                asks[ask] = (path, line)
    return asks


def _unparsed(scans: Mapping[str, Scanned]) -> list[Unparsed]:
    return [Unparsed(path, *scan.error) for path, scan in scans.items() if scan.error]


def _third_party(asks: Mapping[Ask, Place], package: str, locator: Locator, origins: Origins) -> dict[str, Place]:
    """Those modules that are neither the package's own nor first-party nor stdlib."""
    third_party: dict[str, Place] = {}
    covered: set[str] = set()  # these and their parents
    for (module, names), place in asks.items():
        if _is_within(module, package):  # most imports: not worth looking up
            continue
        for located in locator.meant(module, names):
            if located.name not in covered and _is_third_party(located, package, origins):
                covered.update(with_parents(located.name))
                third_party[located.name] = place
    return third_party


def _is_third_party(located: Located, package: str, origins: Origins) -> bool:
    return not (_is_within(located.name, package) or located.is_first_party(origins) or located.is_stdlib(origins))


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")
