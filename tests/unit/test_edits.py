"""Which of the touched paths really changed, and does it matter?"""

from fnmatch import fnmatch

import pytest

from firehot_server.supervisor.edits import Edit, judge

OLD, NEW = b"old", b"new"


class Rules:
    """Rules by pattern, as the user's options are."""

    def __init__(self, include="", exclude="", only="*.py"):
        self.include, self.exclude, self.only = include, exclude, only

    def allows(self, path):
        return (fnmatch(path, self.only) or self.insists(path)) and not fnmatch(path, self.exclude)

    def insists(self, path):
        return fnmatch(path, self.include)


def judged(touched, *, reads=(), known=(), disk=(), rules=None):
    """The edit, where `reads` and `disk` map paths to content."""
    return judge(
        touched,
        reads=dict(reads),
        known=frozenset(known),
        content=dict(disk).get,
        rules=rules or Rules(),
    )


@pytest.mark.parametrize(
    ("reads", "known", "disk", "expected"),
    [
        ({"a.py": OLD}, {"a.py"}, {"a.py": NEW}, Edit(changed=("a.py",))),
        ({"a.py": OLD}, set(), {"a.py": NEW}, Edit(changed=("a.py",))),
        ({"a.py": OLD}, {"a.py"}, {"a.py": OLD}, Edit(idle=("a.py",))),
        ({"a.py": OLD}, {"a.py"}, {}, Edit(removed=("a.py",))),
        ({"a.py": OLD}, set(), {}, Edit(removed=("a.py",))),
        ({}, {"a.py"}, {"a.py": NEW}, Edit(idle=("a.py",))),
        ({}, {"a.py"}, {}, Edit(idle=("a.py",))),
        ({}, set(), {"a.py": NEW}, Edit(added=("a.py",))),
        ({}, set(), {}, Edit(idle=("a.py",))),
        ({"a.py": OLD}, {"a.py"}, {"a.py": b""}, Edit(changed=("a.py",))),
        ({"a.py": None}, set(), {}, Edit(idle=("a.py",))),
        ({"a.py": None}, set(), {"a.py": NEW}, Edit(added=("a.py",))),
        ({"a.py": None}, {"a.py"}, {"a.py": b""}, Edit(added=("a.py",))),
    ],
)
def test_a_touched_file(reads, known, disk, expected):
    """A file counts if something read it and its content is another now, or if it is new."""
    assert judged(["a.py"], reads=reads, known=known, disk=disk) == expected


@pytest.mark.parametrize("path", ["notes.txt", "app.log", "a.py~"])
def test_a_file_that_the_rules_do_not_allow_is_not_even_mentioned(path):
    """Else a log file in the project's folder would feed itself."""
    assert judged([path], reads={path: OLD}, disk={path: NEW}) == Edit()


@pytest.mark.parametrize(
    ("reads", "known", "disk", "expected"),
    [
        ({}, {"a.html"}, {"a.html": NEW}, Edit(changed=("a.html",))),
        ({}, set(), {"a.html": NEW}, Edit(added=("a.html",))),
        ({}, {"a.html"}, {}, Edit(removed=("a.html",))),
        ({"a.html": OLD}, {"a.html"}, {"a.html": NEW}, Edit(changed=("a.html",))),
    ],
)
def test_a_file_that_the_user_insists_on(reads, known, disk, expected):
    """A file of --reload-include reloads though nothing has read it."""
    assert judged(["a.html"], reads=reads, known=known, disk=disk, rules=Rules(include="*.html")) == expected


def test_a_file_that_the_user_insists_on_but_that_did_not_change():
    """The same content as was read is no edit, --reload-include or not."""
    edit = judged(["a.py"], reads={"a.py": OLD}, known={"a.py"}, disk={"a.py": OLD}, rules=Rules(include="*.py"))

    assert not edit


def test_a_file_that_the_user_insists_on_but_that_never_was():
    """A temporary file that came and went before anybody looked (an editor's) is no edit."""
    assert not judged(["4913.py"], rules=Rules(include="*.py"))


READ_FOLDER = {"/app/routes/a.py": OLD, "/app/routes/deep/b.py": OLD, "/app/routes_old.py": OLD}


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        ({}, Edit(removed=("/app/routes/a.py", "/app/routes/deep/b.py"))),
        (READ_FOLDER | {"/app/routes/a.py": NEW}, Edit(changed=("/app/routes/a.py",))),
        (READ_FOLDER, Edit()),
    ],
    ids=["gone", "replaced", "the same"],
)
def test_a_folder_stands_for_what_was_read_below_it(disk, expected):
    """A folder that was removed, renamed or replaced touches every file in it, and none beside it."""
    edit = judged(["/app/routes"], reads=READ_FOLDER, disk=disk)

    assert (edit.changed, edit.added, edit.removed) == (expected.changed, expected.added, expected.removed)


def test_an_edit_is_sorted():
    """However the hints arrive, the line in the log and the tests read the same."""
    reads = dict.fromkeys(["c.py", "a.py", "b.py"], OLD)
    edit = judged(["c.py", "b.py", "a.py", "b.py"], reads=reads, disk=dict.fromkeys(reads, NEW))

    assert edit == Edit(changed=("a.py", "b.py", "c.py"))


@pytest.mark.parametrize(
    ("edit", "matters"),
    [
        (Edit(), False),
        (Edit(idle=("a.py",)), False),
        (Edit(changed=("a.py",)), True),
        (Edit(added=("a.py",)), True),
        (Edit(removed=("a.py",)), True),
    ],
)
def test_whether_an_edit_matters(edit, matters):
    """Idle touches alone are none."""
    assert bool(edit) is matters


def test_the_paths_of_an_edit():
    """Changed, added and removed ones; not the idle."""
    edit = Edit(changed=("a.py",), added=("b.py",), removed=("c.py",), idle=("d.py",))

    assert edit.paths == {"a.py", "b.py", "c.py"}


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (Edit(changed=("/w/a.py",)), "a.py changed"),
        (Edit(added=("/w/a.py",)), "a.py added"),
        (Edit(removed=("/w/a.py",)), "a.py removed"),
        (Edit(changed=("/w/a.py",), added=("/w/b.py",)), "a.py changed, b.py added"),
        (
            Edit(changed=("/w/a.py",), added=("/w/b.py",), removed=("/w/c.py",)),
            "a.py changed, b.py added and 1 more",
        ),
        (Edit(changed=tuple(f"/w/{n}.py" for n in range(9))), "0.py changed, 1.py changed and 7 more"),
        (Edit(changed=("/w/a.py",), idle=("/w/b.py",)), "a.py changed"),
        (Edit(), ""),
    ],
)
def test_an_edit_in_words(edit, text):
    """At most two files by name, the others by number."""
    assert edit.describe(lambda path: path.removeprefix("/w/")) == text
