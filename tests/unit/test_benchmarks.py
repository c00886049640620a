"""The benchmarks' pure parts: percentiles, verdicts on answers, tables, and the generated applications."""

import http.client

import pytest

from benchmarks import apps, check, environments, probe, report, servers
from benchmarks.check import Demand
from benchmarks.probe import Attempt, Outcome, Verdict

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
    assert cells(table[2]) == ["firehot", "1.0", "2/2", "100", *["20.0"] * 3, "0", "0", "0", "30.0", "4.00"]
    assert cells(table[3])[-2:] == ["1.00", "0.13"]
    assert len({len(line) for line in table}) == 1


def test_a_missing_peer_leaves_its_ratio_open():
    """As when there is no Python that uvicorn-hmr runs on."""
    table = report.reload_table([reload_row("firehot", 20.0)]).splitlines()

    assert cells(table[2])[-2:] == ["-", "-"]


def test_a_lost_edit_shows_in_its_row_and_not_in_its_times():
    """Two of three were answered."""
    table = report.reload_table([reload_row("granian", 300.0, None, 500.0)]).splitlines()

    assert cells(table[2]) == ["granian", "1.0", "2/3", "100", "400", "490", "500", "0", "0", "1", "-", "-"]


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

    assert cells(table[2]) == ["firehot", "1.0", "1", "500", "500", "500", "1.25"]


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
    with pytest.raises(ValueError, match=r"name=RATIO|convert"):
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
        report.ColdRow("small", "firehot (empty cache)", "1", [500.0]),
        report.ColdRow("small", "uvicorn", "1", [400.0]),
    ]

    shortfalls = list(check.cold_shortfalls("small", rows, [Demand(None, "uvicorn", 1.15)]))

    assert shortfalls == ["cold small: firehot (empty cache): 1.25 of uvicorn's time, wanted 1.15"]


@pytest.mark.parametrize("app", apps.APPS.values(), ids=lambda app: app.name)
def test_an_app_is_written_whole_and_each_file_is_python(app, tmp_path):
    """Nothing is missing, and the edited file is among them."""
    app.write(tmp_path)

    for name in app.files:
        compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")
    assert f"VERSION = {apps.FIRST_VERSION} " in (tmp_path / app.edited).read_text(encoding="utf-8")


@pytest.mark.parametrize("app", apps.APPS.values(), ids=lambda app: app.name)
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

    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(app.files)


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
        assert "{target}" in command
        assert "{port}" in command
