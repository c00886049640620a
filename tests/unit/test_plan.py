"""Where an edit rewinds to."""

import pytest

from firehot_server.supervisor.plan import INTERPRETER, NEVER, TEMPLATE, State, rewind

MODELS = State("the checkpoint before models", 3)
ROUTES = State("the checkpoint before routes", 7)
END = State("the checkpoint at the end of the import", 9)
PATH = [TEMPLATE, MODELS, ROUTES, END]


@pytest.mark.parametrize(
    ("position", "states", "expected"),
    [
        (-1, PATH, INTERPRETER),
        (0, PATH, TEMPLATE),
        (2, PATH, TEMPLATE),
        (3, PATH, MODELS),
        (4, PATH, MODELS),
        (6, PATH, MODELS),
        (7, PATH, ROUTES),
        (8, PATH, ROUTES),
        (9, PATH, END),
        (NEVER, PATH, END),
        (-1, [TEMPLATE], INTERPRETER),
        (0, [TEMPLATE], TEMPLATE),
        (5, [TEMPLATE], TEMPLATE),
        (-1, [], INTERPRETER),
        (NEVER, [], INTERPRETER),
    ],
)
def test_the_deepest_state_that_is_still_valid(position, states, expected):
    """It has read everything before the first change, and nothing from there on."""
    assert rewind(position, states) is expected


@pytest.mark.parametrize("position", [-1, 0, 2, 5, 8, NEVER])
def test_no_state_that_has_read_what_changed(position):
    """Neither the one that is chosen, nor may a deeper one have been overlooked."""
    chosen = rewind(position, PATH)

    assert chosen.position <= position
    assert all(state.position > position for state in PATH[PATH.index(chosen) + 1 if chosen in PATH else 0 :])


def test_a_new_interpreter_is_never_stale():
    """Nothing can change that comes before what the template has read."""
    assert INTERPRETER.position == -1
    assert TEMPLATE.position == 0
