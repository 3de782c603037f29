"""Several runs with one state, each with more files: together they leave what one run over all files leaves (definitions.md)."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from driver import plan_of
from restart_runs import HEADERS, Job, crashed_and_run_again, disordered, fated, line, standing, write
from run_notes import but_silence
from under_test import BARS, BUFFERED, ROLLED

from offbeat.core.plan import Plan
from offbeat.engines.run_result import Run
from offbeat.evaluate.generate_bars import generate_bars
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.spec.load import load_text

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _grown(plan: Plan, days: list[Path], folder: Path) -> tuple[Job, list[Run]]:
    """A folder to which a day is added before each run."""
    (folder / "in").mkdir(parents=True)
    job = Job(plan, (str(folder / "in"),), folder / "out")
    runs = []
    for day in days:
        for file in [day] if day.is_file() else sorted(day.iterdir()):
            shutil.copy(file, folder / "in" / f"{file.stem}-{day.stem}{file.suffix}" if day.is_dir() else folder / "in")
        runs.append(job.run())
    return job, runs


def _assert_as_one_run(job: Job, run: Run, folder: Path) -> None:
    whole = replace(job, out=folder)
    once = whole.run(state=False)
    for mine, theirs in zip(job.outputs, whole.outputs, strict=True):
        assert standing(mine) == standing(theirs)
    assert run.ledger.as_dict() == once.ledger.as_dict()


@pytest.mark.heavy
def test_days_of_bars(tmp_path: Path) -> None:
    """One file a symbol and day; alerts of rows come once and whole."""
    folder = generate_bars(tmp_path / "all", symbols=3, days=4, seed=9)
    days: dict[str, dict[str, list[str]]] = {}
    for file in folder.glob("*.csv"):
        head, *lines = file.read_text().splitlines()
        for each in lines:
            days.setdefault(each[:10], {}).setdefault(f"{file.stem}\n{head}", []).append(each)
    # A line cut in the middle, planted there, may have lost its day: it stands in the file of the one before.
    whole_days = sorted(day for day, symbols in days.items() if sum(map(len, symbols.values())) > 99)
    assert len(whole_days) == 4
    for day in whole_days:
        (tmp_path / day).mkdir()
        for name, lines in days[day].items():
            stem, head = name.split("\n")
            write(tmp_path / day / f"{stem}.csv", lines, head)
    job, runs = _grown(plan_of(BARS), [tmp_path / day for day in whole_days], tmp_path / "grown")
    _assert_as_one_run(job, runs[-1], tmp_path / "whole")
    alerts = read_alerts(job.outputs[0])
    assert sum(run.alerts for run in runs) == alerts.height == alerts["alert_id"].n_unique()
    assert all(run.alerts > 0 for run in runs)
    assert set(alerts["revision"]) == {1}


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(5))
def test_keys_that_go_on_at_their_own_pace(tmp_path: Path, seed: int) -> None:
    """Each run brings some more rows of each key, so windows that several keys feed are judged again and again."""
    chance = random.Random(seed)
    lines: dict[str, list[str]] = {}
    for each in disordered(ROLLED, 160, step=2400, reach=0, seed=seed):
        lines.setdefault(each[:2], []).append(each)
    days: list[Path] = []
    while any(lines.values()):
        part = []
        for key, rows in lines.items():
            count = chance.choice((0, 3, 12))
            part += rows[:count]
            lines[key] = rows[count:]
        if part:
            days.append(write(tmp_path / f"{len(days):03}.csv", part, HEADERS[ROLLED.name]))
    job, runs = _grown(plan_of(ROLLED), days, tmp_path / "grown")
    _assert_as_one_run(job, runs[-1], tmp_path / "whole")
    assert set(read_alerts(job.outputs[0])["status"]) == {"final", "retracted"}, "some window was an alert and is none"


@pytest.mark.heavy
def test_increments_that_die(tmp_path: Path) -> None:
    """Law 3 holds for a run that goes on: windows retracted and revised come once."""
    lines = disordered(ROLLED, 120, step=2400, reach=0, seed=3)
    halves = [str(write(tmp_path / f"{i}.csv", part, HEADERS[ROLLED.name])) for i, part in enumerate((lines[:57], lines[57:]))]
    first = Job(plan_of(ROLLED), (halves[0],), tmp_path / "calm", block=600)
    second = replace(first, sources=tuple(halves))
    first.run()
    with fated() as fate:
        calm = second.run()
    expected = (sorted(second.outputs[0].read_text().splitlines()), calm.ledger.as_dict())
    for at in range(0, fate.count, 41):
        dying = replace(second, out=tmp_path / f"at{at}")
        replace(first, out=dying.out).run()
        run, steps = crashed_and_run_again(dying, [(at, at % 2 == 0)])
        assert (sorted(dying.outputs[0].read_text().splitlines()), run.ledger.as_dict()) == expected, f"died after {steps}"
        shutil.rmtree(dying.out)


def _rows(*rows: tuple[str, str, int]) -> list[str]:
    return [f"{key},2021-03-{when},1.00,{volume},A" for key, when, volume in rows]


def test_an_alert_withdrawn_and_raised_again(tmp_path: Path) -> None:
    """Turnover of a day against the mean of the seven days before, worked out by hand."""
    plan = load_text(ROLLED.text().replace("k2: banks", "k2: energy"), "hand").plan
    days = [
        _rows(("k0", "02 10:00:00", 10), ("k0", "03 10:00:00", 20)),  # day 3: 20 > 10
        _rows(("k1", "02 11:00:00", 25)),  # day 2: 35; day 3: 20 < 35
        _rows(("k2", "01 11:00:00", 1)),  # day 1: 1; day 2: 35 > 1; day 3: 20 > (1 + 35) / 2
    ]
    files = [write(tmp_path / f"{number}.csv", rows, HEADERS[ROLLED.name]) for number, rows in enumerate(days)]
    job, runs = _grown(plan, files, tmp_path / "grown")
    _assert_as_one_run(job, runs[-1], tmp_path / "whole")
    found = read_alerts(job.outputs[0]).filter(pl.col("view") == "sector_day")
    local = pl.col("time").dt.convert_time_zone("Asia/Kolkata").dt.day()
    said = found.select(local, "revision", "status", pl.col("row").struct.field("turnover")).rows()
    assert said == [(3, 2, "final", 20.0), (3, 3, "retracted", 20.0), (2, 3, "final", 35.0), (3, 4, "final", 20.0)]
    kept: list[Any] = latest(found).select(local, "revision", "status").sort("time").rows()
    assert kept == [(2, 3, "final"), (3, 4, "final")]
    assert [record["status"] for run in runs for record in run.worst if record["view"] == "sector_day"] == ["final"] * 3


def test_a_file_delivered_again_is_left_out_and_a_changed_one_adds_nothing_old(tmp_path: Path) -> None:
    first = disordered(ROLLED, 40, step=1200, reach=0, seed=6)
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.csv", first, HEADERS[ROLLED.name])
    job = Job(plan_of(ROLLED), (str(folder),), tmp_path / "out")
    before = job.run()
    alerts = standing(job.outputs[0])
    write(folder / "again.csv", first, HEADERS[ROLLED.name])
    again = job.run()
    copy, count = but_silence(again.notes)
    assert copy.startswith(f"{folder / 'again.csv'}: ")
    assert str(folder / "a.csv") in copy
    assert count.startswith("1 file ")
    assert again.ledger.as_dict() == before.ledger.as_dict()
    assert again.alerts == 0

    # The day comes once more, with its first rows missing and one row more at its end.
    write(folder / "a.csv", [*first[5:], line(ROLLED, "k0", 1_600_400_000, random.Random(1), 0)], HEADERS[ROLLED.name])
    changed = job.run()
    old, new = before.ledger, changed.ledger
    assert new.rows_in == old.rows_in + 36
    repeated = new.late + new.duplicate + sum(new.quarantined.values()) - (old.late + old.duplicate + sum(old.quarantined.values()))
    assert repeated == 35
    assert set(alerts) - set(standing(job.outputs[0])) == set(), "what was said stays"
    write(folder / "b.csv", [line(ROLLED, "k1", 1_600_500_000, random.Random(2), 0)], HEADERS[ROLLED.name])
    assert job.run().ledger.rows_in == new.rows_in + 1


def test_where_the_end_of_a_run_shows(tmp_path: Path) -> None:
    """What definitions.md says of lateness and candidates: the end of a run is an end of the input, so both are decided there."""
    step = "2021-01-04 10:00:"
    first = [f"k,{step}00,1,1,0", f"k,{step}10,1,1,0", "k,2021-06-01 00:00:00,1,1,0"]  # the last one is far ahead: a candidate
    second = [f"k,{step}09,1,1,0", f"k,{step}12,1,1,0"]  # within the lateness of 3 s; and one that would have refuted the candidate
    files = [write(tmp_path / f"{n}.csv", rows, HEADERS[BUFFERED.name]) for n, rows in enumerate((first, second))]
    job, runs = _grown(plan_of(BUFFERED), files, tmp_path / "grown")
    assert runs[0].ledger.pending == 0
    ledger = runs[1].ledger
    assert (ledger.late, dict(ledger.quarantined)) == (2, {}), "the candidate was accepted when the input ended, so these rows are late"
    one = write(tmp_path / "in-one.csv", first + second, HEADERS[BUFFERED.name])
    once = Job(job.plan, (str(one),), tmp_path / "once").run()
    assert (once.ledger.late, dict(once.ledger.quarantined)) == (0, {"future": 1})
