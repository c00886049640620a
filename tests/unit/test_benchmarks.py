"""The benchmarks' pure parts: percentiles, verdicts on answers, tables, and the generated applications."""

import http.client
import sys
from pathlib import Path

import pytest

from benchmarks import apps, catalogue, check, environments, probe, projects, report, servers, waiting
from benchmarks.__main__ import _parser
from benchmarks.check import Demand
from benchmarks.probe import Attempt, Outcome, Verdict
from tests.support.proc import listens, process

SAVED = 10.0


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 95, 7.0),
        ([30.0, 10.0, 20.0], 50, 20.0),
        ([10.0, 20.0], 50, 15.0),
        ([float(n) for n in range(1, 22)], 95, 20.0),
        ([1.0, 2.0, 3.0], 0, 1.0),
        ([1.0, 2.0, 3.0], 100, 3.0),
    ],
)
def test_percentile_interpolates_between_the_nearest_values(values, percent, expected):
    """Order of the input does not matter; 0 and 100 are the extremes."""
    assert report.percentile(values, percent) == pytest.approx(expected)


def test_percentile_of_nothing_is_an_error():
    """A made-up number must not get into a table."""
    with pytest.raises(ValueError, match="no values"):
        report.percentile([], 50)


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        (Attempt(9.9, 9.91, version=1), Verdict.EARLY),
        (Attempt(9.9, 12.0, version=1), Verdict.EARLY),  # begun before the save: a slow old answer is right
        (Attempt(10.049, 10.06, version=1), Verdict.EARLY),
        (Attempt(10.051, 10.06, version=1), Verdict.STALE),
        (Attempt(10.001, 10.02, version=2), Verdict.FRESH),
        (Attempt(9.99, 10.02, version=2), Verdict.FRESH),  # held across the save
        (Attempt(9.9, 9.91, failure="refused"), Verdict.FAILED),
        (Attempt(11.0, 11.1, failure="status 500"), Verdict.FAILED),
    ],
)
def test_an_answer_is_judged_by_its_version_and_by_when_it_was_begun(attempt, verdict):
    """Old answers are stale only when begun after the grace; failures count whenever they happen."""
    assert probe.judge(attempt, SAVED, version=2) is verdict


def test_an_edit_is_timed_to_the_end_of_the_first_fresh_answer():
    """Whichever client got it, and in whatever order the attempts were recorded."""
    outcome = probe.conclude(
        [
            Attempt(9.9, 9.91, version=1),
            Attempt(10.1, 10.2, version=1),
            Attempt(10.2, 10.21, failure="refused"),
            Attempt(10.21, 10.22, failure="refused"),
            Attempt(10.3, 10.35, version=2),
            Attempt(10.29, 10.325, version=2),
        ],
        SAVED,
        version=2,
    )

    assert outcome.milliseconds == pytest.approx(325)
    assert (outcome.requests, outcome.stale, outcome.failures) == (6, 1, {"refused": 2})


def test_an_edit_that_is_never_answered_has_no_time():
    """It is lost, not instant and not infinite."""
    assert probe.conclude([Attempt(11.0, 11.1, version=1)], SAVED, version=2).milliseconds is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"version": 7}', (7, None)),
        (500, b'{"version": 7}', (None, "status 500")),
        (200, b"<html>", (None, "body without a version")),
        (200, b'{"other": 1}', (None, "body without a version")),
        (200, b"[]", (None, "body without a version")),
    ],
)
def test_only_a_200_with_a_version_is_an_answer(status, body, expected):
    """A failure page must not pass for an answer."""
    assert probe.interpret(status, body) == expected


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionRefusedError(111, "refused"), "refused"),
        (ConnectionResetError(104, "reset"), "reset"),
        (http.client.RemoteDisconnected("closed"), "reset"),
        (TimeoutError("timed out"), "timed out"),
        (OSError(99, "address"), "EADDRNOTAVAIL"),
        (http.client.BadStatusLine("?"), "BadStatusLine"),
    ],
)
def test_failures_of_one_cause_share_one_name(error, name):
    """They are counted by it."""
    assert probe.name_failure(error) == name


def reload_row(server, *times, stale=0, failures=None, notes=()):
    """A row whose first edit took 100 ms and whose repeated edits took `times`."""
    outcomes = [Outcome(time, 10, stale, failures or {}) for time in times]
    return report.ReloadRow("small", server, "1.0", Outcome(100.0, 10, 0), outcomes, list(notes))


def test_the_table_compares_with_uvicorn_and_with_uvicorn_hmr():
    """Each server's p50 divides theirs; the first edit stays out of it."""
    table = report.reload_table(
        [reload_row("firehot", 20.0, 20.0), reload_row("uvicorn", 600.0), reload_row("uvicorn-hmr", 80.0)]
    ).splitlines()

    assert cells(table[0])[-2:] == ["x uvicorn", "x uvicorn-hmr"]
    assert cells(table[2]) == ["firehot", "1.0", "2/2", "100", *["20.0"] * 3, "0", "0", "0", "-", "30.0", "4.00"]
    assert cells(table[3])[-2:] == ["1.00", "0.13"]
    assert len({len(line) for line in table}) == 1


def test_a_missing_peer_leaves_its_ratio_open():
    """As when there is no Python that uvicorn-hmr runs on."""
    table = report.reload_table([reload_row("firehot", 20.0)]).splitlines()

    assert cells(table[2])[-2:] == ["-", "-"]


def test_a_lost_edit_shows_in_its_row_and_not_in_its_times():
    """Two of three were answered."""
    table = report.reload_table([reload_row("granian", 300.0, None, 500.0)]).splitlines()

    assert cells(table[2]) == ["granian", "1.0", "2/3", "100", "400", "490", "500", "0", "0", "1", "-", "-", "-"]


def test_a_server_that_never_started_has_a_row_and_a_note():
    """The run goes on without it, and says why."""
    row = report.ReloadRow("small", "hypercorn", "1.0", notes=["no answer; its output: here.log"])

    table = report.reload_table([row]).splitlines()

    assert cells(table[2])[2:10] == ["0/0", "-", "-", "-", "-", "0", "0", "0"]
    assert table[3] == "  hypercorn: no answer; its output: here.log"


def test_failed_requests_are_told_apart_below_the_table():
    """The most frequent kind first."""
    row = reload_row("granian", 1.0, 2.0, failures={"reset": 1, "refused": 4})

    assert report.reload_table([row]).endswith("\n  granian: failed: 8 refused, 2 reset, of 30 requests")


def test_cold_starts_are_given_as_a_part_of_uvicorns_time():
    """Below 1 is faster."""
    rows = [
        report.ColdRow("small", "firehot", "1.0", [500.0]),
        report.ColdRow("small", "uvicorn", "1", [400.0]),
    ]

    table = report.cold_table(rows).splitlines()

    assert cells(table[2]) == ["firehot", "1.0", "1", "500", "500", "500", "1.25", "-"]


def test_figures_for_the_file_hold_every_edit_and_the_median():
    """Nothing that the table shows is missing there."""
    figures = report.as_json(reload_row("firehot", 20.0, 30.0, failures={"reset": 1}))

    assert figures["median"] == 25.0
    assert [outcome["milliseconds"] for outcome in figures["repeated"]] == [20.0, 30.0]
    assert figures["failures"] == {"reset": 2}


def cells(line: str) -> list[str]:
    """The cells of one line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("text", "demand"),
    [
        ("uvicorn=50", Demand(None, "uvicorn", 50.0)),
        ("heavy:uvicorn-hmr=2.5", Demand("heavy", "uvicorn-hmr", 2.5)),
    ],
)
def test_a_demand_names_a_peer_and_maybe_an_app(text, demand):
    """Without an app it holds for each."""
    assert Demand.parse(text) == demand


@pytest.mark.parametrize("text", ["uvicorn", "=5", ":uvicorn=5", "uvicorn=fast"])
def test_a_demand_that_makes_no_sense_is_refused(text):
    """argparse shows the ValueError as a usage error."""
    with pytest.raises(ValueError, match=r"name=LIMIT|convert"):
        Demand.parse(text)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (reload_row("firehot", 20.0), []),
        (reload_row("firehot", 40.0), ["reload small: 15.00 times uvicorn, wanted 20"]),
        (reload_row("firehot", 20.0, stale=2), ["reload small: 2 stale"]),
        (reload_row("firehot", 20.0, failures={"reset": 3}), ["reload small: 3 failed"]),
        (reload_row("firehot", 20.0, None), ["reload small: 1 lost"]),
        (reload_row("uvicorn-hmr", 5.0), ["reload small: firehot was not measured"]),
        (reload_row("firehot", 20.0, notes=["ended by itself"]), ["reload small: ended by itself"]),
    ],
)
def test_the_check_names_what_falls_short(ours, expected):
    """One line for each thing owed."""
    rows = [ours, reload_row("uvicorn", 600.0)]

    assert list(check.reload_shortfalls("small", rows, [Demand("small", "uvicorn", 20.0)])) == expected


def test_a_demand_on_a_peer_that_was_not_measured_falls_short():
    """Silence would look like success."""
    shortfalls = check.reload_shortfalls("small", [reload_row("firehot", 20.0)], [Demand(None, "uvicorn", 20.0)])

    assert list(shortfalls) == ["reload small: unknown times uvicorn, wanted 20"]


def test_cold_starts_are_checked_with_and_without_a_cache():
    """Both rows are firehot's."""
    rows = [
        report.ColdRow("small", "firehot", "1", [440.0]),
        report.ColdRow("small", "firehot", "1", [500.0], empty_cache=True),
        report.ColdRow("small", "uvicorn", "1", [400.0]),
    ]

    shortfalls = list(check.cold_shortfalls("small", rows, [Demand(None, "uvicorn", 1.15)]))

    assert shortfalls == ["cold small: firehot (empty cache): 1.25 of uvicorn's time, wanted 1.15"]


def test_a_start_is_compared_with_one_that_found_the_same():
    """An empty cache costs time with and without checkpoints."""
    rows = [
        report.ColdRow("small", "firehot", "1", [440.0]),
        report.ColdRow("small", "firehot-no-checkpoints", "1", [400.0]),
        report.ColdRow("small", "firehot", "1", [600.0], empty_cache=True),
        report.ColdRow("small", "firehot-no-checkpoints", "1", [500.0], empty_cache=True),
    ]

    table = report.cold_table(rows).splitlines()
    shortfalls = list(check.cold_shortfalls("small", rows, [Demand(None, "firehot-no-checkpoints", 1.15)]))

    assert [cells(line)[-1] for line in table[2:]] == ["1.10", "1.00", "1.20", "1.00"]
    assert shortfalls == ["cold small: firehot (empty cache): 1.20 of firehot-no-checkpoints's time, wanted 1.15"]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (waiting.Waiting(12, 255.0), []),
        (waiting.Waiting(12, 257.0), ["reload small: 257.00 MB wait, wanted 256"]),
        (None, ["reload small: unknown MB wait, wanted 256"]),
    ],
)
def test_what_waits_may_take_so_much_memory(memory, expected):
    """All of it together."""
    row = reload_row("firehot", 20.0)
    row.waiting = memory

    assert list(check.memory_shortfalls("small", [row], [Demand(None, "firehot", 256.0)])) == expected


def test_the_table_shows_the_memory_and_the_number_of_what_waits():
    """Of ours; of other servers nothing is known."""
    row = reload_row("firehot", 20.0)
    row.waiting = waiting.Waiting(12, 83.25)

    lines = report.reload_table([row, reload_row("uvicorn", 600.0)]).splitlines()

    assert [cells(line)[10] for line in (lines[0], *lines[2:])] == ["waiting MB", "83.2 (12)", "-"]


def test_what_waits_is_all_below_a_server_that_does_not_listen(tmp_path):
    """Grandchildren too; neither the server itself, nor the worker, nor what has just ended."""
    listens(tmp_path, 8080, socket=4242, accepted=4343)
    process(tmp_path, 1, children=[2], private={"Dirty": 9999}, socket=4242)
    process(tmp_path, 2, children=[3, 4, 5], private={"Clean": 512, "Dirty": 512})
    process(tmp_path, 3, private={"Clean": 0, "Dirty": 2048}, socket=4343)
    process(tmp_path, 4, private={"Dirty": 9999}, socket=4242)
    process(tmp_path, 5)

    assert waiting.examine(1, 8080, tmp_path) == waiting.Waiting(2, 3.0)
    assert waiting.examine(1, 8081, tmp_path) is None
    assert waiting.examine(1, 8080, tmp_path / "none") is None


@pytest.mark.parametrize("app", catalogue.APPS.values(), ids=lambda app: app.name)
def test_an_app_is_written_whole_and_each_file_is_python(app, tmp_path):
    """Nothing is missing, and the edited file is among them."""
    app.write(tmp_path)

    for name in app.files:
        compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")
    assert f"VERSION = {apps.FIRST_VERSION} " in (tmp_path / app.edited).read_text(encoding="utf-8")


@pytest.mark.parametrize("app", catalogue.APPS.values(), ids=lambda app: app.name)
def test_each_edit_changes_the_version_and_only_every_other_one_the_size(app, tmp_path):
    """Same size within the same second is what fools bytecode caches."""
    app.write(tmp_path)
    path = tmp_path / app.edited
    before = path.read_text(encoding="utf-8")

    for number in range(1, 31):
        edit = apps.Edit(number)
        edit.save(app, tmp_path)
        after = path.read_text(encoding="utf-8")
        assert f"VERSION = {edit.version} " in after
        assert (len(after) == len(before)) is edit.same_size
        compile(after, app.edited, "exec")
        before = after

    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == set(app.files)


HERE = environments.Environment(Path(sys.prefix), environments.Interpreter(Path(sys.executable), (3, 13, 0)), {})


def made(code):
    """A one-file app on top of what this code makes."""
    return apps.App("made", (), {"own.py": "OWN = 1\n"}, "own.py", commands=(("python", "-c", code),))


def test_a_project_is_what_its_commands_make_and_its_files_on_top(tmp_path):
    """The commands run in the project's folder, and come first."""
    code = "from pathlib import Path; Path('own.py').touch(); Path('db.sqlite3').touch()"

    projects.lay_out(made(code), HERE, tmp_path / "project", tmp_path / "log")

    assert sorted(path.name for path in (tmp_path / "project").iterdir()) == ["db.sqlite3", "own.py"]
    assert (tmp_path / "project" / "own.py").read_text() == "OWN = 1\n"


def test_a_command_that_fails_says_where_its_output_is(tmp_path):
    """Before anything is measured."""
    with pytest.raises(environments.SetupError, match=r"status 3.*its output is in .*log"):
        projects.lay_out(made("print('why'); raise SystemExit(3)"), HERE, tmp_path / "project", tmp_path / "log")

    assert (tmp_path / "log").read_text() == "why\n"


def test_the_large_apps_differ_in_what_is_edited_and_what_is_asked():
    """The start of one of them stands for all."""
    large = {name: app for name, app in catalogue.APPS.items() if name.startswith("large-")}

    assert {name: (app.edited, app.path) for name, app in large.items()} == {
        "large-leaf": ("routers/item_149.py", "/items/149/version"),
        "large-leaf-ready": ("routers/item_149.py", "/ready"),
        "large-middle": ("routers/item_075.py", "/items/075/version"),
        "large-middle-ready": ("routers/item_075.py", "/ready"),
        "large-model": ("models/item_001.py", "/items/001/version"),
        "large-model-ready": ("models/item_001.py", "/ready"),
    }
    assert {frozenset(app.files) for app in large.values()} == {frozenset(large["large-leaf"].files)}
    assert [name for name, app in large.items() if app.starts] == ["large-leaf"]


def test_the_command_line_takes_demands_on_what_is_measured():
    """Ours without checkpoints is only started, and only some apps are."""
    arguments = ["--max-cold", "large-leaf:firehot-no-checkpoints=1.1", "--max-waiting", "firehot=256"]

    options = _parser().parse_args(arguments)

    assert options.max_cold == [Demand("large-leaf", "firehot-no-checkpoints", 1.1)]
    assert options.max_waiting == [Demand(None, "firehot", 256.0)]


@pytest.mark.parametrize(
    ("option", "demand"),
    [
        ("--max-cold", "large-leaf-ready:uvicorn=1"),
        ("--min-ratio", "firehot-no-checkpoints=1"),
        ("--max-waiting", "uvicorn=1"),
    ],
)
def test_a_demand_on_what_is_never_measured_is_refused(option, demand, capsys):
    """It could not fail."""
    with pytest.raises(SystemExit):
        _parser().parse_args([option, demand])

    assert f"{option}: unknown: " in capsys.readouterr().err


def test_an_atomic_edit_replaces_the_file_and_another_one_keeps_it(tmp_path):
    """The two ways in which editors save."""
    apps.SMALL.write(tmp_path)
    path = tmp_path / apps.SMALL.edited
    with path.open(encoding="utf-8") as original:  # held open, so that its inode cannot be used again
        inode = path.stat().st_ino
        in_place, atomic = (next(e for e in map(apps.Edit, range(1, 5)) if e.atomic is way) for way in (False, True))

        in_place.save(apps.SMALL, tmp_path)
        assert path.stat().st_ino == inode
        assert str(in_place.version) in original.read()

        atomic.save(apps.SMALL, tmp_path)
        assert path.stat().st_ino != inode


def test_four_edits_in_a_row_try_all_pairs_of_size_and_save():
    """No way of saving is only ever seen with one kind of change."""
    assert len({(edit.same_size, edit.atomic) for edit in map(apps.Edit, range(1, 5))}) == 4


def test_an_environment_is_never_reused_for_other_requirements_or_another_python():
    """Its name changes with either, but not with the order of the requirements."""
    python = environments.Interpreter(environments.ROOT, (3, 13, 0))
    recipe = environments.Recipe("peers", ("a==1", "b==2"))

    names = {
        environments.fingerprint(recipe, python),
        environments.fingerprint(environments.Recipe("peers", ("b==2", "a==1")), python),
        environments.fingerprint(environments.Recipe("peers", ("a==1", "b==3")), python),
        environments.fingerprint(recipe, environments.Interpreter(environments.ROOT, (3, 13, 1))),
    }

    assert len(names) == 3


def test_every_server_is_told_the_target_and_the_port():
    """A forgotten placeholder would start it on the default port."""
    for server in servers.SERVERS.values():
        command = " ".join(server.command)
        assert not command or ("{target}" in command and "{port}" in command)
    for app in catalogue.APPS.values():
        assert all("{port}" in command for command in app.served_by.values())
        assert app.served_by.keys() <= servers.SERVERS.keys()


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("small", {"firehot": "firehot-uvicorn", "uvicorn": "uvicorn", "runserver": None}),
        ("django", {"firehot": "python", "uvicorn": None, "runserver": "python"}),
        ("flask", {"firehot": "flask", "uvicorn": None, "flask": "flask"}),
    ],
)
def test_an_app_is_served_by_its_framework_s_command_or_by_all(app, expected):
    """Ours serves both kinds."""
    commands = {name: servers.SERVERS[name].command_for(catalogue.APPS[app]) for name in expected}

    assert {name: command[0] if command else None for name, command in commands.items()} == expected


def test_a_framework_s_own_server_is_what_the_table_compares_with():
    """Where it was measured."""
    table = report.reload_table([reload_row("firehot", 20.0), reload_row("runserver", 600.0)]).splitlines()

    assert cells(table[0])[-2:] == ["waiting MB", "x runserver"]
    assert cells(table[2])[-1] == "30.0"
