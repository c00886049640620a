"""Memory that a fork has in common with its parent is made its own in advance. In forked children."""

import gc
import resource
import sys

import pytest

from firehot_server.worker.own_pages import own_pages
from firehot_server.worker.page_copies import PageCopies
from tests.support.processes import in_fork, private_kilobytes

MEGABYTES = 32

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked for it")


@pytest.fixture(scope="module")
def ballast():
    """Memory that every fork has in common with this process."""
    return bytearray(b"x" * (MEGABYTES << 20))


def test_what_is_in_use_becomes_the_process_s_own(ballast):
    """All of it, though nothing was written to it."""

    def run():
        before = private_kilobytes("self")
        size = own_pages(lambda: False)
        return size >> 20, (private_kilobytes("self") - before) >> 10

    size, grown = in_fork(run)
    assert size >= MEGABYTES
    assert grown >= MEGABYTES


def test_writing_copies_nothing_any_more(ballast):
    """That is what it is for."""

    def copied(prepare):
        def run():
            prepare()
            copies = PageCopies()
            for start in range(0, len(ballast), 4096):
                ballast[start] = 1
            return copies.count()

        return in_fork(run)

    pages = (MEGABYTES << 20) // 4096
    assert copied(lambda: None) > pages * 0.9
    assert copied(lambda: own_pages(lambda: False)) < pages * 0.1


def test_what_is_imported_next_finds_memory_that_is_there():
    """New objects fill pages that the kernel has given already."""

    def faults(prepare):
        def run():
            gc.disable()  # it would look at all that the tests before this one have left
            prepare()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            kept = [[number] for number in range(40_000)]  # some 4 MB
            assert kept
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        return in_fork(run)

    assert faults(lambda: own_pages(lambda: False)) < faults(lambda: None) / 4


def test_it_stops_when_the_process_is_wanted(ballast):
    """Somebody waits for it: each part is short."""
    asked = []

    def run():
        return own_pages(lambda: asked.append(1) or len(asked) > 2) >> 20

    assert in_fork(run) < MEGABYTES


def test_nothing_of_ctypes_stays():
    """To the app it is not imported."""

    def run():
        own_pages(lambda: True)
        return [name for name in sys.modules if name.startswith("ctypes") and name not in before]

    before = set(sys.modules)
    assert in_fork(run) == []
