"""What `manage.py runserver` serves of a real project, and what it says, beside Django's own."""

import json
import os
import re
import socket

import httpx
import pytest

from tests.support.django import Site, ask_in_threads
from tests.support.waiting import until


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One project and one server for all tests of this module, which edit nothing."""
    site = Site(tmp_path_factory.mktemp("django"))
    site.serve()
    yield site
    site.stop()


def test_the_first_lines_are_djangos(site):
    """Checks, date, version, settings, address, how to quit; nothing of the server below it."""
    lines = site.server.log.partition("generation 1)")[0]

    assert re.search(
        r"Performing system checks...\n\n"
        r"System check identified no issues \(0 silenced\)\.\n"
        r"\w+ \d\d, \d{4} - .*\n"
        r"Django version [\d.]+, using settings 'mysite.settings'\n"
        rf"Starting (WSGI )?development server at http://127.0.0.1:{site.server.port}/\n"
        r"Quit the server with CONTROL-C.\n",
        lines,
    ), lines
    assert not re.search("uvicorn running|started|will watch|not preloaded", lines, re.IGNORECASE), lines


def test_a_request_is_logged_as_by_runserver(site):
    """Time, request line, status, size."""
    site.server.get("/?a=%C3%A4")

    found = site.server.wait_log(r'\[(.*)\] "GET /\?a=%C3%A4 HTTP/1.1" 200 9\n')
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d", found[1])
    httpx.head(f"{site.server.url}/", timeout=30)
    site.server.wait_log(r'"HEAD / HTTP/1.1" 200 0\n')
    assert site.server.get("/nothing-here").status_code == 404
    site.server.wait_log(r'Not Found: /nothing-here\n\[.*\] "GET /nothing-here HTTP/1.1" 404 \d+\n')


def test_the_admin_and_its_static_files(site):
    """Log in, look, and load a style sheet; and one of the project's own."""
    with site.logged_in() as client:
        page = client.get("/admin/")
        assert "Site administration" in page.text
        assert "Items" in page.text
        sheet = re.search(r'href="(/static/admin/css/base[^"]*\.css)"', page.text)[1]
        assert "text/css" in client.get(sheet).headers["content-type"]
        assert client.get("/static/site.css").text == "body { color: teal }\n"
        assert client.get("/static/nothing.css").status_code == 404


def test_a_form_is_guarded_and_taken(site):
    """By Django's own protection."""
    with httpx.Client(base_url=site.server.url, timeout=30) as client:
        token = re.search(r'value="(\w+)"', client.get("/form").text)[1]
        assert client.post("/form", data={"word": "ja"}).status_code == 403
        answer = client.post("/form", data={"word": "ja", "csrfmiddlewaretoken": token})
        assert answer.text == "you said ja"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_a_file_is_uploaded(site, size):
    """Small ones are kept in memory by Django, large ones in a file."""
    answer = httpx.post(f"{site.server.url}/upload", files={"file": ("a.bin", b"x" * size)}, timeout=30)

    assert answer.text == f"a.bin {size} {size}"


def test_an_answer_is_streamed(site):
    """All of it arrives."""
    assert site.server.text("/stream").split() == [str(number) for number in range(1000)]


def test_a_large_file_is_served(site):
    """In the pieces of a file wrapper, whose end closes it."""
    content = os.urandom(1_000_000)
    (site.folder / "assets" / "large.bin").write_bytes(content)

    assert site.server.get("/static/large.bin").content == content


def test_a_stream_that_nobody_reads_ends(site):
    """Its generator is closed, and the log says so as `runserver` does."""
    with httpx.stream("GET", f"{site.server.url}/endless", timeout=30) as response:
        assert next(response.iter_text())

    site.server.wait_log(r"- Broken pipe from \('127.0.0.1', \d+\)")
    until(lambda: site.server.get("/endless?ended=1").json(), "the end of the generator")


def test_a_view_that_exits_ends_its_request(site):
    """Which has its line, as any other."""
    assert site.server.get("/exits").status_code == 500
    site.server.wait_log(r'"GET /exits HTTP/1.1" 500')
    assert site.server.text("/") == "hello one"


def test_a_client_that_wants_no_body_is_not_gone(site):
    """It closes the connection when it has the headers, and that is no broken pipe."""
    before = site.server.log.count("Broken pipe")
    for number in range(10):
        assert site.server.head(f"/stream?number={number}").status_code == 200
    site.server.wait_log(r'"HEAD /stream\?number=9 HTTP/1.1" 200 0')
    assert site.server.log.count("Broken pipe") == before


def test_requests_run_in_threads(site):
    """Three that wait for each other."""
    ask_in_threads(site)


# -- beside Django's own server

FORWARDED = b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
REQUESTS = {
    "plain": b"GET /meta HTTP/1.1\r\n",
    "query": b"GET /meta?a=1&b=%C3%A4&a=2 HTTP/1.1\r\n",
    "no text": b"GET /meta/%C3%A4%FF/a%2Fb%20c;d=1//e HTTP/1.1\r\n",
    "body": b"POST /meta HTTP/1.1\r\nContent-Type: text/odd\r\nContent-Length: 5\r\n\r\nhello",
    "chunked body": b"POST /meta HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "body on demand": b"POST /meta HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "headers": b"GET /meta HTTP/1.1\r\nX-A: 1\r\nX-A: 2\r\nX_A: 3\r\n" + FORWARDED,
    "cookies": b"GET /meta HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2\r\n",
    "head": b"HEAD /meta?a=1 HTTP/1.1\r\n",
    "old": b"GET /meta HTTP/1.0\r\n",
    "method": b"OPTIONS /meta HTTP/1.1\r\n",
    "not modified": b"GET /static/site.css HTTP/1.1\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
    "missing": b"GET /nothing-here HTTP/1.1\r\n",
}
# That server looks up the host's name, and copies all variables of its process, of which these are not the test's.
EXCEPT = {"SERVER_NAME", "SERVER_SOFTWARE", "SERVER_PORT", "REMOTE_PORT", "DJANGO_SETTINGS_MODULE", "TZ"}
EXCEPT |= {"PYTHONPATH", "asgi.scope", "wsgi.errors", "wsgi.input"}


def test_views_see_requests_as_under_djangos_own(site, tmp_path):
    """Of everything in META and around it, but for what is named here."""
    other = Site(tmp_path)
    own = other.serve("--settings", "plain", "--noreload", wait=False)
    try:
        own.wait_log("Quit the server")
        for name, raw in REQUESTS.items():
            assert seen(ask(site.server.port, raw)) == seen(ask(own.port, raw)), name
    finally:
        other.stop()


def ask(port, raw):
    """Send these bytes; status line and body of the answer."""
    line, _, rest = raw.partition(b"\r\n")
    rest = b"Host: localhost\r\nConnection: close\r\n" + rest
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(line + b"\r\n" + rest + (b"" if b"\r\n\r\n" in rest else b"\r\n"))
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


def seen(answer):
    """What a view has seen, without what may differ."""
    status, body = answer
    if not body.startswith(b"{"):
        return status, len(body)
    told = json.loads(body)
    inherited = EXCEPT | set(os.environ)
    return status, told | {"META": {name: value for name, value in told["META"].items() if name not in inherited}}
