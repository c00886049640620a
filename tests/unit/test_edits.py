"""Which of the touched paths really changed, and does it matter?"""

from fnmatch import fnmatch

import pytest

from firehot_server.fingerprint import NOTHING
from firehot_server.supervisor.edits import Edit, Entry, affected, judge
from firehot_server.supervisor.plan import NEVER, TEMPLATE

OLD, NEW = b"old", b"new"
UNREADABLE = b""


class Rules:
    """Rules by pattern, as the user's options are."""

    def __init__(self, include="", exclude="", only="*.py"):
        self.include, self.exclude, self.only = include, exclude, only

    def allows(self, path):
        return (fnmatch(path, self.only) or self.insists(path)) and not fnmatch(path, self.exclude)

    def allows_data(self, path):
        return not fnmatch(path, self.exclude)

    def insists(self, path):
        return fnmatch(path, self.include)


def log(*reads):
    """The read log, from what was found by kind and path, in the order of reading."""
    return {key: Entry(found, position) for position, (key, found) in enumerate(reads)}


def modules(files):
    """The read log of these files, imported in this order."""
    return log(*((("module", path), digest) for path, digest in files.items()))


def judged(touched, *, reads=None, known=(), disk=None, rules=None):
    """The edit, where `disk` has what is found now: for a path, as whatever it is read, or for a kind and a path."""
    disk = disk or {}
    return judge(
        touched,
        reads=reads or {},
        known=frozenset(known),
        now=lambda key: disk.get(key, disk.get(key[1], NOTHING if key[0] == "lookup" else None)),
        rules=rules or Rules(),
    )


# -- files


@pytest.mark.parametrize(
    ("reads", "disk", "expected"),
    [
        ({"a.py": OLD}, {"a.py": NEW}, Edit(changed=("a.py",), position=0)),
        ({"a.py": OLD}, {"a.py": OLD}, Edit(idle=("a.py",))),
        ({"a.py": OLD}, {}, Edit(removed=("a.py",), position=0)),
        ({"a.py": OLD}, {"a.py": UNREADABLE}, Edit(changed=("a.py",), position=0)),
        ({}, {"a.py": NEW}, Edit(idle=("a.py",))),
        ({}, {}, Edit(idle=("a.py",))),
        ({"a.py": None}, {}, Edit(idle=("a.py",))),
        ({"a.py": None}, {"a.py": NEW}, Edit(added=("a.py",), position=0)),
        ({"a.py": None}, {"a.py": UNREADABLE}, Edit(added=("a.py",), position=0)),
        ({"a.py": UNREADABLE}, {"a.py": NEW}, Edit(changed=("a.py",), position=0)),
        ({"a.py": UNREADABLE}, {}, Edit(removed=("a.py",), position=0)),
    ],
)
@pytest.mark.parametrize("kind", ["module", "data"])
def test_a_touched_file(kind, reads, disk, expected):
    """A file counts if something read it and its content is another now; else it does not."""
    assert judged(["a.py"], reads=log(*(((kind, path), old) for path, old in reads.items())), disk=disk) == expected


@pytest.mark.parametrize("known", [set(), {"a.py"}])
def test_whether_a_file_was_there_before_is_of_no_consequence(known):
    """The read log alone decides, unless the user insists on the file."""
    assert judged(["a.py"], known=known, disk={"a.py": NEW}) == Edit(idle=("a.py",))


@pytest.mark.parametrize("path", ["notes.txt", "app.log", "a.py~"])
def test_a_file_that_the_rules_do_not_allow_is_not_even_mentioned(path):
    """Else a log file in the project's folder would feed itself; only that the log is no longer right is known."""
    assert judged([path], reads=modules({path: OLD}), disk={path: NEW}) == Edit(silent=0)


@pytest.mark.parametrize(
    ("reads", "known", "disk", "expected"),
    [
        ({}, {"a.html"}, {"a.html": NEW}, Edit(changed=("a.html",), position=TEMPLATE.position)),
        ({}, set(), {"a.html": NEW}, Edit(added=("a.html",), position=TEMPLATE.position)),
        ({}, {"a.html"}, {}, Edit(removed=("a.html",), position=TEMPLATE.position)),
        ({"b.py": OLD, "a.html": OLD}, {"a.html"}, {"a.html": NEW}, Edit(changed=("a.html",), position=1)),
    ],
)
def test_a_file_that_the_user_insists_on(reads, known, disk, expected):
    """A file of --reload-include reloads though nothing has read it: from the template, for who has seen it?"""
    assert judged(["a.html"], reads=modules(reads), known=known, disk=disk, rules=Rules(include="*.html")) == expected


@pytest.mark.parametrize("kind", ["module", "data"])
def test_a_file_that_the_user_insists_on_but_that_did_not_change(kind):
    """The same content as was read is no edit, --reload-include or not."""
    reads = log(((kind, "a.py"), OLD))

    assert not judged(["a.py"], reads=reads, known={"a.py"}, disk={"a.py": OLD}, rules=Rules(include="*.py"))


def test_a_file_that_the_user_insists_on_but_that_never_was():
    """A temporary file that came and went before anybody looked (an editor's) is no edit."""
    assert not judged(["4913.py"], rules=Rules(include="*.py"))


READ_FOLDER = {"/app/routes/a.py": OLD, "/app/routes/deep/b.py": OLD, "/app/routes_old.py": OLD}


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        ({}, Edit(removed=("/app/routes/a.py", "/app/routes/deep/b.py"), position=0)),
        (READ_FOLDER | {"/app/routes/a.py": NEW}, Edit(changed=("/app/routes/a.py",), position=0)),
        (READ_FOLDER | {"/app/routes/deep/b.py": NEW}, Edit(changed=("/app/routes/deep/b.py",), position=1)),
        (READ_FOLDER, Edit()),
    ],
    ids=["gone", "replaced", "replaced below", "the same"],
)
def test_a_folder_stands_for_what_was_read_below_it(disk, expected):
    """A folder that was removed, renamed or replaced touches every file in it, and none beside it."""
    edit = judged(["/app/routes"], reads=modules(READ_FOLDER), disk=disk)

    assert (edit.changed, edit.added, edit.removed) == (expected.changed, expected.added, expected.removed)
    assert edit.position == expected.position


def test_a_file_that_was_read_stands_for_nothing_below_it():
    """It is a file: what has its path as a prefix lies elsewhere, or was read when it was a folder."""
    reads = log((("data", "/app/x"), OLD), (("data", "/app/x/y"), OLD))

    assert judged(["/app/x"], reads=reads, disk={"/app/x": OLD}, rules=Rules(only="*")) == Edit(idle=("/app/x",))


def test_an_edit_is_sorted():
    """However the hints arrive, the line in the log and the tests read the same."""
    reads = dict.fromkeys(["c.py", "a.py", "b.py"], OLD)
    edit = judged(["c.py", "b.py", "a.py", "b.py"], reads=modules(reads), disk=dict.fromkeys(reads, NEW))

    assert edit == Edit(changed=("a.py", "b.py", "c.py"), position=0)


# -- what else an import depends on


@pytest.mark.parametrize(
    ("path", "lookups"),
    [
        ("/app/routes/users.py", ["/app/routes/users.py", "/app/routes/users"]),
        ("/app/routes/users.so", ["/app/routes/users.so", "/app/routes/users"]),
        ("/app/routes/users.cpython-311-x86_64-linux-gnu.so", ["/app/routes/users"]),
        ("/app/routes/__init__.py", ["/app/routes/__init__", "/app/routes"]),
        ("/app/routes/__init__.cpython-311-x86_64-linux-gnu.so", ["/app/routes/__init__", "/app/routes"]),
        ("/app/routes", ["/app/routes"]),
        ("/app/.env", ["/app/.env"]),
    ],
)
def test_the_lookups_that_a_file_affects(path, lookups):
    """Those of the module that it would be, by its name up to the first dot; a package's by its `__init__`."""
    found = [place for kind, place in affected(path) if kind == "lookup"]

    assert set(lookups) <= set(found)
    assert set(found) - set(lookups) <= {path}


@pytest.mark.parametrize("kind", ["module", "data"])
@pytest.mark.parametrize("path", ["/app/a.py", "/app/.env", "/app/routes"])
def test_a_file_affects_those_who_have_read_it(kind, path):
    """As a module's source or as data."""
    assert (kind, path) in set(affected(path))


def test_the_listings_that_a_file_affects():
    """That of its folder, and its own if it is one; not those further up."""
    assert {path for kind, path in affected("/app/data/x") if kind == "listing"} == {"/app/data/x", "/app/data"}


LOOKED = log((("module", "/app/a.py"), OLD), (("lookup", "/app/b"), NOTHING), (("lookup", "/app/c"), b".py"))


@pytest.mark.parametrize(
    ("touched", "disk", "expected"),
    [
        ("/app/b.py", {("lookup", "/app/b"): b".py"}, Edit(added=("/app/b.py",), position=1)),
        (
            "/app/b/__init__.py",
            {("lookup", "/app/b"): b"/__init__.py"},
            Edit(added=("/app/b/__init__.py",), position=1),
        ),
        ("/app/b", {("lookup", "/app/b"): b"/"}, Edit(added=("/app/b",), position=1)),
        ("/app/b.so", {("lookup", "/app/b"): b".so"}, Edit(added=("/app/b.so",), position=1)),
        ("/app/b.txt", {("lookup", "/app/b"): NOTHING}, Edit()),
        ("/app/c.py", {("lookup", "/app/c"): NOTHING}, Edit(removed=("/app/c.py",), position=2)),
        (
            "/app/c/__init__.py",
            {("lookup", "/app/c"): b"/__init__.py"},
            Edit(changed=("/app/c/__init__.py",), position=2),
        ),
        ("/app/c.py", {("lookup", "/app/c"): b".py"}, Edit(idle=("/app/c.py",))),
        ("/app/d.py", {("lookup", "/app/d"): b".py"}, Edit(idle=("/app/d.py",))),
        ("/app/sub/b.py", {("lookup", "/app/sub/b"): b".py"}, Edit(idle=("/app/sub/b.py",))),
    ],
)
def test_a_file_where_an_import_has_looked(touched, disk, expected):
    """It counts if the same look would find something else now, and only then."""
    assert judged([touched], reads=LOOKED, disk=disk) == expected


LISTED = log((("module", "/app/a.py"), OLD), (("listing", "/app/data"), b"one.txt\0two/"))


@pytest.mark.parametrize(
    ("touched", "listing", "expected"),
    [
        ("/app/data/new.txt", b"new.txt\0one.txt\0two/", Edit(added=("/app/data/new.txt",), position=1)),
        ("/app/data/three", b"one.txt\0three/\0two/", Edit(added=("/app/data/three",), position=1)),
        ("/app/data/one.txt", b"two/", Edit(removed=("/app/data/one.txt",), position=1)),
        ("/app/data/two", b"one.txt", Edit(removed=("/app/data/two",), position=1)),
        ("/app/data/one.txt", b"one.txt\0two/", Edit()),
        ("/app/data", None, Edit(removed=("/app/data",), position=1)),
        ("/app/data", b"new.txt\0one.txt\0two/", Edit(changed=("/app/data",), position=1)),
        ("/app/data/deep/new.txt", b"one.txt\0two/", Edit()),
    ],
)
def test_a_folder_that_was_listed(touched, listing, expected):
    """It counts if it has other names now; what is in its files does not."""
    assert judged([touched], reads=LISTED, disk={("listing", "/app/data"): listing}) == expected


def test_a_file_that_is_saved_while_another_one_is_added():
    """The listing is no longer what it was, but not because of this file."""
    disk = {("listing", "/app/data"): b"new.txt\0one.txt\0two/"}

    edit = judged(["/app/data/new.txt", "/app/data/one.txt"], reads=LISTED, disk=disk)

    assert edit == Edit(added=("/app/data/new.txt",), position=1)


@pytest.mark.parametrize(
    ("touched", "key", "found"),
    [
        ("/app/b.py", ("lookup", "/app/b"), b".py"),
        ("/app/data/new.log", ("listing", "/app/data"), b"new.log\0one.txt\0two/"),
    ],
)
def test_a_file_that_is_excluded_where_something_was_looked_for_or_listed(touched, key, found):
    """It is no reason to reload, as if it had been read itself."""
    edit = judged([touched], reads=LOOKED | LISTED, disk={key: found}, rules=Rules(exclude=touched))

    assert edit == Edit(silent=1)


# -- where in the log


THREE = modules({"a.py": OLD, "b.py": OLD, "c.py": OLD})


@pytest.mark.parametrize(
    ("changed", "position"),
    [([], NEVER), (["a.py"], 0), (["b.py"], 1), (["c.py"], 2), (["c.py", "b.py"], 1), (["a.py", "c.py"], 0)],
)
def test_the_position_of_an_edit(changed, position):
    """That of the first thing in the log that changed, whatever was touched."""
    disk = dict.fromkeys(["a.py", "b.py", "c.py"], OLD) | dict.fromkeys(changed, NEW)

    assert judged(["a.py", "b.py", "c.py"], reads=THREE, disk=disk).position == position


def test_the_position_of_a_file_that_was_read_in_two_ways():
    """What has read it first is stale already."""
    reads = log((("module", "x.py"), OLD), (("data", "a.py"), OLD), (("module", "a.py"), OLD))

    assert judged(["a.py"], reads=reads, disk={"a.py": NEW}) == Edit(changed=("a.py",), position=1)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["b.py"], Edit(idle=("a.py", "c.py"), silent=1)),
        (["b.py", "c.py"], Edit(changed=("c.py",), idle=("a.py",), position=2, silent=1)),
        (["a.py"], Edit(changed=("a.py",), idle=("c.py",), position=0)),
    ],
)
def test_the_silent_position(changed, expected):
    """That of the first change which is no reason to reload: who reloads for another reason must know it."""
    disk = dict.fromkeys(["a.py", "b.py", "c.py"], OLD) | dict.fromkeys(changed, NEW)

    assert judged(["a.py", "b.py", "c.py"], reads=THREE, disk=disk, rules=Rules(exclude="b.py")) == expected


# -- in words


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

    assert edit.paths == ("a.py", "b.py", "c.py")


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
