"""The guard: project code is never run in the template, however a third-party module asks for it."""

import sys
import zipfile

import pytest

from tests.support.templates import running


@pytest.fixture
def secret(world):
    """A project module that leaves a note when it is run."""
    world.write("secret.py", "VALUE = 1\n" + world.note("secret", "1"))
    return world


def refused(template, world, module, *, name="secret"):
    """Preload a module that is expected to be refused because it needs `name`."""
    skipped = template.skipped(module)[module]
    assert "project code" in skipped.reason, skipped
    assert name in skipped.reason, skipped
    assert not world.has("secret")
    return skipped


@pytest.mark.parametrize(
    "source",
    [
        "import secret\n",
        "from secret import VALUE\n",
        "def deep():\n    import secret\ndeep()\n",
        "import importlib\nimportlib.import_module('secret')\n",
        "__import__('secret')\n",
        "exec('import secret')\n",
        "import pkgutil\npkgutil.resolve_name('secret:VALUE')\n",
        "import threading\nfailed = []\ndef run():\n    try:\n        import secret\n    except ImportError as error:\n"
        "        failed.append(error)\nthread = threading.Thread(target=run)\nthread.start()\nthread.join()\n"
        "raise failed[0]\n",
    ],
)
def test_an_import_of_project_code_is_refused(secret, template, source):
    """The third-party module that asks for it is skipped; the reason names what it asked for."""
    secret.install("needy.py", source)
    refused(template, secret, "needy")


def test_a_project_module_itself_is_refused(secret, template):
    """Also when it is asked for by name."""
    refused(template, secret, "secret")


def test_a_project_package_is_refused_before_its_parent_runs(world, template):
    """For `package.part`, not even the package's own file is run."""
    world.write("package/__init__.py", world.note("secret", "1"))
    world.write("package/part.py", world.note("secret", "1"))
    world.install("needy.py", "import package.part\n")
    refused(template, world, "needy", name="package")


def test_a_namespace_package_of_the_project_is_refused(world, template):
    """A folder without `__init__.py` is a package too."""
    world.write("spaced/part.py", world.note("secret", "1"))
    world.install("needy.py", "import spaced.part\n")
    refused(template, world, "needy", name="spaced")


def test_a_plain_folder_of_the_project_is_refused(world, template):
    """A folder of anything, imported by its name, is a package of the project."""
    world.write("assets/style", "no Python here")
    world.install("needy.py", "import assets\n")
    refused(template, world, "needy", name="assets")


def test_a_namespace_with_one_portion_in_the_project_is_refused(world, template):
    """The other portion is installed; whose modules will be found is not for the template to decide."""
    world.write("spaced/ours.py", world.note("secret", "1"))
    world.install("spaced/theirs.py")
    world.install("needy.py", "import spaced.ours\n")
    refused(template, world, "needy", name="spaced")


def test_an_installed_package_wins_over_a_folder_of_the_project(world, template):
    """A folder named like an installed package hides nothing, as in any interpreter."""
    world.write("library/style", "no Python here")
    world.install("library/__init__.py", "import library.part\n")
    world.install("library/part.py")
    assert template.skipped("library") == {}


def test_a_project_module_that_shadows_an_installed_one_is_refused(secret, template):
    """The project comes first on the path: what a cold start would import is the project's."""
    secret.install("secret.py", "VALUE = 2\n")
    refused(template, secret, "secret")


def test_an_installed_namespace_package_is_preloaded(world, template):
    """Namespace packages of third parties are nothing special."""
    world.install("spaced/one.py", "import spaced.two\n")
    world.install("spaced/two.py")
    assert template.skipped("spaced.one") == {}
    assert template.has("spaced.two")


def test_a_submodule_in_the_project_of_an_installed_package_is_refused(world, template):
    """A package that extends its path into the project (`pkgutil.extend_path`)."""
    world.write("library/__init__.py", "")
    world.write("library/ours.py", world.note("secret", "1"))
    world.install("first/library/__init__.py", "import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)\n")
    world.install("needy.py", "import library.ours\n")
    template.configure(
        path=[str(world.installed / "first"), str(world.project), str(world.installed), *template_path()]
    )
    refused(template, world, "needy", name="library.ours")


def test_a_refused_module_is_skipped_alone(secret, template):
    """What else was asked for is preloaded; and the guard stays for the next time."""
    secret.install("needy.py", "import secret\n")
    secret.install("before.py")
    secret.install("after.py")
    assert set(template.skipped("before", "needy", "after")) == {"needy"}
    assert template.has("before", "after")
    refused(template, secret, "needy")


def test_a_refused_module_that_kept_half_of_its_package_is_lasting(secret, template):
    """A second import would not run what a first one runs: a clean template must do without it."""
    secret.install("library/__init__.py", "from library import part\nimport secret\n")
    secret.install("library/part.py")
    assert refused(template, secret, "library").lasting
    secret.install("single.py", "import secret\n")
    assert not refused(template, secret, "single").lasting


def test_a_module_that_would_do_without_project_code_is_skipped(secret, template):
    """It swallows the refusal and would stay in a state that no cold start knows."""
    secret.install("tolerant.py", "try:\n    from secret import VALUE\nexcept ImportError:\n    VALUE = None\n")
    skipped = template.skipped("tolerant")
    assert "tolerant" in skipped, "it stays preloaded with VALUE = None; a cold start has VALUE = 1"
    assert skipped["tolerant"].lasting


def test_a_dependency_that_would_do_without_project_code_is_skipped(secret, template):
    """The same, where the module that swallows the refusal is imported by the one that was asked for."""
    secret.install("tolerant.py", "try:\n    from secret import VALUE\nexcept ImportError:\n    VALUE = None\n")
    secret.install("outer.py", "import tolerant\n")
    skipped = template.skipped("outer")
    assert skipped, "tolerant stays preloaded with VALUE = None; a cold start has VALUE = 1"
    assert skipped["outer"].lasting


def test_a_refusal_that_cannot_be_raised_is_not_printed(secret, capfd):
    """As native code would; what else it cannot raise is."""
    secret.install(
        "tolerant.py",
        "class Quiet:\n"
        "    def __del__(self):\n"
        "        import secret\n"
        "class Loud:\n"
        "    def __del__(self):\n"
        "        1 / 0\n"
        "Quiet(), Loud()\n",
    )
    with running(secret) as template:
        assert "secret" in template.skipped("tolerant")["tolerant"].reason
    printed = capfd.readouterr().err
    assert "ZeroDivisionError" in printed
    assert "FirstPartyImport" not in printed


def test_a_finder_in_front_of_the_guard_does_not_help(secret, template):
    """Import hooks put themselves first; what they find is looked at all the same."""
    secret.install(
        "hook.py",
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        return PathFinder.find_spec(name, path, target)\n"
        "sys.meta_path.insert(0, Finder)\n",
    )
    secret.install("needy.py", "import secret\n")
    assert template.skipped("hook") == {}
    refused(template, secret, "needy")


def test_a_finder_in_front_of_the_guard_within_one_module(secret, template):
    """What it let through has run by then; that template is given up."""
    secret.install(
        "needy.py",
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        return PathFinder.find_spec(name, path, target)\n"
        "sys.meta_path.insert(0, Finder)\nimport secret\n",
    )
    skipped = template.skipped("needy")
    assert "secret" in skipped["needy"].reason
    assert skipped["needy"].lasting


def test_a_finder_without_find_spec_is_passed_over(world, template):
    """As the interpreter does: a leftover of old times does not break the imports of others."""
    world.install(
        "legacy.py",
        "import sys\nclass Finder:\n    def find_module(self, name, path=None):\n        return None\n"
        "sys.meta_path.insert(0, Finder())\n",
    )
    world.install("plain.py", "try:\n    import nowhere\nexcept ImportError:\n    pass\n")
    assert template.skipped("legacy", "plain") == {}


def test_the_guard_leaves_no_trace_in_the_worker(secret, template):
    """The worker imports the project, and what the template had to refuse."""
    secret.install("needy.py", "import secret\nVALUE = secret.VALUE\n")
    refused(template, secret, "needy")
    source = "import os, sys, needy\n" + secret.note("state", "[needy.VALUE, [str(f) for f in sys.meta_path]]")
    assert template.run_in_worker(source + "os._exit(0)\n") == 0
    value, finders = secret.read("state")
    assert value == 1
    assert "Guard" not in str(finders)
    assert secret.has("secret")


def test_a_module_that_is_refused_does_not_linger_in_sys_modules(secret, template):
    """Neither the project's module nor the one that asked for it."""
    secret.install("needy.py", "import secret\n")
    secret.install("look.py", "import sys\n" + secret.note("modules", "sorted(sys.modules)"))
    refused(template, secret, "needy")
    template.preload("look")
    assert not {"needy", "secret"} & set(secret.read("modules"))


def test_project_code_behind_a_link_is_refused(secret, tmp_path):
    """The path names the project through a symbolic link."""
    (tmp_path / "link").symlink_to(secret.project)
    secret.install("needy.py", "import secret\n")
    with running(secret) as template:
        template.configure(path=[str(tmp_path / "link"), str(secret.installed), *template_path()])
        refused(template, secret, "needy")


@pytest.mark.parametrize("entry", ["", "."])
def test_project_code_in_the_current_folder_is_refused(secret, monkeypatch, entry):
    """The path names the project as the current folder."""
    monkeypatch.chdir(secret.project)
    secret.install("needy.py", "import secret\n")
    with running(secret) as template:
        template.configure(path=[entry, str(secret.installed), *template_path()])
        refused(template, secret, "needy")


def test_project_code_in_an_archive_is_refused(world, template):
    """A zip file that is no installed package is the project's."""
    archive = world.project / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("secret.py", world.note("secret", "1"))
    world.install("needy.py", "import secret\n")
    template.configure(path=[str(archive), str(world.installed), *template_path()])
    refused(template, world, "needy")


def template_path():
    """What every template finds its own modules on."""
    return sys.path
