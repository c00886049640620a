"""What an app finds in a request: the same as under `flask run`, whose server is asked beside ours."""

import json
import socket

import pytest

from tests.support.flask import Flask
from tests.support.server import Project, Server

HOST = "Host: shop.test:81\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
REQUESTS = {
    "query": f"GET /api/wsgi/a?b=1&b=%C3%A9&c=x?y HTTP/1.1\r\n{HOST}\r\n",
    "path in other letters": f"GET /api/wsgi/stra%C3%9Fe%20%2F;x HTTP/1.1\r\n{HOST}\r\n",
    "path that is not UTF-8": f"GET /api/wsgi/%ff%fe HTTP/1.1\r\n{HOST}\r\n",
    "headers": f"GET /api/wsgi/a HTTP/1.1\r\n{HOST}X-A: 1\r\nX-A: 2\r\nX_A: 3\r\nCookie: a=1\r\nX-B: \xe9\r\n\r\n",
    "proxy": f"GET /api/wsgi/a HTTP/1.1\r\n{HOST}X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n",
    "form": f"POST /api/wsgi/a HTTP/1.1\r\n{HOST}{FORM}Content-Length: 3\r\n\r\na=1",
    "chunks": f"POST /api/wsgi/a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "old": "GET /api/wsgi/a HTTP/1.0\r\n\r\n",
}
# Of the connection, or of the server itself.
THEIR_OWN = {"REMOTE_PORT", "SERVER_SOFTWARE", "SERVER_PORT"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """`flask run`, and ours, on the same project."""
    started = []

    def serve(**options):
        started.append(Server(project, **options))
        return started[-1]

    folders = [tmp_path_factory.mktemp(name) for name in ("theirs", "ours")]
    for folder, command in zip(folders, ("run", "firehot"), strict=True):
        project = Project(folder / "project")
        for name in ("app.py", "service.py"):
            project.write(name, "")
        Flask(serve, project)(before=("--app", "shop"), command=command, until="Press CTRL")
    started[1].wait_log(r"generation 1\)")
    yield started
    for server in started:
        server.stop()


def ask(port, request):
    """Status, and what the app has found."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as answer:
        connection.sendall(request.encode("latin-1"))
        status = answer.readline().split()[1]
        headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
        return status, json.loads(answer.read(int(headers["content-length"])))


@pytest.mark.parametrize("request_text", REQUESTS.values(), ids=REQUESTS)
def test_the_app_finds_the_same(servers, request_text):
    """All that is text, a number or a tuple; the address of the request, and its body."""
    (status, theirs), (our_status, ours) = (ask(server.port, request_text) for server in servers)

    assert status == our_status == b"200"
    for found, server in ((theirs, servers[0]), (ours, servers[1])):
        assert found["SERVER_PORT"] == str(server.port)
        found["url"] = found["url"].replace(f":{server.port}/", ":PORT/")
    assert {key: value for key, value in ours.items() if key not in THEIR_OWN} == {
        key: value for key, value in theirs.items() if key not in THEIR_OWN
    }
