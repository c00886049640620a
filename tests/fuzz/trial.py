"""One project with a server on it, edited step by step, and compared with a fresh interpreter after each step."""

import difflib
import json
import re
import shlex
import shutil
from http.client import HTTPConnection, HTTPException

from tests.fuzz.cold import ColdStart, comparable, is_failure
from tests.fuzz.disk import read_tree
from tests.fuzz.edits import History, choose
from tests.fuzz.projects import generate, seeded
from tests.fuzz.snippets import INSTALLED
from tests.support.files import write
from tests.support.server import Project, Server
from tests.support.waiting import until

# How long the server may take to come to what a fresh interpreter has, in seconds.
_SECONDS = 15.0
# What each module of a project does at import, in steps of a loop: about two milliseconds.
_WORK = "60000"
_ATTEMPTS = 10

UNMEASURED = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
"""Environment of servers whose coverage is not measured: that would take ten times as long."""


class Difference(AssertionError):
    """The server serves something else than a fresh interpreter would."""


class Trial:
    """One project.

    Args:
        folder: an empty one, for the project, the installed modules, and the server's log.
        seed: of the project and of its edits.
        without: names of snippets, ways to import and edits that are not wanted.
    """

    def __init__(self, folder, seed, without=()):
        self.seed = seed
        self.root = folder / "project"
        self._installed = folder / "site-packages"
        self._rng = seeded("edits", seed)
        self._history = History(without)
        self._without = without
        self._cold = None
        """What the fresh interpreter said last; None: the files have changed since."""
        self.edits = []
        for path, text in INSTALLED.items():
            write(self._installed / path, text)
        self._make_project()

    def _make_project(self):
        """The first of this seed that can be imported, or else one that cannot."""
        for attempt in range(_ATTEMPTS):
            shutil.rmtree(self.root, ignore_errors=True)
            for path, text in generate(seeded("project", self.seed, attempt), self._without).items():
                write(self.root / path, text)
            if not is_failure(ColdStart(self.root, self._installed).state()):
                break

    def run(self, steps):
        """Edit and compare so many times.

        Raises:
            Difference: with all that is needed to see it again.
        """
        environment = {"PYTHONPATH": str(self._installed), "FUZZ_WORK": _WORK, **UNMEASURED}
        server = Server(Project(self.root), "--no-access-log", "--log-level", "debug", environment=environment)
        try:
            self._compare(server)
            for _ in range(steps):
                self._step(server)
            if self._cold is None:
                self._compare(server)
        finally:
            server.stop()
        return Outcome.of_log(server.log, steps)

    def _step(self, server):
        if self._cold is not None and served_state(server) != self._cold:
            raise Difference(f"What was right has become wrong\n{self._told(served_state(server), self._cold)}")
        files = read_tree(self.root)
        edit = choose(self._rng, files, self._history)
        self.edits.append(edit)
        edit.apply(self.root)
        if self._rng.random() < 0.1:
            self._cold = None
            return  # the next edit comes while the server is still busy with this one
        self._compare(server)

    def _compare(self, server):
        cold = self._cold = ColdStart(self.root, self._installed).state()
        tree = read_tree(self.root)
        assert not any("__pycache__" in path for path in tree), "bytecode beside the project's files"
        self._history.add(tree, is_good=not is_failure(cold))
        last = None

        def is_equal():
            nonlocal last
            last = served_state(server)
            return last == cold

        try:
            until(is_equal, "the state that a fresh interpreter has", _SECONDS)
        except (AssertionError, OSError, HTTPException) as error:
            raise Difference(f"{error!r}\n{self._told(last, cold)}") from None

    def _told(self, served, cold):
        lines = [f"--- seed {self.seed}, after {len(self.edits)} edits; the project is in {self.root}"]
        lines += [f"{number}. {edit.name}: {_brief(edit)}" for number, edit in enumerate(self.edits, 1)]
        lines += ["--- difference", *_difference(served, cold)]
        without = "".join(f" --without {shlex.quote(name)}" for name in self._without)
        lines.append(f"--- replay: python -m tests.fuzz --seed {self.seed} --steps {len(self.edits)}{without}")
        return "\n".join(lines)


class Outcome:
    """What a server's log tells of its reloads."""

    def __init__(self, steps, reloads, resumed):
        self.steps = steps
        self.reloads = reloads
        self.resumed = resumed

    @classmethod
    def of_log(cls, log, steps):
        """Count the lines that tell of a reload, and of those the ones from a checkpoint."""
        reloads = re.findall(r"\(generation (?!1\))\d+\)", log)
        return cls(steps, len(reloads), len(re.findall(r"from the checkpoint", log)))

    def __str__(self):
        return f"{self.steps} steps, {self.reloads} reloads, {self.resumed} of them from a checkpoint"


def served_state(server):
    """What `cold` computes, as the server has it."""
    response, text = fetch(server.port)
    try:
        answer = json.loads(text)
    except ValueError:
        return {"failure": text}
    return answer if response.status == 200 else {"failure": comparable(answer["traceback"])}


def fetch(port):
    """GET / over a fresh connection, ten times as fast as by httpx; the response and its text."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/", headers={"accept": "application/json"})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def _difference(served, cold):
    texts = [json.dumps(state, indent=1).replace("\\n", "\n").splitlines() for state in (served, cold)]
    return difflib.unified_diff(*texts, "served", "fresh interpreter", n=6, lineterm="")


def _brief(edit):
    return ", ".join(re.sub(r"text=('.*?'|\".*?\"), how", "how", repr(step)) for step in edit.steps)
