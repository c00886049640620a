"""Werkzeug's debugger, served by `flask firehot`."""

import re
from dataclasses import replace

import pytest
from firehot_flask.debugger import Debugger
from werkzeug.test import Client

from tests.support.flask import LAUNCH, DebuggerPage, pin


@pytest.mark.parametrize(
    ("host", "trusted"), [("dev.test", True), ("localhost", True), ("127.0.0.1", True), ("evil.test", False)]
)
def test_the_host_that_was_given_may_evaluate(host, trusted):
    """As under `flask run --host`."""

    def app(environ, start_response):
        raise ValueError

    page = Client(Debugger(app, replace(LAUNCH, host="dev.test"))).get("/", headers={"Host": host})

    assert f"EVALEX = {str(trusted).lower()}" in page.text


def authenticate(page, number):
    """The cookies that the PIN is worth."""
    answer = page.command(cmd="pinauth", pin=number)
    assert answer.json() == {"auth": True, "exhausted": False}
    return answer.cookies


def test_the_console_evaluates_after_the_pin(flask):
    """In the frame of the view; without the PIN it does not. The page's own files are served."""
    server = flask()
    page = DebuggerPage(server, "/boom")
    assert page.response.status_code == 500
    assert "ValueError: boom" in page.response.text
    assert page.command(cmd="resource", f="debugger.js").headers["content-type"].startswith("text/javascript")
    assert "2121" not in page.evaluate("str(value) * 3", cookies=None).text
    assert page.command(cmd="pinauth", pin="000-000-000").json()["auth"] is False

    cookies = authenticate(page, pin(server))

    shown = re.sub("<.*?>", "", page.evaluate("str(value) * 3", cookies).text)
    assert shown == ">>> str(value) * 3\n&#39;212121&#39;"


def test_a_reload_keeps_the_pin(flask):
    """It is printed once. The page from before may still take the PIN, but has lost its frames, and says so."""
    server = flask()
    old = DebuggerPage(server, "/boom")
    console = server.get("/console")
    assert console.status_code == 200

    flask.change("shop/pages.py", "21", "22")
    server.wait_generation(2)

    assert len(re.findall("Debugger PIN", server.log)) == 1
    assert len(re.findall("Debugger is active", server.log)) == 1
    cookies = authenticate(old, pin(server))
    answer = old.evaluate("value", cookies)
    assert answer.status_code == 410
    assert answer.text.startswith("The code has been reloaded since this page was made")
    new = DebuggerPage(server, "/boom", cookies)
    assert ">22<" in new.evaluate("value", cookies).text


@pytest.mark.parametrize(
    ("before", "options", "environment", "active", "shown"),
    [
        (["--debug"], ["--no-debugger"], {}, False, False),
        ([], ["--debugger"], {}, True, False),  # Flask lets errors through in debug mode only
        ([], ["--debug"], {}, True, True),
        ([], [], {"FLASK_DEBUG": "1", "WERKZEUG_DEBUG_PIN": "off"}, True, True),
        (["--no-debug"], [], {"FLASK_DEBUG": "1"}, False, False),
    ],
)
def test_when_it_is_there(flask, before, options, environment, active, shown):
    """As under `flask run`. Without it an error is a plain page, and is logged."""
    server = flask(*options, before=("--app", "shop", *before), environment=environment)
    answer = server.get("/boom")
    assert answer.status_code == 500
    assert ("Werkzeug Debugger" in answer.text) is shown
    assert ("Debugger is active!" in server.log) is active
    assert ("DEBUGGER UNSECURED!" in server.log) is ("WERKZEUG_DEBUG_PIN" in environment)
    server.wait_log('raise ValueError\\("boom"\\)\nValueError: boom')
    assert "firehot_flask" not in server.log.partition("generation 1)")[2]


def test_the_pin_is_that_of_flask_run(flask):
    """Who has written it down need not look it up."""
    theirs = flask(command="run", until="Debugger PIN")
    ours = flask()
    assert pin(ours) == pin(theirs)
