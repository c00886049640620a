"""`manage.py runserver --asgi`: the same pages through ASGI_APPLICATION, and WebSockets."""

import re

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.django import Site
from tests.support.waiting import until

# As Channels' ProtocolTypeRouter does it.
ASGI = """
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
pages = get_asgi_application()

from shop import views

async def application(scope, receive, send):
    assert scope["type"] in ("http", "websocket"), "no lifespan"
    if scope["type"] == "http":
        return await pages(scope, receive, send)
    await receive()
    if scope["path"] != "/chat":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{views.TEXT}: {message['text']}"})
"""
ASYNC_VIEW = """

import asyncio

async def stream(request):
    async def numbers():
        for number in range(100):
            yield f"{number} "
            await asyncio.sleep(0)
    return StreamingHttpResponse(numbers())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("asgi"))
    site.write("mysite/asgi.py", ASGI)
    site.write("shop/views.py", site.read("shop/views.py") + ASYNC_VIEW)
    settings = site.read("mysite/settings.py")
    site.write("mysite/settings.py", settings + 'ASGI_APPLICATION = "mysite.asgi.application"\n')
    site.serve("--asgi")
    yield site
    site.stop()


def test_pages_and_static_files(site):
    """The admin, its style sheet, an upload, a stream; and lines as for WSGI."""
    with site.logged_in() as client:
        sheet = re.search(r'href="(/static/admin/css/base[^"]*\.css)"', client.get("/admin/").text)[1]
        assert "text/css" in client.get(sheet).headers["content-type"]
    answer = httpx.post(f"{site.server.url}/upload", files={"file": ("a.bin", b"x" * 10_000)}, timeout=30)
    assert answer.text == "a.bin 10000 10000"
    assert site.server.text("/stream").split() == [str(number) for number in range(100)]

    site.server.wait_log(r'\[.*\] "POST /upload HTTP/1.1" 200 17\n')
    assert "Error" not in site.server.log
    assert "WSGI development" not in site.server.log


def test_a_websocket_and_a_reload(site):
    """It is told to come again (1012), and meets the new code then; the log has Daphne's lines."""
    with connect(f"ws://127.0.0.1:{site.server.port}/chat") as chat:
        chat.send("hello")
        assert chat.recv(30) == "one: hello"
        site.reload(site.edit, "shop/views.py", 'TEXT = "one"', 'TEXT = "two"')
        with pytest.raises(ConnectionClosed) as closed:
            chat.recv(30)
    assert closed.value.rcvd.code == 1012

    with connect(f"ws://127.0.0.1:{site.server.port}/chat") as chat:
        chat.send("hello")
        assert chat.recv(30) == "two: hello"
    for what in ("HANDSHAKING", "CONNECT", "DISCONNECT"):
        site.server.wait_log(rf"WebSocket {what} /chat \[127.0.0.1:\d+\]\n", count=2)
    assert "connection open" not in site.server.log


def test_a_websocket_that_is_refused(site):
    """By the application, which the log says."""
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{site.server.port}/nowhere"):
        pass

    site.server.wait_log(r"WebSocket REJECT /nowhere \[127.0.0.1:\d+\]\n")


def test_an_edited_template_shows(site):
    """Without a reload, as for WSGI."""
    for number in range(3):
        site.write("templates/page.html", f"number {number}")
        assert site.server.text("/page/page.html") == f"number {number}"


def test_a_broken_application_heals(site):
    """The failure page answers meanwhile."""
    good = site.read("mysite/asgi.py")
    site.reload(site.write, "mysite/asgi.py", good + "nonsense\n")
    assert site.server.get().status_code == 500

    site.reload(site.write, "mysite/asgi.py", good)
    until(lambda: site.server.get().status_code == 200, "the mended application")
