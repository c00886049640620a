"""The benchmarks' load of every kind while files are saved at random, for some seconds; `make soak` goes on longer."""

import asyncio

import pytest

from benchmarks.soak.app import SOAK
from benchmarks.soak.run import Target, soak

# Seconds after a save in which old code may answer: on a machine that does much else, the save is noticed late.
GRACE = 1.0
RELOADS = 15
# On such a machine most saves come before the one before is served; with fewer of them than this nothing was tried.
FEWEST = 3


@pytest.mark.parametrize(("loop", "http"), [("uvloop", "httptools"), ("asyncio", "h11")])
def test_reloads_under_load_lose_nothing(serve, project, loop, http):
    """Each request is answered once, in order, by the right code, whole; each stream ends well; each save is served."""
    SOAK.write(project.folder)
    server = serve("--no-access-log", "--loop", loop, "--http", http)
    target = Target(server.port, server.pid, project.folder, has_ended=lambda: server.process.poll() is not None)

    outcome = asyncio.run(soak(target, RELOADS, seed=1, progress=lambda _: None, grace=GRACE, settling=0.0))

    assert outcome.judgement.problems == []
    assert (outcome.lost, outcome.drops) == ([], 0)
    assert outcome.judgement.reloads >= FEWEST
