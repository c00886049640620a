"""Keep-alive connections survive reloads: no byte lost, each request answered once, in order, by the right code.

Each configuration has one server, and each of its reloads meets all situations at once.
"""

import contextlib
import itertools
import socket

import pytest

from tests.support.gate import Gate
from tests.support.raw_http import Client, chunk, get, post, post_chunked
from tests.support.server import Project, Server

APP = """
import asyncio, os
import service

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    while scope["path"] == "/slow" and not os.path.exists(f"release-{service.TEXT}-{scope['query_string'].decode()}"):
        await asyncio.sleep(0.005)
    body = f"{service.TEXT}: {scope['method']} {scope['path']} {size}".encode()
    headers = [(b"content-length", b"%d" % len(body)), (b"x-code", service.TEXT.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

CONFIGURATIONS = list(itertools.product(["h11", "httptools"], ["asyncio", "uvloop"], ["tcp", "unix"]))
TRANSITIONS = [("one", "two"), ("two", "failure"), ("failure", "four")]
# So many requests on one connection does a client send before the save.
MOST_PIPELINED = 3


# -- what clients do: before the save, during the hold, and when the new code serves. Each ends with what it expects.


def unused(client):
    """Connected, without a byte."""
    yield
    yield
    client.send(get("/first"))
    return ["new: GET /first 0"]


def idle(client):
    """Between two requests."""
    client.send(get("/before"))
    yield
    yield
    client.send(get("/after"))
    return ["old: GET /before 0", "new: GET /after 0"]


def during_the_hold(client):
    """A request that comes while nobody can answer yet."""
    client.send(get("/before"))
    yield
    client.send(get("/held"))
    yield
    return ["old: GET /before 0", "new: GET /held 0"]


def during_the_hold_in_pieces(client):
    """Its first part was received by the old worker."""
    client.send(get("/before"), get("/held")[:9])
    yield
    client.send(get("/held")[9:20])
    yield
    client.send(get("/held")[20:])
    return ["old: GET /before 0", "new: GET /held 0"]


def pipelined_during_the_hold(client):
    """Several in one segment, and the beginning of another one."""
    client.send(get("/before"))
    yield
    client.send(get("/a"), post("/b", size=3), b"abc", get("/c"), get("/d")[:5])
    yield
    client.send(get("/d")[5:])
    return ["old: GET /before 0", *(f"new: {what}" for what in ("GET /a 0", "POST /b 3", "GET /c 0", "GET /d 0"))]


def half_a_head(client):
    """Received by the old worker, which does not know what is asked."""
    client.send(get("/half")[:20])
    yield
    yield
    client.send(get("/half")[20:])
    return ["new: GET /half 0"]


def half_a_body(client):
    """The app has begun with the request: it is finished where it began."""
    client.send(post("/half", size=10), b"01234")
    yield
    client.send(b"567")
    yield
    client.send(b"89", get("/after"))
    return ["old: POST /half 10", "new: GET /after 0"]


def the_end_of_a_body_and_more(client):
    """One segment ends the running request and brings others."""
    client.send(post("/half", size=10), b"01234")
    yield
    client.send(b"56789", post("/held", size=2), b"ab", get("/next")[:9])
    yield
    client.send(get("/next")[9:])
    return ["old: POST /half 10", "new: POST /held 2", "new: GET /next 0"]


def the_end_of_a_chunked_body_and_more(client):
    """The same where only the chunks tell where the body ends, and blank lines in it do not."""
    client.send(post_chunked("/half"), chunk(b"01234\n\n"), b"8\r\n\r\n\r\n")
    yield
    client.send(b"\r\n\r\n\r\n", chunk(b"0\r\n\r\n"), b"0\r\n\r\n", get("/held"), get("/next")[:9])
    yield
    client.send(get("/next")[9:])
    return ["old: POST /half 20", "new: GET /held 0", "new: GET /next 0"]


def running(client):
    """Moves when its response is complete, with what has arrived meanwhile."""
    client.send(get("/slow?1"))
    yield
    client.send(get("/held"), get("/next")[:9])
    yield
    client.send(get("/next")[9:])
    return ["old: GET /slow 0", "new: GET /held 0", "new: GET /next 0"]


def running_and_pipelined(client):
    """What had come before the save, but not had its turn, is for the new code."""
    client.send(get("/slow?1"), get("/waiting"), post("/waiting", size=3), b"ab")
    yield
    client.send(b"c")
    yield
    client.send(get("/next"))
    return ["old: GET /slow 0", "next: GET /waiting 0", "next: POST /waiting 3", "new: GET /next 0"]


def running_upload(client):
    """Its body comes during the hold, the response after it."""
    client.send(post("/slow?1", size=200_000), b"x" * 50_000)
    yield
    client.send(b"x" * 100_000)
    yield
    client.send(b"x" * 50_000, get("/after"))
    return ["old: POST /slow 200000", "new: GET /after 0"]


def half_closed(client):
    """The client has sent all that it will send."""
    client.send(get("/before"))
    yield
    client.send(get("/held"))
    client.socket.shutdown(socket.SHUT_WR)
    yield
    return ["old: GET /before 0", "new: GET /held 0"]


def without_a_body(client):
    """The response to HEAD has none."""
    client.send(get("/before", method="HEAD"))
    yield
    client.send(get("/held", method="HEAD"))
    yield
    return ["old: HEAD /before 0", "new: HEAD /held 0"]


def waits_to_be_asked(client):
    """For the body of a request that came during the hold; who asks is the new code."""
    client.send(get("/before"))
    yield
    client.send(post("/upload", "expect: 100-continue", size=4))
    yield
    client.send(b"body")
    return ["old: GET /before 0", "new: POST /upload 4"]


SITUATIONS = [
    unused,
    idle,
    during_the_hold,
    during_the_hold_in_pieces,
    pipelined_during_the_hold,
    half_a_head,
    half_a_body,
    the_end_of_a_body_and_more,
    the_end_of_a_chunked_body_and_more,
    running,
    running_and_pipelined,
    running_upload,
    half_closed,
    without_a_body,
    waits_to_be_asked,
]


# -- what they meet


class Meeting:
    """All situations on one server, while it reloads from `old` to `new`."""

    def __init__(self, server, address, old, new):
        self.server, self.address, self.old, self.new = server, address, old, new
        self.outcomes = {}
        self.clients = {}

    def hold(self):
        """Save, with the import of the new code standing still in the middle of it."""
        with Gate() as gate, contextlib.ExitStack() as stack:
            blocker = stack.enter_context(Client(self.address))
            blocker.send(get("/slow?drain"))
            self._begin(stack)
            self._take_turns()
            self._save(gate.source)
            gate.wait()
            self._go_on()
            gate.open()
            self.server.wait_generation(VERSIONS.index(self.new) + 1)
            self._release("1")
            self._go_on()
            for situation in SITUATIONS:
                self._end(situation)
            self._release("drain")
            assert blocker.answer().status == (500 if self.old == "failure" else 200)

    def _begin(self, stack):
        for situation in SITUATIONS:
            client = stack.enter_context(Client(self.address))
            self.clients[situation] = client, situation(client)
        self._go_on()

    def _go_on(self):
        for situation, (_, steps) in self.clients.items():
            try:
                next(steps)
            except StopIteration as end:
                self.outcomes[situation] = end.value
            except OSError as error:
                self.outcomes[situation] = error

    def _end(self, situation):
        """Compare what is expected with what comes; the connection ends when all is said."""
        client, _ = self.clients[situation]
        expected = self.outcomes[situation]
        self.outcomes[situation] = [], ["an error"], expected
        told = []
        try:
            if situation is not half_closed:
                client.send(get("/last", close=True))
                expected = [*expected, "new: GET /last 0"]
            told += [self._told(client, line) for line in expected]
            told.append(client.rest())
        except (OSError, EOFError) as error:
            told.append(error)
        self.outcomes[situation] = told, [*map(self._code, expected), b""]

    def _code(self, line):
        side, _, what = line.partition(": ")
        next_in_turn = self.old if self.old == "failure" else self.new  # that one is never slow
        code = {"old": self.old, "new": self.new, "next": next_in_turn}[side]
        return code if code == "failure" or what.startswith("HEAD") else f"{code}: {what}"

    def _told(self, client, line):
        to_head = "HEAD" in line
        answer = client.answer(to_head=to_head)
        while answer.status == 100:
            answer = client.answer(to_head=to_head)
        if answer.status == 500:
            return "failure" if "x-firehot-failure" in answer.headers else answer.text
        return answer.headers["x-code"] if to_head else answer.text

    def _take_turns(self):
        """By then the old worker has read what was sent before, and has begun all that it can begin of it.

        A request that waits behind one that is answered at once has its turn in the loop's next round, and to connect,
        ask and be answered takes two rounds at least.
        """
        for _ in range(MOST_PIPELINED):
            with Client(self.address) as client:
                client.send(get("/roundtrip"))
                assert client.answer().status == (500 if self.old == "failure" else 200)

    def _save(self, waits):
        breaks = "1 / 0\n" if self.new == "failure" else f"TEXT = {self.new!r}\n"
        self.server.project.write("service.py", waits + breaks)

    def _release(self, what):
        (self.server.project.folder / f"release-{self.old}-{what}").touch()


VERSIONS = ["one", "two", "failure", "four"]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids="-".join)
def outcomes(request, tmp_path_factory):
    """What each transition has brought in each situation: what came, and what was expected."""
    http, loop, kind = request.param
    folder = tmp_path_factory.mktemp("handoff")
    project = Project(folder / "project")
    project.write("app.py", APP)
    project.say("one")
    options = ["--http", http, "--loop", loop, "--timeout-graceful-shutdown", "60", "--timeout-keep-alive", "60"]
    if kind == "unix":
        options += ["--uds", str(folder / "server.sock")]
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    server = Server(project, *options, listen=kind == "tcp", environment=environment)
    address = str(folder / "server.sock") if kind == "unix" else ("127.0.0.1", server.port)
    found = {}

    def meet(transition):
        while VERSIONS.index(transition[1]) > len(found):
            old, new = VERSIONS[len(found) : len(found) + 2]
            meeting = Meeting(server, address, old, new)
            meeting.hold()
            found[old, new] = meeting.outcomes
        return found[transition]

    yield meet
    server.stop()


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
@pytest.mark.parametrize("transition", TRANSITIONS, ids=" to ".join)
def test_a_connection_moves(outcomes, transition, situation):
    """Whatever it is in the middle of."""
    came, expected = outcomes(transition)[situation]
    assert came == expected
