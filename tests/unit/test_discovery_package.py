"""Which third-party modules all files of a package import: packages of every kind, scanned again and again."""

import os
import shutil
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from pathlib import Path

import pytest

from firehot_server.discovery.imports import Unparsed
from firehot_server.discovery.origin import Origins
from firehot_server.discovery.package import PackageScanner
from tests.support.files import write_all

INSTALLED = {  # running any of it would be noticed
    "fastapi/__init__.py": "raise SystemExit",
    "fastapi/routing.py": "",
    "apple/__init__.py": "raise SystemExit",
    "single.py": "raise SystemExit",
    "google/cloud/storage.py": "",
    "numpy/__init__.py": "raise SystemExit",
    "numpy/linalg/__init__.py": "",
    "numpy/linalg/lapack.py": "",
}
ORIGINS = Origins.of_interpreter()
STDLIB = [entry for entry in sys.path if ORIGINS.is_stdlib(entry)]


class Project:
    """A folder of first-party files with installed packages beside it."""

    def __init__(self, root):
        self.root = root
        self.site = root / ".venv" / "lib" / "python3" / "site-packages"
        self.path = [str(root), str(self.site), *STDLIB]
        write_all(self.site, INSTALLED)

    def write(self, files):
        write_all(self.root, files)

    def scanner(self, package="app", **options):
        return PackageScanner(package, path=self.path, origins=ORIGINS, **options)

    def modules(self, package="app"):
        return list(self.scanner(package).scan().third_party)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("package", "files"),
    [
        ("app", {"app/__init__.py": "", "app/a.py": "import single"}),
        ("app", {"app/__init__.py": "", "app/deep/er/a.py": "import single"}),
        ("app", {"app/a.py": "import single"}),
        ("app", {"app.py": "import single", "other.py": "import numpy"}),
        ("top.app", {"top/__init__.py": "import numpy", "top/app/a.py": "import single"}),
        ("top.app", {"top/app.py": "import single", "top/other.py": "import numpy"}),
        ("google.mine", {"google/mine/a.py": "from ..cloud import storage\nimport single"}),
        ("app", {"app/__init__.py": "", "app/no-identifier.py": "import single"}),
    ],
    ids=["regular", "subfolders", "namespace", "module", "dotted", "dotted module", "shared namespace", "script"],
)
def test_packages_of_every_kind(project, package, files):
    project.write(files)

    assert project.modules(package)[-1:] == ["single"]
    assert "numpy" not in project.modules(package)


def test_all_portions_of_a_namespace(project, tmp_path):
    project.write({"app/a.py": "import single", "other/app/b.py": "import numpy"})
    project.path.append(str(tmp_path / "other"))

    assert project.modules() == ["single", "numpy"]


@pytest.mark.parametrize(("package", "name"), [("app", "app"), ("space.app", "app")])
def test_editable_installs(project, monkeypatch, tmp_path, package, name):
    """As setuptools makes them, also where the package is part of a namespace."""
    source = tmp_path / "elsewhere" / name
    write_all(source, {"__init__.py": "import single"})

    class Finder:
        @staticmethod
        def find_spec(fullname, path=None, target=None):
            if fullname == package:
                loader = SourceFileLoader(fullname, str(source / "__init__.py"))
                spec = ModuleSpec(fullname, loader, origin=loader.path, is_package=True)
                spec.submodule_search_locations[:] = [str(source)]
                return spec
            if fullname == "space":
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations[:] = ["__editable__.space.finder.__path_hook__"]
                return spec
            return None

    Finder.__module__ = "__editable___app_finder"
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])

    assert project.modules(package) == ["single"]


@pytest.mark.parametrize(
    ("package", "part"),
    [
        ("", "names no package"),
        (".app", "names no package"),
        ("a..b", "names no package"),
        ("src/app", "names no package"),
        ("app:main", "names no package"),
        ("missing", "on sys.path"),
        ("app.missing", "on sys.path"),
        ("sys", "built-in"),
        ("binary", "extension module"),
        ("archived", "zip"),
        ("empty", "no Python source"),
    ],
)
def test_what_cannot_be_scanned(project, package, part):
    project.write({"app/__init__.py": "", f"binary{EXTENSION_SUFFIXES[0]}": "", "empty/readme.txt": ""})
    write_all(project.root / "zipped", {"archived/__init__.py": "import single"})
    project.path.insert(0, shutil.make_archive(str(project.root / "lib"), "zip", project.root / "zipped"))

    with pytest.raises(ImportError, match=part) as raised:
        project.scanner(package)

    assert raised.value.name == package
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import single", ["single"]),
        ("import single as s, numpy", ["single", "numpy"]),
        ("from numpy import array", ["numpy"]),
        ("from numpy import linalg", ["numpy.linalg"]),
        ("from numpy import linalg, array", ["numpy.linalg"]),
        ("from numpy.linalg import *", ["numpy.linalg"]),
        ("import numpy.linalg.lapack", ["numpy.linalg.lapack"]),
        ("import numpy.linalg\nimport numpy", ["numpy.linalg"]),
        ("import numpy\nimport numpy.linalg", ["numpy", "numpy.linalg"]),
        ("import numpy.core.multiarray", ["numpy"]),
        ("import google.cloud.storage", ["google.cloud.storage"]),
        ("def f():\n    import single", ["single"]),
        ("def f():\n    import single\nimport numpy", ["numpy", "single"]),
        ("class C:\n    async def f(self):\n        with x:\n            import single", ["single"]),
        ("try:\n    import single\nexcept ImportError:\n    import numpy", ["single", "numpy"]),
        ("match x:\n    case 1:\n        import single", ["single"]),
        ("from importlib import import_module\nimport_module('single')", ["single"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import single", []),
        ("import sys, os.path, json, importlib.util", []),
        ("import missing\nfrom missing.sub import x\nimport single", ["single"]),
        ("from . import other\nfrom .other import single\nfrom .. import numpy\nfrom ... import x", []),
        ("import app.other\nfrom app import single", []),
        ("import beside\nfrom beside import single", []),
        ("import apple", ["apple"]),
        ("import app, apple", ["apple"]),
    ],
)
def test_what_counts(project, source, expected):
    """All imports do, at any depth and in functions, that are neither stdlib nor first-party nor the package's own."""
    project.write({"app/__init__.py": "", "app/other.py": "", "app/sub/a.py": source, "beside.py": "import numpy"})

    assert project.modules() == expected


def test_a_package_that_is_installed_itself(project):
    """Its own modules are not preloaded, though they are third-party by their path."""
    write_all(
        project.site,
        {
            "app/__init__.py": "from . import a",
            "app/a.py": "import app.b, single\nfrom app import b",
            "app/b.py": "import apple",
        },
    )

    assert project.modules() == ["single", "apple"]


def test_a_part_of_an_installed_namespace(project):
    write_all(
        project.site, {"google/mine/a.py": "from google import mine\nfrom google.cloud import storage\nfrom . import b"}
    )

    assert project.modules("google.mine") == ["google.cloud.storage"]


def test_first_party_shadows_what_is_installed(project):
    project.write({"app/a.py": "import single"})
    scanner = project.scanner()
    assert list(scanner.scan().third_party) == ["single"]

    project.write({"single.py": ""})
    assert list(scanner.scan().third_party) == []

    (project.root / "single.py").unlink()
    assert list(scanner.scan().third_party) == ["single"]


def test_where_a_module_is_asked_for_first(project):
    """The package before what is in it; and imports that run before those that only a function makes."""
    project.write(
        {
            "app/__init__.py": "def f():\n    import numpy",
            "app/b.py": "\nimport numpy\nimport single",
            "app/a/__init__.py": "import single",
        }
    )

    found = project.scanner().scan().third_party

    assert found == {
        "single": (str(project.root / "app/a/__init__.py"), 1),
        "numpy": (str(project.root / "app/b.py"), 2),
    }
    assert list(found) == ["single", "numpy"]


@pytest.mark.parametrize(
    "folder",
    ["__pycache__", ".hidden", "node_modules", "lib/site-packages", "lib/dist-packages", "env", "deep/env/lib/python3"],
)
def test_folders_that_are_passed_over(project, folder):
    project.write(
        {"app/a.py": "import single", f"app/{folder}/b.py": "import numpy", "app/env/pyvenv.cfg": "", "app/.#a.py": "("}
    )
    (project.root / "app/deep").mkdir(exist_ok=True)
    if folder.startswith("deep"):
        (project.root / "app/deep/env/pyvenv.cfg").touch()

    assert project.modules() == ["single"]


def test_links(project, tmp_path):
    """Links to folders are followed, but not in a circle, and a folder is read under its own name if it has one."""
    project.write({"app/z/a.py": "from . import x\nimport single", "elsewhere/b.py": "import numpy"})
    (project.root / "app/linked").symlink_to(tmp_path / "elsewhere")
    (project.root / "app/up").symlink_to(project.root / "app")
    (project.root / "app/a").symlink_to(project.root / "app/z")
    (project.root / "app/file.py").symlink_to(tmp_path / "elsewhere/b.py")

    found = project.scanner().scan()

    assert sorted(found.third_party) == ["numpy", "single"]
    assert found.third_party["single"] == (str(project.root / "app/z/a.py"), 2)
    assert found.parsed == 3


def test_what_is_no_file(project):
    """A dangling link is no module, as for Python; a FIFO would block for ever; a folder may have such a name."""
    project.write({"app/a.py": "import single", "app/folder.py/b.py": "import numpy"})
    (project.root / "app/dangling.py").symlink_to(project.root / "nowhere")
    os.mkfifo(project.root / "app/fifo.py")

    found = project.scanner().scan()

    assert (list(found.third_party), found.unparsed) == (["single", "numpy"], ())


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"import single\nimport (\n", 2), (b"x = '\0'", 0), (b"# coding: nonsense\n", 0), (b"\xff\xfe", 1)],
    ids=["syntax", "null byte", "encoding", "bytes"],
)
def test_a_file_that_does_not_parse(project, content, line):
    project.write({"app/__init__.py": "import single", "app/b.py": "import numpy"})
    broken = project.root / "app/a.py"
    broken.write_bytes(content)
    scanner = project.scanner()

    for parsed in (3, 0):
        found = scanner.scan()
        assert list(found.third_party) == ["single", "numpy"]
        assert [(each.path, each.message != "") for each in found.unparsed] == [(str(broken), True)]
        assert found.unparsed[0].line in (line, 0, 1) if line < 2 else found.unparsed[0].line == line
        assert found.parsed == parsed

    broken.write_text("import apple")
    assert scanner.scan().unparsed == ()


def test_what_cannot_be_read(project, monkeypatch):
    """A link that leads to itself, a folder and a file that may not be read: named, and the rest still works."""
    project.write({"app/a.py": "import single", "app/secret/b.py": "", "app/c.py": "import numpy"})
    (project.root / "app/loop.py").symlink_to(project.root / "app/loop.py")
    forbidden = {str(project.root / "app/secret"), str(project.root / "app/c.py")}

    def refuse(function):
        def call(path, *arguments):
            if path in forbidden:
                raise PermissionError(13, "Permission denied")
            return function(path, *arguments)

        return call

    monkeypatch.setattr("firehot_server.discovery.sources.os.scandir", refuse(os.scandir))
    monkeypatch.setattr("firehot_server.discovery.scans.open", refuse(open), raising=False)
    scanner = project.scanner()
    for parsed in (1, 0):
        found = scanner.scan()
        assert (list(found.third_party), found.parsed) == (["single"], parsed)
        assert {each.path for each in found.unparsed} == {*forbidden, str(project.root / "app/loop.py")}
        assert Unparsed(str(project.root / "app/c.py"), 0, "Permission denied") in found.unparsed

    forbidden.clear()
    assert list(scanner.scan().third_party) == ["single", "numpy"]


def test_it_follows_every_change(project):
    """Files that appear, change, are renamed and vanish; folders too; and only what changed is parsed."""
    app = project.root / "app"
    project.write({"app/__init__.py": "", "app/a.py": "import single"})
    scanner = project.scanner()

    def now():
        found = scanner.scan()
        return list(found.third_party), found.parsed

    assert now() == (["single"], 2)
    assert now() == (["single"], 0)
    project.write({"app/b.py": "import numpy"})
    assert now() == (["single", "numpy"], 1)
    project.write({"app/b.py": "import apple"})
    assert now() == (["single", "apple"], 1)
    (app / "b.py").rename(app / "c.py")
    assert now() == (["single", "apple"], 1)
    assert scanner.scan().third_party["apple"] == (str(app / "c.py"), 1)
    (app / "a.py").unlink()
    assert now() == (["apple"], 0)
    project.write({"app/sub/deep/d.py": "import single"})
    assert now() == (["apple", "single"], 1)
    (app / "sub").rename(app / ".sub")
    assert now() == (["apple"], 0)
    app.rename(project.root / "gone")
    with pytest.raises(ImportError, match="No package or module 'app'"):
        now()
    (project.root / "gone").rename(app)
    assert now() == (["apple"], 0)


def test_a_change_from_namespace_to_regular_package(project, tmp_path):
    project.write({"app/a.py": "import single", "other/app/b.py": "import numpy"})
    project.path.append(str(tmp_path / "other"))
    scanner = project.scanner()
    assert list(scanner.scan().third_party) == ["single", "numpy"]

    project.write({"app/__init__.py": ""})

    assert list(scanner.scan().third_party) == ["single"]


def test_a_module_that_becomes_a_package(project):
    """The text is the same, but relative imports mean something else."""
    write_all(project.site, {"google/a/b.py": "from ..cloud import storage"})
    scanner = project.scanner("google.a")
    assert list(scanner.scan().third_party) == ["google.cloud.storage"]

    (project.site / "google/a/b").mkdir()
    (project.site / "google/a/b.py").rename(project.site / "google/a/b/__init__.py")

    assert (list(scanner.scan().third_party), scanner.scan().parsed) == ([], 0)


def test_nothing_is_run(project):
    project.write({"app/__init__.py": "raise SystemExit\nimport fastapi.routing"})
    before = set(sys.modules)

    assert project.modules() == ["fastapi.routing"]
    assert not {"app", "fastapi"} & (set(sys.modules) - before)


def test_it_works_without_a_cache_folder(project):
    project.write({"app/a.py": "import single"})

    project.scanner().scan()

    assert not (Path.cwd() / "scans").exists()
    assert project.scanner().scan().parsed == 1


def test_the_next_run_parses_nothing(project, tmp_path):
    project.write({"app/a.py": "import single", "app/b.py": "import numpy as\n", "app/c.py": "import numpy"})
    folder = str(tmp_path / "cache")
    first = project.scanner(cache_folder=folder).scan()

    again = project.scanner(cache_folder=folder).scan()

    assert (first.parsed, again.parsed) == (3, 0)
    assert (again.third_party, again.unparsed) == (first.third_party, first.unparsed)
    assert list(again.third_party) == list(first.third_party)


def test_packages_of_the_same_name_do_not_share_a_cache(tmp_path):
    one, two = Project(tmp_path / "one"), Project(tmp_path / "two")
    one.write({"app/a.py": "import single"})
    two.write({"app/a.py": "import numpy"})
    folder = str(tmp_path / "cache")

    for _ in range(2):
        assert list(one.scanner(cache_folder=folder).scan().third_party) == ["single"]
        assert list(two.scanner(cache_folder=folder).scan().third_party) == ["numpy"]
    assert [each.scanner(cache_folder=folder).scan().parsed for each in (one, two)] == [0, 0]
