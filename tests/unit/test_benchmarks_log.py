"""The bench of the read log: imports of a small app here, figures and demands."""

import sys
from pathlib import Path

import pytest

from benchmarks import apps, environments, log
from benchmarks.__main__ import _parser
from benchmarks.log_report import LogRow, Times, log_json, log_shortfalls, log_table
from benchmarks.report import OURS
from benchmarks.servers import SERVERS
from benchmarks.settings import Settings

# It leaves a word for each import: whether somebody listens to what it reads.
_APP = """\
import os
import part
with open("../imports", "a") as file:
    file.write("logged\\n" if type(os.stat).__name__ == "_Telling" else "bare\\n")
"""


@pytest.fixture
def settings(tmp_path):
    """Of a run that measures with this interpreter."""
    python = environments.Interpreter(Path(sys.executable), sys.version_info[:3])
    here = environments.Environment(Path(sys.prefix), python, {})
    return Settings(
        apps=(),
        servers=(),
        packages=(),
        libraries=(),
        environments={SERVERS[OURS].recipe.name: here},
        edits=1,
        starts=1,
        rounds=2,
        reloads=1,
        faults=1,
        seed=0,
        results=tmp_path / "results",
        scratch=tmp_path / "scratch",
    )


def test_both_ways_take_turns(settings, monkeypatch):
    """After one unmeasured import each, in pairs; every other pair begins with the other one."""
    monkeypatch.setattr(log, "APP", apps.App("tiny", (), {"app.py": _APP, "part.py": ""}, "part.py"))
    monkeypatch.setattr(log, "PRELOAD", ("json",))
    monkeypatch.setattr(log, "PAIRS", 1)

    row = log.measure(settings)

    imports = (settings.scratch / "log/imports").read_text().split()
    assert imports == ["bare", "logged", "logged", "bare", "bare", "logged"]
    assert (len(row.without), len(row.logged)) == (2, 2)
    assert all(times.wall > 0 for times in (*row.without, *row.logged))


ROW = LogRow(
    "large",
    without=[Times(100, 90), Times(110, 100), Times(300, 101)],
    logged=[Times(101, 91.8), Times(90, 80), Times(500, 120)],
)


def test_the_table_has_medians_and_those_of_ratios_of_pairs():
    """One slow import changes nothing."""
    without, logged = [[cell.strip() for cell in line.split("|")[1:-1]] for line in log_table(ROW).splitlines()[2:]]
    assert without == ["large", "without", "3", "110", "-", "100", "-"]
    assert logged == ["large", "with", "3", "101", "1.010", "91.8", "1.020"]
    assert log_json(ROW)["share"] == {"wall": pytest.approx(1.01), "cpu": pytest.approx(1.02)}


@pytest.mark.parametrize(("limit", "shortfalls"), [(None, 0), (1.02, 0), (1.001, 1)])
def test_what_the_log_owes(limit, shortfalls):
    """Nothing, unless it is asked for."""
    assert len(list(log_shortfalls(ROW, limit))) == shortfalls


def test_the_limit_is_an_option():
    """Of the command."""
    assert _parser().parse_args(["log", "--max-log", "1.03"]).max_log == 1.03
