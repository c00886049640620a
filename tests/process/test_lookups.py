"""Where an import looks for modules, and what it finds there.

In forked children, since the finder is changed for the whole process.
"""

import importlib
import importlib.machinery
import os
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES, BuiltinImporter, FileFinder, FrozenImporter, PathFinder

import pytest

from firehot_server.fingerprint import lookup_digest_of
from firehot_server.lookups import watch_lookups
from tests.support.files import write_all
from tests.support.processes import in_fork

EXTENSION = EXTENSION_SUFFIXES[0]


@pytest.fixture
def project(tmp_path):
    """A folder for first-party modules."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def looked(project, *names, path=None):
    """What is announced while these modules are imported, those that cannot be in vain, by path below the project."""

    def run():
        sys.dont_write_bytecode = True
        sys.path[:0] = path or [str(project)]
        announced = []
        watch_lookups(
            lambda folder: folder.startswith(f"{project}/"),
            lambda place, found: announced.append((os.path.relpath(place, project), found)),
        )
        for name in names:
            try:
                importlib.import_module(name)
            except ImportError:
                pass  # announced all the same
        return announced

    return in_fork(run)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"shop.py": ""}, b".py"),
        ({"shop/__init__.py": ""}, b"/__init__.py"),
        ({"shop/readme.txt": ""}, b"/"),
        ({"shop/__init__.py": "", "shop.py": ""}, b"/__init__.py"),
        ({"shop.py": "", "shop/readme.txt": ""}, b".py"),
        ({f"shop{EXTENSION}": ""}, EXTENSION.encode()),
        ({"shop.abi3.so": ""}, b".abi3.so"),
        ({f"shop{EXTENSION}": "", "shop.py": ""}, EXTENSION.encode()),
        ({"shop.pyc": ""}, b".pyc"),
        ({"shop.py": "", "shop.pyc": ""}, b".py"),
        ({"shop.txt": ""}, b""),
        ({}, b""),
    ],
    ids=str,
)
def test_what_is_found(project, files, found):
    """The rest of its name, as a look at the folder alone would tell: with that it is compared later."""
    write_all(project, files)

    assert looked(project, "shop") == [("shop", found)]
    assert lookup_digest_of(str(project / "shop")) == found


@pytest.mark.parametrize(("age", "found"), [(0.0, b".py"), (3600.0, b"")], ids=["just now", "long ago"])
def test_a_file_that_came_in_the_instant_after_the_folder_was_listed(project, age, found):
    """The folder's date is the same as when it was listed, as the kernel's clock goes in steps: who relies on the
    date does not see it. A folder that had not been changed for a while cannot have the same date again.
    """
    write_all(project, {"shop.py": ""})

    def run():
        sys.path.insert(0, str(project))
        announced = []
        watch_lookups(
            lambda folder: folder.startswith(f"{project}/"),
            lambda place, found: announced.append((os.path.relpath(place, project), found)),
        )
        date = time.time() - age
        os.utime(project, (date, date))
        importlib.import_module("shop")
        write_all(project, {"bag.py": ""})
        os.utime(project, (date, date))
        try:
            importlib.import_module("bag")
        except ImportError:
            pass  # announced all the same
        return announced

    assert in_fork(run) == [("shop", b".py"), ("bag", found)]


def test_each_folder_of_the_path_until_it_is_found(project):
    """A file that appears in an earlier one would come first; those that follow do not matter."""
    write_all(project, {"one/other.py": "", "two/shop.py": "", "three/shop.py": ""})

    assert looked(project, "shop", path=[str(project / name) for name in ("one", "two", "three")]) == [
        ("one/shop", b""),
        ("two/shop", b".py"),
    ]


def test_the_modules_of_a_package(project):
    """In the package's own folder, by the last part of their names."""
    write_all(project, {"shop/__init__.py": "", "shop/views.py": "import shop.models"})

    assert looked(project, "shop.views") == [
        ("shop", b"/__init__.py"),
        ("shop/views", b".py"),
        ("shop/models", b""),
    ]


def test_a_namespace_package(project):
    """It is looked for in every folder, and its modules in each of its portions."""
    write_all(project, {"one/plugins/a.py": "", "two/plugins/b.py": ""})

    assert looked(project, "plugins.b", path=[str(project / "one"), str(project / "two")]) == [
        ("one/plugins", b"/"),
        ("two/plugins", b"/"),
        ("one/plugins/b", b""),
        ("two/plugins/b", b".py"),
    ]


@pytest.mark.parametrize("entry", ["{project}/lib", "lib"])
def test_a_folder_of_the_path_that_is_not_there(project, monkeypatch, entry):
    """It may come: no finder is made for it, yet it is looked for, in its turn."""
    write_all(project, {"one/other.py": "", "two/shop.py": ""})
    monkeypatch.chdir(project)
    path = [str(project / "one"), entry.format(project=project), str(project / "two"), str(project / "late")]

    assert looked(project, "shop", path=path) == [("one/shop", b""), ("lib/shop", b""), ("two/shop", b".py")]


def test_a_folder_of_a_package_that_is_not_there(project):
    """The same of what a package adds to its own path."""
    write_all(project, {"shop/__init__.py": "__path__.insert(0, __path__[0] + '/more')", "shop/views.py": ""})

    assert looked(project, "shop.views") == [
        ("shop", b"/__init__.py"),
        ("shop/more/views", b""),
        ("shop/views", b".py"),
    ]


def test_folders_of_others_that_are_not_there(project, tmp_path):
    """They come by being installed."""
    assert looked(project, "this_is_nowhere", path=[str(tmp_path / "site-packages")]) == []


@pytest.mark.parametrize("entry", ["", "lib"])
def test_a_working_directory_that_was_removed(project, monkeypatch, entry):
    """Imports go on from elsewhere, as they do without us."""
    (project / "gone").mkdir()
    monkeypatch.chdir(project / "gone")
    (project / "gone").rmdir()
    write_all(project, {"two/shop.py": ""})

    assert looked(project, "shop", path=[entry, str(project / "two")]) == [("two/shop", b".py")]


def test_what_python_remembers_of_a_folder_that_is_not_there(project):
    """Nothing of ours."""

    def run():
        sys.path.insert(0, str(project / "lib"))
        watch_lookups(lambda _: True, lambda *_: None)
        importlib.util.find_spec("this_is_nowhere")
        return sys.path_importer_cache[str(project / "lib")]

    assert in_fork(run) is None


def test_nothing_is_announced_when_it_has_ended(project):
    """The import system is what it was."""

    def run():
        sys.path[:0] = [str(project), str(project / "lib")]
        before = FileFinder.find_spec, PathFinder._path_importer_cache.__func__
        announced = []
        end = watch_lookups(lambda _: True, lambda *found: announced.append(found))
        end()
        importlib.util.find_spec("this_is_nowhere")
        return (FileFinder.find_spec, PathFinder._path_importer_cache.__func__) == before, announced

    assert in_fork(run) == (True, [])


def test_a_module_that_cannot_be_found_is_announced_where_it_was_looked_for(project):
    """It may appear in any of these places."""
    write_all(project, {"one/a.py": "", "two/a.py": ""})

    assert (
        looked(project, "shop", "shop", path=[str(project / "one"), str(project / "two")])
        == [
            ("one/shop", b""),
            ("two/shop", b""),
        ]
        * 2
    )


def test_a_name_that_no_module_can_have(project):
    """Else the file would be found there later, as if it were new."""
    write_all(project, {"shop/main.py": ""})

    assert looked(project, "shop/main", path=[str(project), str(project / "missing")]) == []


def test_a_standard_module_that_the_project_would_come_before(project):
    """Its folder is on the path before that of the standard library."""
    assert looked(project, "this_is_nowhere", "wave")[-1] == ("wave", b"")


def test_modules_that_no_folder_is_looked_at_for(project):
    """Built-in and frozen ones."""
    assert looked(project, "zipimport", "_sre", "sys") == []


def test_folders_of_others_are_not_announced(project, tmp_path):
    """What is installed changes by being installed."""
    write_all(tmp_path, {"site-packages/library/__init__.py": "", "site-packages/library/inner.py": ""})

    assert looked(project, "library.inner", path=[str(tmp_path / "site-packages")]) == []


def test_a_look_for_a_submodule_in_a_folder_of_others(project, tmp_path):
    """A package of the project may have third-party portions, and the other way round: each folder is judged alone."""
    write_all(project, {"space/ours.py": ""})
    write_all(tmp_path, {"site-packages/space/theirs.py": ""})

    assert looked(project, "space.theirs", path=[str(project), str(tmp_path / "site-packages")]) == [
        ("space", b"/"),
        ("space/theirs", b""),
    ]


def test_the_finders_are_what_they_were(project):
    """The project may look at them, or add its own."""

    def run():
        before = list(sys.meta_path)
        watch_lookups(lambda _: True, lambda *_: None)
        finder = FileFinder.path_hook((importlib.machinery.SourceFileLoader, [".py"]))(str(project))
        return sys.meta_path == before, type(finder) is FileFinder

    assert in_fork(run) == (True, True)
    assert {BuiltinImporter, FrozenImporter, PathFinder} <= set(sys.meta_path)


def test_who_asks_without_importing_is_announced_as_well(project):
    """`importlib.util.find_spec` decides by what it finds."""

    def run():
        sys.path.insert(0, str(project))
        announced = []
        watch_lookups(lambda path: path.startswith(str(project)), lambda *found: announced.append(found))
        return importlib.util.find_spec("optional_extra"), announced

    assert in_fork(run) == (None, [(str(project / "optional_extra"), b"")])


def test_a_finder_of_the_project_finds_it_elsewhere(project):
    """What lies where the interpreter would find it is announced, whatever the finder says."""

    class Elsewhere(FileFinder):
        def find_spec(self, fullname, target=None):
            spec = super().find_spec(fullname, target)
            if spec is not None:
                spec.origin = "/elsewhere/shop.py"
            return spec

    def run():
        write_all(project, {"shop.py": ""})
        announced = []
        watch_lookups(lambda _: True, lambda *found: announced.append(found))
        finder = Elsewhere(str(project), (importlib.machinery.SourceFileLoader, [".py"]))
        return finder.find_spec("shop").origin, announced

    assert in_fork(run) == ("/elsewhere/shop.py", [(str(project / "shop"), b".py")])
