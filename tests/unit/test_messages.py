"""Messages and the descriptors in them."""

import dataclasses
import inspect
import pickle

import pytest

from firehot_server import messages
from firehot_server.messages import (
    Connection,
    Drain,
    Extended,
    Forked,
    Handoff,
    Hold,
    Message,
    Read,
    Reads,
    Serve,
    join_descriptors,
    split_descriptors,
)

KINDS = [
    value
    for value in vars(messages).values()
    if inspect.isclass(value) and value.__module__ == messages.__name__ and dataclasses.is_dataclass(value)
]
TABLE = [
    (Hold(), Hold(), (), ()),
    (Drain(5.0), Drain(5.0), (), ()),
    (Serve(), Serve(), (), (0,)),
    (Serve(sockets=(7,)), Serve(), (7,), (1,)),
    (Serve(sockets=(7, 8)), Serve(), (7, 8), (2,)),
    (Forked(42, channel=(5,), lifeline=(6,)), Forked(42), (5, 6), (1, 1)),
    (Forked(42, lifeline=(6,)), Forked(42), (6,), (0, 1)),
    (Extended(42, channel=(5,), lifeline=(6,)), Extended(42), (5, 6), (1, 1)),
    (
        Handoff((Connection(b"GE"), Connection()), sockets=(3, 4)),
        Handoff((Connection(b"GE"), Connection())),
        (3, 4),
        (2,),
    ),
]


@pytest.mark.parametrize(("message", "bare", "fds", "counts"), TABLE, ids=lambda value: repr(value)[:40])
def test_a_message_and_its_descriptors_part(message, bare, fds, counts):
    """What is pickled has none; they travel beside it, in the order of the fields."""
    assert split_descriptors(message) == (bare, fds, counts)


@pytest.mark.parametrize("message", [row[0] for row in TABLE], ids=lambda value: repr(value)[:40])
def test_they_come_together_again_under_other_numbers(message):
    """The receiver has descriptors of its own; each field gets as many as it had."""
    bare, fds, counts = split_descriptors(message)
    arrived = [fd + 100 for fd in fds]
    joined = join_descriptors(bare, arrived, counts)

    assert type(joined) is type(message)
    assert split_descriptors(joined) == (bare, tuple(arrived), counts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_is_a_frozen_value(kind):
    """Compared by content, never changed, without room for more."""
    assert kind.__dataclass_params__.frozen
    assert kind.__dataclass_params__.eq
    assert "__slots__" in vars(kind)
    assert kind.__doc__


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, Message)], ids=lambda kind: kind.__name__)
def test_every_message_survives_the_way(kind):
    """Pickled and back, with whatever values."""
    values = {field.name: f"a {field.name}" for field in dataclasses.fields(kind)}
    message = kind(**values | dict.fromkeys(kind.descriptor_fields(), (3, 4)))
    bare, fds, counts = split_descriptors(message)
    copy, copied_counts = pickle.loads(pickle.dumps((bare, counts)))

    assert join_descriptors(copy, list(fds), copied_counts) == message


def test_reads_are_packed_whole():
    """Whatever a path is made of."""
    reads = Reads((Read("data", "/a/\udcff", None), Read("lookup", "/a", b""), Read("module", "/ä.py", b"\xff", "ä")))

    assert Reads.unpack(reads.pack()) == reads
    assert all(type(read) is Read for read in Reads.unpack(reads.pack()).reads)


def test_descriptor_fields():
    """By their mark, in order; most messages have none."""
    assert Forked.descriptor_fields() == ("channel", "lifeline")
    assert Hold.descriptor_fields() == ()
