"""What the template preloads, what it leaves out, and what the user is told about it."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.waiting import until


@pytest.fixture
def package(project):
    """Adds a third-party module (below a site-packages folder on PYTHONPATH)."""

    def add(name, source):
        project.write(f"site-packages/{name}.py", textwrap.dedent(source))

    return add


@pytest.fixture
def serve_with_packages(serve, project):
    return lambda *arguments, **options: serve(
        *arguments, environment={"PYTHONPATH": str(project.folder / "site-packages")}, **options
    )


def test_third_party_imports_run_once_for_all_generations(serve_with_packages, project, package):
    """The preloaded module's process is the template, for every worker."""
    package("library", "import os\nPID = os.getpid()\n")
    project.write("service.py", "import library\nTEXT = str(library.PID)\n")
    server = serve_with_packages()
    assert server.text() == str(server.template_pid)
    project.write("service.py", "import library\nTEXT = str(library.PID) + '!'\n")
    server.wait_generation(2)
    assert server.text() == f"{server.template_pid}!"


TROUBLE = {
    "raises": ("raise ValueError('not today')", "ValueError: not today"),
    "needs project code": ("import service", "it imports project code (service)"),
    "exits": ("import sys; sys.exit(4)", "SystemExit: 4"),
    "kills": ("import os\nos._exit(5)", "exited with status 5"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("import time\ntime.sleep(60)", "did not finish importing within 2 s"),
    "leaves a thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()",
        "a thread running (mine)",
    ),
    "leaves a socket": ("import socket\nheld = socket.socket()", "it left a socket open"),
    "leaves a pipe": ("import os\nheld = os.pipe()", "it left a pipe open"),
    "leaves a loop": ("import asyncio\nheld = asyncio.new_event_loop()", "an event loop open"),
}


def test_modules_that_cannot_be_preloaded_are_named_and_left_to_the_worker(serve_with_packages, project, package):
    """Whatever one does to the template: one line says why, the app is served, and it is remembered."""
    modules = {f"{kind.replace(' ', '_')}_": trouble for kind, trouble in TROUBLE.items()}
    for module, (source, _) in modules.items():
        package(module, source)
    imports = "".join(f"    import {module}\n" for module in modules)
    project.write("service.py", f"TEXT = 'fine'\ndef never():\n    pass\nif TEXT != 'fine':\n{imports}")
    server = serve_with_packages("--preload-timeout", "2")
    assert server.text() == "fine"
    for module, (_, reason) in modules.items():
        server.wait_log(rf"Not preloaded: {module} \(.*{re.escape(reason)}.*\)")
    assert server.log.count("Not preloaded") == len(modules)
    server.stop()
    again = serve_with_packages("--preload-timeout", "2")
    assert again.text() == "fine"
    assert again.log.count("Not preloaded") == len(modules)
    assert again.log.count("Preloaded") == 1


def test_a_module_with_a_thread_works_in_the_worker(serve_with_packages, project, package):
    """What the template must not hold, each worker imports for itself."""
    package(
        "threaded",
        """
        import os, queue, threading
        asked, answered = queue.Queue(), queue.Queue()
        def work():
            while True:
                answered.put(asked.get() + 1)
        threading.Thread(target=work, daemon=True).start()
        """,
    )
    project.write(
        "service.py", "import threaded\nthreaded.asked.put(1)\nTEXT = str(threaded.answered.get(timeout=5))\n"
    )
    server = serve_with_packages()
    assert server.text() == "2"


def test_numpy_stays_preloaded(serve, project):
    """OpenBLAS's thread pool survives forks, and NumPy works in every worker."""
    source = "import numpy\nTEXT = str(int((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum()) + {})\n"
    project.write("service.py", source.format(0))
    server = serve()
    assert server.text() == "27000000"
    assert "Not preloaded" not in server.log
    project.write("service.py", source.format(1))
    server.wait_generation(2)
    assert server.text() == "27000001"


def test_no_preload_leaves_modules_to_the_worker(serve_with_packages, project, package):
    """--no-preload NAME: the worker imports it itself."""
    package("library", "import os\nPID = os.getpid()\n")
    project.write("service.py", "import library, os\nTEXT = str(library.PID == os.getpid())\n")
    server = serve_with_packages("--no-preload", "library")
    assert server.text() == "True"


def test_what_a_worker_loaded_dynamically_is_learned(serve_with_packages, project, package):
    """A module that no static import reaches is preloaded after the first reload, and at the next start."""
    package("plugin", "import os\nPID = os.getpid()\n")
    source = (
        "import importlib, os\nplugin = importlib.import_module('plu' + 'gin')\n"
        "TEXT = str(plugin.PID == os.getpid()){}\n"
    )
    project.write("service.py", source.format(""))
    server = serve_with_packages("--log-level", "debug")
    assert server.text() == "True"
    project.write("service.py", source.format(" "))
    server.wait_generation(2)
    server.wait_log("The template now holds")
    project.write("service.py", source.format("  "))
    server.wait_generation(3)
    assert server.text() == "False"
    server.stop()
    assert serve_with_packages().text() == "False"


def test_the_template_runs_no_project_code(serve, project):
    """Not while it starts, not while it preloads: a project's own `random.py` runs in workers only."""
    for name in ("signal", "socket", "select", "pickle", "dataclasses"):
        project.write(f"{name}.py", f"open('ran-{name}', 'w')\nraise ImportError('shadow')\n")
    command = Path(sys.executable).with_name("firehot-uvicorn")
    command = [str(command), "app:app", "--reload", "--port", "0"]
    server = serve(module=command, wait=False)
    server.wait_log("Preloaded")
    assert list(project.folder.glob("ran-*")) == []


def test_installed_packages_need_a_new_interpreter(serve, project, tmp_path):
    """An installer's record changed: the next reload starts from a clean interpreter, and says so."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    records = tmp_path / "base" / "lib" / version / "site-packages"
    (records / "library-1.dist-info").mkdir(parents=True)
    server = serve(environment={"PYTHONUSERBASE": str(tmp_path / "base")})
    template = server.template_pid
    project.say("two")
    server.wait_generation(2)
    assert server.template_pid == template
    (records / "library-1.dist-info").rename(records / "library-2.dist-info")
    project.say("three")
    server.wait_log("service.py changed, packages were installed, from a new interpreter .generation 3.")
    assert server.text() == "three"
    until(lambda: template not in processes.children(server.pid), "the old template to be gone")


def answers_until(server, text, *, allowed):
    """Ask until this is the answer; no other but those that are allowed may come before."""

    def is_there():
        found = server.text()
        assert found in {text, *allowed}
        return found == text

    until(is_there, f"{text!r} to be answered")


def test_a_preloaded_module_that_is_edited_in_place(serve_with_packages, project, package):
    """Nobody watches it; the next reload starts from a clean interpreter, and says why."""
    package("library", "VALUE = 'one'\n")
    project.write("service.py", "import library\nTEXT = library.VALUE\n")
    server = serve_with_packages()
    package("library", "VALUE = 'edited'\n")
    project.write("service.py", "import library\nTEXT = library.VALUE + '!'\n")
    answers_until(server, "edited!", allowed={"one"})
    server.wait_log("site-packages/library.py changed, from a new interpreter")
    project.write("service.py", "import library\nTEXT = library.VALUE + '?'\n")
    answers_until(server, "edited?", allowed={"edited!"})
    server.wait_generation(4)
    assert server.log.count("from a new interpreter") == 1


def test_a_module_that_only_a_checkpoint_has_is_edited_in_place(serve_with_packages, project, package):
    """Each worker would import it anew, but for the checkpoint."""
    package("library", "VALUE = 'one'\n")
    project.write(
        "service.py", "import library, time\ntime.sleep(0.1)\nimport leaf\nTEXT = library.VALUE + leaf.TEXT\n"
    )
    project.write("leaf.py", "TEXT = ''\n")
    server = serve_with_packages("--no-preload", "library")
    for end in ("!", "?"):
        project.write("leaf.py", f"TEXT = {end!r}\n")
        answers_until(server, f"one{end}", allowed={"one", "one!"})
    server.wait_log("from the checkpoint before leaf")
    package("library", "VALUE = 'edited'\n")
    project.write("leaf.py", "TEXT = '.'\n")
    answers_until(server, "edited.", allowed={"one?"})


def test_a_failure_heals_where_a_preloaded_module_is_edited_in_place(serve_with_packages, project, package):
    """It was at fault; any save tries again."""
    package("library", "def value(number): return f'{number}'[9]\n")
    project.write("service.py", "import library\nTEXT = library.value(1)\n")
    server = serve_with_packages(wait=False)
    server.wait_log("IndexError")
    package("library", "def value(number): return f'{number}'\n")
    project.write("service.py", "import library\nTEXT = library.value(1)\n")
    until(lambda: server.get().text == "1", "the app")


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_module_of_which_the_app_writes_the_source(serve_with_packages, project, package, is_broken):
    """Each import would be an edit in place, without end. A save tries at most twice."""
    package("library", "VALUE = 0\n")
    source = (
        "import library, time\nopen(library.__file__, 'w').write(f'VALUE = {time.time()}')\n" + "1 / 0\n" * is_broken
    )
    project.write("service.py", f"{source}TEXT = 'one'\n")
    server = serve_with_packages(wait=False)
    server.wait_log(r"generation \d\)")
    project.write("service.py", f"{source}TEXT = 'two'\n")
    if is_broken:
        server.wait_log(r"ZeroDivisionError", 2)
        assert [server.get().status_code for _ in range(20)] == [500] * 20
    else:
        answers_until(server, "two", allowed={"one"})
    project.write("service.py", "TEXT = 'three'\n")
    until(lambda: server.get().text == "three", "the last save to be served")
    assert server.log.count("Preloaded ") <= 4


def test_a_module_that_is_edited_while_the_template_imports(serve_with_packages, project, package):
    """It was read before; how it was then is what counts."""
    package("library", "VALUE = 'one'\n")
    package("slow", f"import time\nopen({str(project.folder / 'begun')!r}, 'w')\ntime.sleep(0.5)\n")
    project.write("service.py", "import library, slow\nTEXT = library.VALUE\n")
    server = serve_with_packages(wait=False)
    until((project.folder / "begun").exists, "the import")
    package("library", "VALUE = 'edited'\n")
    until(lambda: server.get().text == "edited", "the edit")


def test_a_failed_worker_has_left_a_checkpoint_behind_a_module(serve_with_packages, project, package):
    """Then that is edited in place."""
    package("library", "VALUE = 'one'\n")
    source = "import library, time\ntime.sleep(0.1)\nimport leaf\nTEXT = library.VALUE + leaf.TEXT\n"
    project.write("service.py", source)
    project.write("leaf.py", "TEXT = ''\n")
    server = serve_with_packages("--no-preload", "library")
    project.write("leaf.py", "TEXT = '!'\n")
    until(lambda: server.text() == "one!", "an edit")
    project.write("leaf.py", "def (\n")
    until(lambda: server.get().status_code == 500, "the failure")
    package("library", "VALUE = 'edited'\n")
    project.write("leaf.py", "TEXT = '?'\n")
    until(lambda: server.get().text == "edited?", "both edits")


def test_an_interpreter_may_take_longer_than_a_module(serve):
    """However little the user gives each."""
    server = serve("--preload-timeout", "0.001", "--no-preload", "*")
    assert server.text() == "one"
    assert "did not get ready" not in server.log
