"""`update_environment`: what changes a template, what does not, and what happens when it cannot be changed."""

import os
import sys
import threading
import time

import pytest

from firehot_server import CannotPreload, isolate_imports
from tests.support import processes
from tests.support.waiting import until


class Probe:
    """Asks an environment what its template holds."""

    def __init__(self, environment):
        self._environment = environment

    def update(self):
        return self._environment.update_environment()

    def has(self, *modules):
        """The template imported these: a process has them before it imports anything."""
        return [name for name in modules if name in self.call(lambda: list(sys.modules))] == list(modules)

    def call(self, function, *arguments):
        return self._environment.communicate_isolated(self._environment.exec(function, *arguments))

    def template(self):
        """The process id of the one that forks."""
        return self.call(os.getppid)


@pytest.fixture
def probe(place):
    for name in ("one", "two", "three"):
        place.install(f"{name}.py", f"import os\nNAME, PID = {name!r}, os.getpid()\n")
    place.write("shop/app.py", "import one\n")
    with isolate_imports("shop") as environment:
        yield Probe(environment)


@pytest.mark.parametrize(
    "source",
    [
        "import one\n",
        "import one\nVALUE = 2\n",
        "# a comment\nimport one\n",
        "import one as first\n",
        "def later():\n    import one\n",
        "import one\nimport json, shop.other\nfrom . import other\n",
        "import one\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import two\n",
        "import one\ntry:\n    import not_installed_at_all\nexcept ImportError:\n    pass\n",
    ],
)
def test_nothing_is_touched_when_third_party_imports_are_the_same(place, probe, source):
    """Body edits, comments, first-party and stdlib imports, imports for types, what is not installed."""
    template = probe.template()
    place.write("shop/other.py")
    place.write("shop/app.py", source)
    assert probe.update() is False
    assert probe.template() == template
    assert probe.has("one")


def test_an_addition_extends_the_template(place, probe):
    """In a forked copy: what was imported before is not imported again."""
    template = probe.template()
    imported_by = probe.call(lambda: sys.modules["one"].PID)
    place.write("shop/new.py", "def later():\n    from two import NAME\n")
    assert probe.update() is True
    assert probe.has("one", "two")
    assert probe.call(lambda: sys.modules["one"].PID) == imported_by
    assert probe.template() != template
    assert probe.update() is False


def test_one_addition_after_the_other(place, probe):
    """Each copy has what the former one had."""
    place.write("shop/app.py", "import one, two\n")
    assert probe.update() is True
    place.write("shop/app.py", "import one, two, three\n")
    assert probe.update() is True
    assert probe.has("one", "two", "three")


def test_a_removal_makes_a_new_template(place, probe):
    """A process could tell that the module is loaded already."""
    imported_by = probe.call(lambda: sys.modules["one"].PID)
    place.write("shop/app.py", "import two\n")
    assert probe.update() is True
    assert probe.has("two")
    assert not probe.has("one")
    place.write("shop/app.py", "import one\n")
    assert probe.update() is True
    assert probe.call(lambda: sys.modules["one"].PID) != imported_by


def test_a_removed_file(place, probe):
    """Its imports go with it."""
    place.write("shop/new.py", "import two\n")
    assert probe.update() is True
    place.remove("shop/new.py")
    assert probe.update() is True
    assert not probe.has("two")


def test_a_changed_installation_makes_a_new_template(place):
    """An upgrade in place: the record of the installer is another one."""
    record = place.installed / "library-1.dist-info"
    record.mkdir()
    place.install("library.py", "VERSION = 1\n")
    place.write("shop/app.py", "import library\n")
    with isolate_imports("shop") as environment:
        environment._installation = type(environment._installation)(
            type(environment._origins)(installed=(f"{place.installed}{os.sep}",), stdlib=())
        )
        probe = Probe(environment)
        assert probe.call(lambda: sys.modules["library"].VERSION) == 1
        assert probe.update() is False
        place.install("library.py", "VERSION = 2\n")
        record.rename(place.installed / "library-2.dist-info")
        assert probe.update() is True
        assert probe.call(lambda: sys.modules["library"].VERSION) == 2


def test_what_runs_goes_on(place, probe):
    """On the former template, which ends with the last of its processes."""
    environment = probe._environment
    former = probe.template()

    def wait(gate):
        while not gate.exists():
            time.sleep(0.01)
        return "one" in sys.modules, "two" in sys.modules

    running = environment.exec(wait, place.root / "gate")
    place.write("shop/app.py", "import two\n")
    assert probe.update() is True
    assert processes.is_alive(former)
    (place.root / "gate").touch()
    assert environment.communicate_isolated(running) == (True, False)
    until(lambda: probe.has("two") and not processes.is_alive(former), "the end of the former template")


def test_the_former_template_serves_until_the_new_one_is_there(place, probe):
    """Calls of other threads do not wait for it."""
    place.install(
        "slow.py",
        f"import pathlib, time\nwhile not pathlib.Path({str(place.root / 'gate')!r}).exists():\n    time.sleep(0.01)\n",
    )
    place.write("shop/app.py", "import slow\n")
    updated = []
    thread = threading.Thread(target=lambda: updated.append(probe.update()))
    thread.start()
    try:
        assert [probe.call(abs, -n) for n in range(10)] == list(range(10))
        assert probe.has("one")
        assert updated == []
    finally:
        (place.root / "gate").touch()
        thread.join(30)
    assert updated == [True]
    assert probe.has("slow")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('not today')\n", "ValueError: not today"),
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, name='poll', daemon=True).start()\n",
            "poll",
        ),
        ("import os\nos._exit(3)\n", "exited with status 3|ended"),
        ("import shop\n", "it imports project code"),
    ],
)
def test_an_import_that_fails_leaves_the_former_template(place, probe, source, reason):
    """The error names module, file and line, once; the rest is updated the next time."""
    place.install("broken.py", source)
    place.write("shop/new.py", "import two\n\nimport broken\n")
    with pytest.raises(CannotPreload, match=reason) as caught:
        probe.update()
    assert f"broken, imported by {place.project / 'shop/new.py'}:3" in str(caught.value)
    assert probe.has("one")
    assert not probe.has("two")
    assert probe.update() is True
    assert probe.has("one", "two")
    assert not probe.has("broken")
    assert probe.update() is False


def test_a_new_template_that_fails(place, probe):
    """Also when something was removed at the same time."""
    template = probe.template()
    place.install("broken.py", "raise ValueError('not today')\n")
    place.write("shop/app.py", "import broken\n")
    with pytest.raises(CannotPreload, match="not today"):
        probe.update()
    assert probe.template() == template
    assert probe.has("one")
    assert probe.update() is True
    assert not probe.has("one")


def test_a_module_that_failed_is_tried_again_when_its_file_changes(place, probe):
    """Not before."""
    tries = place.root / "tries"
    broken = f"open({str(tries)!r}, 'a').write('x')\nraise ValueError\n"
    place.install("broken.py", broken)
    place.write("shop/new.py", "import broken\n")
    with pytest.raises(CannotPreload):
        probe.update()
    assert probe.update() is False
    with isolate_imports("shop"):
        pass
    assert tries.read_text() == "x"
    place.install("broken.py", "MENDED = True\n")
    assert probe.update() is True
    assert probe.has("broken")


def test_a_module_that_cannot_be_preloaded_at_first(place, caplog):
    """Entering goes on without, and says so with the place of the import; a call imports it by itself."""
    place.install("broken.py", "import shop\nVALUE = 3\n")
    place.install("fine.py")
    place.write("shop/app.py", "import fine\nimport broken\n")
    with isolate_imports("shop") as environment:
        probe = Probe(environment)
        assert probe.has("fine")
        assert not probe.has("broken")
        assert probe.call(lambda: __import__("broken").VALUE) == 3
        assert probe.update() is False
    assert f"Not preloaded: broken, imported by {place.project / 'shop/app.py'}:2" in caplog.text
    assert "it imports project code (shop)" in caplog.text


def test_a_file_that_does_not_parse_is_named(place, probe, caplog):
    """The rest still works; when it is mended its imports count again."""
    place.write("shop/broken.py", "import two\ndef :\n")
    assert probe.update() is False
    assert f"{place.project / 'shop/broken.py'}:2 does not parse" in caplog.text
    assert probe.has("one")
    place.write("shop/broken.py", "import two\n")
    assert probe.update() is True
    place.write("shop/broken.py", "import three\ndef :\n")
    assert probe.update() is False
    assert probe.has("one", "two")


def test_a_package_that_is_gone(place, probe):
    """In the middle of a checkout: the former template goes on."""
    (place.project / "shop").rename(place.project / "aside")
    with pytest.raises(ImportError, match="No package or module 'shop'"):
        probe.update()
    assert probe.has("one")
    (place.project / "aside").rename(place.project / "shop")
    assert probe.update() is False


def test_a_template_that_is_killed_is_replaced(place, probe, caplog):
    """With what it had; what ran is not disturbed."""
    environment = probe._environment

    def wait(gate):
        while not gate.exists():
            time.sleep(0.01)
        return "done"

    running = environment.exec(wait, place.root / "gate")
    former = probe.template()
    os.kill(former, 9)
    until(lambda: probe.template() != former, "another template")
    (place.root / "gate").touch()
    assert environment.communicate_isolated(running) == "done"
    assert probe.has("one")
    assert "was killed by SIGKILL; starting another" in caplog.text
