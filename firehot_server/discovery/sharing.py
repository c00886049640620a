"""Scanning many files with all processors, and no waiting for any of them.

Each helper process works its way through its share. This process goes through all files from the other end, and scans
whatever no helper has finished: so where the two meet, all is done, and a helper that fails, dies or hangs costs time
only. Helpers read their tasks from a file and write what they find to another, so neither side can block the other as
with pipes. They are fresh interpreters: a fork would copy the caller's threads' locks, and `multiprocessing` would run
the caller's `__main__` again.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from .imports import Unparsed
from .processors import usable_processors
from .scans import CONDITIONS, Scanned, scanned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from .sources import Source

_SCRIPT: Final = str(Path(__file__).with_name("helper.py"))
_WORTH_A_HELPER: Final = 500_000  # bytes of source, about 200 files: from here on a helper saves a third, as measured
_LENGTH: Final = 4  # bytes, in front of each answer


def scan_all(sources: Sequence[Source], helpers: int | None = None) -> Iterator[Scanned | Unparsed]:
    """Scan these files, yielding what was found in the order of `sources`; `Unparsed` for what cannot be read.

    `helpers` is the number of processes that help: by default none for a little, else one for each further processor
    that this process may use.
    """
    found: dict[int, Scanned | Unparsed] = {}
    with ExitStack() as stack:
        shares = _shares(len(sources), _helpers(sources) if helpers is None else helpers)
        hired = [stack.enter_context(helper) for share in shares if (helper := _Helper.hire(sources, share))]
        for number in reversed(range(len(sources))):
            for helper in hired:
                found.update(helper.answers())
            if number not in found:
                found[number] = _scanned(sources[number])
    return (found[number] for number in range(len(sources)))


def _scanned(source: Source) -> Scanned | Unparsed:
    try:
        return scanned(source.path, source.module, source.is_package)
    except OSError as error:
        return Unparsed.of(source.path, error)


def _helpers(sources: Sequence[Source]) -> int:
    worth = sum(source.stamp[2] for source in sources) // _WORTH_A_HELPER
    return min(usable_processors() - 1, worth)


def _shares(tasks: int, helpers: int) -> list[range]:
    """Every helper's share, spread over all tasks: counting down, this process meets all helpers at once.

    >>> [list(share) for share in _shares(5, 2)]
    [[0, 2, 4], [1, 3]]
    """
    return [range(start, tasks, helpers) for start in range(helpers)]


class _Helper:
    """One helper process. Leaving the context ends it, whatever it was doing."""

    def __init__(self, process: subprocess.Popen[bytes], share: range, output: IO[bytes]) -> None:
        self._process = process
        self._share = share
        self._output = output
        self._seen = 0  # bytes of the output that were answers

    @classmethod
    def hire(cls, sources: Sequence[Source], share: range) -> Self | None:
        """Start a process that scans this share of `sources`; `None` if that is not possible."""
        if not sys.executable:  # embedded in another program
            return None
        tasks = [tuple(sources[number][:3]) for number in share]
        command = [sys.executable, "-I", "-S", _SCRIPT, str(os.getpid()), CONDITIONS]
        with ExitStack() as opened:
            try:
                output = opened.enter_context(tempfile.TemporaryFile())
                with tempfile.TemporaryFile() as given:
                    given.write(marshal.dumps(tasks))
                    given.seek(0)
                    process = subprocess.Popen(command, stdin=given, stdout=output, stderr=subprocess.DEVNULL)
            except OSError:
                return None
            opened.pop_all()
        return cls(process, share, output)

    def answers(self) -> Iterator[tuple[int, Scanned]]:
        """What it has found since the last call, with the number of the task. Never waits."""
        descriptor = self._output.fileno()
        ready = os.pread(descriptor, os.fstat(descriptor).st_size - self._seen, self._seen)
        start = 0
        while (end := start + _LENGTH + int.from_bytes(ready[start : start + _LENGTH], "big")) <= len(ready):
            number, found = marshal.loads(ready[start + _LENGTH : end])
            yield self._share[number], Scanned._make(found)
            start = end
        self._seen += start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
