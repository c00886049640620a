"""Cold-start equality, with fixed seeds; `make fuzz` goes on with others."""

import pytest

from tests.fuzz.projects import generate, seeded
from tests.fuzz.stale import StaleTrial
from tests.fuzz.trial import Trial


@pytest.mark.parametrize("seed", range(5))
def test_every_edit_is_served_as_a_fresh_interpreter_would(tmp_path, seed):
    """The module table, its order, all public values, or the failure's traceback; and checkpoints had a part in it."""
    outcome = Trial(tmp_path, seed).run(steps=45)
    assert outcome.resumed > outcome.reloads / 5, outcome


def test_stale_bytecode_never_runs(tmp_path):
    """Saves of the same size in the same second, with restored times and jumping clocks, are all served."""
    StaleTrial(tmp_path, 0).run(saves=100)


def test_projects_are_made_of_their_seeds_alone():
    """So that a difference can be seen again."""
    assert generate(seeded("project", 1)) == generate(seeded("project", 1))
    assert generate(seeded("project", 1)) != generate(seeded("project", 2))
