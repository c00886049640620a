"""How a process ended, in words."""

import signal

import pytest

from firehot_server.supervisor.ending import ending


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exited with status 0"),
        (1 << 8, "exited with status 1"),
        (255 << 8, "exited with status 255"),
        (signal.SIGKILL, "was killed by SIGKILL"),
        (signal.SIGSEGV, "was killed by SIGSEGV"),
        (signal.SIGSEGV | 0x80, "was killed by SIGSEGV"),  # with a core dump
        (signal.SIGTERM, "was killed by SIGTERM"),
        (40, "was killed by signal 40"),  # a real-time signal has no name
    ],
)
def test_how_a_process_ended(status, text):
    """Its exit status, or the name of the signal."""
    assert ending(int(status)) == text
