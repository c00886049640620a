"""What is served is what a fresh interpreter would make of the files, wherever they lie and however they are read."""

import os
import textwrap

import pytest

from tests.support.waiting import until

INSTALLED = {"PYTHONPATH": "site-packages"}


@pytest.fixture
def lazy_app(project):
    """Imports `service` at each request, and answers with its text."""
    project.write(
        "app.py",
        textwrap.dedent(
            """
            from starlette.responses import PlainTextResponse

            async def app(scope, receive, send):
                if scope["type"] == "http":
                    import service
                    await PlainTextResponse(service.TEXT)(scope, receive, send)
            """
        ),
    )


def served(server, text):
    """Wait until the server answers with this."""
    until(lambda: server.get().text == text, f"{text!r} to be served")


def test_a_data_file_that_a_loader_reads(serve, project):
    """By `pkgutil`, in the name of the import system."""
    project.write("shop/__init__.py", "")
    project.write("shop/note.txt", "one")
    project.write("service.py", "import pkgutil\nTEXT = pkgutil.get_data('shop', 'note.txt').decode()\n")
    server = serve()
    assert server.text() == "one"
    project.write("shop/note.txt", "two")
    server.wait_log(r"Reloaded in .*: shop/note\.txt changed, from .+ \(generation 2\)")
    assert server.text() == "two"


@pytest.mark.usefixtures("lazy_app")
def test_data_files_of_a_module_that_a_request_imports(serve, project):
    """Opened, listed or looked for; what the request itself reads does not count."""
    project.write("pages/a.txt", "a")
    project.write(
        "service.py",
        "import os\nTEXT = ' '.join([open('note.txt').read(), *os.listdir('pages'), str(os.path.exists('flag'))])\n",
    )
    project.write("note.txt", "one")
    server = serve()
    assert server.text() == "one a.txt False"
    project.write("note.txt", "two")
    server.wait_log(r"note\.txt changed, from .+ \(generation 2\)")
    assert server.text() == "two a.txt False"
    project.write("flag", "")
    server.wait_log(r"flag added, from .+ \(generation 3\)")
    assert server.text() == "two a.txt True"
    project.write("pages/b.txt", "")
    server.wait_log(r"pages/b\.txt added, from .+ \(generation 4\)")
    assert sorted(server.text().split()) == ["True", "a.txt", "b.txt", "two"]


@pytest.mark.parametrize(
    ("source", "name"),
    [("import sys\nsys.path.insert(0, 'lib')\n", "library"), ("__path__.append('lib')\n", "service.library")],
    ids=["sys.path", "__path__"],
)
def test_a_folder_of_a_path_that_comes_back(serve, project, source, name):
    """Without another save; also if it was not there at first."""
    (project.folder / "service.py").unlink()
    project.write("service/__init__.py", f"{source}from {name} import TEXT\n")
    project.write("away/library.py", "TEXT = 'here'\n")
    server = serve()
    for _ in range(2):
        assert server.get().status_code == 500
        (project.folder / "away").rename(project.folder / "lib")
        served(server, "here")
        (project.folder / "lib").rename(project.folder / "away")
        until(lambda: server.get().status_code == 500, "the lack of it to show")


def test_what_an_installed_module_looks_for_in_the_project(serve, project):
    """It was preloaded, and did without; a file that it would find needs a new interpreter."""
    project.write(
        "site-packages/hooks.py",
        "try:\n    from local_settings import TEXT\nexcept ImportError:\n    TEXT = 'without'\n",
    )
    project.write("service.py", "from hooks import TEXT\n")
    server = serve(environment=INSTALLED)
    assert server.text() == "without"
    project.write("local_settings.py", "TEXT = 'with'\n")
    server.wait_log(r"local_settings\.py added, from a new interpreter \(generation 2\)")
    assert server.text() == "with"
    project.write("local_settings.py", "TEXT = 'with more'\n")
    served(server, "with more")
    (project.folder / "local_settings.py").unlink()
    served(server, "without")


@pytest.mark.parametrize("name", ["plugin.py", "plugin/__init__.py"])
def test_a_module_that_the_template_has_learned_can_be_shadowed(serve, project, name):
    """By a file of the project, which a fresh interpreter would find first; and it can be taken away again."""
    source = "import importlib\nTEXT = importlib.import_module('plu' + 'gin').TEXT\n"
    project.write("site-packages/plugin.py", "TEXT = 'installed'\n")
    project.write("service.py", source)
    server = serve("--log-level", "debug", environment=INSTALLED)
    assert server.text() == "installed"
    project.write("service.py", f"{source}\n")  # only now it is told what was imported
    server.wait_log("The template now holds")
    project.write(name, "TEXT = 'own'\n")
    served(server, "own")
    os.remove(project.folder / name)
    served(server, "installed")


@pytest.mark.parametrize(
    ("what", "content", "texts"),
    [
        ("shop", "TEXT = '{}'\n", ("two one one", "three one one")),
        ("note.txt", "{}", ("one two one", "one three one")),
        ("last.py", "TEXT = '{}'\n", ("one one two", "one one three")),
    ],
)
def test_what_becomes_a_link(serve, project, what, content, texts):
    """Nothing changes by that; but from then on, what it leads to counts."""
    project.write("shop/__init__.py", "TEXT = 'one'\n")
    project.write("note.txt", "one")
    project.write("last.py", "TEXT = 'one'\n")
    project.write("service.py", "import shop, last\nTEXT = f'{shop.TEXT} {open(\"note.txt\").read()} {last.TEXT}'\n")
    server = serve()
    assert server.text() == "one one one"
    target = project.folder / "store" / what
    target.parent.mkdir()
    (project.folder / what).rename(target)
    (project.folder / what).symlink_to(target)
    changed = target / "__init__.py" if what == "shop" else target
    for value, text in zip(("two", "three"), texts, strict=True):
        changed.write_text(content.format(value))
        served(server, text)


def test_a_link_to_nothing_yet(serve, project):
    """What it leads to appears."""
    (project.folder / "local.txt").symlink_to("shared/local.txt")
    project.write(
        "service.py",
        "try:\n    TEXT = open('local.txt').read()\nexcept FileNotFoundError:\n    TEXT = 'none'\n",
    )
    server = serve()
    assert server.text() == "none"
    project.write("shared/local.txt", "mine")
    server.wait_log(r"local\.txt added, from .+ \(generation 2\)")
    assert server.text() == "mine"
    project.write("shared/local.txt", "yours")
    served(server, "yours")


def test_what_is_excluded_is_read_again_with_the_next_edit(serve, project):
    """It does not reload; but no state that has read what it was before is gone on from."""
    project.write("first.py", "import time\ntime.sleep(0.2)\nTEXT = 'one'\n")
    project.write("second.py", "TEXT = 'one'\n")
    project.write("service.py", "import first\nimport second\nTEXT = f'{first.TEXT} {second.TEXT}'\n")
    server = serve("--reload-exclude", "first.py")
    for number, text in enumerate(("two", "three"), start=2):
        project.write("second.py", f"TEXT = '{text}'\n")
        server.wait_generation(number)
    assert "second.py changed, from the checkpoint before second (generation 3)" in server.log
    project.write("first.py", "import time\ntime.sleep(0.2)\nTEXT = 'two'\n")
    project.write("second.py", "TEXT = 'four'\n")
    served(server, "two four")


@pytest.mark.parametrize("way", ["--app-dir", "sys.path", "a link"])
def test_a_path_that_goes_up(serve, project, way):
    """`..` in a path leads to the same files: modules, data and folders beside them."""
    shared = project.folder.parent / "shared"
    shared.mkdir()
    temporary = project.folder.parent / "temporary"  # else all of this lies among temporary files, which do not count
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    (shared / "note.txt").write_text("one")
    (shared / "service.py").write_text(
        "import os\nfrom pathlib import Path\nHERE = Path(__file__).parent\n"
        "TEXT = f\"{(HERE / 'note.txt').read_text()} {len(os.listdir(HERE / 'pages'))}\"\n"
    )
    (shared / "pages").mkdir()
    (project.folder / "service.py").unlink()
    if way == "--app-dir":
        (shared / "app.py").write_text((project.folder / "app.py").read_text())
        (project.folder / "app.py").unlink()
        server = serve("--app-dir", "../shared", environment=environment)
    else:
        (project.folder / "link").symlink_to(shared / "pages")
        up = {"sys.path": "../shared", "a link": "link/.."}[way]
        start = f"import os, sys\nsys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), {up!r}))\n"
        project.write("app.py", start + (project.folder / "app.py").read_text())
        server = serve(environment=environment)
    assert server.text() == "one 0"
    (shared / "note.txt").write_text("two")
    served(server, "two 0")
    (shared / "pages" / "new.html").write_text("")
    served(server, "two 1")
    (shared / "service.py").write_text("TEXT = 'three'\n")
    served(server, "three")
