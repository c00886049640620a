"""For how many more processes the supervisor may have files open."""

import sys

import pytest

from firehot_server.supervisor.open_files import affordable


@pytest.mark.parametrize(
    ("opened", "limit", "number"),
    [
        (18, 24, 0),
        (18, 34, 0),
        (18, 35, 1),
        (18, 64, 10),
        (20, 24, 0),
        (30, 24, 0),
        (18, 256, 74),
    ],
)
def test_some_are_kept_for_what_must_be(opened, limit, number):
    """Three files for each process, and some that are never taken."""
    assert affordable(opened, limit) == number


def test_no_limit():
    """As many as anybody wants."""
    assert affordable(18, sys.maxsize) > 1000
