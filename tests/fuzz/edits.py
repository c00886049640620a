"""Random edits of a project: pure, from its present files to what is to be done on the disk."""

import contextlib
import re
from dataclasses import dataclass, field

from tests.fuzz.disk import KeepFolderTimes, Link, Move, Prune, Remove, Touch, Write, is_link, link_text, target_of
from tests.fuzz.imports import Module, import_of
from tests.fuzz.projects import LEAVES, PACKAGES, modules_of, optional_source, source_of
from tests.fuzz.snippets import OPTIONAL

_NUMBER = re.compile(r"\b[1-9]\d\d\b")
_SYNTAX_ERRORS = (
    "def broken(:",
    "VALUE = = 1",
    "return 5",
    "if True",
    "'''never closed",
    "\tx = 1\n  y = 2",
    "x = (1,\ny = 2",
    "print 'old'",
    "await something",
    "x = 1 if",
    "\udcff\udcfe = 1",
    "x = '\0'",
    "from __future__ import nothing_known",
    "break",
    "nonlocal x",
)
_RAISING = (
    "raise RuntimeError('raised at import')",
    "raise ValueError('first line\\nsecond line')",
    "1 / 0",
    "undefined_name",
    "import no_such_module_anywhere",
    "from registry import no_such_name",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "import json; json.loads('{')",
    "assert VALUE is None, 'not none'",
    "exec('def f(:')",
    "def deep(n):\n    return deep(n - 1) if n else 1 / n\ndeep(5)",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise LookupError('from it') from error",
    "try:\n    {}['key']\nexcept KeyError:\n    raise TypeError('while handling')",
    "try:\n    import no_such_module_at_all\nexcept ImportError:\n    import no_such_fallback",
    "class Odd(Exception):\n    def __str__(self):\n        return 'odd'\nraise Odd",
    "raise ExceptionGroup('several', [ValueError(1), KeyError('two')])",
    "open('data/no_such_file.txt')",
    "import importlib; importlib.import_module('..beyond', 'registry')",
    "error = ValueError('noted'); error.add_note('a note'); raise error",
)


@dataclass
class History:
    """The trees that a project had before."""

    without: tuple = ()
    """Names of edits, snippets and ways to import that are not wanted."""
    trees: list = field(default_factory=list)
    good: list = field(default_factory=list)
    """Those of them that could be imported."""

    def add(self, tree, *, is_good):
        self.trees.append(tree)
        if is_good:
            self.good.append(tree)

    @property
    def is_broken(self):
        return not self.good or self.good[-1] is not self.trees[-1]


@dataclass(frozen=True)
class Edit:
    """Steps to be done one right after the other."""

    name: str
    steps: tuple

    def apply(self, root):
        for step in self.steps:
            with contextlib.suppress(OSError):  # such as a folder of that name: that step does nothing
                step.apply(root)


def choose(rng, files, history):
    """The next edit: more often than not, what is broken gets mended."""
    if history.is_broken and history.good and rng.random() < 0.5:
        return Edit("mended", restore(rng, files, history.good[-1]))
    for _ in range(100):
        weights = {name: weight for name, (_, weight) in EDITS.items() if name not in history.without}
        name = rng.choices([*weights], [*weights.values()])[0]
        steps = EDITS[name][0](rng, files, history)
        if steps:
            return Edit(name, tuple(steps))
    raise AssertionError("no edit is possible")


def restore(rng, files, tree):
    """What `git checkout` does: only what differs is written or removed."""
    gone = [Remove(path) for path, text in files.items() if path not in tree or (is_link(text) and tree[path] != text)]
    saves = [_save(rng, path, text) for path, text in tree.items() if files.get(path) != text]
    rng.shuffle(gone)
    rng.shuffle(saves)
    steps = (*gone, *saves)
    return (*steps, Prune()) if rng.random() < 0.5 else steps


def _save(rng, path, text):
    how = rng.choice(("in place", "in place", "by rename", "by rename", "in two parts", "anew"))
    times = rng.choices(("now", "restored", "old", "ahead"), (8, 2, 1, 1))[0]
    return Write(path, text, how, times)


def _sources(files):
    return [path for path in files if path.endswith(".py") and path != "app.py" and not is_link(files[path])]


def _with_number(rng, text):
    """The same text with another number in it, of as many digits."""
    places = list(_NUMBER.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    return f"{text[: place.start()]}{rng.randrange(100, 1000)}{text[place.end() :]}"


def _value(rng, files, _history):
    path = rng.choice(_sources(files))
    text = _with_number(rng, files[path])
    return text and [_save(rng, path, text)]


def _same_time_and_size(rng, files, _history):
    path = rng.choice(_sources(files))
    text = _with_number(rng, files[path])
    return text and [Write(path, text, rng.choice(("in place", "by rename")), "restored")]


def _saves_in_a_row(rng, files, _history):
    path = rng.choice(_sources(files))
    texts = [_with_number(rng, files[path]) for _ in range(rng.randrange(2, 6))]
    return all(texts) and [_save(rng, path, text) for text in texts]


def _data(rng, files, _history):
    path = rng.choice([path for path in files if not path.endswith(".py") and not is_link(files[path])] or [""])
    if not path:
        return None
    text = rng.choice([_with_number(rng, files[path]), files[path][:5], "", None])
    return [Remove(path)] if text is None else [_save(rng, path, text)]


def _optional_data(rng, files, _history):
    path = f"data/maybe_{rng.randrange(3)}.txt"
    return [Remove(path)] if path in files else [_save(rng, path, f"note {rng.randrange(100, 1000)}\n")]


def _optional_module(rng, files, _history):
    names = [*OPTIONAL, "fast_version", "extras", *(f"{m.name}.extras" for m in modules_of(files) if m.is_package)]
    path = rng.choice(names).replace(".", "/") + ".py"
    return [Remove(path)] if path in files and rng.random() < 0.7 else [_save(rng, path, optional_source(rng))]


def _listed_file(rng, files, _history):
    folder = rng.choice(("pages", "pages", "drafts", "pages/more"))
    path = f"{folder}/page{rng.randrange(10)}.txt"
    return [Remove(path)] if path in files else [_save(rng, path, f"{rng.randrange(100, 1000)}\n")]


def _listed_folder(rng, files, _history):
    folder = rng.choice(("pages", "drafts"))
    if any(path.startswith(f"{folder}/") for path in files):
        return rng.choice(([Remove(folder)], [Move(folder, f"{folder}_{rng.randrange(100)}")]))
    return [_save(rng, f"{folder}/page{rng.randrange(10)}.txt", "1\n")]


def _new_module(rng, files, history):
    modules = modules_of(files)
    packages = ["", *(module.name for module in modules if module.is_package), rng.choice(PACKAGES)]
    package = rng.choice(packages)
    name = rng.choice(LEAVES) + rng.choice(("", "_new"))
    module = Module(f"{package}.{name}" if package else name)
    importable = [m for m in modules if m.name not in ("app", "main")]
    more = {}
    text = source_of(rng, module, importable, more, history.without)
    steps = [_save(rng, path, data) for path, data in more.items() if path not in files]
    steps.append(_save(rng, module.path, text))
    importer = rng.choice(_sources(files))
    if rng.random() < 0.7:
        steps.append(_save(rng, importer, _with_import(rng, importer, files[importer], module, history)))
    rng.shuffle(steps)
    return steps


def _new_import(rng, files, history):
    importer = rng.choice(_sources(files))
    module = rng.choice(modules_of(files))
    return [_save(rng, importer, _with_import(rng, importer, files[importer], module, history))]


def _with_import(rng, path, text, wanted, history):
    lines, _ = import_of(rng, _module_at(path), wanted, history.without)
    return _inserted(rng, text, "\n".join(lines))


def _module_at(path):
    return Module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."), path.endswith("/__init__.py"))


def _inserted(rng, text, block):
    """The block between two statements of the module."""
    lines = text.splitlines()
    places = [
        number
        for number in range(1, len(lines) + 1)
        if number == len(lines) or (lines[number][:1].strip() and not re.match("except|else|class|def", lines[number]))
    ]
    place = rng.choice(places or [0])
    return "\n".join([*lines[:place], *block.splitlines(), *lines[place:], ""])


def _fewer_lines(rng, files, _history):
    path = rng.choice(_sources(files))
    lines = files[path].splitlines()
    places = [n for n, line in enumerate(lines) if re.match("import|from|[A-Z_]+ =|@", line)]
    if not places:
        return None
    del lines[rng.choice(places)]
    return [_save(rng, path, "\n".join([*lines, ""]))]


def _other_order(rng, files, _history):
    path = rng.choice(["main.py", rng.choice(_sources(files))])
    lines = files.get(path, "").splitlines()
    places = [n for n, line in enumerate(lines) if re.match("import|from", line)]
    if len(places) < 2:
        return None
    one, two = rng.sample(places, 2)
    lines[one], lines[two] = lines[two], lines[one]
    return [_save(rng, path, "\n".join([*lines, ""]))]


def _deleted(rng, files, _history):
    return [Remove(rng.choice(_sources(files)))]


def _renamed(rng, files, _history):
    """With or without its importers."""
    path = rng.choice([path for path in _sources(files) if not path.endswith("__init__.py")] or [""])
    if not path:
        return None
    leaf = path.rpartition("/")[2].removesuffix(".py")
    other = f"{rng.choice(LEAVES)}_{rng.randrange(10)}"
    to = f"{path.removesuffix(f'{leaf}.py')}{other}.py"
    steps = [Move(path, to)]
    if rng.random() < 0.6:
        for importer, text in files.items():
            changed = re.sub(rf"(?<=[\s.'\"]){leaf}\b", other, text)
            if importer.endswith(".py") and importer != path and changed != text and importer != "app.py":
                steps.append(_save(rng, importer, changed))
        rng.shuffle(steps)
    return steps


def _syntax_error(rng, files, _history):
    path = rng.choice(_sources(files))
    return [_save(rng, path, _inserted(rng, files[path], rng.choice(_SYNTAX_ERRORS)))]


def _raising(rng, files, _history):
    path = rng.choice([*_sources(files), "app.py"])
    return [_save(rng, path, _inserted(rng, files[path], rng.choice(_RAISING)))]


def _app_itself(rng, files, _history):
    return [_save(rng, "app.py", _inserted(rng, files["app.py"], f"REMARK = {rng.randrange(100, 1000)}"))]


def _swapped(rng, files, _history):
    one, two = rng.sample(_sources(files), 2)
    if rng.random() < 0.5:
        return [Move(one, "aside.tmp"), Move(two, one), Move("aside.tmp", two)]
    return [_save(rng, one, files[two]), _save(rng, two, files[one])]


def _earlier_text(rng, files, history):
    path = rng.choice(_sources(files))
    texts = {tree[path] for tree in history.trees if path in tree} - {files[path]}
    return texts and [_save(rng, path, rng.choice(sorted(texts)))]


def _earlier_tree(rng, files, history):
    if not history.good:
        return None
    return restore(rng, files, rng.choice(history.good))


def _package_away(rng, files, _history):
    folders = sorted({path.rpartition("/")[0] for path in _sources(files) if "/" in path})
    if not folders:
        return None
    folder = rng.choice(folders)
    return rng.choice(
        (
            [Remove(folder)],
            [Move(folder, f"{folder}_{rng.randrange(100)}")],
            [Move(folder, "away"), Move("away", folder)],
            [Move(folder, f"elsewhere/{folder.replace('/', '_')}")],
        )
    )


def _package_back(rng, files, history):
    """A folder arrives in one piece, with all that was in it."""
    folders = {path.rpartition("/")[0] for tree in history.trees for path in tree if path.endswith(".py")}
    folder = rng.choice(sorted(f for f in folders if f and not any(path.startswith(f"{f}/") for path in files)) or [""])
    if not folder:
        return None
    tree = rng.choice([tree for tree in history.trees if any(path.startswith(f"{folder}/") for path in tree)])
    inside = {path: text for path, text in tree.items() if path.startswith(f"{folder}/")}
    saves = [Write(f"arriving/{path.removeprefix(f'{folder}/')}", text) for path, text in inside.items()]
    return [*saves, Remove(folder), Move("arriving", folder)]


def _into_package(rng, files, _history):
    path = rng.choice([path for path in _sources(files) if not path.endswith("__init__.py")] or [""])
    if not path:
        return None
    steps = [_save(rng, f"{path.removesuffix('.py')}/__init__.py", files[path])]
    return [*steps, Remove(path)] if rng.random() < 0.7 else steps


def _init_toggled(rng, files, _history):
    folders = sorted({path.rpartition("/")[0] for path in _sources(files) if "/" in path})
    if not folders:
        return None
    path = f"{rng.choice(folders)}/__init__.py"
    return [Remove(path)] if path in files else [_save(rng, path, f"VALUE = {rng.randrange(100, 1000)}\n")]


def _shadow(rng, files, _history):
    """A file of the project comes before what is installed, or before one of its own."""
    path = rng.choice(("colorsys.py", "vendored.py", "vendor_kit/part.py", "vendor_kit/__init__.py", "lib/common.py"))
    return [Remove(path)] if path in files else [_save(rng, path, f"VALUE = {rng.randrange(100, 1000)}\n")]


def _folder_beside(rng, files, _history):
    """A folder without a module beside a module of its name: no package, as long as there is the module."""
    path = rng.choice([path for path in _sources(files) if not path.endswith("__init__.py")] or [""])
    return path and [_save(rng, f"{path.removesuffix('.py')}/readme.txt", "nothing\n")]


def _remark(rng, files, _history):
    path = rng.choice(_sources(files))
    return [_save(rng, path, f"# {rng.randrange(10**6)}\n{files[path]}")]


def _emptied(rng, files, _history):
    return [_save(rng, rng.choice(_sources(files)), "")]


def _nothing(rng, files, _history):
    path = rng.choice(_sources(files))
    return [rng.choice((Write(path, files[path]), Touch(path, "app.py"), Write(path, files[path], "by rename")))]


def _away_and_back(rng, files, _history):
    path = rng.choice([*files])
    return path != "app.py" and [Remove(path), Write(path, files[path])]


def _moved_over(rng, files, _history):
    one, two = rng.sample(_sources(files), 2)
    return [Move(one, two)]


def _folder_times_kept(rng, files, history):
    names = ("optional module", "optional data", "listed file", "deleted", "renamed", "shadow", "init toggled")
    name = rng.choice([name for name in names if name not in history.without])
    steps = EDITS[name][0](rng, files, history)
    return steps and [KeepFolderTimes(tuple(steps))]


def _coding(rng, files, _history):
    path = rng.choice(_sources(files))
    text = rng.choice(
        (
            f"\ufeff{files[path]}",
            files[path].replace("\n", "\r\n"),
            f"# -*- coding: latin-1 -*-\nLATIN = '\udce9'\n{files[path]}",
            f"# coding: no-such-coding\n{files[path]}",
        )
    )
    return [_save(rng, path, text)]


def _linked(rng, files, _history):
    path = rng.choice([path for path in files if path != "app.py"])
    folder = path.rpartition("/")[0]
    what = folder if folder and rng.random() < 0.4 else path
    return not what.startswith("store/") and [Link(what, f"store/{rng.randrange(100)}/{what.rpartition('/')[2]}")]


def _through_link(rng, files, _history):
    """Saved by the name of a link: as an editor does that was given that name."""
    path = rng.choice([path for path, text in files.items() if is_link(text)] or [""])
    text = path and files.get(target_of(path, files[path]))
    return text and [Write(path, _with_number(rng, text) or f"{text}# more\n", rng.choice(("in place", "by rename")))]


def _relinked(rng, files, _history):
    """A link leads to another file, in one step or in two."""
    path = rng.choice([path for path, text in files.items() if is_link(text)] or [""])
    others = [other for other, text in files.items() if not is_link(text) and other.endswith(path[-3:])]
    if not path or not others:
        return None
    return [Write(path, link_text(path, rng.choice(others)), rng.choice(("anew", "by rename")))]


def _loose_link(rng, files, _history):
    """A link that leads to what may not be there yet."""
    path = rng.choice((*(f"{name}.py" for name in OPTIONAL), "data/maybe_1.txt", "drafts", "extras.py"))
    if path in files:
        return [Remove(path)] if is_link(files[path]) else None
    suffix = path.partition(".")[2]
    target = f"shared/{rng.randrange(2)}.{suffix}" if suffix else "shared"
    return [Write(path, link_text(path, target))]


def _shared(rng, files, _history):
    """What such a link leads to."""
    path = f"shared/{rng.randrange(2)}.{rng.choice(('py', 'txt'))}"
    if path in files:
        return rng.choice(([Remove(path)], [Remove("shared")], [Move("shared", f"shared_{rng.randrange(10)}")]))
    return [_save(rng, path, optional_source(rng))]


def _several(rng, files, history):
    steps = []
    for _ in range(rng.randrange(2, 6)):
        edit, _ = EDITS[rng.choice([name for name in EDITS if name not in ("several", *history.without)])]
        steps += edit(rng, files, history) or []
    return steps


EDITS = {
    "value": (_value, 12),
    "same time and size": (_same_time_and_size, 6),
    "saves in a row": (_saves_in_a_row, 3),
    "data": (_data, 5),
    "optional data": (_optional_data, 4),
    "optional module": (_optional_module, 6),
    "listed file": (_listed_file, 4),
    "listed folder": (_listed_folder, 1),
    "new module": (_new_module, 4),
    "new import": (_new_import, 4),
    "fewer lines": (_fewer_lines, 3),
    "other order": (_other_order, 3),
    "deleted": (_deleted, 2),
    "renamed": (_renamed, 3),
    "syntax error": (_syntax_error, 4),
    "raising": (_raising, 4),
    "app itself": (_app_itself, 1),
    "swapped": (_swapped, 2),
    "earlier text": (_earlier_text, 4),
    "earlier tree": (_earlier_tree, 3),
    "package away": (_package_away, 2),
    "package back": (_package_back, 2),
    "into package": (_into_package, 2),
    "init toggled": (_init_toggled, 2),
    "shadow": (_shadow, 3),
    "folder beside": (_folder_beside, 1),
    "remark": (_remark, 1),
    "emptied": (_emptied, 1),
    "nothing": (_nothing, 1),
    "away and back": (_away_and_back, 1),
    "moved over": (_moved_over, 1),
    "folder times kept": (_folder_times_kept, 3),
    "coding": (_coding, 1),
    "linked": (_linked, 2),
    "through link": (_through_link, 2),
    "relinked": (_relinked, 2),
    "loose link": (_loose_link, 2),
    "shared": (_shared, 2),
    "several": (_several, 4),
}
"""Name → what makes the steps (none: not possible here), and how often it is chosen."""
