"""The gateway between ASGI and WSGI, by itself."""

import asyncio
import logging
import sys

import pytest
from firehot_flask.gateway import Gateway

from tests.support.flask import LAUNCH
from tests.support.waiting import SECONDS

GONE = {"type": "http.disconnect"}


def scope(*headers, method="GET"):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=d",
        "headers": list(headers),
        "server": ("127.0.0.1", 5000),
        "client": None,
    }


class Exchange:
    """One request: what the client sends, and what it gets."""

    def __init__(self, app, *bodies, headers=(), leaves_after=None):
        self.sent = []
        self._bodies = [{"type": "http.request", "body": b, "more_body": True} for b in bodies]
        self._bodies.append({"type": "http.request", "body": b"", "more_body": False})
        self._leaves_after = leaves_after
        asyncio.run(asyncio.wait_for(self._run(Gateway(app, LAUNCH), scope(*headers)), SECONDS))

    async def _run(self, gateway, scope):
        self._gone = asyncio.Event()
        await gateway(scope, self._receive, self._send)

    async def _receive(self):
        if self._bodies:
            return self._bodies.pop(0)
        await self._gone.wait()
        return GONE

    async def _send(self, message):
        self.sent.append(message)
        if len(self.sent) == self._leaves_after:
            self._gone.set()

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def body(self):
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_complete(self):
        return not self.sent[-1].get("more_body", False)


@pytest.fixture
def errors(caplog):
    """What was logged by Werkzeug's logger."""
    caplog.set_level(logging.ERROR, "werkzeug")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "werkzeug"]


def test_an_endless_response_ends_when_the_client_goes():
    """It is closed, as by a server that gets a broken pipe; its thread is free."""
    closed = []

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            while True:
                yield b"tick"
        finally:
            closed.append(True)

    Exchange(app, leaves_after=3)

    assert closed == [True]


def test_the_client_may_go_before_the_body_is_read():
    """What it has sent is there all the same."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield environ["wsgi.input"].read(2)

    exchange = Exchange(app, b"abc")

    assert (exchange.status, exchange.body, exchange.is_complete) == (200, b"ab", True)


def test_a_body_of_unknown_length_is_a_file():
    """With all that files can do."""

    def app(environ, start_response):
        start_response("200 OK", [])
        lines = environ["wsgi.input"]
        assert environ["wsgi.input_terminated"]
        return [lines.readline(3), b"|", lines.readline(), b"|", *lines, b"|", lines.read()]

    exchange = Exchange(app, b"one\n", b"two", b"\nthree\nfour", headers=[(b"transfer-encoding", b"chunked")])

    assert exchange.body == b"one|\n|two\nthree\nfour|"


def fails(environ, start_response):
    raise ValueError("early")


def fails_before_its_first_part(environ, start_response):
    start_response("200 OK", [("X-A", "1")])
    raise ValueError("early")
    yield b""


def leaves(environ, start_response):
    raise SystemExit(3)


@pytest.mark.parametrize("app", [fails, fails_before_its_first_part, leaves])
def test_an_error_before_anything_was_sent(app, errors):
    """A page, and a traceback that begins with the app's own calls; also where the app would exit."""
    exchange = Exchange(app)

    assert exchange.status == 500
    assert b"Internal Server Error" in exchange.body
    (text,) = errors()
    assert text.startswith("Error on request:\nTraceback (most recent call last):\n")
    assert f", in {app.__name__}\n" in text.splitlines(keepends=True)[2]


def test_an_error_in_the_middle(errors):
    """The response is not completed: the server then closes the connection."""

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"part"
        raise ValueError("late")

    exchange = Exchange(app)

    assert (exchange.body, exchange.is_complete) == (b"part", False)
    assert "late" in errors()[0]


def replaces(environ, start_response):
    """As a framework may that meets an error before anything was sent."""
    start_response("200 OK", [])
    try:
        raise ValueError
    except ValueError as error:
        start_response("503 Busy", [], (ValueError, error, error.__traceback__))
    return [b"busy"]


def writes(environ, start_response):
    """As very old ones do."""
    start_response("201 Created", [])(b"written ")
    return [b"returned"]


def says_nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


@pytest.mark.parametrize(
    ("app", "expected"),
    [(replaces, (503, b"busy")), (writes, (201, b"written returned")), (says_nothing, (204, b""))],
)
def test_ways_to_start_a_response(app, expected):
    """All that WSGI allows."""
    exchange = Exchange(app)

    assert (exchange.status, exchange.body, exchange.is_complete) == (*expected, True)


@pytest.mark.parametrize("times", [0, 2])
def test_a_response_is_started_once(times, errors):
    """Else it is an error of the app's, as for Werkzeug."""

    def app(environ, start_response):
        for _ in range(times):
            start_response("200 OK", [])
        return [b"part"]

    assert Exchange(app).status == 500
    assert "AssertionError" in errors()[0]


def test_a_client_without_an_address():
    """On a socket of the UNIX kind."""

    def app(environ, start_response):
        start_response("200 OK", [])
        assert environ["wsgi.errors"] is sys.stderr
        return [f"{environ['REMOTE_ADDR']} {environ['REQUEST_URI']}".encode()]

    assert Exchange(app).body == b"<local> /a%20b?c=d"
