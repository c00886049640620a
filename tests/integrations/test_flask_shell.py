"""What of the command's environment is the shell's, and what did flask add from files?"""

import os

import pytest
from firehot_flask.shell import shell_environment
from flask.cli import load_dotenv

MARK = "FLASK_RUN_FROM_CLI"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Sets the shell's variables, then does what flask does with files of this text; what is taken for the shell's."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)

    def run(shell, *, later=(), env="", flaskenv="", other=None, dotenv=True, debug=None, options=()):
        os.environ.clear()
        (tmp_path / ".env").write_text(env)
        (tmp_path / ".flaskenv").write_text(flaskenv)
        if other is not None:
            (tmp_path / "other.env").write_text(other)
        path = None if other is None else str(tmp_path / "other.env")
        os.environ.update(shell)
        os.environ[MARK] = "true"
        os.environ.update(later)
        load_dotenv(path, load_defaults=dotenv)
        if debug is not None:
            os.environ["FLASK_DEBUG"] = debug
        loaded = dict(os.environ)
        found = shell_environment(path, dotenv=dotenv, debug_is_option="debug" in options)
        assert dict(os.environ) == loaded  # the command may yet go on as `flask run`
        del found[MARK]
        return found

    yield run
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("shell", "files", "expected"),
    [
        ({"A": "1"}, {}, {"A": "1"}),
        ({"A": "1"}, {"env": "B=2"}, {"A": "1"}),
        ({"A": "1"}, {"flaskenv": "B=2", "other": "C=3"}, {"A": "1"}),
        ({"A": "1"}, {"env": "A=2"}, {"A": "1"}),
        ({"A": "1"}, {"env": "A=1"}, {"A": "1"}),
        ({"A": "1"}, {"env": "B=${A}${A}"}, {"A": "1"}),
        ({}, {"later": {"A": "by a script"}, "env": "A=2"}, {"A": "by a script"}),
        ({}, {"env": "B=2", "dotenv": False}, {}),
        ({"B": "2"}, {"env": "B=2", "dotenv": False}, {"B": "2"}),
        # flask writes "1" where the file says "yes".
        ({}, {"env": "FLASK_DEBUG=yes", "debug": "1"}, {}),
        ({}, {"env": "FLASK_DEBUG=yes", "debug": "0", "options": ["debug"]}, {"FLASK_DEBUG": "0"}),
        ({}, {"debug": "1", "options": ["debug"]}, {"FLASK_DEBUG": "1"}),
        ({"FLASK_DEBUG": "yes"}, {"env": "FLASK_DEBUG=no", "debug": "1"}, {"FLASK_DEBUG": "1"}),
    ],
)
def test_what_files_have_set_is_left_out(environment, shell, files, expected):
    """And nothing else, even where both agree."""
    assert environment(shell, **files) == expected
