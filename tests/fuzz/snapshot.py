"""The app of every generated project: imports all of it, and answers with what came out.

It is copied into the project as `app.py`, and run by the server and by a fresh interpreter alike: so it imports nothing
that is not the standard library's, and nothing of it may differ between the two.
"""

import json
import os
import re
import sys
from types import FunctionType, ModuleType

import main  # noqa: F401  all of the project

ROOT = os.path.dirname(os.path.abspath(__file__))
_answer = None


def state():
    """All that can be told of the project's modules, in values that JSON has."""
    results = _call_all()
    return {
        "order": [name for name, module in list(sys.modules.items()) if belongs(name, module)],
        "modules": {name: _told(module, results) for name, module in _own_modules()},
        "path": [_shortened(entry) for entry in sys.path if entry.startswith(f"{ROOT}/")],
        "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith("SHOP_")},
        "finders": [type(f).__name__ for f in sys.meta_path if getattr(f, "is_of_project", False)],
    }


def belongs(name, module):
    """Whether this entry of `sys.modules` was made by the project."""
    if module is None:
        parent = sys.modules.get(name.rpartition(".")[0])
        return parent is not None and belongs("", parent)
    if isinstance(module, ModuleType):
        own = vars(module)
        if own.get("is_of_project"):
            return True
        places = [own.get("__file__") or "", *own.get("__path__", ())]
        return any(isinstance(place, str) and place.startswith(ROOT) for place in places)
    return bool(getattr(module, "is_of_project", False))


def _own_modules():
    return [(name, module) for name, module in list(sys.modules.items()) if belongs(name, module)]


def _call_all():
    """The results of every function without arguments, by identity: again and again, as long as that imports more."""
    results, done = {}, set()
    while fresh := [(name, module) for name, module in _own_modules() if name not in done]:
        for name, module in fresh:
            done.add(name)
            for value in list(getattr(module, "__dict__", {}).values()):
                if isinstance(value, FunctionType) and belongs("", sys.modules.get(value.__module__)):
                    _call(value, results)
    return results


def _call(function, results):
    if function.__code__.co_argcount or function.__module__ == __name__ or id(function) in results:
        return
    results[id(function)] = "?"
    try:
        results[id(function)] = _plain(function(), results)
    except Exception as error:
        results[id(function)] = f"raises {type(error).__name__}: {_shortened(str(error))}"


def _told(module, results):
    if module is None:
        return None
    own = vars(module)
    told = {name: _plain(own.get(name), results) for name in ("__name__", "__file__", "__package__", "__doc__")}
    told["__all__"] = _plain(own.get("__all__"), results)
    told["__path__"] = [_shortened(entry) for entry in own.get("__path__", ())]
    told["class"] = type(module).__name__
    told["names"] = list(own)
    # The values of this module differ: it holds what it compares.
    told["values"] = {} if module is sys.modules[__name__] else _values(own, results)
    if not isinstance(module, ModuleType):
        told["values"] |= _values({name: getattr(module, name) for name in dir(module)}, results)
    return told


def _values(names, results):
    return {name: _plain(value, results) for name, value in names.items() if not name.startswith("_")}


def _plain(value, results, depth=0):
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _shortened(value)
    if depth > 4:
        return "..."
    inner = [results, depth + 1]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(_plain(each, *inner) for each in value)]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(repr(_plain(each, *inner)) for each in value)]
    if isinstance(value, dict):
        return [[_plain(key, *inner), _plain(each, *inner)] for key, each in value.items()]
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type):
        return _of_class(value, inner)
    if isinstance(value, FunctionType):
        return f"function {value.__module__}.{value.__qualname__} -> {results.get(id(value), '')}"
    if hasattr(value, "cache_info"):
        return f"cached {value.__qualname__} {value.cache_info()}"
    return _shortened(re.sub("0x[0-9a-f]+", "0x", repr(value)))


def _of_class(kind, inner):
    home = sys.modules.get(kind.__module__)
    if home is not None and not belongs("", home):
        return f"class {kind.__module__}.{kind.__qualname__}"
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "is the one in its module": getattr(home, kind.__name__, None) is kind,
        "bases": [base.__qualname__ for base in kind.__mro__],
        "attributes": [[name, _plain(value, *inner)] for name, value in vars(kind).items() if not name.startswith("_")],
    }


def _shortened(text):
    return text.replace(ROOT, "<project>")


async def app(scope, receive, send):
    """Tell the state as it was at the first request: to tell it may import more."""
    global _answer
    if scope["type"] == "lifespan":
        while True:
            step = (await receive())["type"]
            await send({"type": f"{step}.complete"})
            if step == "lifespan.shutdown":
                return
    if _answer is None:
        _answer = json.dumps(state()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": _answer})
