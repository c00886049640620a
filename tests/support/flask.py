"""A Flask project, a package with an app factory and blueprints, and the real `flask` command on it."""

import re
import sys
from pathlib import Path

from firehot_flask.launch import Launch

from tests.support.files import write_all
from tests.support.server import free_port

FLASK = str(Path(sys.executable).with_name("flask"))

LAUNCH = Launch(
    app=None,
    set_debug_flag=True,
    env_file=None,
    dotenv=True,
    debugger=None,
    threads=True,
    host="127.0.0.1",
    server=("127.0.0.1", "5000"),
    secret="",
)

FILES = {
    "shop/__init__.py": """
        import os
        from flask import Flask
        from shop import api, pages

        def create_app(name="shop"):
            app = Flask(__name__)
            app.config.update(NAME=name, COLOR=os.environ.get("COLOR"), SIZE=os.environ.get("SIZE"))
            app.register_blueprint(pages.blueprint)
            app.register_blueprint(api.blueprint)
            return app
        """,
    "shop/pages.py": """
        from flask import Blueprint, current_app, render_template

        blueprint = Blueprint("pages", __name__)
        TEXT = "one"

        @blueprint.get("/")
        def index():
            return render_template("index.html", text=TEXT)

        @blueprint.get("/config")
        def config():
            return {key: current_app.config[key] for key in ("NAME", "COLOR", "SIZE", "DEBUG")}

        @blueprint.get("/boom")
        def boom():
            value = 21
            raise ValueError("boom")
        """,
    "shop/api.py": """
        import hashlib, os, threading, time
        from flask import Blueprint, request

        blueprint = Blueprint("api", __name__, url_prefix="/api")
        VERSION = 1

        @blueprint.get("/version")
        def version():
            return {"version": VERSION}

        @blueprint.post("/sum")
        def add():
            return {"sum": sum(map(int, request.form.getlist("number")))}

        @blueprint.post("/upload")
        def upload():
            file = request.files["file"]
            return {"name": file.filename, "digest": hashlib.sha256(file.read()).hexdigest()}

        @blueprint.get("/stream")
        def stream():
            def parts():
                yield "first,"
                deadline = time.monotonic() + 20
                while not os.path.exists("go.flag") and time.monotonic() < deadline:
                    time.sleep(0.002)
                yield "second"
            return parts()

        @blueprint.get("/environment")
        def environment():
            return {key: os.environ.get(key) for key in request.args}

        @blueprint.route("/wsgi/<path:rest>", methods=["GET", "HEAD", "POST"])
        def wsgi(rest):
            simple = {key: value for key, value in request.environ.items() if isinstance(value, (str, int, tuple))}
            return {**simple, "url": request.url, "body": request.get_data(as_text=True)}
        """,
    "shop/templates/index.html": "<p>{{ text }} of {{ config.NAME }}</p>\n",
}


class Flask:
    """Starts the `flask` command on a package `shop`.

    Args:
        serve: the fixture, which stops what is started.
    """

    def __init__(self, serve, project):
        self.serve = serve
        self.project = project
        for name in ("app.py", "service.py"):
            (project.folder / name).unlink()
        write_all(project.folder, FILES)

    def __call__(self, *options, before=("--app", "shop", "--debug"), command="firehot", port=None, until=None, **more):
        """Run `flask ... firehot ... --port ...`; wait until it serves, or has printed `until`.

        Args:
            before: what stands before the name of the command.
            port: as an option; by default one that is free.
        """
        number = free_port() if port is None else port
        words = [*more.pop("program", [FLASK]), *before, command, *options, "--port", str(number)]
        server = self.serve(module=words, listen=False, wait=until is None, **more)
        server.port = number
        if until:
            server.wait_log(until)
        return server

    def change(self, name, old, new):
        """Save a file with this text instead of that, as editors do."""
        self.project.replace(name, (self.project.folder / name).read_text().replace(old, new))


def pin(server):
    """As the server has printed it."""
    return server.wait_log(r" \* Debugger PIN: ([\d-]+)")[1]


class DebuggerPage:
    """A page of Werkzeug's debugger in a browser, which has `cookies`."""

    def __init__(self, server, path, cookies=None):
        self.server = server
        self.response = server.get(path, cookies=cookies)
        self.secret = re.search(r'SECRET = "(.+?)"', self.response.text)[1]
        self.frame = re.findall(r'id="frame-(\d+)"', self.response.text)[-1]

    def command(self, cookies=None, **arguments):
        """What its script asks for."""
        parameters = {"__debugger__": "yes", "s": self.secret, **arguments}
        return self.server.get("/boom", params=parameters, cookies=cookies)

    def evaluate(self, code, cookies):
        """What the console of its innermost frame shows."""
        return self.command(cookies, cmd=code, frm=self.frame)
