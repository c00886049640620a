"""Many keep-alive connections, and what the limit of open files leaves room for."""

import contextlib
import re
import sys

from tests.support.raw_http import Client, get
from tests.support.server import free_port

FILES, CONNECTIONS = 512, 490

LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
os.execv(sys.executable, [sys.executable, "-m", "firehot_server", *sys.argv[1:]])
"""


def test_more_connections_than_can_move(serve, project):
    """Near the limit of open files as many move as there is room for; the rest is closed, and it is said."""
    project.write("limited.py", LIMITED)
    port = free_port()
    options = ["app:app", "--reload", "--timeout-keep-alive", "60", "--no-access-log", "--port", str(port)]
    server = serve(*options, module=[sys.executable, "limited.py"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
        for client in clients:
            client.send(get("/"))
            assert client.answer().text == "one"
        project.say("two")
        server.wait_generation(2)
        closed = int(re.search(r"Idle connections were closed instead of moved, (\d+) of them", server.log)[1])
        answers = [ask(client) for client in clients]
    assert 0 < closed < CONNECTIONS // 4
    assert answers.count("two") == CONNECTIONS - closed


def ask(client):
    """The answer; None: the connection was closed."""
    try:
        client.send(get("/"))
        return client.answer().text
    except (OSError, EOFError):
        return None
