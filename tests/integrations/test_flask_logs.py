"""What the server prints, by itself."""

import logging
import re

import pytest
from firehot_flask import logs

ENTRY = logging.getLogger("uvicorn.access").makeRecord


@pytest.fixture
def lines(monkeypatch):
    """Logs an answer; the lines of the access log."""
    written = []
    monkeypatch.setattr(logs, "werkzeug_logger", lambda: Recorder(written))

    def log(status=200, path="/", client="127.0.0.1:5"):
        record = ENTRY("uvicorn.access", logging.INFO, "", 0, "...", (client, "GET", path, "1.1", status), None)
        logs.AccessLog().handle(record)
        return written

    return log


class Recorder:
    def __init__(self, written):
        self._written = written

    def info(self, message, *arguments):
        self._written.append(message % arguments)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, '127.0.0.1 - - [...] "GET / HTTP/1.1" 200 -'),
        ({"path": "/stra%C3%9Fe?a=%20"}, '127.0.0.1 - - [...] "GET /straße?a=%20 HTTP/1.1" 200 -'),
        ({"path": "/%C2%9B31m%1b\\"}, r'127.0.0.1 - - [...] "GET /\x9b31m%1b\\ HTTP/1.1" 200 -'),
        ({"client": "::1:7"}, '::1 - - [...] "GET / HTTP/1.1" 200 -'),
        ({"client": ""}, '<local> - - [...] "GET / HTTP/1.1" 200 -'),
    ],
)
def test_a_line_of_the_access_log(lines, options, line):
    """As Werkzeug's."""
    (written,) = lines(**options)

    assert re.sub(r"\[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\]", "[...]", written) == line


@pytest.mark.parametrize(
    ("status", "style"), [(200, None), (204, None), (304, "36"), (302, "32"), (404, "33"), (403, "31;1"), (500, "35;1")]
)
def test_colours(lines, status, style, monkeypatch):
    """Only on a terminal."""
    assert "\x1b" not in lines(status=status)[0]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    shown = f"\x1b[{style}mGET / HTTP/1.1\x1b[0m" if style else "GET / HTTP/1.1"
    assert f'"{shown}" {status} -' in lines(status=status)[1]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Uvicorn running on socket %s (Press CTRL+C to quit)", False),
        ("Will watch for changes in these directories: %s", False),
        ("Reloaded in 15 ms: app.py changed", True),
        (ValueError("anything"), True),
    ],
)
def test_what_the_command_has_said_is_not_said_again(message, shown):
    """By uvicorn."""
    record = ENTRY("uvicorn.error", logging.INFO, "", 0, message, (), None)

    assert logs.Said().filter(record) is shown


def test_an_app_that_configures_logging_does_not_silence_the_server():
    """As Flask's documentation has it, which disables all loggers that there are."""
    access = logging.getLogger("uvicorn.access")
    access.disabled = True

    logs.revive()

    assert not access.disabled
