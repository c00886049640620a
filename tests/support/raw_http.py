"""An HTTP/1.1 client over a bare socket: which bytes leave when is the test's own affair."""

import http.client
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self):
        return self.body.decode()


class Client:
    """One connection.

    Args:
        address: host and port, or the path of a UNIX socket.
        context: for TLS.
    """

    def __init__(self, address, context=None):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(5)
        self.socket.connect(address)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        self._stream.close()
        self.socket.close()

    def send(self, *pieces):
        self.socket.sendall(b"".join(pieces))

    def answer(self, *, to_head=False):
        """The next response, waited for; an interim one (100) has no body, and neither has one to HEAD."""
        line = self._line()
        status = int(line.split(b" ", 2)[1])
        headers = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        body = b"" if to_head or status < 200 or status in (204, 304) else b"".join(self._body(headers))
        return Answer(status, headers, body)

    def _line(self):
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"the connection ended after {line!r}")
        return line[:-2]

    def _body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            while size := int(self._line(), 16):
                yield self._exactly(size)
                self._line()
            self._line()
        elif "content-length" in headers:
            yield self._exactly(int(headers["content-length"]))
        else:
            yield self._stream.read()

    def _exactly(self, size):
        data = self._stream.read(size)
        if len(data) < size:
            raise http.client.IncompleteRead(data, size - len(data))
        return data

    def rest(self):
        """What comes until the server closes the connection."""
        return self._stream.read()


def get(target, *, method="GET", close=False):
    """A request without a body."""
    return _head(method, target, ["connection: close"] if close else [])


def post(target, *headers, size):
    """The head of a request with a body of so many bytes."""
    return _head("POST", target, [f"content-length: {size}", *headers])


def post_chunked(target):
    """The head of a request whose body comes in chunks."""
    return _head("POST", target, ["transfer-encoding: chunked"])


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def _head(method, target, headers):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: test", *headers, "", ""]).encode()
