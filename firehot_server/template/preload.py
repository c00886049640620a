"""Preloading: import third-party modules one by one, and tell what must be left to the worker."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

from firehot_server.audit import Auditor
from firehot_server.discovery.locate import with_parents
from firehot_server.fingerprint import FOLDER, NOTHING
from firehot_server.lookups import watch_lookups
from firehot_server.messages import Preloading, Read, Skipped
from firehot_server.template.guard import ImportGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# What else is found is the project's, and refused. A folder without a module in it gives way to any module elsewhere.
_IN_VAIN = (NOTHING, FOLDER)
# Characters of a reason, for people.
_LINE_LIMIT = 200


def preload(
    modules: Iterable[str], announce: Callable[[Preloading], None], is_first_party: Callable[[str], bool]
) -> tuple[tuple[Skipped, ...], tuple[Read, ...]]:
    """Import each module in turn, and no project code.

    Args:
        modules: dotted names, in the order in which to import them.
        announce: called before each import that is not yet done, so that a module which hangs or kills the process
            is known.
        is_first_party: whether a file or folder belongs to the project.

    Returns:
        What could not be preloaded and why, and where in the project a module was looked for in vain. Never raises for
        what a module does.
    """
    looked: dict[str, bytes] = {}
    end = watch_lookups(is_first_party, looked.setdefault)
    try:
        skipped = _preload_each(tuple(modules), announce, is_first_party)
    finally:
        end()
    return skipped, tuple(Read("lookup", path, found) for path, found in looked.items() if found in _IN_VAIN)


def _preload_each(
    wanted: Sequence[str], announce: Callable[[Preloading], None], is_first_party: Callable[[str], bool]
) -> tuple[Skipped, ...]:
    auditor = Auditor()
    skipped: list[Skipped] = []
    failed: dict[str, str] = {}
    """Package → why it cannot be imported, and so nothing in it."""
    with ImportGuard(is_first_party) as guard:
        for number, name in enumerate(wanted, start=1):
            if name in sys.modules:
                continue
            if package := next((parent for parent in with_parents(name) if parent in failed), None):
                skipped.append(Skipped(name, failed[package], lasting=False))
                continue
            announce(Preloading(name, number, len(wanted)))
            found = _preload_one(name, auditor, guard)
            skipped += found
            failed.update((_failed_package(each.module), each.reason) for each in found)
    return tuple(skipped)


def _failed_package(name: str) -> str:
    """The package whose own import has failed, or the module itself."""
    return next((parent for parent in with_parents(name) if parent not in sys.modules), name)


def _preload_one(name: str, auditor: Auditor, guard: ImportGuard) -> list[Skipped]:
    loaded = set(sys.modules)
    error = _import(name)
    new = sys.modules.keys() - loaded
    if found := auditor.check():
        _forget_package(name, new)
        return [Skipped(name, "; ".join(found), lasting=True)]
    if project := [*guard.take_refused(), *_project_modules(new, guard)]:
        # Even if it made do without: a cold start would have given it the module.
        return [Skipped(name, f"it imports project code ({project[0]})", lasting=bool(new))]
    if error:
        lasting = _left_traces(name, new)
        if lasting:
            _forget_package(name, new)
        return [Skipped(name, error, lasting=lasting)]
    return []


def _forget_package(name: str, new: Iterable[str]) -> None:
    """This process is given up anyway: let the modules that need this one show themselves, too, before the next."""
    top = name.partition(".")[0]
    for module in list(new):
        if module.partition(".")[0] == top:
            del sys.modules[module]


def _import(name: str) -> str | None:
    """Why the import failed; None when it did not."""
    try:
        importlib.import_module(name)
    except BaseException as error:  # a module may raise anything, SystemExit included; it is named, not raised
        return _describe(error)
    return None


def _project_modules(names: Iterable[str], guard: ImportGuard) -> list[str]:
    """What got past the guard, by way of a finder that was put in front of it."""
    specs = {name: getattr(sys.modules.get(name), "__spec__", None) for name in names}
    return [name for name, spec in specs.items() if isinstance(spec, ModuleSpec) and guard.refuses(spec)]


def _left_traces(name: str, new: Iterable[str]) -> bool:
    """Half of the package stayed behind: a second import would not run what a first one runs."""
    top = name.partition(".")[0]
    return any(module.partition(".")[0] == top for module in new)


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # the module's own exception class may be broken as well
        return kind
    if not lines:
        return kind
    line = lines[0]
    return f"{kind}: {line if len(line) <= _LINE_LIMIT else line[: _LINE_LIMIT - 1] + '…'}"
