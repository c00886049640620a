"""Saves are served, and only saves that matter."""

import os
import shutil
import signal
import threading
import time

import httpx
import pytest

from tests.support.waiting import until


def test_an_edit_is_served(serve, project):
    """A save shows in the next answer, and one line tells of it."""
    server = serve()
    assert server.text() == "one"
    project.say("two")
    line = server.wait_log(r"Reloaded in [\d,]+ ms: service\.py changed, from .+ \(generation 2\)")
    assert line
    assert server.text() == "two"


def test_start_up_lines_say_what_the_template_holds(serve):
    """One line names what was preloaded and how long that took."""
    server = serve()
    assert "starlette" in server.wait_log(r"Preloaded [\d,]+ modules in [\d,]+ ms: .*").group()


def test_a_request_before_the_app_is_imported_waits(serve, project):
    """The socket listens before anything else: an early client gets its page, late."""
    project.write("service.py", "import time\ntime.sleep(1)\nTEXT = 'late'\n")
    server = serve(wait=False)
    server.wait_log("Uvicorn running on")
    assert server.text() == "late"


@pytest.mark.parametrize("save", ["write", "replace"])
def test_each_way_of_saving_reloads_once(serve, project, save):
    """In place, or aside and renamed: one save, one reload."""
    server = serve()
    for number in range(2, 6):
        getattr(project, save)("service.py", f"TEXT = {number!r}\n".replace(str(number), f"'{number}'"))
        server.wait_generation(number)
        assert server.text() == str(number)
    assert server.log.count("Reloaded") == 4


def test_a_save_without_a_change_does_not_reload(serve, project):
    """The same content again is no edit; a debug line says so."""
    server = serve("--log-level", "debug")
    project.say("one")
    server.wait_log(r"service\.py: the same content, or nothing has read it")
    os.utime(project.folder / "service.py")
    server.wait_log(r"service\.py: the same content, or nothing has read it", count=2)
    assert "Reloaded" not in server.log


def test_a_file_that_nothing_has_read_does_not_reload(serve, project):
    """An edit of a script beside the app is none of the server's business."""
    project.write("script.py", "print(1)\n")
    server = serve("--log-level", "debug")
    project.write("script.py", "print(2)\n")
    server.wait_log(r"script\.py: the same content, or nothing has read it")
    assert "Reloaded" not in server.log


def test_an_included_file_always_reloads(serve, project):
    """--reload-include names files that matter although nothing imports them, in sub-folders too."""
    project.write("config/names.yaml", "a: 1\n")
    server = serve("--reload-include", "*.yaml")
    project.write("config/names.yaml", "a: 2\n")
    server.wait_log(r"Reloaded in .* config/names\.yaml changed, from .+ \(generation 2\)")


def test_an_excluded_file_never_reloads(serve, project):
    """--reload-exclude wins over having been read."""
    server = serve("--reload-exclude", "service.py")
    project.say("two")
    project.write("app.py", project.folder.joinpath("app.py").read_text() + "\n")
    server.wait_log(r"app\.py changed, from the template \(generation 2\)")
    assert "service.py changed" not in server.log
    assert server.text() == "two"


def test_reload_dir_limits_what_reloads(serve, project):
    """With --reload-dir, a change outside those folders does not reload, as in uvicorn."""
    project.write("inner/part.py", "X = 1\n")
    project.write("service.py", "import inner.part\nTEXT = f'{inner.part.X}'\n")
    server = serve("--reload-dir", "inner")
    project.write("app.py", project.folder.joinpath("app.py").read_text() + "\n")
    project.write("inner/part.py", "X = 2\n")
    server.wait_log(r"inner/part\.py changed, from the template \(generation 2\)")
    assert "app.py changed" not in server.log
    assert server.text() == "2"


def test_reload_delay_waits_for_quiet(serve, project):
    """--reload-delay gathers saves that follow each other into one reload."""
    server = serve("--reload-delay", "0.3")
    project.say("two")
    project.write("app.py", project.folder.joinpath("app.py").read_text() + "\n")
    server.wait_log(r"app\.py changed, service\.py changed, from the template \(generation 2\)")
    assert server.text() == "two"


def test_a_module_added_removed_and_renamed(serve, project):
    """A new file, a lost one and a new name each reload."""
    project.write(
        "service.py",
        "try:\n    from extra import TEXT\nexcept ImportError:\n    TEXT = 'without'\n",
    )
    server = serve()
    assert server.text() == "without"
    project.write("extra.py", "TEXT = 'with'\n")
    server.wait_log(r"extra\.py added, from the template \(generation 2\)")
    assert server.text() == "with"
    (project.folder / "extra.py").rename(project.folder / "other.py")
    server.wait_log(r"extra\.py removed.* \(generation 3\)")
    assert server.text() == "without"


def test_a_new_package_heals_its_import(serve, project):
    """A folder that appears is searched and watched, however its files arrive."""
    project.write("service.py", "from package.inner import TEXT\n")
    server = serve()
    assert server.get().status_code == 500
    (project.folder / "package").mkdir()
    project.write("package/__init__.py", "")
    project.write("package/inner.py", "TEXT = 'found'\n")
    until(lambda: server.get().text == "found", "the new package to be served")


def test_a_folder_that_went_and_came_back_is_watched(serve, project):
    """As after `git checkout` of another branch and back."""
    project.write("package/__init__.py", "")
    project.write("package/inner.py", "TEXT = 'first'\n")
    project.write("service.py", "from package.inner import TEXT\n")
    server = serve()
    (project.folder / "package").rename(project.folder / "elsewhere")
    until(lambda: server.get().status_code == 500, "the missing package to show")
    (project.folder / "elsewhere").rename(project.folder / "package")
    until(lambda: server.get().status_code == 200, "the package to be back")
    project.write("package/inner.py", "TEXT = 'second'\n")
    until(lambda: server.text() == "second", "the edit in the returned folder to be served")


def test_a_module_imported_by_a_request_reloads(serve, project):
    """What is imported lazily is logged and watched as well."""
    project.write("lazy.py", "TEXT = 'lazy one'\n")
    project.write(
        "app.py",
        "from starlette.responses import PlainTextResponse\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        import lazy\n"
        "        await PlainTextResponse(lazy.TEXT)(scope, receive, send)\n",
    )
    server = serve()
    assert server.text() == "lazy one"
    project.write("lazy.py", "TEXT = 'lazy two'\n")
    server.wait_generation(2)
    assert server.text() == "lazy two"


def test_saves_in_one_second_with_one_size_are_each_served(serve, project):
    """Bytecode is never stale, whatever the modification time says."""
    server = serve(environment={"PYTHONDONTWRITEBYTECODE": ""})
    for number in range(10, 40):
        path = project.write("service.py", f"TEXT = '{number}'\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        until(lambda n=number: server.text() == str(n), f"version {number}")


def test_sighup_reloads_now(serve):
    """SIGHUP is a reload by hand."""
    server = serve()
    server.send(signal.SIGHUP)
    server.wait_log(r"Reloaded in .*: SIGHUP, from the template \(generation 2\)")


def test_a_broken_env_file_is_a_failure_and_heals(serve, project):
    """A file that cannot be read says so, and ends nothing."""
    project.write("service.py", "import os\nTEXT = os.environ.get('A', '-')\n")
    path = project.write("values.env", "A=1\n")
    server = serve("--env-file", "values.env")
    path.write_bytes(b"A=\xe9\n")
    until(lambda: server.get().status_code == 500, "the failure")
    assert "values.env cannot be loaded" in server.get().text
    path.write_text("A=2\n")
    until(lambda: server.get().text == "2", "the mended file")


def test_an_env_file_is_read_again(serve, project):
    """A change of --env-file starts a new interpreter: changed values show, removed keys are gone."""
    project.write("service.py", "import os\nTEXT = os.environ.get('A', '-') + os.environ.get('B', '-')\n")
    project.write("values.env", "A=1\nB=2\n")
    server = serve("--env-file", "values.env")
    assert server.text() == "12"
    project.write("values.env", "A=3\n")
    server.wait_log(r"values\.env changed, from a new interpreter \(generation 2\)")
    assert server.text() == "3-"


def test_a_file_between_truncation_and_writing_is_never_served(serve, project):
    """Saved in place by an editor that is slow: the empty file is valid Python, but nobody's code."""
    server = serve()
    path = project.folder / "service.py"
    for number in range(20):
        with path.open("w") as file:
            begun = time.monotonic()
            until(lambda b=begun: time.monotonic() - b > 0.015, "a slow disk")
            file.write(f"TEXT = '{number}'\n")
        until(lambda n=number: server.text() == str(n), f"version {number}")


def test_a_folder_replaced_in_one_go_is_still_watched(serve, project):
    """As by a code generator: removed and made again before anybody looked."""
    project.write("generated/code.py", "TEXT = '0'\n")
    project.write("service.py", "from generated.code import TEXT\n")
    server = serve()
    for number in range(1, 6):
        shutil.rmtree(project.folder / "generated")
        project.write("generated/code.py", f"TEXT = '{number}'\n")
        until(lambda n=number: server.get().text == str(n), f"version {number}")


def test_what_lies_beside_the_code_is_not_opened(serve, project):
    """A pipe without a writer would hold up whoever opens it."""
    server = serve()
    os.mkfifo(project.folder / "pipe")
    os.mkfifo(project.folder / "pipe.py")
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"


@pytest.mark.parametrize("is_other", [True, False])
def test_another_folder_takes_the_place_of_the_working_directory(serve, project, is_other):
    """In a moment, and in one go; also where it holds the same. What is saved later is saved there."""
    server = serve()
    copy = project.folder.with_name("copy")
    shutil.copytree(project.folder, copy)
    if is_other:
        (copy / "service.py").write_text("TEXT = 'other'\n")
    project.folder.rename(project.folder.with_name("former"))
    copy.rename(project.folder)
    server.wait_log("Preloaded ", 2)  # a new interpreter, which works there
    until(lambda: server.get().text == ("other" if is_other else "one"), "the new folder to be served")
    for text in ("two", "three"):
        project.say(text)
        until(lambda text=text: server.get().text == text, f"{text!r} to be served")


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_the_working_directory_is_removed_and_filled_again(serve, project, seconds):
    """As by a clone that takes its place."""
    server = serve()
    files = {path.name: path.read_text() for path in project.folder.glob("*.py")}
    shutil.rmtree(project.folder)
    project.folder.mkdir()
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun >= seconds, "a slow disk")
    for name, text in files.items():
        project.write(name, text.replace("one", "new"))
    until(lambda: server.get().text == "new", "the new folder to be served")
    project.say("two")
    until(lambda: server.get().text == "two", "a save in it to be served")


def test_a_removed_working_directory_is_survived(serve, project, tmp_path):
    """The server goes on, with what it has."""
    project.write("elsewhere.txt", "")
    server = serve()
    project.folder.rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved")
    until(lambda: server.get().status_code == 500, "the failure")


def test_saves_faster_than_reloads_lose_no_connection(serve, project):
    """A worker that is superseded while it starts hands on what it has accepted."""
    server = serve("--no-access-log")
    answers, begun = [], []

    def ask():
        try:
            answers.append(server.get().status_code)
        except httpx.HTTPError as error:
            answers.append(repr(error))

    for number in range(15):
        project.replace("service.py", f"TEXT = '{number}a'\n")
        pause = time.monotonic() + 0.005 + number % 10 / 1000
        until(lambda p=pause: time.monotonic() > p, "a moment")
        project.replace("service.py", f"TEXT = '{number}b'\n")
        for _ in range(3):
            begun.append(threading.Thread(target=ask))
            begun[-1].start()
        until(lambda n=number: server.text() == f"{n}b", f"version {number}")
    for thread in begun:
        thread.join(30)
    assert set(answers) == {200}


DATA = """
import json, os
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

COLOUR = json.loads(Path("config.json").read_text())["colour"]
try:
    LOCAL = Path("local.txt").read_text()
except OSError:
    LOCAL = "none"
VISITS = Path("visits.txt").read_text()

async def index(request):
    Path("visits.txt").write_text("x" * len(Path("visits.txt").read_text()) + "x")
    return PlainTextResponse(f"{COLOUR} {LOCAL}")

app = Starlette(routes=[Route("/", index)])
"""


def test_data_files_that_the_app_reads_at_import(serve, project):
    """A change, an appearance, a removal, a broken one: as with modules."""
    project.write("app.py", DATA)
    project.write("config.json", '{"colour": "green"}')
    project.write("visits.txt", "")
    server = serve()
    assert server.text() == "green none"
    project.write("config.json", '{"colour": "blue"}')
    server.wait_log(r"Reloaded in [\d,]+ ms: config\.json changed, from .+ \(generation 2\)")
    assert server.text() == "blue none"
    project.write("local.txt", "mine")
    server.wait_generation(3)
    assert server.text() == "blue mine"
    (project.folder / "local.txt").unlink()
    server.wait_generation(4)
    assert server.text() == "blue none"
    project.replace("config.json", '{"colour"')
    server.wait_log("JSONDecodeError")
    assert server.get().status_code == 500
    project.replace("config.json", '{"colour": "red"}')
    server.wait_generation(6)
    assert server.text() == "red none"


def test_our_own_cache_is_no_data_of_the_app(serve, project, tmp_path):
    """Bytecode is looked for there, and then written: that must not reload, wherever the cache lies."""
    cache = project.folder / "cache"
    server = serve(environment={"XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": ""})
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    until(lambda: any(cache.rglob("*")), "bytecode in the cache")
    project.say("three")
    server.wait_generation(3)
    assert server.text() == "three"
    assert server.log.count("Reloaded") == 2


def test_a_data_file_that_the_app_writes_itself(serve, project):
    """Its own saves do not reload it; a line says so, once."""
    project.write("app.py", DATA)
    project.write("config.json", '{"colour": "green"}')
    project.write("visits.txt", "")
    server = serve()
    for _ in range(5):
        assert server.text() == "green none"
    server.wait_log(r"visits\.txt is written by the app itself: it does not reload\.")
    project.say("two")  # not read by this app
    project.write("config.json", '{"colour": "blue"}')
    server.wait_generation(2)
    assert server.text() == "blue none"
    assert server.log.count("Reloaded") == 1
    assert server.log.count("visits.txt is written") == 1


def test_an_app_that_writes_where_it_has_looked_does_not_reload_itself(serve, project):
    """Though the supervisor hears of the look only when the file is there; the names are others each time."""
    for number in range(12):
        project.write(f"part{number}.py", "")
    imports = "".join(f"import part{number}\n" for number in range(12))
    project.write(
        "service.py",
        f"{imports}"
        "import os, pathlib, time\n"
        "time.sleep(0.4)\n"  # its folders are watched by now
        "pathlib.Path('state.json').exists()\n"
        "pathlib.Path('state.json').write_text('{}')\n"
        "os.listdir('.')\n"
        "pathlib.Path(f'{time.time_ns()}.json').write_text('{}')\n"
        "time.sleep(0.1)\n"
        "TEXT = 'one'\n",
    )
    server = serve()
    project.write("part0.py", "# edited")
    server.wait_generation(2)
    project.write("part1.py", "# edited")
    server.wait_generation(3)

    assert server.text() == "one"
    assert server.log.count("Reloaded in") == 2


def test_an_edit_among_dozens_of_modules_goes_back_to_just_before_it(serve, project):
    """What each checkpoint has read is known exactly, though nobody was woken by it."""
    texts = dict.fromkeys(range(40), "first")

    def write(number):
        # Before each that is edited below, so much is imported that a checkpoint pays off on the slowest machine.
        seconds = 0.1 if number % 5 == 4 else 0.001
        project.replace(f"part{number}.py", f"import time\ntime.sleep({seconds})\nTEXT = {texts[number]!r}\n")

    for number in texts:
        write(number)
    imports = "".join(f"import part{number}\n" for number in texts)
    project.write("service.py", f"{imports}TEXT = ' '.join(({', '.join(f'part{number}.TEXT' for number in texts)}))\n")
    server = serve()
    places = []
    for generation, number in enumerate((30, 30, 35, 20, 35, 30, 35), start=2):
        texts[number] = f"by {generation}"
        write(number)
        line = server.wait_log(rf"Reloaded in .*\(generation {generation}\)").group()
        places.append(line.partition("from ")[2].partition(" (")[0])
        assert server.text() == " ".join(texts.values())

    assert places[1] == "the checkpoint before part30"
    assert places[-1] == "the checkpoint before part35"


def test_the_files_of_a_database_beside_the_app_do_not_reload(serve, project):
    """SQLite makes and removes them in native code, so nobody tells that the app has written them."""
    database = """
import contextlib
import importlib.metadata
import os
import sqlite3

importlib.metadata.entry_points()
os.listdir(".")
sqlite3.connect("app.db").close()

@contextlib.asynccontextmanager
async def lifespan(app):
    with contextlib.closing(sqlite3.connect("app.db")) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table if not exists t(x)")
        yield
"""
    app = (project.folder / "app.py").read_text()
    project.write("app.py", database + app.replace("index)]", "index)], lifespan=lifespan"))
    (project.folder / "app.db").touch()
    server = serve()
    for number, text in enumerate(("two", "three"), start=2):
        project.say(text)
        server.wait_generation(number)
        assert server.text() == text
    assert server.log.count("Reloaded in") == 2
