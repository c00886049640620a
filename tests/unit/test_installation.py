"""Have packages been installed, upgraded or removed?"""

import os

import pytest

from firehot_server.discovery.origin import Origins
from firehot_server.supervisor.installation import Installation

SECOND = 1_000_000_000


@pytest.fixture
def site(tmp_path):
    """An environment's site-packages, with one package installed a while ago."""
    folder = tmp_path / "site-packages"
    install(folder, "click-8.1.dist-info", at=100)
    (folder / "click").mkdir()
    date(folder, at=100)
    return folder


def install(site, record, at):
    (site / record).mkdir(parents=True)
    date(site / record, at=at)
    date(site, at=at)


def date(path, at):
    os.utime(path, ns=(at * SECOND, at * SECOND))


def installation(*folders):
    return Installation(Origins(installed=tuple(f"{folder}/" for folder in folders), stdlib=()))


def test_nothing_was_installed(site):
    """The same records as before."""
    assert not installation(site).has_changed()


@pytest.mark.parametrize("record", ["flask-3.0.dist-info", "flask-3.0.egg-info", "flask.egg-link", "__editable__.pth"])
def test_a_package_was_installed(site, record):
    """Whichever installer did it."""
    before = installation(site)
    install(site, record, at=200)

    assert before.has_changed()


def test_a_package_was_removed(site):
    """Its record is gone."""
    before = installation(site)
    (site / "click-8.1.dist-info").rmdir()
    date(site, at=200)

    assert before.has_changed()


def test_a_package_was_upgraded(site):
    """One record went, another came."""
    before = installation(site)
    (site / "click-8.1.dist-info").rename(site / "click-8.2.dist-info")
    date(site, at=200)

    assert before.has_changed()


def test_a_package_was_installed_again(site):
    """The same version, but another record: its files may differ."""
    before = installation(site)
    (site / "click-8.1.dist-info").rmdir()
    install(site, "click-8.1.dist-info", at=200)

    assert before.has_changed()


@pytest.mark.parametrize("name", ["__pycache__", "click_extra", "notes.txt", "click.dist-info.txt"])
def test_what_is_no_record_does_not_count(site, name):
    """Bytecode, above all: it is written whenever something is imported."""
    before = installation(site)
    (site / name).mkdir()
    date(site, at=200)

    assert not before.has_changed()


def test_a_folder_that_does_not_exist(tmp_path, site):
    """The user's own site-packages, for one; it may be made by the first installation."""
    before = installation(site, tmp_path / "user")
    assert not before.has_changed()

    install(tmp_path / "user", "flask-3.0.dist-info", at=200)
    assert before.has_changed()


def test_a_folder_that_went(site):
    """An environment that was deleted holds nothing any more."""
    before = installation(site)
    os.rename(site, f"{site}-old")

    assert before.has_changed()


def test_each_look_compares_with_the_beginning(site):
    """What has changed stays changed, until a new template makes a new one of these."""
    before = installation(site)
    install(site, "flask-3.0.dist-info", at=200)

    assert before.has_changed()
    assert before.has_changed()
    assert not installation(site).has_changed()


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ("{source}\n", ["source"]),
        ("# a comment\n\nimport os\n{source}\n", ["source"]),
        ("{source}\n{source}/nosuch\nclick\n", ["source", "site-packages/click"]),
        ("", []),
    ],
)
def test_folders_that_an_editable_installation_adds(site, tmp_path, lines, added):
    """Those that are there; relative ones count from where the file lies."""
    (tmp_path / "source").mkdir()
    (site / "older.pth").write_text(f"{tmp_path}\n")
    before = installation(site)
    assert before.added_folders() == ()
    (site / "newer.pth").write_text(lines.format(source=tmp_path / "source"))

    assert before.added_folders() == tuple(str(tmp_path / name) for name in added)
