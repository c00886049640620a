"""What protocols see of a socket, played by the test."""


class Transport:
    """The half of a socket transport that protocols look at."""

    def __init__(self, sock=None, *, encrypted=False):
        self.sock = sock
        self.encrypted = encrypted
        self.written = b""
        self.unsent = 0
        self.reading = True
        self.closing = False
        self.limit = None

    def get_extra_info(self, name):
        return {"socket": self.sock, "sslcontext": self.encrypted}.get(name)

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unsent

    def set_write_buffer_limits(self, high=None):
        self.limit = high

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True
