"""What the template preloads."""

import logging
import os
import re
import sys

import pytest
from uvicorn import Config

from firehot_server.config import Settings
from firehot_server.discovery.origin import Origins
from firehot_server.supervisor.app_preloads import AppPreloads, server_stack
from firehot_server.supervisor.memory import Memory

REASON = "it left a thread running (poll)"


def config(**options):
    return Config("app:app", log_config=None, **options)


def app_modules(preloads):
    """The last batch: what comes behind the server stack."""
    return list(preloads.batches())[-1]


class Place:
    """A project whose app imports packages, and an environment that has them."""

    def __init__(self, root):
        self.root = root
        self.site = root / "site-packages"
        self.memory = Memory(root / "cache" / "memory.json")
        for name in ("numpy", "pandas", "_speedups", "grpc"):
            self.install(name)
        self.app("import numpy, pandas")

    def install(self, name, text=""):
        folder = self.site / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(text)

    def app(self, source):
        (self.root / "project").mkdir(exist_ok=True)
        (self.root / "project/app.py").write_text(source)

    def preloads(self, *, factory=False, no_preload=()):
        """As a run of the server has them; what earlier runs have saved is known."""
        return AppPreloads(
            config(factory=factory),
            Settings(no_preload=no_preload),
            self.memory,
            Origins(installed=(f"{self.site}/",), stdlib=()),
            (str(self.root / "project"), str(self.site)),
        )


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Place(tmp_path)


@pytest.fixture
def log(caplog, monkeypatch):
    """What reaches uvicorn's logger."""
    logger = logging.getLogger("uvicorn.error")
    caplog.set_level(logging.DEBUG, logger.name)
    caplog.set_level(logging.DEBUG, "firehot")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


# -- which modules


def test_what_the_app_imports(place):
    """In the order of its imports."""
    assert app_modules(place.preloads()) == ("numpy", "pandas")


def test_what_workers_had_to_import_comes_behind(place):
    """Imports that no static walk reaches."""
    preloads = place.preloads()
    app_modules(preloads)
    preloads.learn(["grpc"])

    assert app_modules(place.preloads()) == ("numpy", "pandas", "grpc")


def test_imports_inside_functions_count_for_an_app_factory_only(place):
    """A factory runs at start-up; other functions may never run."""
    place.app("def app():\n    import numpy")

    assert app_modules(place.preloads()) == ()
    assert app_modules(place.preloads(factory=True)) == ("numpy",)


@pytest.mark.parametrize(
    ("no_preload", "expected"),
    [(("numpy",), ("pandas",)), (("*",), ()), (("numpy", "pandas"), ()), (("num",), ("numpy", "pandas"))],
)
def test_what_the_user_leaves_to_the_worker(place, no_preload, expected):
    """--no-preload goes before everything."""
    assert app_modules(place.preloads(no_preload=no_preload)) == expected


def test_an_app_that_does_not_exist(place):
    """Nothing is preloaded for it; that it is missing is said by whoever imports it."""
    (place.root / "project/app.py").unlink()

    assert app_modules(place.preloads()) == ()


def test_the_packages_for_people(place):
    """Top-level names, once each, without private ones."""
    place.install("numpy/linalg")
    place.app("import numpy.linalg, numpy, _speedups, pandas")
    preloads = place.preloads()
    app_modules(preloads)

    assert preloads.packages() == ["numpy", "pandas"]


# -- learning


def test_what_is_new_is_worth_adding(place):
    """Not what is known already, be it by imports or from earlier workers."""
    preloads = place.preloads()
    app_modules(preloads)

    assert preloads.learn(["numpy", "grpc", "grpc"]) == ("grpc",)
    assert preloads.learn(["grpc"]) == ()


@pytest.mark.parametrize("no_preload", [("grpc",), ("*",)])
def test_what_the_user_excludes_is_not_learned(place, no_preload):
    """However often workers import it."""
    assert place.preloads(no_preload=no_preload).learn(["grpc"]) == ()
    assert place.memory.learned == []


def test_what_was_learned_is_saved(place):
    """For the next run."""
    place.preloads().learn(["grpc"])

    assert '"grpc"' in place.memory.path.read_text()


def test_what_was_learned_may_be_forgotten(place):
    """It cannot be preloaded after all."""
    preloads = place.preloads()
    preloads.learn(["grpc", "_speedups"])
    preloads.forget(["grpc", "never learned"])

    assert place.memory.learned == ["_speedups"]
    assert '"grpc"' not in place.memory.path.read_text()


def test_an_import_that_was_removed_makes_all_that_was_learned_doubtful(place):
    """It may have come with it."""
    preloads = place.preloads()
    app_modules(preloads)
    preloads.learn(["grpc"])
    place.app("import numpy")

    assert app_modules(place.preloads()) == ("numpy",)


def test_an_import_that_was_added_does_not(place):
    """What was learned is still good."""
    place.app("import numpy")
    preloads = place.preloads()
    app_modules(preloads)
    preloads.learn(["grpc"])
    place.app("import numpy, pandas")

    assert app_modules(place.preloads()) == ("numpy", "pandas", "grpc")


# -- rejecting


def test_a_rejected_module_is_left_out(place):
    """In this run and in the next."""
    preloads = place.preloads()
    preloads.reject("numpy", REASON)

    assert app_modules(preloads) == ("pandas",)
    assert app_modules(place.preloads()) == ("pandas",)
    assert place.preloads().packages() == ["pandas"]


def test_a_rejected_module_is_not_learned(place):
    """Workers will report it after every start."""
    preloads = place.preloads()
    preloads.reject("grpc", REASON)

    assert preloads.learn(["grpc"]) == ()


@pytest.mark.parametrize("module", ["grpc", "grpc.aio"])
def test_what_was_learned_of_a_package_that_is_gone_is_forgotten(place, log, module):
    """Nothing of the project imports it any more, so there is nothing to say."""
    place.preloads().learn([module])
    preloads = place.preloads()
    preloads.reject(module, "ModuleNotFoundError: No module named 'grpc'")
    preloads.settled()
    assert not log.messages
    assert app_modules(place.preloads()) == ("numpy", "pandas")


def test_what_was_learned_and_lacks_another_package_is_not(place):
    """A worker has it, somehow: to try again with each template would be in vain."""
    place.preloads().learn(["grpc"])
    preloads = place.preloads()
    preloads.reject("grpc", "ModuleNotFoundError: No module named 'protobuf'")
    assert "grpc" in place.memory.rejected


def test_a_module_that_was_updated_is_tried_again(place):
    """Its new version may be free of what was wrong."""
    place.preloads().reject("numpy", REASON)
    place.install("numpy", "__version__ = '2'")

    assert app_modules(place.preloads()) == ("numpy", "pandas")


@pytest.mark.parametrize(
    ("reason", "modules"),
    [
        ("ImportError: the greenlet library is required", ("numpy", "pandas")),
        ("ModuleNotFoundError: No module named 'greenlet'", ("numpy", "pandas")),
        (REASON, ("pandas",)),
    ],
)
def test_a_module_that_lacked_another_is_tried_again_when_something_was_installed(place, reason, modules):
    """It may be what it lacked; what else a module is left out for has nothing to do with that."""
    place.preloads().reject("numpy", reason)
    assert app_modules(place.preloads()) == ("pandas",)
    os.utime(place.site, (2_000_000_000, 2_000_000_000))

    assert app_modules(place.preloads()) == modules


@pytest.mark.parametrize("module", ["nowhere", "numpy.generated", "sys"])
def test_a_module_without_a_file_stays_rejected(place, module):
    """Nothing shows that it was updated; least of all a file that appears in the working directory."""
    place.preloads().reject(module, REASON)
    (place.root / "elsewhere/new.txt").touch()

    assert place.preloads().learn([module]) == ()


def test_a_rejection_is_announced_once(place, log):
    """In every run: the user can always see what is not preloaded, and why."""
    preloads = place.preloads()
    preloads.reject("numpy", REASON)
    app_modules(preloads)
    preloads.settled()
    preloads.reject("numpy", REASON)
    preloads.settled()
    assert log.text.count("Not preloaded: numpy (it left a thread running (poll))") == 1

    again = place.preloads()
    app_modules(again)
    again.settled()
    assert log.text.count("Not preloaded: numpy") == 2


def test_rejections_of_one_package_are_one_line(place, log):
    """Hundreds of modules of a package that needs settings; each by itself only at level debug."""
    preloads = place.preloads()
    preloads.reject_all([("shop.a", "no settings"), ("shop.b", "no settings"), ("numpy", REASON)])
    preloads.settled()
    lines = [record.message for record in log.records if record.levelname == "INFO"]
    assert lines == [
        "Not preloaded: 2 modules of shop, shop.a the first (no settings). Each reload imports them again.",
        f"Not preloaded: numpy ({REASON}). Each reload imports it again.",
    ]


def test_a_cache_folder_that_cannot_be_written(place, log):
    """The server works without, and says so once for each reason."""
    (place.root / "cache").write_text("a file, not a folder")
    preloads = place.preloads()
    for _ in range(2):
        preloads.reject("numpy", REASON)
    preloads.cannot_keep("No space left on device")

    lines = [record.message for record in log.records if record.levelname == "WARNING"]
    assert [re.search(r"Cannot write to the cache folder \S+ \((.+?)\)", line)[1] for line in lines] == [
        "File exists",
        "No space left on device",
    ]


# -- the server's own


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({}, {"uvicorn", "uvicorn.server", "uvicorn.lifespan.on"}, {"a2wsgi"}),
        ({"http": "h11"}, {"uvicorn.protocols.http.h11_impl"}, {"uvicorn.protocols.http.httptools_impl"}),
        ({"http": "httptools"}, {"uvicorn.protocols.http.httptools_impl"}, {"uvicorn.protocols.http.h11_impl"}),
        ({"ws": "wsproto"}, {"uvicorn.protocols.websockets.wsproto_impl"}, set()),
        ({"ws": "none"}, set(), {"uvicorn.protocols.websockets.wsproto_impl"}),
        ({"loop": "asyncio"}, {"uvicorn.loops.asyncio"}, {"uvloop"}),
        ({"loop": "none"}, set(), {"uvloop"}),
        ({"lifespan": "off"}, {"uvicorn.lifespan.off"}, {"uvicorn.lifespan.on"}),
        ({"interface": "wsgi"}, {"a2wsgi"}, set()),
    ],
)
def test_the_server_stack_follows_the_options(options, present, absent):
    """Only what this configuration will load."""
    modules = set(server_stack(config(**options), tuple(sys.path)))

    assert present <= modules
    assert not absent & modules


def test_protocols_of_the_users_own_are_no_modules_to_preload():
    """A class is there already; the import string of one is the project's."""

    class Protocol:
        pass

    stack = server_stack(config(http=Protocol, ws=Protocol), tuple(sys.path))

    assert all(isinstance(name, str) for name in stack)
    assert not [name for name in stack if "protocols.http" in name]


def test_what_is_not_installed_is_not_preloaded(tmp_path):
    """The bare uvicorn comes without uvloop and httptools."""
    assert server_stack(config(), (str(tmp_path),)) == ()
