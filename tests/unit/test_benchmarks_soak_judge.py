"""What the soak makes of an answer, given what was saved and when."""

import pytest

from benchmarks.apps import FIRST_VERSION
from benchmarks.soak.judge import UNNAMED, Exchange, Save, Verdict, Wait, judge, together

FIRST = FIRST_VERSION
FILES = 2


def version(number):
    """Of the n-th save; 0 is what was there before the first."""
    return FIRST + number


def saves(*described):
    """From (file, when it was complete[, when it was begun[, "broken"]])."""
    found = []
    for number, (file, ended, *more) in enumerate(described, 1):
        begun = more[0] if more else ended - 0.001
        found.append(Save(version(number), file, begun, ended, broken="broken" in more))
    return found


def exchange(begun, ended, *numbers, **more):
    """An answer by code that has these saves of the files in it."""
    return Exchange("fresh", begun, ended, tuple(map(version, numbers)), **more)


def verdicts(history, *exchanges):
    """What is wrong with each of them, in the order of their ends."""
    problems = {id(problem.exchange): problem.verdict for problem in judge(exchanges, history, FILES).problems}
    return [problems.get(id(each)) for each in sorted(exchanges, key=lambda each: each.ended)]


ONE = saves((0, 10.0))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (exchange(9.0, 9.1, 0, 0), None),
        (exchange(9.9, 12.0, 0, 0), None),  # begun before the save: a slow old answer is right
        (exchange(10.049, 10.1, 0, 0), None),
        (exchange(10.051, 10.1, 0, 0), Verdict.STALE),
        (exchange(10.051, 10.1, 1, 0), None),
        (exchange(9.9, 10.1, 1, 0), None),  # held across the save
        (exchange(9.9, 9.95, 1, 0), Verdict.WRONG),  # before there was such a save
        (exchange(10.1, 10.2, 0, 1), Verdict.WRONG),  # that save was of the other file
        (exchange(10.1, 10.2, 7, 0), Verdict.WRONG),
        (exchange(9.0, 9.1, failure=Verdict.REFUSED), Verdict.REFUSED),
        (exchange(10.1, 10.2, failure=Verdict.CUT), Verdict.CUT),
    ],
)
def test_an_answer_is_judged_by_the_saves_in_it_and_by_when_it_was_begun(answer, verdict):
    """Old answers are stale only when begun after the grace; what clients saw fail counts whenever it happened."""
    assert verdicts(ONE, answer) == [verdict]


def test_a_longer_grace_is_granted_where_it_is_asked_for():
    """For machines on which nothing can be timed."""
    answer = exchange(10.4, 10.5, 0, 0)

    assert not judge([answer], ONE, FILES, grace=0.5).problems
    assert judge([answer], ONE, FILES, grace=0.3).problems


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ((3, 2), None),
        ((1, 2), Verdict.STALE),
        ((3, 0), Verdict.STALE),  # it has the last save, but not the one before, of the other file
        ((0, 0), Verdict.STALE),
    ],
)
def test_an_answer_is_as_old_as_the_first_save_that_it_lacks(numbers, verdict):
    """Code that was put together from what was there at different times is none that was ever there."""
    assert verdicts(saves((0, 10.0), (1, 11.0), (0, 12.0)), exchange(13.0, 13.1, *numbers)) == [verdict]


BROKEN = saves((0, 10.0), (0, 11.0, 10.99, "broken"), (0, 12.0))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Exchange("fresh", 11.1, 11.2, broken=version(2)), None),
        (Exchange("fresh", 11.1, 11.2, broken=UNNAMED), None),
        (exchange(11.1, 11.2, 1, 0), Verdict.STALE),  # the code from before is not what is on disk
        (exchange(11.1, 11.2, 2, 0), Verdict.WRONG),  # broken code does not run
        (Exchange("fresh", 10.1, 10.2, broken=version(1)), Verdict.WRONG),  # that one was not broken
        (Exchange("fresh", 10.1, 10.2, broken=version(2)), Verdict.WRONG),  # not broken yet
        (Exchange("fresh", 10.1, 10.2, broken=UNNAMED), Verdict.WRONG),
        (Exchange("fresh", 12.1, 12.2, broken=version(2)), Verdict.STALE),
        (Exchange("fresh", 12.1, 12.2, broken=UNNAMED), Verdict.STALE),
        (Exchange("fresh", 12.01, 12.2, broken=version(2)), None),
        (exchange(12.1, 12.2, 3, 0), None),
    ],
)
def test_a_failure_is_the_answer_while_the_code_is_broken(answer, verdict):
    """That one, of that save."""
    assert verdicts(BROKEN, answer) == [verdict]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (exchange(9.9, 10.01, 1, 0), exchange(10.02, 10.03, 0, 0), Verdict.OUT_OF_ORDER),
        (exchange(9.9, 10.01, 1, 0), exchange(10.005, 10.03, 0, 0), None),  # both were under way
        (exchange(9.9, 10.01, 0, 0), exchange(10.02, 10.03, 0, 0), None),
        (exchange(9.9, 10.01, 1, 0, failure=Verdict.CUT), exchange(10.02, 10.03, 0, 0), None),
        (Exchange("socket", 9.9, 10.01, broken=UNNAMED), exchange(10.02, 10.03, 0, 0), None),
    ],
)
def test_old_code_does_not_answer_after_new_code_has(first, second, verdict):
    """Not even within the grace. A refusal may be that of an earlier failure."""
    history = saves((0, 10.0, 9.99, "broken")) if first.broken else ONE
    assert verdicts(history, first, second)[1] is verdict


@pytest.mark.parametrize(("ended", "verdict"), [(10.7, Verdict.STALE), (10.5, None)])
def test_a_stream_that_goes_on_beside_newer_code_is_stale(ended, verdict):
    """It may begin before the save, but has to end with the old code."""
    newer, last = exchange(9.9, 10.1, 1, 0), exchange(ended, ended, 0, 0, lasts=True)

    assert verdicts(ONE, newer, last) == [None, verdict]


@pytest.mark.parametrize(
    ("seconds", "begun", "verdict"),
    [
        (0.015, 10.0, Verdict.HALF_WRITTEN),
        (0.025, 10.0, None),  # the load itself was late: nobody has to wait for so long
        (0.025, 9.99, None),
        (0.025, 10.2, Verdict.HALF_WRITTEN),  # long after it was complete
    ],
)
def test_half_a_file_is_not_to_be_seen(seconds, begun, verdict):
    """Unless it stays half for too long."""
    history = saves((0, 10.0 + seconds, 10.0))
    half = Exchange("events", begun, begun + 0.02 + seconds, (0, FIRST))
    end = Exchange("events", 20.0, 20.0, (0, FIRST), lasts=True)

    assert verdicts(history, half, end) == [verdict, None]


def test_a_save_takes_until_the_first_answer_by_its_code_or_newer():
    """Two saves of which only the second was answered took until then, both; one was never answered."""
    history = saves((0, 10.0), (1, 10.1), (0, 11.0))
    answers = [exchange(9.8, 9.9, 0, 0), exchange(9.9, 10.3, 1, 2), exchange(10.4, 10.5, 1, 2)]

    judgement = judge(answers, history, FILES)

    assert judgement.reload_seconds == pytest.approx([0.3, 0.2])
    assert judgement.reloads == 1


def test_a_request_waits_for_the_reloads_that_it_meets():
    """Its wait stands beside the time that these took, together. Slow requests and failures wait for nothing."""
    history = saves((0, 10.0), (1, 10.1), (0, 11.0))
    readies = [exchange(10.05, 10.3, 1, 2, quick=True), exchange(11.05, 11.1, 3, 2, quick=True)]
    others = [
        exchange(9.0, 9.9, 0, 0, quick=True),  # over before the first save
        exchange(10.0, 10.4, 1, 2),
        exchange(10.0, 10.4, failure=Verdict.RESET, quick=True),
        exchange(10.35, 10.9, 1, 2, quick=True),  # between two reloads
        exchange(10.2, 11.2, 3, 2, quick=True),  # meets all three
    ]

    waits = judge([*readies, *others], history, FILES).waits

    assert [(round(wait.request, 3), round(wait.reloads, 3)) for wait in waits] == [
        (0.25, 0.3),
        (0.05, 0.1),
        (1.0, 0.4),
    ]
    assert isinstance(waits[0], Wait)


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0.0), ([(1.0, 3.0)], 2.0), ([(1.0, 3.0), (2.0, 4.0)], 3.0), ([(1.0, 2.0), (5.0, 7.0)], 3.0)],
)
def test_times_that_overlap_count_once(spans, length):
    """They are sorted."""
    assert together(spans) == length
