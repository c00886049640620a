"""Random projects: pure, from a random generator to path → text."""

from pathlib import Path
from random import Random

from tests.fuzz.imports import Module, import_of
from tests.fuzz.snippets import SNIPPETS, Place

APP = Path(__file__).with_name("snapshot.py").read_text()
PACKAGES = ("shop", "core", "blog", "tools", "stock", "users")
LEAVES = ("models", "views", "helpers", "config", "signals", "tasks", "forms", "urls", "prices", "orders")
SINGLES = ("common", "constants", "utilities")
# Those that must come last in a module: what is defined after them would be lost.
_FINAL = ("replaced", "private_names")

# So that an import takes long enough for checkpoints; the fresh interpreter does without, and so is fast.
WORK = 'from os import environ as _environ\nsum(range(int(_environ.get("FUZZ_WORK") or False)))\n'

REGISTRY = f'''"""What decorators and classes leave behind, in the order of imports."""
{WORK}
import contextvars
import itertools

ENTRIES = []
_references = []
stream = None
current = contextvars.ContextVar("current", default=())
is_seeded = False
_numbers = itertools.count(1)
VALUE = REGISTRY = 1


def next_number():
    return next(_numbers)


def register(label, rank):
    def decorate(function):
        ENTRIES.append((label, rank, function.__qualname__))
        return function

    return decorate


class Plugin:
    rank = 0

    def __init_subclass__(cls):
        ENTRIES.append((cls.__name__, cls.rank))
'''

SETTINGS = f'''"""Defaults, and what this machine has instead."""
{WORK}
VALUE = SETTINGS = 2
DEBUG = False
try:
    from local_settings import *
except ImportError as error:
    WHY = str(error)
'''


def generate(rng, without=()):
    """One project.

    Args:
        without: names of snippets and ways to import that it must not have.
    """
    files = {"app.py": APP, "registry.py": REGISTRY, "settings.py": SETTINGS}
    earlier = [Module("registry"), Module("settings")]
    units = [*rng.sample(PACKAGES, rng.randrange(3, 5)), *rng.sample(SINGLES, 2), "plugins"]
    units.remove("plugins")
    for unit in ["plugins", *units]:
        for module in _unit(rng, unit):
            if module.is_package and rng.random() < 0.2:
                continue  # a namespace package
            files[module.path] = source_of(rng, module, earlier, files, without)
            earlier.append(module)
    _close_circles(rng, files, earlier)
    files["main.py"] = _main(rng, earlier, without)
    if rng.random() < 0.4:
        files["local_settings.py"] = optional_source(rng)
    return files


def modules_of(files):
    """The modules that these files are, by their paths."""
    paths = [path.removesuffix(".py") for path in files if path.endswith(".py")]
    named = [(path.removesuffix("/__init__"), path.endswith("/__init__")) for path in paths]
    return [Module(name.replace("/", "."), is_package) for name, is_package in named if "-" not in name]


def optional_source(rng):
    """Of a module that others can do without."""
    return f"{WORK}VALUE = {rng.randrange(100, 1000)}\nDEBUG = {rng.random() < 0.5}\n"


def source_of(rng, module, earlier, files, without=()):
    """A module that imports some of the earlier ones, and does a few things more."""
    place = Place(rng, module, earlier, files)
    lines, terms = [f"VALUE = {place.number()}"], ["VALUE"]
    for wanted in rng.sample(earlier, min(len(earlier), rng.randrange(1, 4))):
        more, term = import_of(rng, module, wanted, without)
        lines += more
        terms.append(term)
    allowed = [name for name in SNIPPETS if name not in without]
    chosen = rng.sample(allowed, min(len(allowed), rng.randrange(1, 5)))
    chosen.sort(key=lambda name: name in _FINAL)
    lines += [f"TOTAL = {' + '.join(terms)}", f"{module.own_name} = {place.number()}"]
    for name in chosen:
        lines += SNIPPETS[name](place)
    docstring = f'"""{module.name}."""\n' if rng.random() < 0.5 else ""
    return docstring + WORK + "\n".join(lines) + "\n"


def _unit(rng, name):
    """The modules of a package, or the one module, in an order in which each may import those before."""
    if name in SINGLES:
        return [Module(name)]
    inner = [Module(f"{name}.{leaf}") for leaf in rng.sample(LEAVES, rng.randrange(2, 5))]
    if rng.random() < 0.5:
        inner += _unit_within(rng, f"{name}.{rng.choice(('deep', 'inner'))}")
    own = Module(name, is_package=True)
    return [*inner, own] if rng.random() < 0.5 else [own, *inner]


def _unit_within(rng, name):
    own = Module(name, is_package=True)
    inner = [Module(f"{name}.{leaf}") for leaf in rng.sample(LEAVES, rng.randrange(1, 3))]
    return [*inner, own] if rng.random() < 0.5 else [own, *inner]


def _close_circles(rng, files, modules):
    """Some modules import, at their end, one that has imported them."""
    for earlier in modules:
        later = [m for m in modules if m.package == earlier.package and m.path != earlier.path and not m.is_package]
        if earlier.is_package or not earlier.package or not later or rng.random() < 0.7:
            continue
        partner = rng.choice(later)
        files[earlier.path] += f"import {partner.name} as partner\nPARTNER_HAS = sorted(vars(partner))\n"


def _main(rng, modules, without):
    lines = [WORK]
    wanted = [module for module in modules if rng.random() < 0.8]
    rng.shuffle(wanted)
    for module in wanted:
        lines += import_of(rng, Module("main"), module, without)[0]
    return "\n".join([*lines, "VALUE = 0", ""])


def seeded(*parts):
    """A random generator for these."""
    return Random("/".join(map(str, parts)))
