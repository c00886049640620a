"""Saves that bytecode cannot tell apart: of the same size, and with modification times that lie.

CPython trusts a `.pyc` whose source has the size and the whole seconds that it had, modulo 2**32. Here it has them.
"""

import importlib.util
import json
import marshal
import os
import struct
from dataclasses import dataclass

from tests.fuzz.disk import Write
from tests.fuzz.projects import seeded
from tests.fuzz.trial import UNMEASURED, fetch
from tests.support.files import write
from tests.support.server import Project, Server
from tests.support.waiting import until

_MODULES = ("one", "two", "three", "box.four", "box.five")
_APP = f"""
import json
import sys
import box.five, box.four, one, three, two

names = {_MODULES!r}
answer = json.dumps({{name: sys.modules[name].VALUE for name in names}}).encode()


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": answer}})
"""
# What each module does at import, so that there are checkpoints between them.
_WORK = "sum(range(40000))\n"
_SECONDS = 15.0
# So often the server is started anew: what it keeps on disk must not be stale, either.
_SAVES_PER_SERVER = 250


@dataclass(frozen=True)
class Save:
    """One save of one or two modules, as it is told where it was not served."""

    texts: tuple
    how: str
    times: str
    with_bytecode: bool


class StaleTrial:
    """A project of modules that differ in eight letters.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder, seed):
        self.seed = seed
        self.root = folder / "project"
        self.saves = []
        self._rng = seeded("stale", seed)
        self._values = {}
        write(self.root / "app.py", _APP)
        for name in _MODULES:
            self._values[name] = self._letters()
            write(self._path(name), _text(self._values[name]))

    def run(self, saves):
        """Save so many times, and see each served."""
        while len(self.saves) < saves:
            self._serve(min(_SAVES_PER_SERVER, saves - len(self.saves)))

    def _serve(self, saves):
        server = Server(Project(self.root), "--no-access-log", "--lifespan", "off", environment=UNMEASURED)
        try:
            self._compare(server)
            for _ in range(saves):
                self._save()
                self._compare(server)
        finally:
            server.stop()
        self._save()  # the next one starts with a file that has changed while there was none

    def _save(self):
        names = self._rng.sample(_MODULES, self._rng.choice((1, 1, 1, 2)))
        if len(names) == 2 and self._rng.random() < 0.5:
            one, two = names  # they are swapped
            self._values[one], self._values[two] = self._values[two], self._values[one]
        else:
            self._values |= {name: self._letters() for name in names}
        save = Save(
            tuple((name, self._values[name]) for name in names),
            self._rng.choice(("in place", "by rename", "in two parts", "anew")),
            self._rng.choice((*_TIMES,)),
            self._rng.random() < 0.5,
        )
        self.saves.append(save)
        for name, value in save.texts:
            self._write(name, value, save)

    def _write(self, name, value, save):
        path = self._path(name)
        former, former_text = path.stat(), path.read_text()
        Write(str(path.relative_to(self.root)), _text(value), save.how).apply(self.root)
        moment = _TIMES[save.times](former)
        if moment is not None:
            os.utime(path, ns=(moment, moment))
        if save.with_bytecode:
            _plant(path, former_text)

    def _compare(self, server):
        last = None

        def is_right():
            nonlocal last
            _, last = fetch(server.port)
            return last == json.dumps(self._values)

        try:
            until(is_right, "what was saved", _SECONDS)
        except AssertionError:
            saves = "\n".join(map(str, self.saves[-5:]))
            told = (
                f"seed {self.seed}, save {len(self.saves)}: served {last}, saved {self._values}; last saves:\n{saves}"
            )
            raise AssertionError(told) from None

    def _path(self, name):
        return self.root / f"{name.replace('.', '/')}.py"

    def _letters(self):
        return "".join(self._rng.choices("abcdefgh", k=8))


def _text(value):
    return f"{_WORK}VALUE = {value!r}\n"


def _plant(path, source):
    """Leave bytecode of another text, which an interpreter would take for that of this file."""
    status = path.stat()
    cached = importlib.util.cache_from_source(str(path))
    header = importlib.util.MAGIC_NUMBER + struct.pack(
        "<III", 0, status.st_mtime_ns // 10**9 & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    )
    os.makedirs(os.path.dirname(cached), exist_ok=True)
    with open(cached, "wb") as file:
        file.write(header + marshal.dumps(compile(source, str(path), "exec")))


_TIMES = {
    "now": lambda former: None,
    "restored": lambda former: former.st_mtime_ns,
    "same second": lambda former: former.st_mtime_ns // 10**9 * 10**9 + 1,
    "long ago": lambda former: 10**18,
    "the epoch": lambda former: 0,
    "ahead": lambda former: 4 * 10**18,
    "an hour back": lambda former: former.st_mtime_ns - 3600 * 10**9,
    # Bytecode has 32 bits for the seconds.
    "same low bits": lambda former: former.st_mtime_ns + (2**32 * 10**9 if former.st_mtime_ns < 4 * 10**18 else 0),
}
"""The modification time that a file gets, in nanoseconds, by that which it had."""
