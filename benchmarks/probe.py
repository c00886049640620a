"""The client: one fresh connection for each request, and what each answer means for an edit."""

from __future__ import annotations

import enum
import errno
import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GRACE = 0.050
"""Seconds after a save during which the old code may still answer: nobody asks sooner after a save."""

REQUEST_DEADLINE = 15.0
"""Seconds for one request. Longer than any peer's reload: a request held until then is no failure."""

PROBERS = 2
PAUSE = 0.005
PATIENCE = 1.0


@dataclass(frozen=True)
class Attempt:
    """One request. Times are `perf_counter` readings; exactly one of `version` and `failure` is set."""

    begun: float
    ended: float
    version: int | None = None
    failure: str | None = None


class Verdict(enum.Enum):
    """What an attempt says about an edit."""

    FRESH = "answered by the new code"
    EARLY = "answered by the old code, and begun too early to expect the new"
    STALE = "answered by the old code although begun after the grace"
    FAILED = "refused, reset, timed out, or not a 200"


def judge(attempt: Attempt, saved: float, version: int) -> Verdict:
    """Sort one attempt, given when the edit was saved and which version it made."""
    if attempt.failure is not None:
        return Verdict.FAILED
    if attempt.version == version:
        return Verdict.FRESH
    return Verdict.STALE if attempt.begun > saved + GRACE else Verdict.EARLY


@dataclass(frozen=True)
class Outcome:
    """One edit as its users met it. `milliseconds` is None when no answer by the new code came in time."""

    milliseconds: float | None
    requests: int
    stale: int
    failures: dict[str, int] = field(default_factory=dict)


def conclude(attempts: Iterable[Attempt], saved: float, version: int) -> Outcome:
    """Sum up the attempts around one edit."""
    judged = [(attempt, judge(attempt, saved, version)) for attempt in attempts]
    first = min((attempt.ended for attempt, verdict in judged if verdict is Verdict.FRESH), default=None)
    return Outcome(
        milliseconds=None if first is None else (first - saved) * 1000,
        requests=len(judged),
        stale=sum(verdict is Verdict.STALE for _, verdict in judged),
        failures=dict(Counter(attempt.failure for attempt, _ in judged if attempt.failure is not None)),
    )


def name_failure(error: Exception) -> str:
    """A word or two for what went wrong, the same for the same cause, so that they can be counted."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        return "reset"  # RemoteDisconnected: closed without an answer, which to a user is the same
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, f"errno {error.errno}")
    return type(error).__name__


def interpret(status: int, body: bytes) -> tuple[int | None, str | None]:
    """The version in an answer, or else what is wrong with it."""
    if status != http.client.OK:
        return None, f"status {status}"
    try:
        return int(json.loads(body)["version"]), None
    except (ValueError, KeyError, TypeError):
        return None, "body without a version"


def ask(port: int, path: str, deadline: float = REQUEST_DEADLINE) -> Attempt:
    """Make one request over a connection of its own."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=deadline)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        version, failure = interpret(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        version, failure = None, name_failure(error)
    finally:
        connection.close()
    return Attempt(begun, time.perf_counter(), version, failure)


def await_answer(port: int, path: str, deadline: float, gone: Callable[[], bool]) -> Attempt | None:
    """The first good answer of a starting server; None when it is gone or the deadline (seconds) passes."""
    end = time.perf_counter() + deadline
    while (left := end - time.perf_counter()) > 0 and not gone():
        attempt = ask(port, path, deadline=left)
        if attempt.failure is None:
            return attempt
        time.sleep(PAUSE)
    return None


class Probers:
    """A few clients that keep asking, each one request at a time, throughout the `with` block."""

    def __init__(self, port: int, path: str, count: int = PROBERS, pause: float = PAUSE) -> None:
        self._port, self._path, self._pause = port, path, pause
        self._attempts: list[Attempt] = []
        self._versions: set[int | None] = set()
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._count = count

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start_client()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def finish(self) -> list[Attempt]:
        """Let every client end its last request, and return all attempts.

        Not done by `__exit__`: after Ctrl-C nobody wants to wait for a request that hangs.
        """
        self._stopped.set()
        for thread in self._threads:
            thread.join(REQUEST_DEADLINE + 1)
        return self.attempts()

    def attempts(self) -> list[Attempt]:
        """All attempts that have ended so far."""
        with self._news:
            return list(self._attempts)

    def wait_for_count(self, count: int, deadline: float) -> bool:
        """Wait until this many attempts have ended, at most `deadline` seconds."""
        with self._news:
            return self._news.wait_for(lambda: len(self._attempts) >= count, timeout=deadline)

    def wait_for_version(self, version: int, deadline: float) -> bool:
        """Wait until some answer carried this version, at most `deadline` seconds.

        While every client hangs in a request, one more client comes along each `PATIENCE`: else a server that
        forgot those few connections, and answers all others, would seem to be silent.
        """
        end = time.monotonic() + deadline
        with self._news:
            while version not in self._versions and (left := end - time.monotonic()) > 0:
                if not self._news.wait(min(PATIENCE, left)):
                    self._start_client()
            return version in self._versions

    def _start_client(self) -> None:
        self._threads.append(threading.Thread(target=self._probe, daemon=True))
        self._threads[-1].start()

    def _probe(self) -> None:
        while not self._stopped.is_set():
            attempt = ask(self._port, self._path)
            with self._news:
                self._attempts.append(attempt)
                self._versions.add(attempt.version)
                self._news.notify_all()
            self._stopped.wait(self._pause)
