"""Symbolic links on the ways to what was read. Each test has a folder of its own, given as paths below it."""

import os

import pytest

from firehot_server.supervisor.links import Links, is_within


class Tree:
    """A folder with links in it, and what is known of them."""

    def __init__(self, root):
        self.root = str(root)
        self.links = Links()

    def path(self, name):
        return os.path.join(self.root, name)

    def link(self, name, target):
        """A link of this name, instead of what there was."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(target, path)

    def short(self, paths):
        return {os.path.relpath(path, self.root) for path in paths}

    def follow(self, name):
        return [os.path.relpath(place, self.root) for place in self.links.follow(self.path(name))]

    def names(self, name):
        return self.short(self.links.names(self.path(name)))

    def have_changed(self, *names):
        return self.links.have_changed([self.path(name) for name in names])


@pytest.fixture
def tree(tmp_path):
    return Tree(os.path.realpath(tmp_path))


@pytest.mark.parametrize(
    ("links", "path", "expected"),
    [
        ({}, "shop/views.py", []),
        ({"shop": "store/shop"}, "shop", ["shop", "store/shop"]),
        ({"shop": "store/shop"}, "shop/views.py", ["shop", "store/shop/views.py"]),
        ({"shop": "{root}/store/shop"}, "shop/views.py", ["shop", "store/shop/views.py"]),
        ({"shop": "store", "store/views.py": "../real.py"}, "shop/views.py", ["shop", "store/views.py", "real.py"]),
        ({"current": "versions/latest", "versions/latest": "v2"}, "current/a.py",
         ["current", "versions/latest", "versions/v2/a.py"]),
        ({"deep/er/a.py": "../../././a.py"}, "deep/er/a.py", ["deep/er/a.py", "a.py"]),
        ({"gone": "nowhere/at/all"}, "gone/a.py", ["gone", "nowhere/at/all/a.py"]),
    ],
)  # fmt: skip
def test_the_way_to_a_file(tree, links, path, expected):
    """Every link, and where that leads in the end; what is there need not be."""
    for name, target in links.items():
        tree.link(name, target.format(root=tree.root))

    assert tree.follow(path) == expected


def test_links_that_lead_in_a_circle(tree):
    """They lead nowhere; but not for ever."""
    tree.link("one", "two")
    tree.link("two", "one")

    assert set(tree.follow("one")) == {"one", "two"}


@pytest.mark.parametrize(
    ("touched", "names"),
    [
        ("store/5/shop/views.py", {"shop/views.py", "sold/views.py"}),
        ("store/5/shop/deep/er.py", {"shop/deep/er.py", "sold/deep/er.py"}),
        ("shop/views.py", {"store/5/shop/views.py", "sold/views.py"}),
        ("sold/views.py", {"store/5/shop/views.py", "shop/views.py"}),
        ("store/5/shop", {"shop", "sold"}),
        ("store/5", {"shop", "sold"}),
        ("store", {"shop", "sold"}),
        ("shop", {"sold", "store/5/shop"}),
        ("store/6", set()),
        ("stor", set()),
        ("real.py", {"link.py"}),
        ("link.py", {"real.py"}),
    ],
)
def test_other_names_of_a_file(tree, touched, names):
    """One folder was read by two links, of which one leads over the other."""
    tree.link("shop", "store/5/shop")
    tree.link("sold", "shop")
    tree.link("link.py", "real.py")
    for name in ("shop", "sold", "link.py", "plain"):
        tree.follow(name)

    assert tree.names(touched) == names


def test_a_link_that_is_followed_anew(tree):
    """What the first way led to is another's business."""
    tree.link("current", "v1")
    tree.follow("current")
    tree.link("current", "v2")
    assert tree.have_changed("current")

    assert tree.short(tree.links.follow_anew()) == {"current", "v2"}
    assert tree.follow("current") == ["current", "v2"]
    assert tree.names("v1/a.py") == set()
    assert tree.names("v2/a.py") == {"current/a.py"}


@pytest.mark.parametrize(
    ("touched", "expected"),
    [
        (["lib/shop"], True),  # it was followed
        (["lib"], True),  # it lies there
        (["lib/shop/views.py"], False),
        (["other"], False),
        (["other", "lib/shop"], True),
    ],
)
def test_when_ways_may_have_changed(tree, touched, expected):
    """An ordinary save changes none."""
    tree.follow("lib/shop")

    assert tree.have_changed(*touched) is expected


def test_a_new_link_is_a_change(tree):
    """Whatever was there before."""
    assert tree.links.inside(tree.root) == frozenset()
    tree.link("new", "elsewhere")
    assert tree.have_changed("new")

    assert tree.short(tree.links.inside(tree.root)) == {"new"}


def test_the_links_in_a_folder(tree):
    """To files, to folders and to nothing; none in a folder that is not there."""
    os.mkdir(tree.path("folder"))
    tree.link("folder/one", "../file")
    tree.link("folder/two", "..")
    open(tree.path("folder/three"), "w").close()

    assert tree.short(tree.links.inside(tree.path("folder"))) == {"folder/one", "folder/two"}
    assert tree.links.inside(tree.path("missing")) == frozenset()


def test_where_a_path_leads(tree):
    """By the ways that are known."""
    tree.link("shop", "store/shop")
    assert tree.links.end(tree.path("shop/views.py")) == tree.path("shop/views.py")
    tree.follow("shop")

    assert tree.links.end(tree.path("shop/views.py")) == tree.path("store/shop/views.py")
    assert tree.links.end(tree.path("shop")) == tree.path("store/shop")
    assert tree.links.end(tree.path("other")) == tree.path("other")


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [("/a/b", "/a", True), ("/a", "/a", True), ("/a", "/", True), ("/ab", "/a", False), ("/a", "/a/b", False)],
)
def test_what_is_within_a_folder(path, folder, expected):
    """By whole names."""
    assert is_within(path, folder) is expected
