"""First-party, third-party or stdlib: by path, with traps."""

import json
import os
import sqlite3
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from firehot_server.discovery.origin import Origins

FIRST, THIRD, STDLIB = "first-party", "third-party", "stdlib"

ORIGINS = Origins(
    installed=("/usr/local/lib/python3.11/site-packages/", "/work/app/vendor/"),
    stdlib=("/usr/lib/python3.11/", "/usr/lib/python311.zip/"),
)


def kind_of(origins, path):
    verdicts = {
        FIRST: origins.is_first_party(path),
        THIRD: origins.is_third_party(path),
        STDLIB: origins.is_stdlib(path),
    }
    (kind,) = [name for name, verdict in verdicts.items() if verdict]  # exactly one of the three
    return kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/work/app/main.py", FIRST),
        ("/work/app/.venv/lib/python3.12/site-packages/numpy/__init__.py", THIRD),
        ("/work/app/.venv/bin/serve.py", FIRST),
        ("/work/app/.venv/src/editable/__init__.py", FIRST),
        ("/work/app/vendor/lib.py", THIRD),
        ("/work/app/vendor", THIRD),
        ("/work/app/vendored/lib.py", FIRST),
        ("/work/app/vendor.py", FIRST),
        ("/work/apple/vendor/lib.py", FIRST),
        ("/x/site-packages-old/lib.py", FIRST),
        ("/x/my-site-packages/lib.py", FIRST),
        ("/x/site-packages", THIRD),
        ("/x/site-packages.py", FIRST),
        ("/x/site-packages/checkout/app.py", THIRD),
        ("/usr/lib/python3/dist-packages/apt/__init__.py", THIRD),
        ("/usr/lib/python3.11/json/decoder.py", STDLIB),
        ("/usr/lib/python3.11/dist-packages/apt.py", THIRD),
        ("/usr/lib/python3.11", STDLIB),
        ("/usr/lib/python3.110/json.py", FIRST),
        ("/usr/lib/python311.zip/json/__init__.pyc", STDLIB),
        ("/usr/lib/./python3.11/../python3.11//json/decoder.py", STDLIB),
        ("/x/site-packages/../src/app.py", FIRST),
        (None, STDLIB),
        ("built-in", STDLIB),
        ("frozen", STDLIB),
        ("<frozen importlib._bootstrap>", STDLIB),
        ("<string>", FIRST),
        ("relative/app.py", FIRST),
    ],
)
def test_a_path_has_exactly_one_origin(path, kind):
    assert kind_of(ORIGINS, path) == kind


def test_relative_paths_count_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    origins = Origins.of_interpreter(["vendor"])
    assert kind_of(origins, "vendor/lib.py") == THIRD
    assert kind_of(origins, str(tmp_path / "vendor" / "lib.py")) == THIRD
    assert kind_of(origins, str(tmp_path / "lib.py")) == FIRST


def test_a_directory_counts_as_named_and_as_resolved(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    origins = Origins.of_interpreter([str(tmp_path / "link")])
    assert kind_of(origins, str(tmp_path / "link" / "lib.py")) == THIRD
    assert kind_of(origins, str((tmp_path / "real").resolve() / "lib.py")) == THIRD


def test_an_extra_file_may_be_named(tmp_path):
    origins = Origins.of_interpreter([str(tmp_path / "generated.py")])
    assert kind_of(origins, str(tmp_path / "generated.py")) == THIRD
    assert kind_of(origins, str(tmp_path / "generated.pyi")) == FIRST


def test_the_running_interpreter_knows_its_own():
    origins = Origins.of_interpreter()
    assert kind_of(origins, json.__file__) == STDLIB
    assert kind_of(origins, os.path.realpath(json.__file__)) == STDLIB
    assert kind_of(origins, sqlite3.dbapi2.__file__) == STDLIB
    assert kind_of(origins, pytest.__file__) == THIRD
    assert kind_of(origins, __file__) == FIRST


def test_every_extension_module_of_the_stdlib_is_found_there():
    origins = Origins.of_interpreter()
    (dynload,) = [entry for entry in sys.path if entry.endswith("lib-dynload")]
    assert kind_of(origins, f"{dynload}/_json.so") == STDLIB


def test_a_virtual_environment_reached_through_a_link(tmp_path):
    """The stdlib lies outside the environment, its own packages inside, whichever name it goes by."""
    venv.create(tmp_path / "real", symlinks=True, with_pip=False)
    (tmp_path / "link").symlink_to("real")
    program = """if True:
        import json, sysconfig
        from firehot_server.discovery.origin import Origins
        origins = Origins.of_interpreter()
        print(origins.is_stdlib(json.__file__))
        print(origins.is_third_party(sysconfig.get_path("purelib") + "/x.py"))
        print(*origins.installed, sep="\\n")
    """
    answer = subprocess.run(
        [str(tmp_path / "link" / "bin" / "python"), "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    ).stdout.splitlines()
    assert answer[:2] == ["True", "True"]
    purelib = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/"
    for name in ("link", "real"):
        assert f"{tmp_path}/{name}/{purelib}" in answer[2:]
