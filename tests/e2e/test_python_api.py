"""From Python: `firehot_server.run` and `FirehotReload`."""

import inspect
import sys

import pytest
import uvicorn

import firehot_server


@pytest.fixture
def run_script(serve, project):
    """Runs a script, which finds its port in `port.txt`."""

    def run(script):
        project.write("start.py", script)
        return serve(module=[sys.executable, "start.py"])

    return run


def test_run_takes_what_uvicorn_takes():
    """The same signature, seen by editors and `inspect`."""
    assert inspect.signature(firehot_server.run) == inspect.signature(uvicorn.run)


def test_run(run_script, project):
    """`firehot_server.run("app:app", reload=True)` in a script, without surprises from `__main__`."""
    server = run_script(
        "import firehot_server\n"
        "open('starts', 'a').write('x')\n"
        "if __name__ == '__main__':\n"
        "    firehot_server.run('app:app', port=int(open('port.txt').read()), reload=True)\n"
    )
    assert server.text() == "one"
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    assert (project.folder / "starts").read_text() == "x"


def test_firehot_reload_in_the_place_of_change_reload(run_script, project):
    """The class, with a server class of the user's own and its `run`."""
    server = run_script(
        "import uvicorn\n"
        "from firehot_server import FirehotReload\n"
        "class Server(uvicorn.Server):\n"
        "    def run(self, sockets=None):\n"
        "        open('ran', 'a').write('x')\n"
        "        super().run(sockets=sockets)\n"
        "config = uvicorn.Config('app:app', port=int(open('port.txt').read()), reload=True)\n"
        "FirehotReload(config, target=Server(config).run, sockets=[config.bind_socket()]).run()\n"
        "print('after')\n"
    )
    assert server.text() == "one"
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"
    assert (project.folder / "ran").read_text() == "xx"
    server.stop()
    assert "after" in server.log


def test_a_target_that_is_no_server(run_script, project):
    """Any callable that takes the sockets, as `ChangeReload` allows; it is ended by SIGTERM."""
    server = run_script(
        "import uvicorn\n"
        "from firehot_server import FirehotReload\n"
        "def target(sockets):\n"
        "    import service\n"
        "    while True:\n"
        "        connection, _ = sockets[0].accept()\n"
        "        connection.recv(65536)\n"
        "        body = service.TEXT.encode()\n"
        "        connection.sendall(b'HTTP/1.1 200 OK\\r\\nconnection: close\\r\\n\\r\\n' + body)\n"
        "        connection.close()\n"
        "config = uvicorn.Config('app:app', port=int(open('port.txt').read()), reload=True)\n"
        "FirehotReload(config, target=target, sockets=[config.bind_socket()]).run()\n"
    )
    assert server.text() == "one"
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"


def test_public_names():
    """What `firehot_server` exports is what it says."""
    assert firehot_server.__all__ == sorted(firehot_server.__all__)
    for name in firehot_server.__all__:
        assert getattr(firehot_server, name).__doc__
    with pytest.raises(AttributeError, match="nosuch"):
        _ = firehot_server.nosuch
