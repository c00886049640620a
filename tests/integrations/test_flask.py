"""`flask firehot` on a project with an app factory and blueprints: what it serves, and after which edits."""

import hashlib
import os
import re

import httpx

from tests.support import processes


def test_a_project_is_served(flask):
    """Pages, forms, uploads, answers without a body; banner and access log as flask's."""
    server = flask()

    assert server.text() == "<p>one of shop</p>"
    assert server.get("/nosuch/stra%C3%9Fe").status_code == 404
    assert httpx.post(f"{server.url}/api/sum", data={"number": ["20", "22"]}).json() == {"sum": 42}
    head = httpx.head(f"{server.url}/")
    assert (head.status_code, head.headers["content-length"], head.text) == (200, "18", "")
    content = os.urandom(3_000_000)
    uploaded = httpx.post(f"{server.url}/api/upload", files={"file": ("big.bin", content)}).json()
    assert uploaded == {"name": "big.bin", "digest": hashlib.sha256(content).hexdigest()}

    assert re.search(r"Ready in .* 1 checkpoint \(generation 1\)", server.log)  # nothing of ours is in its way
    lines = server.log.splitlines()
    assert lines[:2] == [" * Serving Flask app 'shop'", " * Debug mode: on"]
    assert f" * Running on http://127.0.0.1:{server.port}" in lines
    assert "\x1b" not in server.log
    access = r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] "(.+)" (\d+) -'
    assert re.findall(access, server.log) == [
        ("GET / HTTP/1.1", "200"),
        ("GET /nosuch/straße HTTP/1.1", "404"),
        ("POST /api/sum HTTP/1.1", "200"),
        ("HEAD / HTTP/1.1", "200"),
        ("POST /api/upload HTTP/1.1", "200"),
    ]


APP = """
import os
from logging.config import dictConfig
from flask import Flask

dictConfig({"version": 1, "root": {"handlers": ["own"]}, "handlers": {"own": {"class": "logging.StreamHandler"}}})
LOADED_BY = os.getpid()
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: str(LOADED_BY))
"""


def test_an_app_that_nobody_names(flask):
    """It is found as flask finds it, and never imported by the command. Its own logging does not end the access log."""
    flask.project.write("app.py", APP)
    server = flask(before=())

    assert int(server.text()) in processes.descendants(server.pid)
    assert " * Serving Flask app" not in server.log
    server.wait_log(r'127\.0\.0\.1 - - \[.*\] "GET / HTTP/1.1" 200 -')


def test_a_response_is_streamed(flask):
    """Its first part arrives before the last one is there."""
    server = flask()

    with httpx.stream("GET", f"{server.url}/api/stream", timeout=30) as response:
        parts = response.iter_text()
        assert next(parts) == "first,"
        flask.project.write("go.flag", "")
        assert "".join(parts) == "second"


def test_edits_of_code(flask):
    """Of a view, a blueprint, the factory. Not only in debug mode: that is what the command is for."""
    server = flask(before=("--app", "shop"))
    assert server.text() == "<p>one of shop</p>"

    for number, (name, old, new) in enumerate(
        [
            ("shop/pages.py", '"one"', '"two"'),
            ("shop/api.py", 'url_prefix="/api"', 'url_prefix="/v2"'),
            ("shop/__init__.py", 'name="shop"', 'name="market"'),
        ],
        start=2,
    ):
        flask.change(name, old, new)
        server.wait_generation(number)

    assert server.text() == "<p>two of market</p>"
    assert server.get("/v2/version").json() == {"version": 1}
    assert server.get("/api/version").status_code == 404
    assert server.log.count("Running on") == 1


def test_an_edit_of_a_template_needs_no_restart(flask):
    """In debug mode, as under `flask run`."""
    server = flask()
    assert server.text() == "<p>one of shop</p>"

    flask.project.write("shop/templates/index.html", "<b>{{ text }}</b>")

    assert server.text() == "<b>one</b>"
    assert "generation 2" not in server.log


def test_edits_of_env_files(flask):
    """Both are read again: what is new is there, what was removed is gone, and the shell's own is not touched."""
    project = flask.project
    project.write(".env", "COLOR=red\nSIZE=from-file\n")
    server = flask(environment={"SIZE": "from-file"}, before=("--app", "shop"))
    assert server.get("/config").json() == {"NAME": "shop", "COLOR": "red", "SIZE": "from-file", "DEBUG": False}

    project.replace(".env", "SIZE=other\n")
    server.wait_generation(2)
    assert server.get("/config").json() == {"NAME": "shop", "COLOR": None, "SIZE": "from-file", "DEBUG": False}

    project.write(".flaskenv", "COLOR=green\nFLASK_DEBUG=yes\n")  # there was none
    server.wait_generation(3)
    assert server.get("/config").json() == {"NAME": "shop", "COLOR": "green", "SIZE": "from-file", "DEBUG": True}

    (project.folder / ".flaskenv").unlink()
    server.wait_generation(4)
    assert server.get("/config").json() == {"NAME": "shop", "COLOR": None, "SIZE": "from-file", "DEBUG": False}


def test_the_app_itself_is_named_in_a_file(flask):
    """By `.flaskenv`, which may name another one later; as it may say that this is debug mode."""
    flask.project.write(".flaskenv", "FLASK_APP=shop:create_app('first')\nFLASK_DEBUG=true\n")
    server = flask(before=())
    assert server.get("/config").json()["NAME"] == "first"
    assert " * Debugger PIN" in server.log

    flask.project.write(".flaskenv", "FLASK_APP=shop:create_app('second')\n")
    server.wait_generation(2)

    assert server.get("/config").json() == {"NAME": "second", "COLOR": None, "SIZE": None, "DEBUG": False}


BROKEN = [
    ("shop/pages.py", "def broken(:", "Python cannot parse shop/pages.py line 1"),
    ("shop/pages.py", "import nosuch", "No module 'nosuch' can be found for the import in shop/pages.py line 1"),
    ("shop/__init__.py", "x = 1", "Failed to find Flask application or factory in module 'shop'. Use 'shop:name'"),
    ("shop/__init__.py", "def create_app(name): ...", "Use 'shop:create_app(args)' to specify arguments."),
]


def test_broken_and_healed(flask):
    """The failure says what flask says, or the import that failed, without calls of ours; the next save heals it."""
    server = flask()
    generation = 1

    for name, text, message in BROKEN:
        good = (flask.project.folder / name).read_text()
        flask.project.replace(name, text)
        server.wait_generation(generation + 1)
        answer = server.get(headers={"accept": "text/plain"})
        assert answer.status_code == 500
        assert message in answer.text
        assert "firehot_flask" not in answer.text
        assert "in load_app\n" not in answer.text.partition("NoAppException")[2]
        flask.project.replace(name, good)
        server.wait_generation(generation := generation + 2)
        assert server.text() == "<p>one of shop</p>"


def test_an_app_that_is_not_there_yet(flask):
    """The failure page says what flask says. The file heals it."""
    server = flask(before=("--app", "later"))
    answer = server.get()
    assert (answer.status_code, "Could not import 'later'." in answer.text) == (500, True)

    flask.project.write("later.py", "from shop import create_app\napp = create_app('later')\n")
    server.wait_generation(2)

    assert server.get("/config").json()["NAME"] == "later"
