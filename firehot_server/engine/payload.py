"""Functions, arguments and results on their way to another process and back."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle

from firehot_server.discovery.locate import Locator
from firehot_server.errors import CannotSend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Registry:
    """cloudpickle's list of modules to pickle by value, which belongs to the whole program."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._added: list[str] = []

    def add(self, module: ModuleType) -> None:
        """Pickle what is of this module by value, until `clear`; needs the lock."""
        if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
            with contextlib.suppress(ValueError):  # it is known by another name only
                cloudpickle.register_pickle_by_value(module)
                self._added.append(module.__name__)

    def clear(self) -> None:
        """Leave cloudpickle as it was."""
        while self._added:
            with contextlib.suppress(ValueError):  # somebody else did
                cloudpickle.unregister_pickle_by_value(ModuleType(self._added.pop()))

    def forked(self) -> None:
        """This is a copy of the process: another thread may have been in the middle of something."""
        self.lock = threading.Lock()
        self.clear()


_registry = _Registry()
os.register_at_fork(after_in_child=_registry.forked)


@dataclass(frozen=True, slots=True)
class Packed:
    """A call on its way."""

    payload: bytes
    modules: tuple[str, ...]
    """The project's modules that it needs, by name, in the order in which unpickling it would import them."""


class Packer:
    """Pickles calls, for processes that have the same `sys.path` but none of this one's modules.

    What lies in a module that the other process can import goes by name, so it runs the code on disk; all else (of
    `__main__`, of a notebook, nested, of a test module that no path leads to, of a module that is still being imported)
    goes by value.

    Args:
        is_first_party: whether a file belongs to the project.
    """

    def __init__(self, is_first_party: Callable[[str], bool]) -> None:
        self._is_first_party = is_first_party
        self._importable: dict[tuple[str, object, tuple[str, ...]], bool] = {}
        """Whether a module of this name and origin can be imported with such a `sys.path`."""

    def pack(self, function: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Packed:
        """Pickle a call.

        Raises:
            CannotSend: something in it cannot be pickled.
        """
        stream = io.BytesIO()
        pickler = _Pickler(stream, self._is_importable)
        with _registry.lock:
            try:
                pickler.dump((function, arguments, dict(keywords)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an object's own `__reduce__` may raise anything
                message = f"{_name(function)} or an argument cannot be sent to another process: {error}"
                raise CannotSend(message) from error
            finally:
                _registry.clear()
        return Packed(stream.getvalue(), tuple(filter(self._is_projects, pickler.modules)))

    def _is_projects(self, name: str) -> bool:
        origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
        return isinstance(origin, str) and self._is_first_party(origin)

    def _is_importable(self, module: ModuleType, name: str) -> bool:
        """Whether an import of this name elsewhere gives this module.

        A module that is being imported now would, over there, arrive at this very call again.
        """
        if getattr(module.__spec__, "_initializing", False):
            return False
        key = (name, getattr(module.__spec__, "origin", None), tuple(sys.path))
        if key not in self._importable:
            self._importable[key] = _is_importable(module, name, Locator(sys.path))
        return self._importable[key]


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, but that modules which cannot be imported elsewhere go by value."""

    def __init__(self, stream: io.BytesIO, is_importable: Callable[[ModuleType, str], bool]) -> None:
        super().__init__(stream, protocol=5)
        self._is_importable = is_importable
        self._seen: set[str] = set()
        self.modules: dict[str, None] = {}
        """Those from which something goes by name: the other process will import them, in this order."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type):
            self._examine(getattr(obj, "__module__", None))
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented and isinstance(name := getattr(obj, "__module__", None), str):
            self.modules[name] = None
        return reduced

    def _examine(self, name: object) -> None:
        if not isinstance(name, str) or name in self._seen:
            return
        self._seen.add(name)
        module = sys.modules.get(name)
        if isinstance(module, ModuleType) and not self._is_importable(module, name):
            _registry.add(module)


def _is_importable(module: ModuleType, name: str, locator: Locator) -> bool:
    """What is no source file is not doubted."""
    origin = getattr(module.__spec__, "origin", None)
    if not isinstance(origin, str):
        return module.__spec__ is not None
    if not origin.endswith(".py"):
        return True
    located = locator.find(name)
    return located is not None and located.file is not None and _is_same_file(located.file, origin)


def _is_same_file(one: str, other: str) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
