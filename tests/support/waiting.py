"""The one place in the tests that sleeps: waiting for a condition, with a deadline."""

import time

SECONDS = 30.0


def until(condition, what, seconds=SECONDS):
    """Wait until `condition()` is truthy, and return it; fail naming `what` was awaited."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.005)
    return result


def ticks(interval, seconds=SECONDS):
    """Go on every `interval` seconds, for as long: for what has to happen little by little."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(interval)
        yield
