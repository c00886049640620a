"""`scan` against Python itself: generated modules are imported for real, and what Python looks for is recorded.

Every import of a generated module is a site: the line before it tells the recorder that it is about to run, which
then forgets all modules, so that Python has to look for everything anew. So for each site that ran, what `scan` says of
its line can be compared with what was really looked for.
"""

import json
import subprocess
import sys
from textwrap import dedent, indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firehot_server.discovery.imports import scan
from firehot_server.discovery.locate import Locator, with_parents

TREE = (  # every module is empty but for `attr`; folders without an `__init__` are namespaces
    *("solo.py", "lib/__init__.py", "lib/sub.py", "lib/deep/__init__.py", "lib/deep/er.py"),
    *("space/one.py", "space/two/__init__.py", "space/two/in_two.py"),
    *("own/__init__.py", "own/sibling.py", "own/part/__init__.py", "own/part/near.py", "own/part/below/__init__.py"),
)
MODULES = ("solo", "lib", "lib.sub", "lib.deep", "lib.deep.er", "space", "space.one", "space.two", "space.two.in_two")
OWN = ("own", "own.sibling", "own.part", "own.part.near", "own.part.below")
TARGETS = {"own.part.target": "own/part/target.py", "own.part.pack": "own/part/pack/__init__.py", "alone": "alone.py"}

RECORDER = """
    import builtins, importlib, json, sys

    generated = set(json.loads(sys.argv[2]))
    sys.path.insert(0, sys.argv[1])
    sites = {}

    class Recorder:
        current = []

        @classmethod
        def find_spec(cls, name, path=None, target=None):
            cls.current.append(name)

    def site(number):
        forget()
        Recorder.current = sites.setdefault(number, [])

    def forget():
        for name in (generated & set(sys.modules)) - keep:
            module = sys.modules.pop(name)
            parent, _, last = name.rpartition(".")
            vars(sys.modules.get(parent, module)).pop(last, None)

    builtins.site = site
    sys.meta_path.insert(0, Recorder)
    for line in sys.stdin:
        target = json.loads(line)
        parts = target.split(".")
        keep = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        importlib.invalidate_caches()
        sites.clear()
        importlib.import_module(target)
        Recorder.current = []
        forget()
        for name in keep:
            del sys.modules[name]
        print(json.dumps(list(sites.items())), flush=True)
"""


class Python:
    """An interpreter that imports what it is told to, and answers what was looked for at each site."""

    def __init__(self, root):
        self.root = root
        for name in TREE:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("attr = 1\n")
        (root / "own/part/pack").mkdir()
        modules = json.dumps([*MODULES, *OWN, *TARGETS])
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", dedent(RECORDER), str(root), modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def looks_for(self, target, source):
        """The names of existing modules, by number of the site."""
        (self.root / TARGETS[target]).write_text(source)
        self._process.stdin.write(json.dumps(target) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"importing it failed:\n{source}"
        return {number: set(names) & {*MODULES, *OWN} for number, names in json.loads(answer)}

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    python = Python(tmp_path_factory.mktemp("tree"))
    yield python
    python.close()


# A statement is a text with `SITE` lines: each is replaced by a call of `site` with the number of its own line.
PREAMBLE = """\
from __future__ import annotations
import sys, typing as t
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, TYPE_CHECKING as TC
YES, NO = True, False
"""
FOR_CALLS = "import importlib\nfrom importlib import import_module, import_module as load\n"
SUBMODULES = {"lib": ["sub", "deep"], "lib.deep": ["er"], "space": ["one", "two"], "space.two": ["in_two"]}
NOT_FOUND = ("missing", "lib.missing", "solo.missing", "space.missing.more")


def imported_names(module):
    """What `from module import ...` may name: submodules and attributes, but namespaces have none."""
    return [*SUBMODULES.get(module, []), *([] if module == "space" else ["attr"])]


@st.composite
def plain(draw):
    names = draw(st.lists(st.sampled_from(MODULES), min_size=1, max_size=3))
    return "import " + ", ".join(name + draw(st.sampled_from(["", " as other"])) for name in names)


@st.composite
def from_import(draw):
    module = draw(st.sampled_from(MODULES))
    names = draw(st.lists(st.sampled_from(imported_names(module)), min_size=1, max_size=3))
    return f"from {module} import " + ", ".join(name + draw(st.sampled_from(["", " as other"])) for name in names)


ABSOLUTE_CALLS = [
    "import_module({!r})",
    "load({!r})",
    "importlib.import_module({!r})",
    "importlib.import_module(name={!r})",
    "__import__({!r})",
    "x = [import_module({!r}) for _ in (1,)]",
    "(lambda: load({!r}))()",
    "print(end='', file=load({!r}) and None)",
    "x = YES and {{'key': import_module({!r}).attr}} if YES else None",
]
CALLS = st.builds(str.format, st.sampled_from(ABSOLUTE_CALLS), st.sampled_from([m for m in MODULES if m != "space"]))
RELATIVE = {  # by level of the target's package
    "own.part": [
        "from . import near",
        "from . import near, below as other, attr",
        "from .near import attr",
        "from .near import *",
        "from .. import sibling",
        "from .. import sibling, attr, part",
        "from ..sibling import attr",
        "import own.part.near, own.sibling",
        "from own import sibling",
        "import_module('.near', __package__)",
        "import_module('..sibling', package='own.part')",
        "load('.below', 'own.part')",
    ],
    "own.part.pack": [
        "from .. import near",
        "from ... import sibling",
        "from ..near import attr",
        "from ...sibling import *",
        "import_module('..near', __name__)",
        "import_module('...sibling', __package__)",
    ],
    "": ["import own.part.near as x", "from own.part import near, below"],
}
PACKAGES = {"own.part.target": "own.part", "own.part.pack": "own.part.pack", "alone": ""}


def imports_in(target, nested, calls):
    """Statements without a call if there are no `calls`: then `scan` takes a shorter way through the module."""
    relative = [each for each in RELATIVE[PACKAGES[target]] if calls or "(" not in each]
    star = st.sampled_from([f"from {name} import *" for name in MODULES if name != "space"])
    kinds = [plain(), from_import(), st.sampled_from(relative), *([CALLS] if calls else [])]
    return st.one_of(kinds) if nested else st.one_of([*kinds, star])


def without_star(statement):
    return "import solo" if statement.endswith("*") else statement


@st.composite
def site(draw, target, nested, calls):
    """One import that works, or one that fails and is caught."""
    statement = draw(imports_in(target, nested, calls))
    if nested:
        statement = without_star(statement)  # allowed at the top only
    form = draw(st.sampled_from(["SITE\n{}", "SITE; {}", "SITE\n{}", "failing"]))
    if form != "failing":
        return form.format(statement)
    missing = draw(st.sampled_from(NOT_FOUND))
    wanted = draw(
        st.sampled_from(
            [f"import {missing}", f"from {missing} import x, sub", f"import_module({missing!r})"][: 2 + calls]
        )
    )
    caught = draw(st.sampled_from(["except ImportError", "except (ValueError, ModuleNotFoundError)", "except"]))
    return f"try:\n    SITE\n    {wanted}\n{caught}:\n    SITE\n    {statement}"


TEMPLATES = [  # each holds two blocks, `0` and `1`, at the depth at which the digit stands
    "if YES:\n  0\nelse:\n  1",
    "if NO:\n  0\nelif YES:\n  1",
    "if TYPE_CHECKING:\n  0\nelse:\n  1",
    "if not TC or t.TYPE_CHECKING:\n  0\nelse:\n  1",
    "if sys.version_info >= (3, 99):\n  0\nelse:\n  1",
    "if __name__ == '__main__':\n  0\nif sys.platform.startswith('plan9'):\n  1",
    "for _ in (1,):\n  0\nelse:\n  1",
    "for _ in ():\n  0\nelse:\n  1",
    "while YES:\n  0\n  break\nelse:\n  1",
    "while NO:\n  0\nelse:\n  1",
    "with nullcontext():\n  0\nwith suppress(ImportError), nullcontext():\n  1\n  import missing",
    "try:\n  0\nfinally:\n  1",
    "try:\n  0\nexcept Exception:\n  raise\nelse:\n  1",
    "try:\n  0\n  raise ValueError\nexcept ValueError:\n  1",
    "try:\n  raise ExceptionGroup('', [ValueError()])\nexcept* ValueError:\n  0\nfinally:\n  1",
    "match 1:\n  case 2:\n    0\n  case int() if YES:\n    1",
    "class C(object):\n  0\n  class D:\n    1",
    "def f(x=1):\n  0\n  def g():\n    pass\nf()\ndef h():\n  1",
    "async def f():\n  0\ntry:\n  f().send(None)\nexcept StopIteration:\n  1",
]


def filled(template, parts):
    """The template with these two blocks in it."""
    lines = []
    for line in template.split("\n"):
        depth = line[: len(line) - len(line.lstrip())]
        lines.append(indent(parts[int(line)], depth) if line.strip() in ("0", "1") else line)
    return "\n".join(lines)


@st.composite
def block(draw, target, calls, depth=0, nested=False):
    if depth == 3 or draw(st.booleans()):
        return draw(site(target, nested, calls))
    template = draw(st.sampled_from(TEMPLATES))
    parts = [draw(block(target, calls, depth + 1, True)) for _ in range(2)]
    return filled(template, parts)


@st.composite
def module(draw):
    target = draw(st.sampled_from(sorted(TARGETS)))
    calls = draw(st.booleans())
    blocks = draw(st.lists(block(target, calls), min_size=1, max_size=4))
    return target, numbered("\n".join([PREAMBLE + FOR_CALLS * calls, *blocks, ""]))


def numbered(source):
    """Each `SITE` names the line of the import that follows it."""
    lines = source.split("\n")
    for index, line in enumerate(lines):
        number = index + 1 if "SITE;" in line else index + 2
        lines[index] = line.replace("SITE", f"site({number})")
    return "\n".join(lines)


def existing(locator, imports, target):
    """What these imports ask for, with parents, but for what is there anyway while the target is imported."""
    meant = [located.name for each in imports for located in locator.meant(each.module, each.names)]
    return {name for each in meant for name in with_parents(each)} - set(with_parents(target))


def compare(python, target, source):
    locator = Locator([str(python.root)])
    really = python.looks_for(target, source)
    found = scan(source, module=target, is_package=TARGETS[target].endswith("__init__.py")).imports
    for line, names in really.items():
        said = existing(locator, [each for each in found if each.line == line], target)
        assert said == names, f"line {line} of {target}:\n{source}"


@given(module())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_runs_is_found(python, generated):
    """At every site that ran: what `scan` says of it is what Python looked for, no less and no more."""
    compare(python, *generated)


@given(module())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_is_found_is_there(generated):
    """Every import found is at a site of the generated module, and none stands where it can never run."""
    target, source = generated
    sites = {int(part.partition(")")[0]) for part in source.split("site(")[1:]}
    preamble = (PREAMBLE + FOR_CALLS).count("\n")

    for each in scan(source, module=target, is_package=TARGETS[target].endswith("__init__.py")).imports:
        assert each.line in sites or each.line <= preamble or each.module == "missing"
    guarded = "if TYPE_CHECKING:\n" + indent(source.removeprefix(PREAMBLE), "    ")
    assert scan(guarded.replace("import *", "import x"), module=target, is_package=False).imports == ()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_recorder_itself(python, target):
    """It sees what is looked for at each site, and that a wrong answer would be noticed."""
    source = "site(2)\nimport lib.sub\nif 0:\n    site(5)\n    import solo\nsite(7)\nfrom lib import sub, attr\n"

    assert python.looks_for(target, source) == {2: {"lib", "lib.sub"}, 7: {"lib", "lib.sub"}}
