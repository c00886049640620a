"""The global generators over a fork: fresh in copies, unless the project has seeded them. In forked children."""

import importlib.util
import random

import pytest

from firehot_server.worker.randomness import Randomness, states
from tests.support.processes import in_fork

needs_numpy = pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="NumPy is not installed")


def drawn(prepare, leave, draw=random.random):
    """What is drawn after these: before the fork, and in a copy that leaves the wait in its way."""

    def run():
        randomness = Randomness()
        prepare()
        before = states()
        random.seed()  # as the interpreter does after a fork
        leave(randomness, before)
        return draw()

    return in_fork(run)


def seed():
    random.seed(1)


def draw_many():
    for _ in range(2000):
        random.random()


EXPECTED = random.Random(1).random()


def test_a_copy_of_a_seeded_generator_goes_on_with_it():
    """Each time the same numbers, as from a cold start."""
    assert drawn(seed, Randomness.renew) == EXPECTED


def test_it_stays_seeded_at_the_next_checkpoint():
    """Though it was restored in between."""

    def twice(randomness, before):
        randomness.renew(before)
        randomness.renew(before)

    assert drawn(seed, twice) == EXPECTED


@pytest.mark.parametrize("prepare", [lambda: None, draw_many], ids=["untouched", "drawn from"])
def test_other_copies_have_fresh_numbers(prepare):
    """Two of one checkpoint must not draw the same."""
    assert drawn(prepare, Randomness.renew) != drawn(prepare, Randomness.renew)


def test_the_process_that_goes_on_draws_what_it_would_have():
    """Its parent only waits."""

    def run():
        randomness = Randomness()
        before = states()
        expected = random.random()
        randomness.go_on(before)
        return random.random() == expected

    assert in_fork(run)


@needs_numpy
def test_the_same_of_numpy():
    """Its global generator, which a fork leaves as it is."""
    import numpy

    expected = numpy.random.RandomState(1).rand()
    assert drawn(lambda: numpy.random.seed(1), Randomness.renew, lambda: float(numpy.random.rand())) == expected
    fresh = [drawn(lambda: None, Randomness.renew, lambda: float(numpy.random.rand())) for _ in range(2)]
    assert fresh[0] != fresh[1]
