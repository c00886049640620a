"""Files of other people's packages that were imported once, for many workers: has somebody edited one in place?"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from firehot_server.fingerprint import data_digest_of
from firehot_server.stamps import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firehot_server.stamps import Stamp, Stamped

# So many are looked at in one go, which takes a millisecond, or less; on a slow mount more.
_AT_ONCE: Final = 1000


class Held:
    """What the present template, and what was forked of it, has imported of them. Nobody watches these files.

    An app, or a package, may write such a file itself, each time that it is imported. So none is found twice without
    the user having done something meanwhile, and one that was found is compared by content from then on.
    """

    def __init__(self) -> None:
        self._stamps: dict[str, Stamp] = {}
        self._unlooked: Iterator[str] = iter(())
        self._found: set[str] = set()
        """Since the user last did something."""
        self._contents: dict[str, bytes | None] = {}
        """Of those that were ever found, as they were imported last."""

    def add(self, files: Iterable[Stamped]) -> None:
        """These were imported, and were like this when they were read."""
        self._stamps.update(files)
        for file in self._contents.keys() & {file for file, _ in files}:
            self._contents[file] = data_digest_of(file)

    def clear(self) -> None:
        """There is a new template."""
        self._stamps.clear()
        self.look_anew()

    def forgive(self) -> None:
        """The user has done something: what was found may be found again."""
        self._found.clear()

    def look_anew(self) -> None:
        """Look at all of them once more."""
        self._unlooked = iter(tuple(self._stamps))

    def look_on(self) -> tuple[str, bool]:
        """Look at the next ones; somebody else should have a turn then.

        Returns:
            One that is another by now, or an empty name; and whether there are more to look at.
        """
        files = tuple(itertools.islice(self._unlooked, _AT_ONCE))
        edited = next(filter(self._is_another, files), "")
        if edited:
            self._found.add(edited)
            self._contents[edited] = None
        return edited, bool(files) and not edited

    def _is_another(self, file: str) -> bool:
        if file in self._found or stamp_of(file) == self._stamps[file]:
            return False
        content = self._contents.get(file)
        return content is None or content != data_digest_of(file)
