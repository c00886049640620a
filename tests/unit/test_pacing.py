"""When an import should leave a checkpoint: what it may cost, and where it pays."""

import pytest

from firehot_server.messages import Pauses
from firehot_server.worker.pacing import _PARTS, _PATIENCE, _SECONDS, Pacing

COPY = 1e-6
MODULES = 10


def pacing(*, imported=0.0, since=None, cost=0.0, taken=0, copied=0, **plan):
    """The books of an import that has come so far."""
    books = Pacing(Pauses(**plan), 1000.0, COPY)
    books.imported = imported
    books.since = imported if since is None else since
    books.cost, books.taken, books.copied = cost, taken, copied
    return books


# -- the books


def test_an_import_that_goes_on():
    """Its time is counted, and that since the last checkpoint."""
    books = pacing()
    books.advance(1000.5)
    books.advance(1000.75)

    assert (books.imported, books.since, books.cost, books.taken) == (0.75, 0.75, 0.0, 0)


def test_a_checkpoint_is_no_import():
    """Its fork is cost; from there on the next interval is counted."""
    books = pacing()
    books.advance(1000.5)
    books.paused(1000.625, copied=50)
    books.advance(1001.125)

    assert (books.imported, books.since, books.cost, books.taken) == (1.0, 0.5, 0.125, 1)


def test_what_the_first_checkpoint_is_charged():
    """Its fork alone: what was copied before it was copied for the template."""
    books = pacing()
    books.paused(1000.0, copied=5000)

    assert (books.cost, books.copied) == (0.0, 0)


def test_what_further_checkpoints_are_charged():
    """The pages, too, that were copied since the one before."""
    books = pacing()
    for _ in range(3):
        books.paused(1000.0, copied=1000)

    assert books.copied == 2000
    assert books.cost == pytest.approx(2000 * COPY)


def test_a_copy_that_goes_on_after_a_while():
    """Waiting is neither import nor cost; the plan is the new one."""
    books = pacing(imported=0.5, cost=0.25, taken=2, copied=7)
    books.resume(Pauses(number=3), 5000.0)
    books.advance(5000.5)

    assert (books.imported, books.since, books.cost, books.taken, books.copied) == (1.0, 1.0, 0.25, 2, 7)
    assert books.plan.number == 3


@pytest.mark.parametrize("place", [{"edited": True}, {"likely": True}, {}], ids=["edited", "likely", "anywhere"])
def test_an_audit_that_finds_something(place):
    """It is repeated after a while, and less and less often."""
    books = pacing(imported=10.0)
    waited = []
    for _ in range(4):
        books.refused()
        assert not books.is_due(MODULES, **place)
        before = books.imported
        while not books.is_due(MODULES, **place):
            books.advance(books.now + 0.001)
        waited.append(books.imported - before)

    assert waited == pytest.approx([_PATIENCE * factor for factor in (1, 2, 4, 8)], abs=0.002)


def test_an_audit_that_finds_something_after_a_checkpoint():
    """What it found before is gone, so it begins anew."""
    books = pacing(imported=10.0)
    for _ in range(3):
        books.refused()
    books.advance(1001.0)
    books.paused(1001.0, copied=0)
    books.refused()

    assert books.again == pytest.approx(books.imported + _PATIENCE)


# -- what it may cost


WANTED = {"edited": True}, {"likely": True}, {}


@pytest.mark.parametrize("place", WANTED, ids=["edited", "likely", "anywhere"])
@pytest.mark.parametrize(
    ("plan", "books", "due"),
    [
        ({"number": 3}, {"taken": 2, "cost": 0.002}, True),
        ({"number": 3}, {"taken": 3, "cost": 0.003}, False),
        ({"number": 3}, {"taken": 4, "cost": 0.004}, False),
        ({"number": 0}, {}, False),
        ({"pages": 1000}, {"copied": 999}, True),
        ({"pages": 1000}, {"copied": 1000}, False),
        ({"pages": 1000}, {"copied": 5000}, False),
    ],
)
def test_budgets_that_hold_everywhere(place, plan, books, due):
    """A number of checkpoints, and memory: however much an edit is expected."""
    assert pacing(imported=10.0, **books, **plan).is_due(MODULES, **place) is due


@pytest.mark.parametrize(
    ("share", "cost", "taken", "due"),
    [
        (0.08, 0.000, 0, True),
        (0.08, 0.076, 0, True),
        (0.08, 0.077, 0, False),
        (0.08, 0.040, 1, True),
        (0.08, 0.041, 1, False),
        (0.08, 0.070, 7, True),
        (0.08, 0.071, 7, False),
        (0.50, 0.400, 4, True),
        (0.00, 0.000, 0, False),
    ],
)
@pytest.mark.parametrize("place", [{"likely": True}, {}], ids=["likely", "anywhere"])
def test_the_budget_of_time(share, cost, taken, due, place):
    """All checkpoints with the next one: a share of the import, here of one second."""
    books = pacing(imported=1.0, cost=cost, taken=taken, share=share, seconds=1.0)

    assert books.is_due(MODULES, **place) is due


def test_what_was_edited_is_worth_more_than_its_share():
    """The time is saved at each further edit of it."""
    books = pacing(imported=0.1, cost=0.1, taken=10, share=0.0)

    assert books.is_due(MODULES, edited=True)


# -- where it pays


@pytest.mark.parametrize("place", [{"edited": True}, {"likely": True}], ids=["edited", "likely"])
@pytest.mark.parametrize(
    ("since", "cost", "taken", "due"),
    [
        (_SECONDS, 0.0, 0, True),
        (_SECONDS / 2, 0.0, 0, False),
        (0.003, 0.006, 2, True),
        (0.0029, 0.006, 2, False),
        (0.0, 0.006, 2, False),
    ],
)
def test_a_wanted_place(since, cost, taken, due, place):
    """It pays if the import since the last checkpoint takes longer than one costs."""
    assert pacing(imported=10.0, since=since, cost=cost, taken=taken).is_due(MODULES, **place) is due


@pytest.mark.parametrize(
    ("seconds", "since", "due"),
    [
        (7.0, 0.99, False),
        (7.0, 1.0, True),
        (0.7, 0.1, True),
        (0.7, 0.099, False),
        # in a short import, by the share that one costs
        (0.1, _SECONDS / 0.08, True),
        (0.1, _SECONDS / 0.08 - 0.001, False),
    ],
)
def test_the_spacing_where_the_duration_is_known(seconds, since, due):
    """So many intervals, but none that is too short for what one costs."""
    books = pacing(imported=since, since=since, seconds=seconds)

    assert _PARTS == 7
    assert books.is_due(MODULES) is due


@pytest.mark.parametrize(
    ("imported", "files", "modules", "due"),
    [
        (1.0, 70, 10, True),
        (1.0, 80, 10, False),
        (1.0, 700, 100, True),
        (1.0, 10, 10, True),
        (1.0, 0, 10, True),
        (1.0, 5, 10, True),
        (0.04, 0, 10, False),
        (0.06, 0, 10, True),
        (1.0, 70, 0, True),
    ],
)
def test_the_spacing_where_the_duration_is_not_known(imported, files, modules, due):
    """By the share of the modules that were read: as many again take as long again."""
    assert pacing(imported=imported, files=files).is_due(modules) is due


def test_a_duration_that_was_wrong():
    """The import takes longer than before: then the spacing grows with it."""
    books = pacing(imported=14.0, since=1.5, cost=0.004, taken=1, seconds=7.0)
    assert not books.is_due(MODULES)
    books.advance(1000.0 + 1.0)
    assert books.is_due(MODULES)


# -- at the end


@pytest.mark.parametrize(
    ("at_end", "since", "cost", "taken", "due"),
    [
        (True, 0.0, 0.0, 0, True),
        (True, 0.0, 0.08, 2, True),
        (False, _SECONDS / 0.08, 0.0, 0, True),
        (False, _SECONDS, 0.0, 0, False),
        (False, 0.5, 0.08, 2, True),
        (False, 0.49, 0.08, 2, False),
    ],
)
def test_the_end_of_the_import(at_end, since, cost, taken, due):
    """In any case if edits may be of what is imported later, else if enough was imported since the last one."""
    assert pacing(imported=10.0, since=since, cost=cost, taken=taken, at_end=at_end).is_due_at_end is due


@pytest.mark.parametrize("at_end", [True, False])
def test_none_at_all(at_end):
    """Not at the end of the import either."""
    books = pacing(imported=10.0, at_end=at_end, number=0)
    assert not books.is_due_at_end
    assert not books.is_due(MODULES, edited=True)
