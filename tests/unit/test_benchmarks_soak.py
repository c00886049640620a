"""The soak's edits, what its servers' processes hold, its tables and demands."""

import asyncio
import importlib.util
import random
from itertools import islice, pairwise

import pytest

from benchmarks import report
from benchmarks.apps import FIRST_VERSION
from benchmarks.soak import app, chaos_report, edits, resources, tree
from benchmarks.soak.chaos_report import ChaosRow, Fault
from benchmarks.soak.judge import Exchange, Problem, Save, Verdict, judge
from benchmarks.soak.report import SoakRow, counts_table, resources_table, soak_json, soak_shortfalls, times_table
from benchmarks.soak.resources import Resources, Usage
from benchmarks.soak.run import Outcome
from tests.support.proc import listens, process

# -- the app and its edits


def load(path):
    """Run a module by itself."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(folder, text):
    path = folder / "edited.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("broken", app.BREAKS)
def test_a_broken_save_fails_and_names_its_version(tmp_path, broken):
    """At the import, or when the app starts: in the text of its traceback."""
    text = app.source(100_123, broken)

    with pytest.raises((SyntaxError, ImportError, RuntimeError)):
        load(saved(tmp_path, text)).start()
    assert "broken-100123" in text


def test_a_good_save_shows_its_version_and_half_of_it_shows_none(tmp_path):
    """Each of them can be imported."""
    text = app.source(100_123, padding=3)

    assert load(saved(tmp_path, text)).VERSION == 100_123
    assert text.startswith(app.HALF)
    assert load(saved(tmp_path, app.HALF)).VERSION == 0


def test_edits_are_good_before_each_rest_and_mend_what_is_broken():
    """So that each rest can end, and each failure is that of one file."""
    many = list(islice(edits.edits(random.Random(1)), 2_000))

    assert [edit.version for edit in many] == list(range(FIRST_VERSION + 1, FIRST_VERSION + 2_001))
    assert {edit.version % edits.REST_EVERY for edit in many if edit.pause is None} == {0}
    assert not any(edit.broken for edit in many if edit.pause is None)
    assert all(after.file == before.file for before, after in pairwise(many) if before.broken)
    assert {edit.broken for edit in many} == {"", *app.BREAKS}
    assert {edit.way for edit in many} == {"renamed", "in place", "truncated", "in pieces"}
    pauses = [edit.pause for edit in many if edit.pause is not None]
    assert edits.INTERVAL[0] <= min(pauses) < 0.01 < 1.0 < max(pauses) <= edits.INTERVAL[1]


def test_the_same_seed_gives_the_same_edits():
    """To repeat a run."""
    first, second, other = (list(islice(edits.edits(random.Random(seed)), 50)) for seed in (1, 1, 2))

    assert first == second != other


@pytest.mark.parametrize("way", ["renamed", "in place", "truncated", "in pieces"])
def test_a_save_leaves_the_new_text_and_nothing_else(tmp_path, way):
    """However it is written; its times are those of its beginning and its end."""
    app.SOAK.write(tmp_path)
    text = app.source(100_001)
    edit = edits.Edit(100_001, 1, text, "", way, half=0.001, pause=None)

    save = asyncio.run(edits.save(edit, tmp_path))

    assert (tmp_path / app.EDITED[1]).read_text() == text
    assert {path.name for path in tmp_path.iterdir()} == set(app.SOAK.files)
    assert (save.version, save.file, save.broken) == (100_001, 1, False)
    assert save.begun < save.ended


# -- processes


def test_what_processes_hold_is_summed(tmp_path):
    """Of the first, of its children, and of all; what has ended holds nothing, but is there until it is reaped."""
    process(tmp_path, 1, children=[2, 5], private={"Dirty": 1024}, socket=7)
    process(tmp_path, 2, children=[3], private={"Clean": 1024, "Dirty": 1024}, socket=7)
    process(tmp_path, 3, private={"Dirty": 3072})
    process(tmp_path, 5, state="Z")

    assert resources.examine(1, tmp_path) == Resources(
        first=Usage(1, 1, 1, 1.0), second=Usage(1, 1, 1, 2.0), all=Usage(3, 3, 2, 6.0), zombies=1
    )
    assert resources.examine(4, tmp_path) is None


def test_processes_are_told_apart_by_what_they_have(tmp_path):
    """The supervisor is none of them, nor is what has ended."""
    listens(tmp_path, 8080, socket=42, accepted=43)
    process(tmp_path, 1, children=[2], socket=42)
    process(tmp_path, 2, children=[3, 4, 7])
    process(tmp_path, 3, children=[5, 6])
    process(tmp_path, 4, socket=43)
    process(tmp_path, 5, socket=42)
    process(tmp_path, 6)
    process(tmp_path, 7, state="Z")

    assert tree.roles(1, 8080, tmp_path) == {
        2: "template",
        3: "checkpoint",
        4: "stand-by",
        5: "worker",
        6: "stand-by",
    }


# -- tables and demands

EARLY = Resources(Usage(1, 3, 24, 22.0), Usage(1, 1, 7, 7.0), Usage(8, 10, 130, 90.0), zombies=0)


def row(*exchanges, server="firehot", lost=(), drops=0, late=EARLY, notes=()):
    """A server that saw one save, at 10 s."""
    saves = [Save(FIRST_VERSION + 1, 0, 9.999, 10.0)]
    good = Exchange("fresh", 9.9, 10.1, (FIRST_VERSION + 1, FIRST_VERSION, FIRST_VERSION), quick=True)
    exchanges = [good, *exchanges]
    judgement = judge(exchanges, saves, 3)
    outcome = Outcome(saves, list(lost), len(exchanges), 0, drops, [0.001], EARLY, late, judgement)
    return SoakRow(server, "1.0", 7, outcome, list(notes))


REFUSED = Exchange("fresh", 10.0, 10.25, failure=Verdict.REFUSED, note="refused: closed")


def cells(line):
    """Of one line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_counts_each_kind_of_problem_and_shows_samples():
    """A column for each."""
    head, _, first, second, *notes = counts_table([row(REFUSED, REFUSED), SoakRow("granian", "2", 7)]).splitlines()
    counts = dict(zip(cells(head), cells(first), strict=True))

    assert {name for name, count in counts.items() if count == "0"} == {
        *(verdict.value for verdict in Verdict if verdict is not Verdict.REFUSED),
        *("lost", "dropped"),
    }
    assert (counts["saves"], counts["reloads"], counts["requests"], counts["refused"]) == ("1", "1", "3", "2")
    assert cells(second) == ["granian", "2", *["-"] * (len(counts) - 2)]
    assert notes == ["  firehot: refused: fresh, after 0.250 s: refused: closed"] * 2


def test_the_times_are_those_of_reloads_and_of_what_waited_for_them():
    """In milliseconds, and one as a part of the other."""
    lines = [cells(line) for line in times_table([row()]).splitlines()[2:]]

    assert {line[1]: float(line[2]) for line in lines} == {
        "reload": 100.0,
        "wait": 200.0,
        "wait / reload": 2.0,
        "load's own lag": 1.0,
    }


def test_what_processes_hold_is_shown_at_both_times():
    """Where it is known."""
    late = Resources(Usage(1, 3, 25, 23.0), EARLY.second, EARLY.all, zombies=0)
    lines = resources_table([row(late=late), row(server="uvicorn"), row(late=None)]).splitlines()[2:]

    assert cells(lines[0]) == ["firehot", "first process", "1 → 1", "3 → 3", "24 → 25", "22.0 → 23.0"]
    assert [cells(line)[1] for line in lines] == [
        "first process",
        "template",
        "all",
        "first process",
        "children",
        "all",
    ]


GROWN = Resources(Usage(1, 4, 40, 50.0), Usage(1, 1, 7, 7.0), EARLY.all, zombies=2)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ["soak: firehot was not measured"]),
        ([SoakRow("firehot", "1", 7, notes=["no answer"])], ["soak: firehot was not measured"]),
        ([row(REFUSED, server="uvicorn")], ["soak: firehot was not measured"]),
        ([row(REFUSED), row(REFUSED, server="uvicorn")], ["soak: 1 refused"]),
        ([row(lost=[1, 2])], ["soak: 2 lost"]),
        ([row(drops=3)], ["soak: 3 dropped"]),
        ([row(notes=["ended by itself"])], ["soak: ended by itself"]),
        ([row(late=None)], ["soak: what the processes hold is unknown"]),
        (
            [row(late=GROWN)],
            [
                "soak: the supervisor grew from 3 threads to 4",
                "soak: the supervisor grew from 24 descriptors to 40",
                "soak: the supervisor grew from 22 MB to 50",
                "soak: 2 processes have ended and were not reaped",
            ],
        ),
    ],
)
def test_the_check_names_what_ours_owes(rows, expected):
    """And nothing that others do."""
    found = [line for line in soak_shortfalls(rows) if "times as long" not in line]

    assert found == expected


@pytest.mark.parametrize(("begun", "is_met"), [(10.05, True), (9.8, False)])
def test_a_request_may_wait_for_twice_a_reload(begun, is_met):
    """All but one in a hundred."""
    saves = [Save(FIRST_VERSION + 1, 0, 9.999, 10.0)]
    answered = [Exchange("fresh", begun, 10.1, (FIRST_VERSION + 1, *[FIRST_VERSION] * 2), quick=True)]
    outcome = Outcome(saves, [], 1, 0, 0, [], EARLY, EARLY, judge(answered, saves, 3))

    found = list(soak_shortfalls([SoakRow("firehot", "1", 7, outcome)]))

    assert (found == []) is is_met


def test_the_file_has_what_is_needed_to_repeat_a_run():
    """And what was wrong."""
    figures = soak_json(row(REFUSED))

    assert (figures["seed"], figures["counts"]) == (7, {"refused": 1})
    assert figures["problems"] == ["refused: fresh, after 0.250 s: refused: closed"]
    assert soak_json(SoakRow("granian", "2", 7, notes=["why"]))["notes"] == ["why"]


SURVIVED = Fault("worker", "SIGKILL", True, 0.1, 0.3)
LATE = Fault("worker", "SIGKILL", False, 0.1, 2.5)
NEVER = Fault("stand-by", "SIGSTOP", False, None, None)


def problems(*verdicts):
    """One of each."""
    return [Problem(verdict, REFUSED, "why") for verdict in verdicts]


@pytest.mark.parametrize(
    ("fault", "is_survived"),
    [(SURVIVED, True), (LATE, False), (NEVER, False), (Fault("worker", "SIGKILL", True, 2.0, 2.0), True)],
)
def test_a_fault_is_survived_by_answers_in_time(fault, is_survived):
    """Of any code, and of the new."""
    assert fault.is_survived is is_survived


def test_faults_are_shown_by_kind():
    """With the longest times, and what was counted beside."""
    chaos = ChaosRow(
        "firehot", "1", 7, [SURVIVED, LATE, NEVER], problems(Verdict.RESET, Verdict.RESET), orphans=0, lag=0.25
    )

    lines = chaos_report.chaos_table([chaos]).splitlines()

    assert cells(lines[2]) == ["firehot", "SIGKILL", "worker", "2", "1", report.number(0.1), report.number(2.5)]
    assert cells(lines[3]) == ["firehot", "SIGSTOP", "stand-by", "1", "0", "never", "never"]
    assert lines[4:] == [
        "  firehot: 2 reset",
        "  firehot: 0 processes outlived the first by 1 s",
        "  firehot: the load itself was late by 0.25 s at most",
    ]


@pytest.mark.parametrize(
    ("chaos", "expected"),
    [
        (ChaosRow("firehot", "1", 7, [SURVIVED], problems(Verdict.RESET), 0), []),
        (ChaosRow("firehot", "1", 7, [LATE], orphans=0), [f"chaos: {LATE}"]),
        (ChaosRow("firehot", "1", 7, [], orphans=2), ["chaos: 2 orphans"]),
        (ChaosRow("firehot", "1", 7, [], problems(Verdict.RESET, Verdict.STALE), 0), ["chaos: 1 stale"]),
        (ChaosRow("firehot", "1", 7), ["chaos: firehot was not measured"]),
    ],
)
def test_the_check_of_faults_names_what_ours_owes(chaos, expected):
    """A request whose process was killed may be reset, but none may be refused or answered by old code."""
    assert list(chaos_report.chaos_shortfalls([chaos])) == expected
