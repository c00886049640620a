"""Every way to import: lines of source, and an expression for a value of what they import."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Module:
    """A module of a generated project, by its dotted name."""

    name: str
    is_package: bool = False

    @property
    def path(self):
        """Below the project's folder."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")

    @property
    def leaf(self):
        return self.name.rpartition(".")[2]

    @property
    def package(self):
        """The `__package__` that it has."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def own_name(self):
        """A public name that no other module defines."""
        return self.name.replace(".", "_").upper()


def import_of(rng, importer, wanted, without=()):
    """Import a module in one of the ways that are possible here; (lines, expression of its `VALUE`)."""
    ways = [name for name in WAYS if name not in without]
    if "." not in wanted.name:
        ways = [name for name in ways if name != "from_parent"]
    if not relative_name(importer, wanted):
        ways = [name for name in ways if not name.startswith("relative")]
    return WAYS[rng.choice(ways)](importer, wanted)


def relative_name(importer, wanted):
    """`.models`, `..shop.views`: from where the importer is; empty if the two have no package in common."""
    here, there = importer.package.split("."), wanted.name.split(".")
    common = 0
    while common < min(len(here), len(there) - 1) and here[common] == there[common]:
        common += 1
    if not common:
        return ""
    return "." * (len(here) - common + 1) + ".".join(there[common:])


def _plain(_importer, wanted):
    return [f"import {wanted.name}"], f"{wanted.name}.VALUE"


def _renamed(_importer, wanted):
    return [f"import {wanted.name} as the_{wanted.leaf}"], f"the_{wanted.leaf}.VALUE"


def _member(_importer, wanted):
    return [f"from {wanted.name} import VALUE as {wanted.leaf}_value"], f"{wanted.leaf}_value"


def _star(_importer, wanted):
    return [f"from {wanted.name} import *"], wanted.own_name


def _by_function(_importer, wanted):
    name = f"{wanted.leaf}_module"
    return ["import importlib", f"{name} = importlib.import_module({wanted.name!r})"], f"{name}.VALUE"


def _by_dunder(_importer, wanted):
    name = f"{wanted.leaf}_found"
    return [f"{name} = __import__({wanted.name!r}, fromlist=['VALUE'])"], f"{name}.VALUE"


def _inside_function(_importer, wanted):
    name = f"load_{wanted.leaf}"
    lines = [f"def {name}():", f"    from {wanted.name} import VALUE as loaded", "    return loaded"]
    return [*lines, f"{name}()"], f"{name}()"


def _lazily(_importer, wanted):
    name = f"later_{wanted.leaf}"
    return [f"def {name}():", f"    import {wanted.name} as late", "    return late.VALUE"], "0"


def _maybe(_importer, wanted):
    name = f"{wanted.leaf}_or_none"
    return ["try:", f"    import {wanted.name} as {name}", "except ImportError:", f"    {name} = None"], (
        f"getattr({name}, 'VALUE', -1)"
    )


def _if_found(_importer, wanted):
    name = f"has_{wanted.leaf}"
    lines = ["import importlib.util", f"{name} = importlib.util.find_spec({wanted.name!r}) is not None"]
    return [*lines, f"if {name}:", f"    import {wanted.name}"], f"int({name})"


def _from_parent(_importer, wanted):
    return [f"from {wanted.name.rpartition('.')[0]} import {wanted.leaf}"], f"{wanted.leaf}.VALUE"


def _relative_member(importer, wanted):
    name = f"{wanted.leaf}_member"
    return [f"from {relative_name(importer, wanted)} import VALUE as {name}"], name


def _relative_module(importer, wanted):
    above = relative_name(importer, wanted).removesuffix(wanted.leaf)
    start = above.rstrip(".") or above
    return [f"from {start} import {wanted.leaf} as {wanted.leaf}_near"], f"{wanted.leaf}_near.VALUE"


def _relative_by_function(importer, wanted):
    name = f"near_{wanted.leaf}"
    call = f"{name} = importlib.import_module({relative_name(importer, wanted)!r}, __package__)"
    return ["import importlib", call], f"{name}.VALUE"


WAYS = {
    "plain": _plain,
    "renamed": _renamed,
    "member": _member,
    "star": _star,
    "by_function": _by_function,
    "by_dunder": _by_dunder,
    "inside_function": _inside_function,
    "lazily": _lazily,
    "maybe": _maybe,
    "if_found": _if_found,
    "from_parent": _from_parent,
    "relative_member": _relative_member,
    "relative_module": _relative_module,
    "relative_by_function": _relative_by_function,
}
"""All of them, by name."""
