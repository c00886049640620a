"""Code that stops in the middle of its import until the test lets it go on."""

import socket

from tests.support.waiting import SECONDS


class Gate:
    """Close it with `with`."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self._waiting = None

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.open()
        self._listener.close()

    @property
    def source(self):
        """Python statements that wait at this gate."""
        port = self._listener.getsockname()[1]
        return (
            "import socket\n"
            f"with socket.create_connection(('127.0.0.1', {port})) as gate:\n"
            "    gate.recv(1)\n"
            "del socket, gate\n"
        )

    def wait(self):
        """Until somebody waits."""
        self._waiting, _ = self._listener.accept()

    def open(self):
        """Whoever waits goes on."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
