"""What an import left behind that forbids a fork."""

import os

import pytest

from firehot_server.audit import Snapshot, findings


def snapshot(*python_threads, native=None, **descriptors):
    """A process with a main thread, these others, and descriptors given as `fd5="a socket"`."""
    return Snapshot(
        native_threads=1 + len(python_threads) if native is None else native,
        python_threads=python_threads,
        descriptors={int(name.removeprefix("fd")): kind for name, kind in descriptors.items()},
    )


CLEAN = snapshot()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (CLEAN, CLEAN, ()),
        # threads of Python
        (CLEAN, snapshot("poll"), ("it left a thread running (poll)",)),
        (CLEAN, snapshot("a", "b"), ("it left a thread running (a)", "it left a thread running (b)")),
        (snapshot("poll"), snapshot("poll"), ()),
        (snapshot("poll"), CLEAN, ()),
        (snapshot("a"), snapshot("b"), ("it left a thread running (b)",)),
        (snapshot("poll"), snapshot("poll", "poll"), ("it left a thread running (poll)",)),
        (CLEAN, snapshot("poll", "poll"), ("it left a thread running (poll)",)),
        # threads of native code
        (CLEAN, snapshot(native=2), ("it left 1 native thread(s) running",)),
        (CLEAN, snapshot(native=9), ("it left 8 native thread(s) running",)),
        (snapshot(native=5), snapshot(native=5), ()),
        (snapshot(native=5), snapshot(native=3), ()),
        (snapshot("a", native=2), snapshot(native=2), ("it left 1 native thread(s) running",)),
        (
            CLEAN,
            snapshot("poll", native=4),
            ("it left a thread running (poll)", "it left 2 native thread(s) running"),
        ),
        # descriptors
        (CLEAN, snapshot(fd5="a socket"), ("it left a socket open",)),
        (CLEAN, snapshot(fd5="a socket", fd6="a socket"), ("it left a socket open",)),
        (CLEAN, snapshot(fd5="a pipe", fd6="a device"), ("it left a pipe open", "it left a device open")),
        (snapshot(fd5="a socket"), snapshot(fd5="a socket"), ()),
        (snapshot(fd5="a socket"), CLEAN, ()),
        (snapshot(fd5="a socket"), snapshot(fd5="a pipe"), ("it left a pipe open",)),
    ],
)
def test_what_appeared_between_two_snapshots(before, after, expected):
    """Each thing is named once; what was there before, or is gone, does not count."""
    assert findings(before, after, allowed_threads=0) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (0, ("it left 3 native thread(s) running",)),
        (2, ("it left 1 native thread(s) running",)),
        (3, ()),
        (7, ()),
    ],
)
def test_threads_that_survive_a_fork(allowed, expected):
    """Pools of libraries that are known to handle it."""
    assert findings(CLEAN, snapshot(native=4), allowed_threads=allowed) == expected


def test_an_allowance_is_for_native_threads_only():
    """A thread of Python is not made by such a pool."""
    assert findings(CLEAN, snapshot("poll"), allowed_threads=8) == ("it left a thread running (poll)",)


@pytest.mark.parametrize(
    ("kind", "in_template", "in_import"),
    [
        ("a file for appending", (), ()),
        ("a file for reading", (), ("it left a file for reading open",)),
        ("a file for writing", ("it left a file for writing open",), ("it left a file for writing open",)),
        ("a socket", ("it left a socket open",), ("it left a socket open",)),
    ],
)
def test_files_that_copies_may_share(kind, in_template, in_import):
    """Appending for ever; reading, once it is over: in the middle of an import somebody may yet read on."""
    after = snapshot(fd5=kind)

    assert findings(CLEAN, after, allowed_threads=0) == in_template
    assert findings(CLEAN, after, allowed_threads=0, harmless=frozenset({"a file for appending"})) == in_import


def test_descriptors_of_this_package():
    """They are no finding, and closing them is none either."""
    read_end, write_end = os.pipe()
    try:
        seen, unseen = Snapshot.take(), Snapshot.take((read_end, write_end))
    finally:
        os.close(read_end)
        os.close(write_end)

    assert {read_end, write_end} <= seen.descriptors.keys()
    assert not {read_end, write_end} & unseen.descriptors.keys()
