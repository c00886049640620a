"""Serving for another command: `firehot_server.Service` and `serve`, as an integration uses them."""

import sys

import pytest

from tests.support import processes

FRAMEWORK = """
import json, os, sys
import firehot_server

def make():
    import site_code

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        seen = {
            "text": site_code.TEXT,
            "library": site_code.PID,
            "argv": sys.argv,
            "path": sys.path,
            "color": os.environ.get("COLOR"),
            "generation": firehot_server.generation(),
        }
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    return app
"""

COMMAND = """
import os, sys
import site_code  # as a framework's own command does
import firehot_server

sys.path.append(os.path.abspath("added"))
options = {"factory": True, "port": int(open("port.txt").read()), "lifespan": "off"}
options.update(OPTIONS)
environment = {**os.environ, "COLOR": "green"}
firehot_server.serve(
    firehot_server.Service("framework:make", options, roots=("site_code",), environment=environment, **MORE)
)
"""


@pytest.fixture
def start(serve, project):
    """Runs the command of a framework, whose project is `site_code.py`, with a third-party module `library`."""
    project.write("site-packages/framework.py", FRAMEWORK)
    project.write("site-packages/library.py", "import os\nPID = os.getpid()\n")
    project.write("site_code.py", "import os\nfrom library import PID\nTEXT = 'one'\nLOADED_BY = os.getpid()\n")

    def run(*arguments, options="{}", service="{}", environment=None, **more):
        project.write("manage.py", COMMAND.replace("OPTIONS", options).replace("MORE", service))
        path = {"PYTHONPATH": str(project.folder / "site-packages"), **(environment or {})}
        return serve(module=[sys.executable, "manage.py", *arguments], environment=path, **more)

    return run


def test_the_app_finds_what_the_command_had(start, project):
    """Arguments and path of the command; the variables that the service names; its first generation."""
    server = start("develop", "--fast")

    seen = server.get().json()

    assert seen["argv"] == ["manage.py", "develop", "--fast"]
    assert seen["path"][0] == str(project.folder)
    assert seen["path"][-1] == str(project.folder / "added")
    assert (seen["text"], seen["color"], seen["generation"]) == ("one", "green", 1)


def test_an_edit_reloads(start, project):
    """The project was imported by the command before; nothing of that is left."""
    server = start()
    assert server.get().json()["generation"] == 1

    project.write("site_code.py", "from library import PID\nTEXT = 'two'\n")
    server.wait_generation(2)

    seen = server.get().json()
    assert (seen["text"], seen["generation"]) == ("two", 2)


def test_the_roots_lead_to_what_is_preloaded(start):
    """`library` is imported only by the project, which the app's own module does not name at its top level."""
    server = start()

    assert server.get().json()["library"] == server.template_pid


def test_the_process_of_the_command_is_the_supervisor(start):
    """No process is left that holds the project's code and serves nobody."""
    server = start()

    assert server.worker_pid in processes.descendants(server.pid)
    assert server.template_pid in processes.children(server.pid)


def test_a_variable_that_is_none_of_ours(start):
    """One sentence and the exit status of a wrong command."""
    server = start(environment={"FIREHOT_STARTUP_TIMEOUT": "soon"}, wait=False)

    assert server.process.wait(30) == 2
    assert "FIREHOT_STARTUP_TIMEOUT" in server.log
    assert "Traceback" not in server.log


def test_what_cannot_be_written_down(start):
    """An option that is no JSON is named before anything is replaced."""
    server = start(options="{'app_dir': object()}", wait=False)

    assert server.process.wait(30) == 1
    assert "JSON" in server.log


def test_files_that_nobody_reads_and_files_that_do_not_matter(start, project):
    """What the service names reloads, and what it excludes does not."""
    extra = str(project.folder / "a.cfg")
    server = start(service=repr({"extra_files": (extra,), "exclude_patterns": ("*/site_c*",)}))

    project.write("site_code.py", "from library import PID\nTEXT = 'two'\n")
    project.replace("a.cfg", "1")

    server.wait_log(r"Reloaded in \d+ ms: a.cfg added, .*generation 2")
