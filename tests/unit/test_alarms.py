"""Timers by name."""

import pytest

from firehot_server.supervisor.alarms import Alarms


@pytest.fixture
def alarms():
    return Alarms()


def test_without_alarms_nothing_is_due(alarms):
    """The loop may sleep until something else happens."""
    assert alarms.seconds_left(100.0) is None
    assert alarms.pop_due(100.0) == []


@pytest.mark.parametrize(("now", "left"), [(100.0, 2.0), (101.5, 0.5), (102.0, 0.0), (500.0, 0.0)])
def test_how_long_until_the_next_one(alarms, now, left):
    """The earliest counts; one that is overdue leaves no time at all."""
    alarms.set("late", 110.0)
    alarms.set("early", 102.0)

    assert alarms.seconds_left(now) == left


@pytest.mark.parametrize(
    ("now", "due"),
    [(99.0, []), (101.0, ["a"]), (102.0, ["a", "c"]), (103.0, ["a", "c", "b"]), (200.0, ["a", "c", "b"])],
)
def test_what_is_due_comes_earliest_first(alarms, now, due):
    """In the order of their times, not in that of their names or of their setting."""
    for name, when in (("b", 103.0), ("c", 102.0), ("a", 101.0)):
        alarms.set(name, when)

    assert alarms.pop_due(now) == due


def test_alarms_of_the_same_moment_come_in_the_order_they_were_set(alarms):
    """So that a run can be repeated, even with names that cannot be compared."""
    for name in ("b", 1, "a"):
        alarms.set(name, 101.0)

    assert alarms.pop_due(101.0) == ["b", 1, "a"]


def test_an_alarm_rings_once(alarms):
    """It is gone when it has been taken."""
    alarms.set("a", 101.0)
    alarms.set("b", 105.0)

    assert alarms.pop_due(102.0) == ["a"]
    assert alarms.pop_due(102.0) == []
    assert alarms.seconds_left(102.0) == 3.0


def test_setting_again_starts_anew(alarms):
    """The earlier time no longer counts, be it sooner or later."""
    alarms.set("a", 101.0)
    alarms.set("a", 105.0)
    assert alarms.pop_due(104.0) == []

    alarms.set("a", 102.0)
    assert alarms.pop_due(104.0) == ["a"]


def test_a_cancelled_alarm_does_not_ring(alarms):
    """Nor is it an error to cancel one that does not run."""
    alarms.set("a", 101.0)
    alarms.cancel("a")
    alarms.cancel("a")
    alarms.cancel("never set")

    assert alarms.pop_due(200.0) == []
    assert alarms.seconds_left(100.0) is None
