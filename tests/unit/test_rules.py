"""What uvicorn's --reload options say of a path."""

import os

import pytest
from uvicorn import Config

from firehot_server.config import Settings
from firehot_server.supervisor.rules import ReloadRules, is_pruned


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory: an empty project."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def rules(settings=None, **options):
    reload_options = {f"reload_{name}": value for name, value in options.items()}
    return ReloadRules(Config("app:app", reload=True, log_config=None, **reload_options), settings)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("app.py", True),
        ("routes/users.py", True),
        ("page.html", False),
        (".env", False),
        ("app.pyc", False),
        (".hidden.py", False),
        ("~backup.py", False),
        ("/elsewhere/editable/package.py", True),
    ],
)
def test_without_options(here, path, allowed):
    """Python files may reload wherever they lie, but for hidden ones and backups; uvicorn's defaults."""
    path = str(here / path)

    assert rules().allows(path) is allowed
    assert not rules().insists(path)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("src/app.py", True), ("src/deep/app.py", True), ("src2/app.py", False), ("app.py", False)],
)
def test_with_a_reload_dir(here, path, allowed):
    """Only what lies below it may reload."""
    (here / "src").mkdir()

    assert rules(dirs=["src"]).allows(str(here / path)) is allowed


def test_with_several_reload_dirs(here):
    """Each counts."""
    for name in ("one", "two"):
        (here / name).mkdir()
    both = rules(dirs=["one", "two"])

    assert [both.allows(str(here / f"{name}/a.py")) for name in ("one", "two", "three")] == [True, True, False]


def test_a_reload_dir_that_is_a_link(here, tmp_path):
    """Its files count by either name."""
    real = tmp_path / "real"
    real.mkdir()
    (here / "link").symlink_to(real)
    linked = rules(dirs=["link"])

    assert linked.allows(str(real / "a.py"))
    assert linked.allows(str(here / "link/a.py"))


def test_the_working_directory_as_a_reload_dir(here):
    """uvicorn cannot tell it from no option at all, so it limits nothing."""
    assert rules(dirs=["."]).allows("/elsewhere/package.py")


@pytest.mark.parametrize(
    ("path", "insists"),
    [
        ("page.html", True),
        ("templates/page.html", True),
        ("page.htm", False),
        ("app.py", False),
        (".page.html", False),
    ],
)
def test_a_file_of_reload_include(here, path, insists):
    """It reloads though nothing reads it; hidden files stay excluded."""
    assert rules(includes=["*.html"]).insists(str(here / path)) is insists


def test_an_include_that_names_a_hidden_file(here):
    """What the user names outright is included, hidden or not."""
    assert rules(includes=[".env"]).insists(str(here / ".env"))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("app.py", True), ("test_app.py", False), ("tests/test_app.py", False), ("generated/app.py", False)],
)
def test_reload_exclude(here, path, allowed):
    """A pattern or a folder that does not reload."""
    (here / "generated").mkdir()
    excluding = rules(excludes=["test_*.py", str(here / "generated")])

    assert excluding.allows(str(here / path)) is allowed


def test_exclude_goes_before_include(here):
    """A file that matches both does not reload."""
    both = rules(includes=["*.html"], excludes=["draft.*"])

    assert both.insists(str(here / "page.html"))
    assert not both.insists(str(here / "draft.html"))


def test_excluding_every_python_file(here):
    """uvicorn drops its own default pattern then."""
    assert not rules(excludes=["*.py"]).allows(str(here / "app.py"))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("app.py", True), ("deep/generated/x/tables.py", False), ("lib/generated.py", True), ("old.cfg", False)],
)
def test_patterns_of_an_integration(here, path, allowed):
    """They are for whole paths, and a star stands for folders, too: unlike uvicorn's."""
    excluding = rules(Settings(exclude_patterns=("*/generated/*", f"{here}/old.*")))

    assert excluding.allows_data(str(here / path)) is allowed
    assert excluding.allows(str(here / path)) is (allowed and path.endswith(".py"))


def test_extra_files_count_wherever_they_are(here, tmp_path):
    """Also beside the reload dirs; but what a pattern excludes is excluded."""
    (here / "src").mkdir()
    extra = str(tmp_path / "extra.cfg")

    assert rules(Settings(extra_files=(extra,)), dirs=["src"]).allows_data(extra)
    assert not rules(dirs=["src"]).allows_data(extra)
    assert not rules(Settings(extra_files=(extra,), exclude_patterns=("*.cfg",))).allows_data(extra)


def test_no_folder_is_searched_without_an_include(here):
    """The cost does not depend on what the app does not load."""
    (here / "data").mkdir()

    assert rules().folders_to_search == []


def test_folders_to_search_for_what_is_included(here):
    """Every folder of the project, but for those in which nothing of it lies."""
    for name in ("templates/mail", "node_modules/left-pad", ".git/objects", "__pycache__", "venv/lib"):
        (here / name).mkdir(parents=True)
    (here / "venv/pyvenv.cfg").touch()

    assert sorted(rules(includes=["*.html"]).folders_to_search) == [
        str(here),
        str(here / "templates"),
        str(here / "templates/mail"),
    ]


@pytest.mark.parametrize(
    ("name", "pruned"),
    [
        ("src", False),
        ("site-packages", True),
        ("node_modules", True),
        ("__pycache__", True),
        (".git", True),
        (".venv", True),
        ("environment", True),
    ],
)
def test_folders_without_anything_of_the_project(tmp_path, name, pruned):
    """Hidden ones, generated ones, and virtual environments under any name."""
    folder = tmp_path / name
    folder.mkdir()
    if name == "environment":
        (folder / "pyvenv.cfg").touch()

    assert is_pruned(os.fspath(folder)) is pruned
