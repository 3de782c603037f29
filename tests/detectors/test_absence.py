"""The absence detector against its definition, counted out day by day in exact fractions; late rows, increments, and what is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from restart_runs import Job, standing, write

from offbeat import run
from offbeat.core.evidence import WindowSpan
from offbeat.core.plan import AbsencePlan, Plan
from offbeat.detectors.absence.absence import Absence
from offbeat.detectors.detector import DetectorInput, Kind
from offbeat.fold.detector_set import DetectorSet
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.spec.document import read_document
from offbeat.spec.lint import lint_text
from offbeat.spec.load import load_plan, load_text

TEXT = """
name: calls
source:
  key: who
  time: at
  columns: {mb: {type: decimal, scale: 1, required: false}, kind: text}
views:
  day:
    rollup:
      key: who
      size: 1d
      columns: {n: count(*), mbs: count(mb), mb: sum(mb), data: sum(kind = 'DATA'), top: max(mb), hours: count(DISTINCT hour())}
    windows:
      before: {over: all, features: {usual: mean(n)}}
    detectors:
      more: {type: rule, when: n > 2 * usual}
      gone: {type: absence, min_history: 5}
"""
PIPELINE = read_document(TEXT).value
HEADER = "who,at,mb,kind"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LIMIT = Fraction(5, 100_000)
Days = dict[str, list[int]]


def silences(days: Days, limit: Fraction = LIMIT, min_history: int = 5) -> set[tuple[str, int]]:
    """Key and day on which a silence becomes odd, by the definition; the last day of all is not judged."""
    ticks = sorted({day for its in days.values() for day in its})
    found = set()
    for key, its in days.items():
        mine = sorted(set(its))
        for last, following in zip(mine, [*mine[1:], None], strict=True):
            n = sum(mine[0] <= tick <= last for tick in ticks)
            q = Fraction(n - sum(day <= last for day in mine) + 1, n + 2)
            silent = [tick for tick in ticks[:-1] if tick > last and (following is None or tick < following)]
            enough = next(s for s in range(1, 10_000) if q**s < limit)
            if n >= min_history and len(silent) >= enough:
                found.add((key, silent[enough - 1]))
    return found


def lines(days: Days, hour: int = 8) -> list[str]:
    return [f"{key},{FIRST + timedelta(days=day, hours=hour):%Y-%m-%d %H:%M:%S},1.5,DATA" for key, its in days.items() for day in its]


def table(days: Days) -> pl.DataFrame:
    rows = [(key, FIRST + timedelta(days=day, hours=8), 1.5, "DATA") for key, its in days.items() for day in its]
    return pl.DataFrame(rows, schema=["who", "at", "mb", "kind"], orient="row").sort("at", maintain_order=True)


def gone(alerts: pl.DataFrame) -> set[tuple[str, int]]:
    """Key and day of the alerts that the detector voted for, as they stand."""
    rows = (
        latest(alerts).filter(pl.col("status") != "retracted").select("key", "time", "detectors").explode("detectors").unnest("detectors")
    )
    mine = rows.filter((pl.col("name") == "gone") & pl.col("voted"))
    return {(key, (time - FIRST).days) for key, time in mine.select("key", "time").iter_rows()}


def full(*spans: tuple[int, int]) -> list[int]:
    return [day for begin, end in spans for day in range(begin, end)]


patterns = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=60), min_size=1, max_size=5)
"""Of each key the steps from one day with rows to the next: 0 and 1 are the next day, 8 is a silence of a week."""


def _days(steps: list[list[int]]) -> Days:
    return {f"k{i}": np.cumsum([max(step - 4, 1) if step < 8 else 8 for step in its]).tolist() for i, its in enumerate(steps)}


@given(patterns, st.sampled_from((Fraction(29, 100), Fraction(1, 49), LIMIT)), st.integers(1, 15), st.integers(1, 7))
def test_kernels_find_what_the_definition_says(steps: list[list[int]], limit: Fraction, min_history: int, chunk: int) -> None:
    days = _days(steps)
    windows = sorted((day, slot) for slot, its in enumerate(days.values()) for day in set(its))
    ticks = sorted({day for day, _ in windows})
    detector, found = Absence(AbsencePlan("gone", "absence", float(limit), min_history)), set()
    for i in range(0, len(ticks), chunk):
        part = [window for window in windows if window[0] in ticks[i : i + chunk]]
        starts, slots = np.array([day for day, _ in part]), np.array([slot for _, slot in part], np.int32)
        again = Absence(detector._plan)
        again.restore(detector.snapshot(np.arange(len(days))), list(days))
        detector = again
        missed, at = detector.missing(slots, starts, len(days), ticks[-1])
        nothing = np.zeros(len(at), np.int64)
        verdicts = detector.judge(DetectorInput(list(days), missed, at, np.empty((0, len(at))), nothing, Kind.MISSING))
        assert verdicts.voted.all()
        assert (verdicts.score > 0.5).all()
        found |= {(f"k{slot}", start) for slot, start in zip(missed.tolist(), at.tolist(), strict=True)}
    assert found == silences(days, limit, min_history)


def test_a_sensor_that_dies() -> None:
    """30 of 30 days: q = 1/32, and 1/32^2 > 5e-5 > 1/32^3. 21 of 28: q = 8/30, of which the seventh power is above, the eighth below."""
    often = [day for day in range(28) if day % 4 != 2]
    assert len(often) == 21
    days = {"sensor": full((0, 30)), "often": often, "alive": full((0, 41))}
    found = run(PIPELINE, table(days))
    assert gone(found.alerts) == silences(days) == {("sensor", 32), ("often", 35)}
    assert found.ledger["views"]["day"]["windows"] == 30 + 21 + 41
    alert = found.alerts.filter(pl.col("key") == "sensor").row(0, named=True)
    assert (alert["time"], alert["status"], alert["votes"], alert["voters"]) == (FIRST + timedelta(days=32), "final", 1, 1)
    assert alert["row"] == {"n": 0.0, "mbs": 0.0, "mb": None, "data": 0.0, "top": None, "hours": 0.0}
    # All rows up to that day: 30, 21, and 33 of the one that goes on.
    assert alert["revision"] == 84
    other, said = alert["detectors"]
    assert (other["name"], other["score"], other["voted"]) == ("more", None, False)
    assert other["note"] == "no verdict: the window has no row"
    assert (said["observed"], said["threshold"], said["expected"]) == (3.0, 3.0, 1 / 31)
    r = float(LIMIT) * 32**3
    assert said["score"] == pytest.approx(r / (1 + r), rel=1e-12)
    assert alert["severity"] == pytest.approx(1 - 1 / r, rel=1e-12)
    assert said["note"] == "3 windows without a row, after 30 with rows in 30; the last of these began at 2024-01-30T00:00:00Z"


def test_nothing_is_missing_where_the_source_is_silent_or_has_not_come_to_an_end() -> None:
    """Days 30 to 44 have no rows at all, and of the last day not all may have come."""
    days = {"a": full((0, 30), (45, 47)), "b": full((0, 30), (45, 48))}
    assert gone(run(PIPELINE, table(days)).alerts) == set()
    days = {"a": full((0, 30)), "b": full((0, 33))}
    assert gone(run(PIPELINE, table(days)).alerts) == silences(days) == set()
    days["b"].append(33)
    assert gone(run(PIPELINE, table(days)).alerts) == silences(days) == {("a", 32)}


def test_days_closed_on_the_way_are_judged_as_at_the_end(tmp_path: Path) -> None:
    """Footers of Parquet files say that a day is over, so that its windows are closed before the next is read."""
    days = {"a": full((0, 30), (36, 50)), "b": full((0, 50)), "c": [day for day in range(50) if day % 5], "d": full((3, 21))}
    rows = table(days)
    for (day,), part in rows.group_by(pl.col("at").dt.date(), maintain_order=True):
        part.write_parquet(tmp_path / f"{day}.parquet")
    once, onward = run(PIPELINE, rows), run(PIPELINE, tmp_path)
    assert gone(onward.alerts) == silences(days) == {("a", 32), ("d", 24)}
    assert onward.alerts.sort("alert_id").equals(once.alerts.sort("alert_id"))


def _job(tmp_path: Path, name: str, files: list[Path], **how: Any) -> Job:
    return Job(load_text(TEXT).plan, tuple(map(str, files)), tmp_path / name, **how)


def test_an_alert_is_withdrawn_when_rows_come(tmp_path: Path) -> None:
    """A day that was none, rows of the missing day itself, and rows of a day in the silence: each moves the alert.

    q = 1/32: three days; with day 30 these begin earlier. After day 32: (3/35)^4 > 5e-5 > (3/35)^5; after day 36: (6/39)^5 > … > (6/39)^6.
    """
    known: Days = {"a": full((0, 30)), "b": full((0, 30), (31, 45)), "c": [0]}
    files = [write(tmp_path / "0.csv", lines(known), HEADER)]
    job = _job(tmp_path, "out", files)
    steps: list[tuple[Days, int]] = [({}, 33), ({"c": [30]}, 32), ({"a": [32]}, 37), ({"a": [36]}, 42)]
    for number, (more, expected) in enumerate(steps):
        for key, its in more.items():
            known[key] = known[key] + its
        if more:
            files = [*files, write(tmp_path / f"{number}.csv", lines(more), HEADER)]
            job = replace(job, sources=tuple(map(str, files)))
        job.run()
        assert gone(read_alerts(job.outputs[0])) == silences(known)
        assert silences(known) == {("a", expected)}
    alerts = (
        read_alerts(job.outputs[0]).filter(pl.col("key") == "a").select(pl.col("time").sub(FIRST).dt.total_days(), "status", "revision")
    )
    assert not alerts.is_duplicated().any()
    stands = alerts.sort("time", "revision").group_by("time", maintain_order=True).last()
    assert stands.select("time", "status").rows() == [(32, "retracted"), (33, "retracted"), (37, "retracted"), (42, "final")]


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(4))
def test_increments_and_chunks_leave_what_one_run_leaves(tmp_path: Path, seed: int) -> None:
    """Keys at their own pace, so that days come that were missing; every kind of run says the same, to the last bit."""
    chance = random.Random(seed)
    days = {
        f"k{i}": [day for day in range(50) if chance.random() < share and not (20 + i < day < 20 + i + pause)]
        for i, (share, pause) in enumerate([(1.0, 9), (1.0, 0), (0.8, 20), (0.95, 30), (0.4, 3), (1.0, 26)])
    }
    files: list[Path] = []
    left = {key: list(its) for key, its in days.items()}
    while any(left.values()):
        part = {}
        for key in left:
            count = chance.choice((0, 4, 15))
            part[key], left[key] = left[key][:count], left[key][count:]
        if any(part.values()):
            files.append(write(tmp_path / f"{len(files):03}.csv", lines(part), HEADER))
    whole = _job(tmp_path, "whole", files)
    once = whole.run(state=False)
    expected = silences(days)
    assert gone(read_alerts(whole.outputs[0])) == expected
    assert len(expected) > 2
    grown = _job(tmp_path, "grown", files[:1])
    for number in range(1, len(files) + 1):
        last = replace(grown, sources=tuple(map(str, files[:number]))).run()
    chunked = _job(tmp_path, "chunked", files, block=300)
    for job, ran in ((grown, last), (chunked, chunked.run(state=False))):
        for mine, theirs in zip(job.outputs, whole.outputs, strict=True):
            assert standing(mine) == standing(theirs)
        assert ran.ledger.as_dict() == once.ledger.as_dict()
    assert set(read_alerts(grown.outputs[0])["status"]) == {"final", "retracted"}


def _plan(text: str) -> Plan:
    return replace(load_text(text).plan, text="")


def test_a_detector_that_is_switched_off_is_not_there() -> None:
    off = _plan(TEXT.replace("min_history: 5", "min_history: 5, enabled: false"))
    assert off == _plan(TEXT.replace("      gone: {type: absence, min_history: 5}\n", ""))
    assert off != _plan(TEXT)
    assert replace(load_text(TEXT, overrides=["day.gone.enabled=false"]).plan, text="") == off
    weighed = (
        TEXT + "      z: {type: zscore, limits: {mb: 3}, over: 5 rows, enabled: false}\n    severity: {weights: {score: 1, z.mb: 2}}\n"
    )
    assert _plan(weighed) == _plan(TEXT + "    severity: {weights: {score: 1}}\n")
    tables = """
tables:
  flags: {view: day, where: [more, gone], columns: [n, gone.voted]}
  lost: {view: day, where: [gone]}
"""
    assert (
        _plan(TEXT.replace("5}", "5, enabled: false}") + tables).tables
        == replace(off, tables=_plan(TEXT + "tables:\n  flags: {view: day, where: [more], columns: [n]}\n").tables).tables
    )
    kept = [
        plan.name
        for plan in load_plan("cdr", ["customer_day.absence.enabled=false", "customer_day.zscore_all.enabled=false"]).views[0].detectors
    ]
    assert kept == ["zscore", "night_owls", "spike_ratio", "forest"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "min_history: 5}",
            "min_history: 5}\n    vote: {quorum: 2}",
            "with 1 of them, 2 votes",
        ),
        ("min_history: 5}", "min_history: 5, enabled: false}\n    vote: {quorum: 2}", "2 votes can never be reached with 1 detector"),
        ("usual}", "usual, enabled: false}\n      x: {type: rule, when: nn > 1, enabled: false}", "unknown column 'nn'"),
        ("min_history: 5", "limit: 0", "limit"),
        ("min_history: 5", "limit: 1", "limit"),
        ("min_history: 5", "min_history: 0", "min_history"),
        ("min_history: 5", "enabled: 0", "enabled"),
        ("min_history: 5", "over: 5d", "over"),
    ],
)
def test_what_lint_says(before: str, after: str, message: str) -> None:
    assert before in TEXT
    problems = lint_text(TEXT.replace(before, after)).problems
    assert any(message in problem for problem in problems), problems


def test_it_is_for_windows_and_one_detector_at_least_is_on() -> None:
    rows = "name: r\nsource: {key: k, time: t, columns: {x: float}}\nviews: {v: {detectors: {gone: {type: absence}}}}\n"
    assert any("needs a view with a `rollup`" in problem for problem in lint_text(rows).problems)
    off = rows.replace("{type: absence}", "{type: rule, when: x > 1, enabled: false}")
    assert any("all detectors of the view are switched off" in problem for problem in lint_text(off).problems)


def test_what_kept_state_depends_on() -> None:
    one = load_text(TEXT).plan
    other = load_text(TEXT.replace("min_history: 5", "min_history: 6, limit: 0.001")).plan
    assert other.state_hash == one.state_hash
    assert other.plan_hash != one.plan_hash
    assert load_text(TEXT, overrides=["day.gone.enabled=false"]).plan.state_hash != one.state_hash


def test_of_windows_that_are_there_it_says_nothing() -> None:
    detectors = DetectorSet(load_text(TEXT).plan.views[0], 0)
    outputs = np.ones((len(load_text(TEXT).plan.views[0].program.outputs), 3))
    slots = np.arange(3, dtype=np.int32)
    batch = DetectorInput(["a", "b", "c"], slots, np.zeros(3, np.int64), outputs, np.zeros(3, np.int64))
    decisions = detectors.judge(batch, np.ones(3, np.bool_))
    assert (decisions.voters == 1).all()
    gone = detectors.evidence(decisions.index, {0: WindowSpan.none(3)})[1]
    assert np.isnan(gone.score).all()
    assert gone.notes == ("no verdict: the window is not missing",) * 3
