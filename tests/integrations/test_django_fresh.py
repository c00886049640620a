"""What is cached of templates, in one process: Django's own loaders, and others'."""

from pathlib import Path

import pytest
from django.template import Engine, Origin, TemplateDoesNotExist
from django.template.loaders.base import Loader
from firehot_django.fresh import Templates


class Picky(Loader):
    """Another kind of loader, with files of its own, some of which it does not like."""

    def __init__(self, engine, folder):
        super().__init__(engine)
        self._folder = folder

    def get_template_sources(self, template_name):
        yield Origin(f"{self._folder}/{template_name}", template_name, self)

    def get_contents(self, origin):
        path = Path(origin.name)
        if not path.exists() or path.read_text().startswith("not"):
            raise TemplateDoesNotExist(origin)
        return path.read_text()


@pytest.fixture
def folders(tmp_path):
    """Two folders, which are looked at in this order."""
    found = [tmp_path / "picky", tmp_path / "plain"]
    for folder in found:
        folder.mkdir()
    return found


@pytest.fixture
def get(folders):
    """The source of a template, in a request of its own."""
    loaders = [(f"{__name__}.Picky", folders[0]), ("django.template.loaders.filesystem.Loader", folders[1:])]
    engine = Engine(loaders=[("django.template.loaders.cached.Loader", loaders)], debug=False)
    (loader,) = engine.template_loaders
    templates = Templates()

    def source(name, *, same_request=False):
        if not same_request:
            templates._begin_request()
        return templates.get(loader, name).source

    return source


def test_it_is_compiled_once(folders, get):
    """What is asked for again is what it was, within a request even if its file is another by now."""
    folders[1].joinpath("a").write_text("one")
    assert get("a") == "one"
    folders[1].joinpath("a").write_text("two")
    assert get("a", same_request=True) == "one"
    assert get("a") == "two"


def test_other_loaders_files_are_looked_at(folders, get):
    """Even those that are there, but passed over."""
    picky, plain = (folder / "a" for folder in folders)
    picky.write_text("not me")
    plain.write_text("one")
    assert get("a") == "one"
    plain.write_text("two")
    assert get("a") == "two"
    picky.write_text("me")
    assert get("a") == "me"


def test_what_is_missing_is_looked_for_again(folders, get):
    """By whom and when else would it be noticed?"""
    with pytest.raises(TemplateDoesNotExist):
        get("a")
    folders[0].joinpath("a").write_text("here")
    assert get("a") == "here"
    folders[0].joinpath("a").unlink()
    with pytest.raises(TemplateDoesNotExist):
        get("a")
