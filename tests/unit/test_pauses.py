"""Where the next import should leave checkpoints."""

import pytest

from firehot_server.messages import Pauses
from firehot_server.supervisor.pauses import Prospects


def after(*edits, late=False, **known):
    """What is planned after these edits."""
    prospects = Prospects(**known)
    for names in edits:
        prospects.edited(names, late=late)
    return prospects.pauses()


def test_before_anything_is_known():
    """At the end alone, for what is imported only later; and at even spacing."""
    assert after() == Pauses(at_end=True, share=0.025)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([["shop.views"]], {"shop.views"}),
        ([["shop.views"], ["shop.views"]], {"shop.views"}),
        ([["shop.views", "/app/config.yaml"]], {"shop.views", "/app/config.yaml"}),
        ([["a"], ["b"], ["c"]], {"a", "b", "c"}),
        ([[]], set()),
    ],
)
def test_before_what_was_edited(edits, expected):
    """Modules by name, data files by path."""
    assert after(*edits).edited == expected


def test_what_was_edited_long_ago_is_forgotten():
    """The last eight count; what is edited again is among the last."""
    names = [f"m{number}" for number in range(10)]
    edits = [[name] for name in names]

    assert after(*edits).edited == set(names[2:])
    assert after(*edits, ["m3"]).edited == set(names[2:])
    assert after(*edits, ["m0"]).edited == {*names[3:], "m0"}


@pytest.mark.parametrize(
    ("likely", "edits", "expected"),
    [
        (("a", "b"), [], {"a", "b"}),
        (("a", "b", "c", "d"), [], {"a", "b", "c"}),
        (("a", "b"), [["b"]], {"a"}),
        ((), [["b"]], set()),
    ],
)
def test_before_what_is_likely(likely, edits, expected):
    """The first three guesses, but for what was edited: that is no guess any more."""
    assert after(*edits, likely=likely).likely == expected


@pytest.mark.parametrize(("late", "at_end"), [(True, True), (False, False)])
def test_at_the_end(late, at_end):
    """Only where the last edit was of what is imported when the import of the app is over."""
    assert after(["a"], late=late).at_end is at_end


def test_the_last_edit_decides_about_the_end():
    """Somebody who has left the late modules may come back to them, and then it is there again."""
    prospects = Prospects()
    for late in (True, False, True):
        prospects.edited(["a"], late=late)
        assert prospects.pauses().at_end is late


def test_what_is_known_of_the_import():
    """Its duration, and how many modules it reads, is for the pacing."""
    plan = after(seconds=0.75, files=120)

    assert (plan.seconds, plan.files) == (0.75, 120)


@pytest.mark.parametrize(("affordable", "number"), [(1, 1), (5, 5), (16, 16), (100, 16)])
def test_how_many(affordable, number):
    """As many as memory allows, up to a limit."""
    assert after(affordable=affordable).number == number


@pytest.mark.parametrize(("openable", "number"), [(0, 0), (3, 3), (5, 5), (100, 5)])
def test_no_more_than_files_may_be_open(openable, number):
    """Each takes some of the supervisor's; perhaps there are none at all."""
    assert after(affordable=5, openable=openable).number == number
