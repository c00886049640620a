"""Saying well why an app could not be imported."""

from firehot_server.discovery.origin import Origins
from firehot_server.worker.importing import describe


def hidden(function):
    __traceback_hide__ = True
    function()


def shown(function):
    function()


def fails():
    raise ValueError("why")


def caught(*calls):
    try:
        calls[0](lambda: calls[1](fails))
    except ValueError as error:
        return describe(error, Origins.of_interpreter())


def test_calls_that_are_marked_are_left_out():
    """Wherever they stand; what they call, and what called them, stays."""
    one, other = caught(hidden, shown), caught(shown, hidden)

    for failure in (one, other):
        functions = [frame.function for frame in failure.frames]
        assert functions[-1] == "fails"
        assert "hidden" not in functions
        assert "shown" in functions
        assert "in hidden" not in failure.traceback


def test_calls_of_a_module_that_is_marked_are_left_out():
    """All of an integration is no part of what went wrong."""
    module = {"__traceback_hide__": True}
    exec("def hidden(function):\n    function()\n", module)

    failure = caught(module["hidden"], shown)

    assert "hidden" not in [frame.function for frame in failure.frames]
    assert failure.frames[-1].function == "fails"


def test_an_endless_recursion_can_be_described():
    """Its traceback is as deep as the interpreter allows."""

    def recurse():
        recurse()

    try:
        recurse()
    except RecursionError as error:
        failure = describe(error, Origins.of_interpreter())

    assert failure.headline.startswith("RecursionError")
    assert failure.frames[-1].function == "recurse"
