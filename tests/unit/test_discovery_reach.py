"""What an app reaches by static imports: walks over small projects on disk."""

import py_compile
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

import pytest

from firehot_server.discovery.locate import Kind, Locator
from firehot_server.discovery.origin import Origins
from firehot_server.discovery.reach import Unparsed, reach
from tests.support.files import write_all

LIBRARIES = {  # installed beside the project; running any of it would be noticed
    "fastapi/__init__.py": "raise SystemExit",
    "fastapi/routing.py": "",
    "sqlalchemy/__init__.py": "raise SystemExit",
    "sqlalchemy/orm/__init__.py": "",
    "sqlalchemy/orm/session.py": "",
    "apple/__init__.py": "",
    "single.py": "raise SystemExit",
    "google/cloud/storage/__init__.py": "",
    "shadowed/__init__.py": "",
}


class Project:
    """A directory of first-party files, with a site-packages directory in its own virtual environment."""

    def __init__(self, root):
        self.root = root
        self.site = root / ".venv" / "lib" / "python3" / "site-packages"
        stdlib = [entry for entry in sys.path if Origins.of_interpreter().is_stdlib(entry)]
        self.path = [str(root), str(self.site), *stdlib]
        write_all(self.site, LIBRARIES)

    def write(self, files):
        write_all(self.root, files)

    def reach(self, target="app", **options):
        options = {"path": self.path, "origins": Origins.of_interpreter(), **options}
        return reach(target, **options)

    def files(self, found):
        return [str(Path(file).relative_to(self.root)) for file in found.first_party_files]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("source", "third_party"),
    [
        ("import fastapi", ["fastapi"]),
        ("import sqlalchemy.orm", ["sqlalchemy.orm"]),
        ("import sqlalchemy.orm.session as s", ["sqlalchemy.orm.session"]),
        ("from sqlalchemy import orm, select", ["sqlalchemy.orm"]),
        ("from sqlalchemy import select", ["sqlalchemy"]),
        ("from sqlalchemy import *", ["sqlalchemy"]),
        ("from sqlalchemy.orm import Session, session", ["sqlalchemy.orm.session"]),
        ("import sqlalchemy\nimport sqlalchemy.orm", ["sqlalchemy", "sqlalchemy.orm"]),
        ("import sqlalchemy.orm\nimport sqlalchemy", ["sqlalchemy.orm"]),
        ("import sqlalchemy.virtual.part", ["sqlalchemy"]),
        ("from sqlalchemy.virtual import orm", ["sqlalchemy"]),
        ("import single.part", ["single"]),
        ("from single import part", ["single"]),
        ("import google.cloud.storage", ["google.cloud.storage"]),
        ("from google.cloud import storage", ["google.cloud.storage"]),
        ("from google import cloud", ["google.cloud"]),
        ("import not_installed, fastapi", ["fastapi"]),
        ("import not_installed.part", []),
        ("try:\n import fastapi\nexcept ImportError:\n import single", ["fastapi", "single"]),
        ("if TYPE_CHECKING:\n import fastapi\nelse:\n import single", ["single"]),
        ("if __name__ == '__main__':\n import fastapi", []),
        ("from importlib import import_module\nimport_module('fastapi.routing')", ["fastapi.routing"]),
        ("import apple, app, fastapi", ["apple", "fastapi"]),
        ("from .fastapi import x", []),
        ("from ... import fastapi", []),
        ("import __main__", []),
    ],
)
def test_third_party_modules_of_one_file(project, source, third_party):
    project.write({"app.py": source})
    assert list(project.reach().third_party) == third_party


def test_stdlib_modules_are_listed_apart_without_built_in_and_frozen_ones(project):
    project.write({"app.py": "import sys, os.path, json.decoder, time\nfrom email import message\nimport json"})
    found = project.reach()
    assert found.stdlib == ("json.decoder", "email.message")
    assert found.third_party == ()


def test_the_order_is_that_of_a_real_import(project):
    """Parents before children, a module's imports before its importer's next line: checked against Python."""
    first_party = {
        "shop/__init__.py": "import first_",
        "shop/app.py": "from .db import models\nimport fourth\nfrom . import views\nimport shop.db.models",
        "shop/db/__init__.py": "import second",
        "shop/db/models.py": "import third.sub\nfrom ..views import page",
        "shop/views.py": "import first_, fifth\nfrom third import *\nfrom . import app\npage = 1",
    }
    names = ["first_", "second", "third", "third/sub", "fourth", "fifth"]
    announce = "print('first', __file__)\n"
    write_all(project.root, {name: f"{announce}{source}" for name, source in first_party.items()})
    write_all(project.site, {f"{name}/__init__.py": f"print('third', '{name}')" for name in names})
    program = f"import sys; sys.path[:0] = {project.path[:2]!r}\nimport shop.app"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ran = [line.split() for line in run.stdout.splitlines()]

    found = project.reach("shop.app")
    assert list(found.first_party_files) == [name for kind, name in ran if kind == "first"]
    assert list(found.third_party) == [
        name.replace("/", ".") for kind, name in ran if kind == "third" and name != "third"
    ]


def test_who_asked_first_is_remembered(project):
    project.write({"app.py": "import models\n\nimport fastapi", "models.py": "\nimport fastapi, sqlalchemy.orm\n"})
    models = str(project.root / "models.py")
    assert project.reach().requested_by == {"fastapi": (models, 2), "sqlalchemy.orm": (models, 2)}


def test_an_installed_app_is_asked_for_by_nobody(project):
    found = project.reach("fastapi.routing")
    assert found.requested_by == {"fastapi.routing": ("", 0)}
    assert found.first_party_files == ()


@pytest.mark.parametrize("target", ["missing", "missing.app", "app.missing", "", "app..py", "app/main"])
def test_a_target_that_does_not_exist_reaches_no_more_than_its_parents(project, target):
    project.write({"app/__init__.py": "import fastapi"})
    found = project.reach(target)
    assert found.first_party_files in ((), (str(project.root / "app" / "__init__.py"),))
    assert found.unparsed == ()


def test_circular_imports_end(project):
    project.write(
        {
            "app.py": "import a\nimport fastapi",
            "a.py": "import b\nimport single",
            "b.py": "import a, app\nimport apple",
        }
    )
    found = project.reach()
    assert found.third_party == ("apple", "single", "fastapi")
    assert project.files(found) == ["app.py", "a.py", "b.py"]


def test_relative_imports_at_several_levels(project):
    project.write(
        {
            "a/__init__.py": "from . import settings",
            "a/settings.py": "import single",
            "a/b/__init__.py": "",
            "a/b/c/__init__.py": "from .leaf import x",
            "a/b/c/leaf.py": "from ... import other\nfrom ..sibling import y\nfrom ..... import beyond",
            "a/b/sibling.py": "import fastapi",
            "a/other.py": "import apple",
        }
    )
    assert project.reach("a.b.c").third_party == ("single", "apple", "fastapi")


def test_a_chain_longer_than_the_stack(project):
    length = 1500
    chain = {f"m{number}.py": f"import m{number + 1}" for number in range(length)}
    project.write({**chain, f"m{length}.py": "import fastapi"})
    found = project.reach("m0")
    assert found.third_party == ("fastapi",)
    assert len(found.first_party_files) == length + 1


def test_namespace_packages_of_the_project(project):
    project.write(
        {
            "ns/part/app.py": "from ns import other\nfrom ..deep.mod import x\nimport ns.missing",
            "ns/other.py": "import fastapi",
            "ns/deep/mod.py": "import single",
        }
    )
    found = project.reach("ns.part.app")
    assert found.third_party == ("fastapi", "single")
    assert project.files(found) == ["ns/part/app.py", "ns/other.py", "ns/deep/mod.py"]


def test_a_namespace_with_installed_and_edited_portions(project):
    project.write({"app.py": "import google.mine, google.cloud.storage", "google/mine.py": "import single"})
    found = project.reach()
    assert found.third_party == ("single", "google.cloud.storage")
    assert project.files(found) == ["app.py", "google/mine.py"]


@pytest.mark.parametrize(
    ("order", "third_party", "files"),
    [
        (["project", "site"], ["single"], ["app.py", "shadowed.py"]),
        (["site", "project"], ["shadowed"], ["app.py"]),
    ],
)
def test_the_path_decides_who_shadows_whom(project, order, third_party, files):
    project.write({"app.py": "import shadowed", "shadowed.py": "import single"})
    places = {"project": str(project.root), "site": str(project.site)}
    found = project.reach(path=[places[place] for place in order])
    assert list(found.third_party) == third_party
    assert project.files(found) == files


def test_a_package_wins_over_a_module_and_a_namespace(project):
    project.write(
        {
            "app/__init__.py": "import fastapi",
            "app.py": "import single",
            "extra/other/readme.txt": "",
            "lib/other.py": "import apple",
        }
    )
    assert project.reach().third_party == ("fastapi",)
    path = [str(project.root / "extra"), str(project.root / "lib"), *project.path]
    assert project.reach("other", path=path).third_party == ("apple",)


def test_deferred_imports_only_when_asked_for(project):
    project.write(
        {
            "app.py": """\
                def create_app():
                    import factory
                    import fastapi
                import single
            """,
            "factory.py": "import apple\ndef f():\n    from sqlalchemy import orm",
        }
    )
    assert project.reach().third_party == ("single",)
    assert project.reach(include_deferred=True).third_party == (
        "single",
        "apple",
        "fastapi",
        "sqlalchemy.orm",
    )


def test_a_file_that_does_not_parse_is_listed_and_the_rest_goes_on(project):
    project.write({"app.py": "import broken, gone, null\nimport fastapi", "broken.py": "import single\n)"})
    project.write({"null.py": "\0", "gone.py": ""})

    def read(file):
        if file.endswith("gone.py"):
            raise PermissionError(13, "Permission denied", file)
        return Path(file).read_bytes()

    found = project.reach(read=read)
    broken, gone, null = found.unparsed
    assert broken == Unparsed(str(project.root / "broken.py"), 2, "unmatched ')'")
    assert gone == Unparsed(str(project.root / "gone.py"), 0, "Permission denied")
    assert null.path == str(project.root / "null.py")
    assert "null bytes" in null.message
    assert found.third_party == ("fastapi",)
    assert project.files(found) == ["app.py", "broken.py", "gone.py", "null.py"]


def test_extension_modules_and_bytecode_have_no_source_to_scan(project):
    suffix = EXTENSION_SUFFIXES[0]
    project.write(
        {
            "app.py": "import native.part, compiled",
            f"native/__init__{suffix}": "",
            "native/part.py": "import fastapi",
            "compiled.py": "import single",
        }
    )
    py_compile.compile(str(project.root / "compiled.py"), str(project.root / "compiled.pyc"))
    (project.root / "compiled.py").unlink()
    found = project.reach()
    assert found.third_party == ("fastapi",)
    assert project.files(found) == ["app.py", f"native/__init__{suffix}", "native/part.py", "compiled.pyc"]


def test_archives_are_searched_but_not_scanned(project):
    with zipfile.ZipFile(project.root / "lib.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "import fastapi")
        archive.writestr("zipped/part.py", "")
    installed = project.site / "installed.zip"
    shutil.copy(project.root / "lib.zip", installed)
    project.write({"app.py": "import zipped.part"})
    found = project.reach(path=[*project.path, str(project.root / "lib.zip")])
    assert (found.third_party, project.files(found)) == ((), ["app.py"])
    assert project.reach(path=[*project.path, str(installed)]).third_party == ("zipped.part",)


@pytest.mark.parametrize("entry", ["", ".", "sub/.."])
def test_relative_entries_of_the_path(project, monkeypatch, entry):
    project.write({"app.py": "import fastapi", "sub/x.py": ""})
    monkeypatch.chdir(project.root)
    found = project.reach(path=[entry, *project.path[1:]])
    assert found.first_party_files == (str(project.root / "app.py"),)


def test_entries_that_are_no_directories_are_passed_over(project):
    project.write({"app.py": "import fastapi"})
    found = project.reach(path=["/nowhere", str(project.root / "app.py"), *project.path])
    assert found.third_party == ("fastapi",)


def test_a_file_written_a_moment_ago_is_seen(project):
    """An earlier walk's listing is not used: within a tick of the clock a directory seems unchanged."""
    project.write({"app.py": "import late"})
    assert project.reach().first_party_files == (str(project.root / "app.py"),)
    project.write({"late.py": "import fastapi"})
    assert project.reach().third_party == ("fastapi",)


def editable_finder(module, find_spec):
    return type("_EditableFinder", (), {"__module__": module, "find_spec": staticmethod(find_spec)})


@pytest.mark.parametrize("module", ["__editable___lib_0_1_finder", "editables.redirector"])
def test_editable_installs_are_found_through_their_own_finders(project, monkeypatch, tmp_path, module):
    write_all(
        project.root,
        {"elsewhere/edited/__init__.py": "import single", "elsewhere/edited/part.py": "import apple"},
    )
    folder = tmp_path / "elsewhere" / "edited"

    def find_spec(name, path, target=None):
        if name != "edited":
            return None
        spec = ModuleSpec(name, SourceFileLoader(name, str(folder / "__init__.py")), is_package=True)
        spec.origin = str(folder / "__init__.py")
        spec.submodule_search_locations = [str(folder)]
        return spec

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, editable_finder(module, find_spec)])
    project.write({"app.py": "import edited.part"})
    found = project.reach()
    assert found.third_party == ("single", "apple")
    assert len(found.first_party_files) == 3


def test_an_editable_namespace(project, monkeypatch):
    write_all(project.root, {"elsewhere/space/part.py": "import single"})

    def find_spec(name, path, target=None):
        if name != "space":
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(project.root / "elsewhere" / "space")]
        return spec

    finder = editable_finder("__editable___space_finder", find_spec)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    project.write({"app.py": "from space import part"})
    found = project.reach()
    assert (found.third_party, project.files(found)) == (("single",), ["app.py", "elsewhere/space/part.py"])


def test_only_editable_finders_are_asked_and_their_errors_ignored(project, monkeypatch):
    asked = []

    def fail(name, path, target=None):
        asked.append(name)
        raise RuntimeError

    def find_nothing(name, path, target=None):
        return None

    finders = [
        editable_finder("rebuilds_on_import", lambda *_: pytest.fail("asked")),
        editable_finder("__editable___x", fail),
        editable_finder("__editable___y", find_nothing),
    ]
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, *finders])
    project.write({"app.py": "import unknown.part, fastapi"})
    assert project.reach().third_party == ("fastapi",)
    assert asked == ["unknown"]


def test_a_path_hook_that_fails_finds_nothing(project, monkeypatch):
    class Hook:
        def __init__(self, entry):
            if entry != "__editable__.x.finder.__path_hook__":
                raise ImportError

        def find_spec(self, name, target=None):
            if name == "hooked":
                return PathFinder.find_spec(name, [str(project.root / "elsewhere")])
            raise KeyError(name)

    write_all(project.root, {"elsewhere/hooked.py": "import single"})
    project.write({"app.py": "import hooked, unknown, fastapi"})
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks, Hook])
    found = project.reach(path=["__editable__.x.finder.__path_hook__", *project.path])
    assert found.third_party == ("single", "fastapi")


def test_nothing_is_imported_and_no_cache_is_touched(project):
    project.write({"app.py": "import fastapi, single, models", "models.py": "raise SystemExit"})
    modules, caches = set(sys.modules), set(sys.path_importer_cache)
    assert project.reach(include_deferred=True).third_party == ("fastapi", "single")
    assert set(sys.modules) == modules
    assert set(sys.path_importer_cache) == caches


@pytest.mark.parametrize(
    ("name", "kind", "is_package"),
    [
        ("sys", Kind.BUILT_IN, False),
        ("os", Kind.BUILT_IN, False),
        ("importlib.machinery", Kind.BUILT_IN, False),
        ("json", Kind.SOURCE, True),
        ("json.decoder", Kind.SOURCE, False),
        ("google", Kind.NAMESPACE, True),
        ("google.cloud", Kind.NAMESPACE, True),
        ("google.cloud.storage", Kind.SOURCE, True),
    ],
)
def test_what_a_module_is_made_of(project, name, kind, is_package):
    located = Locator(project.path).find(name)
    assert (located.kind, located.is_package) == (kind, is_package)
