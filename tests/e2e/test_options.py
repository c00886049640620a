"""uvicorn's options do under reload what they do in uvicorn; bad input gets one sentence and uvicorn's exit code."""

import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.waiting import until


def run(project, *arguments, module="firehot_server", environment=None):
    """Run a command that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


def test_unix_sockets(serve, project, tmp_path):
    """--uds: served, reloaded, and the file is removed at the end."""
    path = tmp_path / "app.sock"
    server = serve("--uds", str(path), listen=False)
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://app") as client:
        assert client.get("/").text == "one"
        project.say("two")
        server.wait_generation(2)
        assert client.get("/").text == "two"
    server.stop()
    assert not path.exists()


def test_an_inherited_socket(project, tmp_path):
    """--fd: a socket that somebody else bound."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        fd = sock.fileno()
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "firehot_server", "app:app", "--reload", "--fd", str(fd)],
                cwd=project.folder,
                pass_fds=[fd],
                stdout=log,
                stderr=log,
            )
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            until(lambda: "generation 1)" in (tmp_path / "log").read_text(), "the start")
            assert httpx.get(url).text == "one"
            project.say("two")
            until(lambda: httpx.get(url).text == "two", "the edit")
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_tls(serve, project, tmp_path):
    """--ssl-*: served and reloaded over TLS, the failure as well."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(tmp_path / "cert.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    server = serve("--ssl-keyfile", str(tmp_path / "key.pem"), "--ssl-certfile", str(tmp_path / "cert.pem"))
    url = f"https://localhost:{server.port}"
    with httpx.Client(verify=context, timeout=30) as client:
        assert client.get(url).text == "one"
        project.say("two")
        server.wait_generation(2)
        until(lambda: client.get(url).text == "two", "the edit")
        project.write("service.py", "1 / 0\n")
        server.wait_generation(3)
        assert client.get(url).status_code == 500


def test_app_dir(serve, project):
    """--app-dir: the app lies in another folder."""
    project.write("src/inner.py", "from app import app\n")
    project.write("src/app.py", (project.folder / "app.py").read_text())
    project.write("src/service.py", "TEXT = 'inner'\n")
    server = serve("--app-dir", "src", app="inner:app")
    assert server.text() == "inner"
    project.write("src/service.py", "TEXT = 'edited'\n")
    server.wait_generation(2)
    assert server.text() == "edited"


def test_factory(serve, project):
    """--factory: called again by every generation."""
    project.write("factory.py", "def make():\n    from app import app\n    return app\n")
    server = serve("--factory", app="factory:make")
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"


def test_wsgi(serve, project):
    """--interface wsgi runs on the same server."""
    project.write(
        "app.py",
        "import service\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('content-type', 'text/plain')])\n"
        "    return [service.TEXT.encode()]\n",
    )
    server = serve("--interface", "wsgi")
    assert server.text() == "one"
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"


@pytest.mark.parametrize(
    "options",
    [
        ("--http", "h11", "--loop", "asyncio", "--ws", "none"),
        ("--http", "h11", "--loop", "uvloop", "--ws", "wsproto"),
        ("--http", "httptools", "--loop", "asyncio", "--ws", "websockets-sansio"),
        ("--http", "httptools", "--loop", "uvloop", "--lifespan", "off"),
    ],
    ids=" ".join,
)
def test_each_implementation_keeps_connections_over_reloads(serve, project, options):
    """Keep-alive connections are handed to the next worker, for every protocol and loop."""
    server = serve(*options, "--timeout-keep-alive", "30")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        first = client.get("/").extensions["network_stream"].get_extra_info("client_addr")
        for number in range(2, 6):
            project.say(str(number))
            server.wait_generation(number)
            response = client.get("/")
            assert response.text == str(number)
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("client_addr") == first


def test_workers_warns_and_runs_one(serve):
    """--workers with --reload: uvicorn's warning, one worker."""
    server = serve("--workers", "4")
    assert '"workers" flag is ignored when reloading is enabled.' in server.log
    assert server.text() == "one"


def test_log_config(serve, project, tmp_path):
    """--log-config applies to the supervisor and to every worker."""
    config = tmp_path / "log.json"
    handler = {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stdout"}
    config.write_text(
        json.dumps(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"f": {"format": "MINE %(message)s"}},
                "handlers": {"h": handler},
                "loggers": {"uvicorn": {"handlers": ["h"], "level": "INFO"}},
            }
        )
    )
    server = serve("--log-config", str(config))
    server.text()
    server.wait_log("MINE Ready in")
    server.wait_log('MINE .*"GET / HTTP/1.1" 200')


def test_one_line_per_reload(serve, project):
    """The log of a quiet session is short."""
    server = serve("--no-access-log")
    project.say("two")
    server.wait_generation(2)
    lines = [line.partition(" ")[2].strip() for line in server.log.splitlines()]
    starts = [
        "Will watch for changes",
        "Uvicorn running on",
        "Started reloader process",
        "Preloaded",
        "Ready in",
        "Reloaded in",
    ]
    assert [line for line, start in zip(lines, starts, strict=True) if not line.startswith(start)] == []


def test_environment_variables_of_uvicorn(serve, project):
    """UVICORN_* variables count, as for uvicorn."""
    server = serve(environment={"UVICORN_ROOT_PATH": "/api", "UVICORN_HEADERS": "x-team:blue"})
    assert server.get().headers.get("x-team") == "blue"


def test_without_reload_it_is_uvicorn(project):
    """No template, no supervisor: uvicorn itself, with its exit status."""
    result = run(project, "nosuch:app", "--port", "0")
    peer = run(project, "nosuch:app", "--port", "0", module="uvicorn")
    assert (result.returncode, result.stderr) == (peer.returncode, peer.stderr)


def bad_inputs(tmp_path):
    return {
        "unknown option": (["app:app", "--reload", "--nosuch"], "No such option"),
        "unknown value": (["app:app", "--reload", "--lifespan", "maybe"], "maybe"),
        "missing env file": (["app:app", "--reload", "--env-file", "nosuch.env"], "nosuch.env"),
        "missing reload dir": (["app:app", "--reload", "--reload-dir", "nosuch"], "nosuch"),
        "missing log config": (["app:app", "--reload", "--log-config", "nosuch.json"], "nosuch.json"),
        "no app": (["--reload"], "Missing argument 'APP'"),
        "uds taken": (["app:app", "--reload", "--uds", str(tmp_path / "taken.sock")], "in use"),
    }


@pytest.mark.parametrize("name", bad_inputs(Path()).keys())
def test_bad_input_is_answered_as_uvicorn_does(project, tmp_path, name):
    """The same status and the same last line as uvicorn's, and no traceback."""
    arguments, expected = bad_inputs(tmp_path)[name]
    results = []
    for module in ("firehot_server", "uvicorn"):
        # Anew for each: uvicorn removes the file when it ends, whoever made it.
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(str(tmp_path / "taken.sock"))
            results.append(run(project, *arguments, module=module))
        (tmp_path / "taken.sock").unlink(missing_ok=True)
    result, peer = results
    assert result.returncode == peer.returncode
    assert result.stderr.splitlines()[-1] == peer.stderr.splitlines()[-1]
    assert expected.lower() in result.stderr.lower()
    assert "Traceback" not in result.stderr


def test_a_port_in_use(serve, project):
    """One line and uvicorn's status."""
    first = serve()
    arguments = ("app:app", "--reload", "--port", str(first.port))
    result, peer = (run(project, *arguments, module=module) for module in ("firehot_server", "uvicorn"))
    assert result.returncode == peer.returncode
    assert "address already in use" in result.stderr.lower()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--startup-timeout", "0"), "--startup-timeout"),
        (("--preload-timeout", "soon"), "--preload-timeout"),
        (("--ssl-certfile", "nosuch.pem"), "nosuch.pem"),
    ],
)
def test_bad_values_of_our_own(project, options, expected):
    """One clear sentence, a status that is not 0, no traceback."""
    result = run(project, "app:app", "--reload", "--port", "0", *options)
    assert result.returncode in (2, 3)
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unusable_cache_folder_is_no_obstacle(serve, project, tmp_path):
    """Without a cache everything works, and nothing is printed."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    server = serve(environment={"XDG_CACHE_HOME": str(blocked / "below")})
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    assert "Traceback" not in server.log


def test_limit_max_requests_starts_another_worker(serve):
    """Under uvicorn the server would be gone until the next save; here another worker takes over."""
    server = serve("--limit-max-requests", "2")
    for _ in range(6):
        assert server.text() == "one"
    server.wait_log("ended by itself; starting another")
    assert "error" not in server.log.lower()
    assert server.text() == "one"


def test_connections_outlive_a_worker_that_has_answered_enough(serve):
    """--limit-max-requests: they move to the next one, as in a reload."""
    server = serve("--limit-max-requests", "2", "--timeout-keep-alive", "30")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        first = client.get("/").extensions["network_stream"].get_extra_info("client_addr")
        for count in range(1, 4):
            client.get("/")
            server.wait_log("ended by itself; starting another", count)
            response = client.get("/")
            assert response.text == "one"
            assert response.extensions["network_stream"].get_extra_info("client_addr") == first


def test_a_protocol_that_cannot_be_loaded_is_answered_as_well(serve):
    """The failure page does not depend on what failed."""
    server = serve("--http", "nosuch.module:Protocol")
    response = server.get()
    assert response.status_code == 500
    assert "nosuch" in response.text
