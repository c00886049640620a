"""What a worker is doing, where the supervisor can read it at any time."""

import os

import pytest

from firehot_server.notices import NoticeBoard, read_notices


@pytest.fixture(params=["memory", "file"])
def board(request, monkeypatch):
    """A board of either kind, and what its reader sees."""
    if request.param == "file":
        monkeypatch.delattr(os, "memfd_create")
    made = NoticeBoard()
    fd = made.share()
    yield made, lambda: sorted(read_notices(fd))
    os.close(fd)
    os.close(made._fd)


def test_an_empty_board(board):
    """There is nothing to read."""
    _, read = board
    assert read() == []


def test_notices_come_and_go(board):
    """A slot that is free is used again."""
    made, read = board
    first, second = made.put_up("GET /a"), made.put_up("GET /b")
    assert read() == ["GET /a", "GET /b"]
    made.take_down(first)
    assert read() == ["GET /b"]
    assert made.put_up("GET /c") == first
    assert read() == ["GET /b", "GET /c"]
    made.take_down(second)
    made.take_down(first)
    assert read() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /" + "x" * 300, "GET /" + "x" * 251),
        ("x" * 255 + "é", "x" * 255 + "\N{REPLACEMENT CHARACTER}"),
        ("\udcff", "?"),
        ("", None),
    ],
)
def test_awkward_texts(board, text, expected):
    """Cut off, or left out, but never in the way of others."""
    made, read = board
    made.put_up(text)
    made.put_up("GET /b")
    assert read() == sorted(filter(None, ["GET /b", expected]))


def test_it_can_be_read_while_there_are_many(board):
    """As many as there are requests."""
    made, read = board
    slots = [made.put_up(f"GET /{number:04}") for number in range(1000)]
    assert read() == [f"GET /{number:04}" for number in range(1000)]
    for slot in slots[:999]:
        made.take_down(slot)
    assert read() == ["GET /0999"]
