"""Where an edit rewinds to."""

import pytest

from firehot_server.supervisor.plan import INTERPRETER, State, rewind

TEMPLATE = State("the template", frozenset({"/app/.env"}))
MODELS = State("before models.py", frozenset({"/app/main.py", "/app/settings.py"}))
ROUTES = State("before routes.py", frozenset({"/app/models.py"}))
PATH = [TEMPLATE, MODELS, ROUTES]


@pytest.mark.parametrize(
    ("edited", "states", "expected"),
    [
        (set(), PATH, ROUTES),
        ({"/app/routes.py"}, PATH, ROUTES),
        ({"/app/models.py"}, PATH, MODELS),
        ({"/app/settings.py"}, PATH, TEMPLATE),
        ({"/app/main.py", "/app/models.py"}, PATH, TEMPLATE),
        ({"/app/.env"}, PATH, INTERPRETER),
        ({"/app/.env", "/app/routes.py"}, PATH, INTERPRETER),
        ({"/app/models.py"}, [TEMPLATE], TEMPLATE),
        ({"/app/models.py"}, [], INTERPRETER),
        ({"/app/models.py"}, [State("a", frozenset()), State("b", frozenset())], State("b", frozenset())),
    ],
    ids=str,
)
def test_the_deepest_state_that_is_still_valid(edited, states, expected):
    """A state is stale as soon as it, or one before it, has read something that was edited."""
    assert rewind(frozenset(edited), states) is expected or rewind(frozenset(edited), states) == expected


def test_a_state_behind_a_stale_one_is_stale_too():
    """What a state has read includes what its predecessors have read, though it is listed only once."""
    assert rewind(frozenset({"/app/.env"}), [TEMPLATE, ROUTES]) is INTERPRETER


def test_a_new_interpreter_is_never_stale():
    """Nothing is in what it has read."""
    assert INTERPRETER.reads == frozenset()
