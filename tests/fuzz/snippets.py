"""What the modules of generated projects do while they are imported, beside importing.

Each snippet is a function of a `Place` that returns lines of source, and may leave data files in the project.
"""

import json
from dataclasses import dataclass
from random import Random


@dataclass
class Place:
    """The module that a snippet is for."""

    rng: Random
    module: object
    earlier: list
    """Modules that it may import."""
    files: dict
    """Path → text, of all of the project."""

    @property
    def folder(self):
        """Where the module lies, with a slash at its end, below the project's folder."""
        return self.module.path.rpartition("/")[0] + "/" if "/" in self.module.path else ""

    @property
    def tag(self):
        return self.module.own_name.lower()

    @property
    def has_package(self):
        """The module is, or lies in, a package with an `__init__`."""
        return self.module.is_package or f"{self.folder}__init__.py" in self.files

    @property
    def any_earlier(self):
        """The name of one of them."""
        return self.rng.choice(self.earlier).name

    def number(self):
        return self.rng.randrange(100, 1000)


def _dataclass(place):
    return [
        "from dataclasses import dataclass, field",
        "@dataclass(order=True)",
        "class Item:",
        f"    price: int = {place.number()}",
        f"    name: str = 'item of {place.tag}'",
        "    tags: list = field(default_factory=lambda: [VALUE])",
        "ITEM = Item(price=VALUE)",
    ]


def _enum(place):
    return [
        "from enum import Enum, auto",
        "class Colour(Enum):",
        "    RED = auto()",
        f"    GREEN = {place.number()}",
        "    BLUE = VALUE",
        "FAVOURITE = Colour(VALUE)",
    ]


def _registered(place):
    name = f"handler_{place.tag}"
    return [
        "from registry import register",
        f"@register('{place.tag}', {place.number()})",
        f"def {name}():",
        f"    return VALUE + {place.number()}",
    ]


def _subclass_registry(place):
    return [
        "from registry import Plugin",
        f"class Plugin{place.tag.title().replace('_', '')}(Plugin):",
        "    rank = VALUE",
    ]


def _counter(_place):
    return ["import registry", "NUMBER = registry.next_number()", "SEEN_SO_FAR = len(registry.ENTRIES)"]


def _private_names(place):
    return [f"_HIDDEN = {place.number()}", f"__all__ = ['VALUE', '{place.module.own_name}', 'TOTAL']"]


def _json_data(place):
    path = f"{place.folder}{place.module.leaf}.json"
    place.files[path] = json.dumps({"number": place.number(), "text": place.tag}) + "\n"
    return [
        "import json",
        "from pathlib import Path",
        f"CONFIG = json.loads(Path(__file__).with_name('{place.module.leaf}.json').read_text())",
    ]


def _relative_data(place):
    path = f"data/{place.tag}.txt"
    place.files[path] = f"{place.number()}\nline two\n"
    return [f"with open('{path}') as lines:", "    LINES = lines.read().splitlines()", "del lines"]


def _optional_data(place):
    path = f"data/maybe_{place.rng.randrange(3)}.txt"
    return [
        "try:",
        f"    with open('{path}') as file:",
        "        NOTE = file.read()",
        "except FileNotFoundError:",
        "    NOTE = 'no note'",
    ]


def _package_data(place):
    path = f"{place.folder}{place.module.leaf}_note.txt"
    place.files[path] = f"note {place.number()}\n"
    if not place.has_package:
        return [f"NOTE_TEXT = open('{path}').read()"]
    name = path.rpartition("/")[2]
    return ["import pkgutil", f"NOTE_TEXT = pkgutil.get_data(__package__, '{name}').decode()"]


def _resource(place):
    path = f"{place.folder}{place.module.leaf}_resource.txt"
    place.files[path] = f"resource {place.number()}\n"
    if not place.has_package:
        return [f"RESOURCE = open('{path}').read()"]
    name = path.rpartition("/")[2]
    return ["from importlib.resources import files", f"RESOURCE = (files(__package__) / '{name}').read_text()"]


def _toml(place):
    place.files["settings.toml"] = f"[shop]\nsize = {place.number()}\n"
    return ["import tomllib", "with open('settings.toml', 'rb') as toml:", "    SIZES = tomllib.load(toml)", "del toml"]


def _listing(place):
    for _ in range(2):
        place.files[f"pages/page{place.rng.randrange(10)}.txt"] = f"{place.number()}\n"
    return place.rng.choice(
        [
            ["import os", "PAGES = sorted(os.listdir('pages')) if VALUE else []"],
            ["from pathlib import Path", "PAGES = sorted(page.name for page in Path('pages').iterdir())"],
            ["from pathlib import Path", "PAGES = [p.read_text() for p in sorted(Path('pages').glob('*.txt'))]"],
            ["import glob", "PAGES = sorted(glob.glob('pages/**/*.txt', recursive=True))"],
            ["import os", "PAGES = sorted(each.name for each in os.scandir('pages'))"],
            ["import os", "PAGES = [(folder, sorted(names)) for folder, _, names in sorted(os.walk('pages'))]"],
        ]
    )


def _optional_listing(_place):
    return [
        "import os",
        "try:",
        "    DRAFTS = sorted(os.listdir('drafts'))",
        "except OSError as error:",
        "    DRAFTS = type(error).__name__",
    ]


def _optional_module(place):
    name = place.rng.choice(OPTIONAL)
    return [
        "try:",
        f"    from {name} import VALUE as OPTIONAL_VALUE",
        "except ImportError as error:",
        "    OPTIONAL_VALUE = type(error).__name__",
    ]


def _optional_sibling(place):
    start = place.module.package
    name = f"{start}.extras" if start else "extras"
    return [
        "import importlib",
        "try:",
        f"    EXTRAS = importlib.import_module('{name}').VALUE",
        "except ModuleNotFoundError as error:",
        "    EXTRAS = str(error)",
    ]


def _alternatives(place):
    return [
        "try:",
        "    import fast_version as version",
        "except ImportError:",
        f"    import {place.any_earlier} as version",
        "VERSION = version.__name__",
    ]


def _walk_packages(place):
    if place.module.name.startswith("plugins"):
        return _partial(place)
    return [
        "import importlib, pkgutil",
        "import plugins",
        "PLUGINS = [m.name for m in pkgutil.walk_packages(plugins.__path__, 'plugins.')]",
        "for plugin in PLUGINS:",
        "    importlib.import_module(plugin)",
    ]


def _iter_modules(place):
    if not place.module.is_package:
        return _walk_packages(place)
    return ["import pkgutil", "SUBMODULES = [m.name for m in pkgutil.iter_modules(__path__)]"]


def _replaced(_place):
    return [
        "import sys",
        "class Facade:",
        "    is_of_project = True",
        "facade = Facade()",
        "vars(facade).update(globals())",
        "sys.modules[__name__] = facade",
    ]


def _module_getattr(place):
    return [
        "def __getattr__(name):",
        "    if name == 'COMPUTED':",
        f"        return VALUE + {place.number()}",
        "    raise AttributeError(name)",
    ]


def _uses_module_getattr(place):
    return [f"import {place.any_earlier} as computing", "COMPUTED_THERE = getattr(computing, 'COMPUTED', 'no')"]


def _alias(place):
    return ["import sys", f"sys.modules['alias_{place.tag}'] = sys.modules[__name__]"]


def _uses_alias(place):
    name = f"alias_{place.any_earlier.replace('.', '_')}"
    return [
        "try:",
        f"    import {name} as aliased",
        "except ImportError:",
        "    aliased = None",
        "ALIASED = getattr(aliased, 'VALUE', 'not there')",
    ]


def _virtual(place):
    return [
        "import sys, types",
        f"virtual = types.ModuleType('virtual_{place.tag}')",
        "virtual.is_of_project = True",
        "virtual.VALUE = VALUE + 1",
        f"sys.modules['virtual_{place.tag}'] = virtual",
        f"from virtual_{place.tag} import VALUE as VIRTUAL",
    ]


def _blocked(place):
    if not place.module.is_package:
        return _virtual(place)
    return [
        "import sys",
        "sys.modules[__name__ + '.blocked'] = None",
        "try:",
        "    from . import blocked",
        "except ImportError as error:",
        "    BLOCKED = type(error).__name__",
    ]


def _imported_again(place):
    name = place.any_earlier
    return [
        "import sys",
        f"import {name} as first_time",
        f"former = sys.modules.pop('{name}')",
        f"import {name} as second_time",
        "IS_SAME = first_time is second_time",
        "del former",
    ]


def _reloaded(place):
    name = place.any_earlier
    return [
        "import importlib",
        f"again = importlib.import_module('{name}')",
        "if hasattr(again, '__spec__'):",
        "    importlib.reload(again)",
    ]


def _patched(place):
    return [f"import {place.any_earlier} as patched", f"patched.PATCHED_BY = '{place.tag}', VALUE"]


def _executed(place):
    place.files["scripts/prepare.py"] = f"PREPARED = {place.number()}\n"
    return place.rng.choice(
        [
            ["import runpy", "PREPARED = runpy.run_path('scripts/prepare.py')['PREPARED']"],
            [
                "names = {}",
                "exec(open('scripts/prepare.py').read(), names)",
                "PREPARED = names['PREPARED']",
                "del names",
            ],
        ]
    )


def _by_location(place):
    place.files["scripts/located.py"] = f"VALUE = {place.number()}\nLOCATED = VALUE + 1\n"
    return [
        "import importlib.util",
        f"spec = importlib.util.spec_from_file_location('located_{place.tag}', 'scripts/located.py')",
        "located = importlib.util.module_from_spec(spec)",
        "spec.loader.exec_module(located)",
        "LOCATED = located.LOCATED",
        "del spec, located",
    ]


def _environment(place):
    return [
        "import os",
        f"os.environ['SHOP_{place.tag.upper()}'] = str(VALUE)",
        "os.environ['SHOP_LAST'] = __name__",
        "ENVIRONMENT = sorted(key for key in os.environ if key.startswith('SHOP_'))",
    ]


def _search_path(place):
    place.files.setdefault("lib/library.py", f"VALUE = {place.number()}\nLIBRARY = VALUE\n")
    return [
        "import os, sys",
        "import settings",
        "lib = os.path.join(os.path.dirname(os.path.abspath(settings.__file__)), 'lib')",
        "if lib not in sys.path:",
        "    sys.path.insert(0, lib)",
        "from library import VALUE as LIBRARY_VALUE",
    ]


def _extended_path(place):
    if not place.module.is_package:
        return _search_path(place)
    more = f"{place.folder}more"
    place.files[f"{more}/{place.tag}_more.py"] = f"VALUE = {place.number()}\n"
    return [
        "import os",
        "__path__.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'more'))",
        f"from . import {place.tag}_more",
    ]


def _cached_function(place):
    return [
        "import functools",
        "@functools.cache",
        "def price(of):",
        f"    return of * {place.number()}",
        "PRICES = [price(1), price(VALUE), price(1)]",
    ]


def _uses_cached_function(place):
    return [
        f"import {place.any_earlier} as priced",
        "PRICE = priced.price(7) if hasattr(priced, 'price') else 0",
    ]


def _standard_library(_place):
    return ["import colorsys", "COLOUR = getattr(colorsys, 'VALUE', 'real colorsys')"]


def _third_party(place):
    name = place.rng.choice(["vendored", "vendor_kit"])
    return [f"import {name}", f"INSTALLED = {name}.VALUE"]


def _third_party_hooks(_place):
    """What is installed imports something of the project, if that is there."""
    return ["import vendor_hooks", "HOOKS = vendor_hooks.VALUE, vendor_hooks.LOCAL"]


def _finder(place):
    place.files["virtual/recipe.src"] = f"VALUE = {place.number()}\n"
    return [
        "import sys, importlib.util",
        "class RecipeFinder:",
        "    is_of_project = True",
        "    def find_spec(self, name, path=None, target=None):",
        "        return importlib.util.spec_from_loader(name, self) if name == 'recipe' else None",
        "    def create_module(self, spec):",
        "        return None",
        "    def exec_module(self, module):",
        "        module.is_of_project = True",
        "        exec(open('virtual/recipe.src').read(), vars(module))",
        "if not any(getattr(finder, 'is_of_project', False) for finder in sys.meta_path):",
        "    sys.meta_path.insert(0, RecipeFinder())",
        "import recipe",
        "RECIPE = recipe.VALUE",
    ]


def _source_of_itself(_place):
    return ["import inspect", "def documented(number):", "    return number", "SOURCE = inspect.getsource(documented)"]


def _seed(place):
    return [
        "import random",
        "import registry",
        "registry.is_seeded = True",
        f"random.seed({place.number()})",
        "DRAWN = random.randrange(10**6)",
    ]


def _draw(_place):
    return ["import random", "import registry", "DRAWN_AFTER = random.randrange(10**6) if registry.is_seeded else 0"]


def _partial(place):
    return [f"import {place.any_earlier} as looked_at", "NAMES_THERE = [n for n in vars(looked_at) if n[:1] != '_']"]


def _star_of_package(place):
    packages = [module.name for module in place.earlier if module.is_package]
    if not packages:
        return _partial(place)
    return [f"from {place.rng.choice(packages)} import *", "STARRED = sorted(n for n in globals() if n.isupper())"]


def _error_kept(place):
    return [
        "try:",
        f"    from {place.any_earlier} import DOES_NOT_EXIST",
        "except ImportError as error:",
        "    MESSAGE = str(error)",
    ]


def _traceback_kept(place):
    """Whose frames are in it?"""
    place.files["broken/__init__.py"] = ""
    place.files["broken/syntax.py"] = "VALUE = 1\nVALUE = = 2\n"
    place.files["broken/raising.py"] = "def fail():\n    return 1 / 0\nfail()\n"
    place.files["broken/lacking.py"] = "import registry\nimport no_such_module\n"
    name = place.rng.choice(("syntax", "raising", "lacking", "not_there"))
    return [
        "import traceback",
        "try:",
        f"    import broken.{name}",
        "except Exception:",
        "    TRACEBACK = traceback.format_exc()",
    ]


def _in_a_thread(_place):
    """Of nothing that could wait for what waits for the thread: no edit puts a module of the project in its place."""
    return [
        "import importlib, threading",
        "thread = threading.Thread(target=importlib.import_module, args=('vendor_alone',))",
        "thread.start()",
        "thread.join()",
        "del thread",
    ]


def _by_a_pool(place):
    return [
        "from concurrent.futures import ThreadPoolExecutor",
        "with ThreadPoolExecutor(2) as pool:",
        f"    POOLED = list(pool.map(str, range({place.rng.randrange(1, 5)})))",
        "del pool",
    ]


def _program(_place):
    return ["import subprocess", "STATUS = subprocess.run(['true']).returncode"]


def _temporary_file(place):
    return [
        "import tempfile",
        "with tempfile.TemporaryFile('w+') as file:",
        f"    file.write('{place.number()}')",
        "    file.seek(0)",
        "    WRITTEN = file.read()",
        "del file",
    ]


def _open_file(place):
    """One file is read by several modules, a line each."""
    place.files.setdefault("data/stream.txt", "".join(f"line {number}\n" for number in range(50)))
    return [
        "import registry",
        "if registry.stream is None:",
        "    registry.stream = open('data/stream.txt')",
        "LINE = registry.stream.readline()",
        "if VALUE % 5:",
        "    registry.stream.close()",
        "    registry.stream = None",
    ]


def _built_file(place):
    path = f"built/{place.tag}.txt"
    return [
        "import os",
        "os.makedirs('built', exist_ok=True)",
        f"with open('{path}.' + str(os.getpid()), 'w') as file:",
        "    file.write(f'built of {VALUE}')",
        f"os.replace(file.name, '{path}')",
        f"BUILT = open('{path}').read()",
        "del file",
    ]


def _signal_handler(place):
    return [
        "import signal",
        f"def handler_{place.tag}(number, frame):",
        "    return VALUE",
        f"signal.signal(signal.SIGUSR2, handler_{place.tag})",
        "def handler_now():",
        "    return signal.getsignal(signal.SIGUSR2)",
    ]


def _process_state(place):
    return [
        "import decimal, gc, os, sys",
        "sys.setrecursionlimit(1000 + VALUE)",
        "decimal.getcontext().prec = 10 + VALUE % 10",
        f"gc.{place.rng.choice(('disable', 'enable'))}()",
        "gc.set_threshold(700 + VALUE, 10, 10)",
        "os.umask(0o022)",
        "def process_now():",
        "    mask = os.umask(0o022)",
        "    os.umask(mask)",
        "    precision = decimal.getcontext().prec",
        "    return [sys.getrecursionlimit(), precision, gc.isenabled(), gc.get_threshold(), os.getcwd(), mask]",
    ]


def _changed_folder(place):
    place.files.setdefault("data/here.txt", f"{place.number()}\n")
    return [
        "import os",
        "above = os.getcwd()",
        "os.chdir('data')",
        "HERE = open('here.txt').read(), sorted(os.listdir()) if VALUE % 2 else None",
        "os.chdir(above)",
        "del above",
    ]


def _context(place):
    return [
        "import contextvars, registry",
        "registry.current.set(registry.current.get() + (VALUE,))",
        "def context_now():",
        "    return registry.current.get()",
        f"CONTEXT = registry.current.get(), {place.number()}",
    ]


def _cycle(_place):
    return [
        "import weakref, registry",
        "class Node:",
        "    pass",
        "node = Node()",
        "node.itself = node",
        "registry._references.append(weakref.ref(node))",
        "del node",
    ]


def _collected(_place):
    return ["import gc, registry", "gc.collect()", "ALIVE = [ref() is not None for ref in registry._references]"]


def _main_module(place):
    return [
        "import __main__",
        "BEFORE = getattr(__main__, 'SHOP', None)",
        f"__main__.SHOP = '{place.tag}', VALUE",
    ]


def _source_of_another(place):
    return [
        "import inspect",
        f"import {place.any_earlier} as shown",
        "SHOWN = inspect.getsource(shown) if hasattr(shown, '__spec__') and inspect.ismodule(shown) else None",
    ]


def _warned(place):
    return [
        "import warnings",
        f"warnings.warn('{place.tag}', DeprecationWarning)",
        "WARNED = len(warnings.filters) > 0",
    ]


def _looked_at(place):
    """What is only looked at, and not opened."""
    name = f"data/maybe_{place.rng.randrange(3)}.txt"
    return ["from pathlib import Path", f"IS_THERE = Path('{name}').exists()"]


OPTIONAL = ("local_settings", "accelerated", "shop_overrides")
"""Modules that a project can do without."""

INSTALLED = {
    "vendored.py": "VALUE = 'vendored'\n",
    "vendor_alone.py": "VALUE = 'alone'\n",
    "vendor_kit/__init__.py": "from vendor_kit import part\nVALUE = part.VALUE\n",
    "vendor_kit/part.py": "VALUE = 'part'\n",
    "vendor_hooks.py": (
        "try:\n    from local_settings import VALUE as LOCAL\nexcept ImportError:\n    LOCAL = None\nVALUE = 'hooks'\n"
    ),
}
"""What is in the folder of installed modules."""

SNIPPETS = {
    name.removeprefix("_"): snippet
    for name, snippet in list(globals().items())
    if name.startswith("_") and getattr(snippet, "__module__", "") == __name__
}
"""All of them, by name."""
