"""uvicorn's lifecycle messages, quiet unless somebody wants them."""

import asyncio
import logging
from pathlib import Path

import pytest
import uvicorn

from firehot_server.worker import brief_log
from firehot_server.worker.brief_log import brief_cancelling, capture_lifespan_errors, quiet_lifecycle

STARTED = "Application startup complete."


@pytest.fixture
def log():
    """uvicorn's logger, and the messages that reach its handlers."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level, logger.propagate
    shown = Shown()
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger, shown.messages
    logger.removeHandler(shown)
    logger.level, logger.propagate = before
    assert not logger.filters


class Shown(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


class Lifespan:
    """In the shape of uvicorn's lifespan objects."""

    def __init__(self):
        self.logger = logging.getLogger("uvicorn.error")


# -- quiet_lifecycle


@pytest.mark.parametrize("message", sorted(brief_log._LIFECYCLE))
def test_every_message_is_one_of_uvicorns(message):
    """A new version may word them anew, and then this table must follow."""
    package = Path(uvicorn.__file__).parent
    sources = [path.read_text() for path in (package / "server.py", *package.glob("lifespan/*.py"))]

    assert any(message in source for source in sources)


def test_the_lifecycle_is_not_shown(log):
    """With arguments or without."""
    logger, shown = log
    with quiet_lifecycle():
        logger.info(STARTED)
        logger.info("Started server process [%d]", 42)

    assert shown == []


def test_other_messages_are_shown(log):
    """Whatever their level, and though they resemble the quiet ones."""
    logger, shown = log
    with quiet_lifecycle():
        logger.info("Started server process [42]")
        logger.error("Exception in ASGI application\n")

    assert shown == ["Started server process [42]", "Exception in ASGI application\n"]


def test_the_lifecycle_is_shown_to_whoever_debugs(log):
    """With --log-level debug."""
    logger, shown = log
    logger.setLevel(logging.DEBUG)
    with quiet_lifecycle():
        logger.info(STARTED)

    assert shown == [STARTED]


@pytest.mark.parametrize("message", [{"event": "started"}, ["a", "b"], ValueError("x"), 42, None], ids=repr)
def test_a_message_that_is_no_text(log, message):
    """The app may log to uvicorn's logger, and a message may be any object."""
    logger, shown = log
    with quiet_lifecycle():
        logger.info(message)

    assert shown == [str(message)]


def test_afterwards_everything_is_shown(log):
    """Also after an error."""
    logger, shown = log
    with pytest.raises(LookupError), quiet_lifecycle():
        raise LookupError
    logger.info(STARTED)

    assert shown == [STARTED]


# -- brief_cancelling


@pytest.mark.parametrize("is_mine", [True, False])
def test_of_what_is_cancelled_the_line_of_the_project_is_shown(log, is_mine):
    """Where none of it is the project's, nothing."""
    logger, shown = log
    with brief_cancelling(lambda path: is_mine and path == __file__):
        try:
            raise asyncio.CancelledError("the deadline")
        except asyncio.CancelledError:
            logger.exception("Exception in ASGI application\n")

    line = test_of_what_is_cancelled_the_line_of_the_project_is_shown.__code__.co_firstlineno + 6
    place = f"Cancelled at {__file__}:{line}, in test_of_what_is_cancelled_the_line_of_the_project_is_shown"
    assert shown == [place] * is_mine


def test_other_errors_are_shown_as_ever(log):
    """And what is no error."""
    logger, shown = log
    with brief_cancelling(lambda path: True):
        logger.error("Exception in ASGI application\n", exc_info=ValueError("why"))
        logger.warning("cancelled")

    assert shown == ["Exception in ASGI application\n", "cancelled"]


# -- capture_lifespan_errors


def test_errors_of_the_lifespan_are_captured(log):
    """They go into the failure page instead of the log, formatted."""
    lifespan = Lifespan()
    with capture_lifespan_errors(lifespan) as errors:
        lifespan.logger.error("Exception in 'lifespan' protocol\n")
        lifespan.logger.error("%s failed", "startup")
        lifespan.logger.critical("the end")

    assert errors == ["Exception in 'lifespan' protocol\n", "startup failed", "the end"]
    assert log[1] == []


def test_other_messages_of_the_lifespan_are_logged(log):
    """As they would have been."""
    lifespan = Lifespan()
    with capture_lifespan_errors(lifespan) as errors:
        lifespan.logger.info("Waiting")
        lifespan.logger.warning("Slow")

    assert errors == []
    assert log[1] == ["Waiting", "Slow"]


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, ["Waiting", "Slow"]), (logging.WARNING, ["Slow"])])
def test_other_messages_of_the_lifespan_obey_the_log_level(log, level, shown):
    """--log-level warning hides what is not a warning."""
    log[0].setLevel(level)
    lifespan = Lifespan()
    with capture_lifespan_errors(lifespan):
        lifespan.logger.info("Waiting")
        lifespan.logger.warning("Slow")

    assert log[1] == shown


def test_the_quiet_ones_stay_quiet_in_a_capture(log):
    """Both are in force while a worker starts."""
    lifespan = Lifespan()
    with quiet_lifecycle(), capture_lifespan_errors(lifespan):
        lifespan.logger.info(STARTED)

    assert log[1] == []


def test_afterwards_the_lifespan_logs_as_before(log):
    """Also after an error."""
    lifespan = Lifespan()
    with pytest.raises(LookupError), capture_lifespan_errors(lifespan) as errors:
        raise LookupError
    lifespan.logger.error("shutdown failed")

    assert lifespan.logger is log[0]
    assert errors == []
    assert log[1] == ["shutdown failed"]


def test_a_lifespan_without_a_logger():
    """`--lifespan off` has none, and needs none."""

    class Off:
        pass

    with capture_lifespan_errors(Off()) as errors:
        pass

    assert errors == []
