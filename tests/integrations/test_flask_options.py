"""The options of `flask firehot`: those of `flask run`."""

import os
import ssl
import sys
import threading
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.flask import FLASK
from tests.support.server import free_port

WITHOUT_FORK = "import os, sys; del os.fork; sys.argv[0] = 'flask'; from flask.cli import main; main()"


def test_variables_stand_for_options(flask):
    """FLASK_RUN_..., as those of `flask run`; also where a file sets them."""
    port = free_port()
    flask.project.write(".flaskenv", f"FLASK_RUN_PORT={port}\n")
    server = flask.serve(
        module=[FLASK, "--app", "shop", "firehot"], listen=False, environment={"FLASK_RUN_HOST": "localhost"}
    )
    server.port = port

    assert server.get("/config").json()["NAME"] == "shop"


@pytest.mark.parametrize(
    ("before", "environment"), [(("--env-file", "other.env"), {}), ((), {"FLASK_ENV_FILE": "other.env"})]
)
def test_a_file_of_variables(flask, before, environment):
    """`--env-file` comes before `.env`, and is read again, too."""
    flask.project.write(".env", "COLOR=red\nSIZE=small\n")
    flask.project.write("other.env", "COLOR=blue\n")
    server = flask(before=(*before, "--app", "shop"), environment=environment)
    assert server.get("/config").json() == {"NAME": "shop", "COLOR": "blue", "SIZE": "small", "DEBUG": False}

    flask.project.write("other.env", "SIZE=large\n")
    server.wait_generation(2)

    assert server.get("/config").json() == {"NAME": "shop", "COLOR": "red", "SIZE": "large", "DEBUG": False}


def test_what_the_app_finds(flask):
    """The arguments of a factory, as `--app` has them; what tells it that it serves, and nothing of how the command has
    talked to it. No files, where FLASK_SKIP_DOTENV says so.
    """
    flask.project.write(".env", "COLOR=red\n")
    server = flask(before=("--app", "shop:create_app('given')", "--debug"), environment={"FLASK_SKIP_DOTENV": "1"})

    assert server.get("/config").json() == {"NAME": "given", "COLOR": None, "SIZE": None, "DEBUG": True}
    names = {"FLASK_RUN_FROM_CLI": "true", "WERKZEUG_RUN_MAIN": "true", "FLASK_DEBUG": "1", "FIREHOT_FLASK": None}
    assert server.get("/api/environment", params=names).json() == names


def test_extra_files_and_exclude_patterns(flask, tmp_path):
    """Files that nothing reads, wherever they are; a folder stands for its Python files. What is excluded waits."""
    extra = tmp_path / "elsewhere" / "limits.cfg"
    generated = tmp_path / "generated" / "deep" / "tables.py"
    for path in (extra, generated):
        path.parent.mkdir(parents=True)
        path.write_text("1")
    server = flask(
        "--extra-files", f"{extra}{os.pathsep}{generated.parents[1]}", "--exclude-patterns", "*/shop/a*.py:*.tmp"
    )

    save(extra, "2")
    server.wait_log("limits.cfg changed, .*generation 2")
    save(generated, "2")
    server.wait_log("tables.py changed, .*generation 3")
    flask.change("shop/api.py", "VERSION = 1", "VERSION = 2")
    flask.change("shop/pages.py", '"one"', '"two"')

    server.wait_log(r"Reloaded in \d+ ms: shop/pages.py changed, .*generation 4")
    assert server.get("/api/version").json() == {"version": 2}  # what is imported again is so from what is there


def save(path, text):
    """As editors do."""
    aside = path.with_name("aside.tmp")
    aside.write_text(text)
    aside.replace(path)


@pytest.mark.parametrize("threads", [True, False])
def test_threads(flask, threads):
    """Two requests are answered at the same time, or one after the other."""
    server = flask(*([] if threads else ["--without-threads"]))
    with httpx.stream("GET", f"{server.url}/api/stream", timeout=30) as response:
        assert next(response.iter_text()) == "first,"
        other = threading.Thread(target=server.get, args=("/api/version",))
        other.start()
        other.join(None if threads else 0.3)
        assert other.is_alive() is not threads
        flask.project.write("go.flag", "")
        other.join()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def test_a_certificate(flask, authority):
    """HTTPS."""
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(flask.project.folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(flask.project.folder / "cert.pem")
    server = flask("--cert", "cert.pem", "--key", "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)

    address = f"https://localhost:{server.port}/api/wsgi/a"
    assert httpx.get(address, verify=context).json()["url"] == address
    assert f" * Running on https://127.0.0.1:{server.port}" in server.log


def test_a_certificate_of_its_own(flask):
    """`adhoc`: the same after the next start; its key is for the user only."""
    seen = set()
    for _ in range(2):
        server = flask("--cert", "adhoc")
        seen.add(ssl.get_server_certificate(("127.0.0.1", server.port)))
        server.stop()

    (key,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("server.key")
    assert len(seen) == 1
    assert key.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--cert", "adhoc", "--key", "shop/api.py"], 2, '"--key" is not used'),
        (["--cert", "shop/api.py", "--key", "shop/api.py"], 2, "cannot be used"),
        (["--cert", "context.made"], 2, "An ssl.SSLContext cannot be handed to the processes that serve"),
        (["--no-such-option"], 2, "No such option"),
        (["--port", "high"], 2, "'high' is not a valid integer"),
    ],
)
def test_options_that_cannot_be(flask, options, status, message):
    """One sentence and the exit status of a wrong command."""
    flask.project.write("context.py", "import ssl\nmade = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n")
    server = flask.serve(
        module=[FLASK, "--app", "shop", "firehot", *options], listen=False, wait=False, environment={"PYTHONPATH": "."}
    )

    assert server.process.wait(30) == status
    assert message in server.log
    assert "Traceback" not in server.log


def test_a_port_in_use(flask):
    """In the words, and with the exit status, of `flask run`."""
    first = flask()
    second = flask(port=first.port, until=f"Port {first.port} is in use by another program")

    assert second.process.wait(30) == 1
    assert "Traceback" not in second.log


def test_without_reload_it_is_flask_run(flask):
    """`--no-reload`: flask's own server."""
    server = flask("--no-reload", until="Press CTRL")

    assert server.get().headers["server"].startswith("Werkzeug")
    assert "firehot using" not in server.log


def test_where_there_is_no_fork_it_is_flask_run(flask):
    """With flask's own reloader; it says so."""
    server = flask(program=[sys.executable, "-c", WITHOUT_FORK], until="Restarting with")

    server.wait_log("Debugger PIN")
    assert server.text() == "<p>one of shop</p>"
    assert " * This system has no fork: reloading as 'flask run' does." in server.log


SCRIPT = """
from flask.cli import FlaskGroup
from shop import create_app

cli = FlaskGroup(create_app=create_app)
if __name__ == "__main__":
    cli.main()
"""


def test_a_script_of_the_project_s_own(flask):
    """A command that makes its app by a function: workers call that."""
    flask.project.write("manage.py", SCRIPT)
    server = flask(program=[sys.executable, "manage.py"], before=("--debug",))

    assert server.get("/config").json()["DEBUG"] is True


def test_a_script_whose_app_no_other_process_can_make(flask):
    """One sentence."""
    flask.project.write("manage.py", SCRIPT.replace("=create_app)", "=lambda: create_app())"))
    server = flask(program=[sys.executable, "manage.py"], before=(), until="use a function of a module")

    assert server.process.wait(30) == 2
    assert "Running on" not in server.log
