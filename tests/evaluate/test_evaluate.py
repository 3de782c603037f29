"""Alerts against labels: figures by hand, windows that hold an anomaly, areas as scikit-learn has them, and the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import Command, offbeat
from hypothesis import given
from hypothesis import strategies as st

from offbeat.errors import UserError
from offbeat.evaluate.evaluation import Evaluation, as_dict, evaluate
from offbeat.evaluate.labels import EVENTS, TIME
from offbeat.io.report.evaluate_cases import examples

__all__ = ["offbeat"]
reference: Any = import_module("sklearn.metrics")

HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000
WINDOWS = {"day": DAY_NS, "hour": HOUR_NS}
PIPELINE = """
name: sites
source: {key: site, time: t, columns: {n: {type: decimal, scale: 0}}}
quality: {max_jump: 100d}
views:
  site_day:
    rollup: {key: {mapping: {a: A, b: B}}, size: 1d, columns: {total: sum(n)}}
    windows: {past: {over: 3 rows, min_rows: 1, features: {usual: mean(total)}}}
    detectors: {busy: {type: rule, when: total > 100, expected: usual}}
"""


def ns(text: str) -> int:
    """Of a time in January 2024, as `02T10:30`."""
    day, _, time = text.partition("T")
    at = datetime.fromisoformat(f"2024-01-{day}T{time or '00:00'}:00+00:00")
    return round(at.timestamp()) * 1_000_000_000


def events_of(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    """Of key, kind, from, to."""
    table = [(key, kind, ns(begin), ns(end)) for key, kind, begin, end in rows]
    return pl.DataFrame(table, schema=list(EVENTS), orient="row").select(pl.col(c).cast(t) for c, t in EVENTS.items())


def alerts_of(*rows: tuple[str, str, str, float | None]) -> pl.DataFrame:
    """Of key, view, time, severity; the score is half of it, or 0.25."""
    table = [(f"{i:032x}", key, view, ns(time), severity, (severity or 0.5) / 2) for i, (key, view, time, severity) in enumerate(rows)]
    names = {"alert_id": pl.String, "key": pl.String, "view": pl.String, "time": pl.Int64, "severity": pl.Float64, "score": pl.Float64}
    return pl.DataFrame(table, schema=names, orient="row").with_columns(pl.col("time").cast(TIME))


@pytest.fixture(scope="module")
def by_hand() -> Evaluation:
    """Days of A and hours of R: the burst of the 2nd lies inside its day; the leak runs from noon of the 5th to noon of the 6th."""
    events = events_of(
        ("A", "burst", "02T10:00", "02T11:00"),
        ("A", "leak", "05T12:00", "06T12:00"),
        ("R", "outage", "03T08:00", "03T09:59"),
        ("R", "outage", "09T08:00", "09T09:59"),
        ("A", "burst", "20T10:00", "20T11:00"),
    )
    alerts = alerts_of(
        ("A", "day", "02", 0.9),
        ("A", "day", "06", 0.5),
        ("A", "day", "07", 0.6),
        ("R", "hour", "03T09:00", 0.7),
        ("R", "hour", "03T10:00", 0.2),
        ("B", "day", "02", 0.1),
    )
    return evaluate(alerts, events, lengths=WINDOWS, rows=60_000, key_days=100)


def test_figures_by_hand(by_hand: Evaluation) -> None:
    figures = by_hand.figures
    # right: A's 2nd and 6th, R's 9 o'clock. False: the 7th, 10 o'clock, and B.
    assert by_hand.alerts["right"].to_list() == [True, True, False, True, False, False]
    assert (figures.alerts, figures.false_alarms, figures.per_10_000_rows, figures.per_key_day) == (6, 3, 0.5, 0.03)
    assert (figures.overall.events, figures.overall.found, figures.overall.precision, figures.overall.recall) == (5, 3, 0.5, 0.6)
    assert figures.overall.f1 == pytest.approx(2 * 0.5 * 0.6 / 1.1)
    kinds = {kind.kind: (kind.events, kind.found, kind.alerts, kind.precision, kind.recall) for kind in figures.kinds}
    assert kinds == {"burst": (2, 1, 1, 0.25, 0.5), "leak": (1, 1, 1, 0.25, 1.0), "outage": (2, 1, 1, 0.25, 0.5)}
    assert [(view.view, view.length_ns, view.alerts, view.false_alarms) for view in by_hand.views] == [
        ("day", DAY_NS, 4, 2),
        ("hour", HOUR_NS, 2, 1),
    ]
    (note,) = by_hand.notes
    assert note.startswith("2 of 5 anomalies ")


def test_delays_run_to_the_end_of_the_window(by_hand: Evaluation) -> None:
    """The burst from 10:00 is known at midnight; the leak from noon at the end of the next day; the outage two hours after it began."""
    delays = {kind.kind: kind.delay.greatest_ns for kind in by_hand.figures.kinds if kind.delay is not None}
    assert delays == {"burst": 14 * HOUR_NS - 1, "leak": 36 * HOUR_NS - 1, "outage": 2 * HOUR_NS - 1}
    assert by_hand.figures.overall.delay is not None
    assert by_hand.figures.overall.delay.median_ns == 14 * HOUR_NS - 1


def test_ranks_by_hand(by_hand: Evaluation) -> None:
    """Odd days: A's 2nd (0.9), 5th (none), 6th (0.5), 20th (none), R's 3rd (0.7) and 9th (none); the others: A's 7th (0.6), B's 2nd (0.1)
    and 92 without an alert, as 8 of 100 are listed.
    """
    ranked = by_hand.ranked
    assert (ranked.by, ranked.listed, ranked.left_out, ranked.areas.rows, ranked.areas.odd) == ("severity", 8, 0, 100, 6)
    # of 94 others, 0.9 and 0.7 beat all, 0.5 all but one, and the three without an alert tie with 92
    assert ranked.areas.roc_auc == pytest.approx((94 + 94 + 93 + 3 * 92 / 2) / (6 * 94))
    # precision at 0.9: 1, 0.7: 1, 0.5: 3 of 4, at the end 6 of 100
    assert ranked.areas.pr_auc == pytest.approx((1 + 1 + 3 / 4 + 3 * 6 / 100) / 6)
    assert ranked.points.scores.tolist() == [0.9, 0.7, 0.6, 0.5, 0.1, -np.inf]
    assert ranked.points.hits.tolist() == [1, 2, 2, 3, 3, 6]
    assert ranked.points.misses.tolist() == [0, 0, 1, 1, 2, 94]


def test_ranks_of_what_is_known() -> None:
    """Without the number of key-days only those listed are ranked; where a severity is missing, scores rank."""
    events = events_of(("A", "x", "02T10:00", "02T11:00"))
    evaluation = evaluate(alerts_of(("A", "row", "02T10:30", 0.2), ("A", "row", "03T10:30", None), ("B", "row", "03", 0.1)), events)
    ranked = evaluation.ranked
    assert (ranked.by, ranked.key_days, ranked.areas.rows, ranked.areas.odd) == ("score", None, 3, 1)
    assert ranked.areas.roc_auc == 0.5  # 0.1 against 0.25 and 0.05
    with pytest.raises(UserError, match="3 key-days"):
        evaluate(evaluation.alerts.drop("length", "right"), events, key_days=2)


def test_a_tolerance_reaches_further() -> None:
    """An alert half an hour after the end counts with a tolerance of as much; days that only the tolerance meets are not ranked."""
    events = events_of(("A", "x", "02T10:00", "02T23:45"))
    alerts = alerts_of(("A", "row", "03T00:15", 0.5), ("A", "row", "04T00:00", 0.4))
    for minutes, found, rows in ((29, 0, 2), (30, 1, 2)):
        evaluation = evaluate(alerts, events, tolerance_ns=minutes * 60_000_000_000)
        assert (evaluation.figures.overall.found, evaluation.ranked.areas.rows, evaluation.ranked.left_out) == (found, rows, 1)
    assert evaluate(alerts, events).ranked.left_out == 0


def test_days_are_local() -> None:
    """In Kolkata 20:00 UTC is the next day's 01:30; the alert lies on that day, there and in UTC."""
    events = events_of(("A", "x", "02T20:00", "02T20:30"))
    alerts = alerts_of(("A", "row", "03T10:00", 0.5))
    assert (evaluate(alerts, events).ranked.listed, evaluate(alerts, events, zone="Asia/Kolkata").ranked.listed) == (2, 1)


def test_nothing_to_hold_against() -> None:
    events = events_of(("A", "x", "02T10:00", "02T11:00"))
    with pytest.raises(UserError, match="no anomaly"):
        evaluate(alerts_of(), events[:0])
    none = evaluate(alerts_of(), events)
    assert none.notes == ("there are no alerts",)
    assert (none.figures.overall.precision, none.figures.overall.recall, none.ranked.areas.roc_auc) == (None, 0.0, None)
    (note,) = evaluate(alerts_of(("B", "row", "02", 0.1)), events).notes
    assert note.index("(A)") < note.index("(B)")


HOURS = st.integers(0, 24 * 9)
KEYS = st.sampled_from(["A", "B", "C"])


@given(
    st.lists(st.tuples(KEYS, st.sampled_from(["x", "y"]), HOURS, st.integers(0, 40)), min_size=1, max_size=6),
    st.lists(st.tuples(KEYS, st.sampled_from(["row", "hour", "day"]), HOURS, st.sampled_from([0.1, 0.2, 0.5, 0.9])), max_size=12),
    st.sampled_from([0, 5]),
)
def test_against_loops(spans: list[tuple[str, str, int, int]], found: list[tuple[str, str, int, float]], tolerance: int) -> None:
    """Every alert with every anomaly, and every day of three keys, one by one; the areas are scikit-learn's."""
    begin = ns("01")
    spans = [(key, kind, at, at + hours) for key, kind, at, hours in spans]
    found = [(key, view, at - at % 24 if view == "day" else at, severity) for key, view, at, severity in found]
    table = [(key, kind, begin + a * HOUR_NS, begin + b * HOUR_NS) for key, kind, a, b in spans]
    events = pl.DataFrame(table, schema=list(EVENTS), orient="row").select(pl.col(c).cast(t) for c, t in EVENTS.items())
    alerts = alerts_of(*((key, view, "01", severity) for key, view, _, severity in found))
    times = pl.Series("time", [begin + at * HOUR_NS for _, _, at, _ in found], pl.Int64).cast(TIME)
    evaluation = evaluate(alerts.with_columns(times), events, lengths=WINDOWS, tolerance_ns=tolerance * HOUR_NS, key_days=3 * 12)

    hours = {"row": 0.0, "hour": 1.0 - 1e-9, "day": 24.0 - 1e-9}
    met = [[key == k and at + hours[view] >= a and at <= b + tolerance for k, _, a, b in spans] for key, view, at, _ in found]
    assert evaluation.alerts["right"].to_list() == [any(row) for row in met]
    assert evaluation.events["alerts"].to_list() == [sum(row[e] for row in met) for e in range(len(spans))]
    for kind in evaluation.figures.kinds:
        assert kind.alerts == sum(any(hit for hit, span in zip(row, spans, strict=True) if span[1] == kind.kind) for row in met)
    truth, scores = [], []
    for key in "ABC":
        for day in range(12):
            odd = any(k == key and a // 24 <= day <= b // 24 for k, _, a, b in spans)
            if odd or not any(k == key and b // 24 <= day <= (b + tolerance) // 24 for k, _, a, b in spans):
                truth.append(odd)
                scores.append(max((severity for k, _, at, severity in found if k == key and at // 24 == day), default=-1.0))
    areas = evaluation.ranked.areas
    assert (areas.rows, areas.odd) == (len(truth), sum(truth))
    if any(truth) and not all(truth):
        assert areas.roc_auc == pytest.approx(reference.roc_auc_score(truth, scores))
        assert areas.pr_auc == pytest.approx(reference.average_precision_score(truth, scores))


def test_the_case_drawn_is_the_worst_found(by_hand: Evaluation) -> None:
    cases = {event["kind"]: (event["key"], worst["severity"], near["severity"].to_list()) for event, worst, near in examples(by_hand)}
    # of A's alerts those within ten days, of R's those within ten hours
    assert cases == {"burst": ("A", 0.9, [0.9, 0.5, 0.6]), "leak": ("A", 0.5, [0.9, 0.5, 0.6]), "outage": ("R", 0.7, [0.7, 0.2])}


def test_json_names_every_figure(by_hand: Evaluation) -> None:
    said = json.loads(json.dumps(as_dict(by_hand)))
    assert (said["precision"], said["recall"], said["false_alarms_per_key_day"]) == (0.5, 0.6, 0.03)
    assert said["greatest_delay_seconds"] == pytest.approx(36 * 3600)
    assert said["kinds"]["burst"]["alerts"] == 1
    assert said["views"]["hour"] == {"alerts": 2, "false_alarms": 1, "window_seconds": 3600.0}
    assert said["ranked"] == {"by": "severity", "key_days": 100, "odd": 6, "all_judged": True, "left_out": 0}


@pytest.fixture
def sites(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A week of two sites, 10 a day; A has 200 on the 3rd and B 150 on the 5th, of which the first is labelled, and A's 6th."""
    monkeypatch.chdir(tmp_path)
    Path("sites.yaml").write_text(PIPELINE)
    odd = {("a", 3): 195, ("b", 5): 145}
    lines = ["site,t,n"]
    for site in "ab":
        for day in range(1, 8):
            start = datetime(2024, 1, day, 6, tzinfo=UTC)
            lines += [f"{site},{start.isoformat()},5", f"{site},{(start + timedelta(hours=9)).isoformat()},{odd.get((site, day), 5)}"]
    Path("sites.csv").write_text("\n".join(lines) + "\n")
    Path("labels.csv").write_text(
        "key,kind,from,to\nA,rush,2024-01-03T15:00:00Z,2024-01-03T16:00:00Z\nA,quiet,2024-01-06,2024-01-06T12:00:00\n".replace(
            "2024-01-06,", "2024-01-06T00:00:00,"
        )
    )
    done = offbeat("run", "sites.yaml", "sites.csv", "--alerts", "alerts.jsonl", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["alerts"] == 2
    Path("ledger.json").write_text(done.out)
    return tmp_path


def test_the_command(offbeat: Command, sites: Path) -> None:
    """The pipeline says that windows are days; the ledger says that 28 rows and 14 days of sites were judged."""
    done = offbeat(
        "evaluate", "alerts.jsonl", "labels.csv", "--pipeline", "sites.yaml", "--ledger", "ledger.json", "--json", "--html", "out.html"
    )
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert (said["alerts"], said["events"], said["found"], said["precision"], said["recall"]) == (2, 2, 1, 0.5, 0.5)
    assert said["false_alarms_per_10000_rows"] == pytest.approx(10_000 / 28)
    assert said["false_alarms_per_key_day"] == pytest.approx(1 / 14)
    assert said["median_delay_seconds"] == pytest.approx(9 * 3600)
    assert said["kinds"]["quiet"]["recall"] == 0.0
    assert said["ranked"]["key_days"] == 14
    # severity is 1 - 100 / total: A's 3rd, 0.5, beats B's 5th, 1/3; A's 6th, without an alert, ties with 11 of 12
    assert said["roc_auc"] == pytest.approx((12 + 11 / 2) / (2 * 12))
    page = (sites / "out.html").read_text()
    for words in ("ROC (area 0.729)", "rush: A, site_day, busy", "precision over recall", "anomalies"):
        assert words in page
    assert "usual value, over the time it was learnt from" in page
    assert "<script" not in page
    assert len(page) < 60_000


def test_the_tables(offbeat: Command, sites: Path) -> None:
    assert sites.is_dir()
    done = offbeat("evaluate", "alerts.jsonl", "labels.csv", "--pipeline", "sites.yaml", "--rows", 40_000)
    assert "1 of 2 alerts are false alarms, 0.25 per 10,000 rows" in done.out
    words = " ".join(done.out.split())
    assert "│ quiet │ 1 │ 0 │ 0.000 │ 0 │ 0.000 │ 0.000 │ - │ - │" in words
    assert "│ rush │ 1 │ 1 │ 1.000 │ 1 │ 0.500 │ 0.667 │ 9:00:00 │ 9:00:00 │" in words
    more = offbeat("evaluate", "alerts.jsonl", "labels.csv", "--pipeline", "sites.yaml", "--key-days", 50).out
    assert "1 of 2 alerts are false alarms, 20 per 1,000 key-days" in more
    assert "│ site_day │ windows of 1 day │ 2 │ 1 │" in words
    assert "3 key-days (days in UTC)" in words
    assert "--key-days N" in words


def test_spans_said_and_unsaid(offbeat: Command, sites: Path) -> None:
    """Without the pipeline an alert stands for its window's first moment, unless --span says how long it is."""
    assert sites.is_dir()
    for words, found in (((), 0), (("--span", "1d"), 1), (("--span", "16h"), 1), (("--span", "15h"), 0), (("--tolerance", "1d"), 0)):
        assert json.loads(offbeat("evaluate", "alerts.jsonl", "labels.csv", "--json", *words).out)["found"] == found


def test_what_is_said_goes_before_the_ledger(offbeat: Command, sites: Path) -> None:
    """Without the pipeline, nothing tells that the windows of the ledger are days."""
    assert sites.is_dir()
    ledger = ("evaluate", "alerts.jsonl", "labels.csv", "--ledger", "ledger.json", "--json")
    said = json.loads(offbeat(*ledger).out)
    assert (said["false_alarms_per_10000_rows"], said["false_alarms_per_key_day"]) == (pytest.approx(2 * 10_000 / 28), None)
    said = json.loads(offbeat(*ledger, "--key-days", 20, "--rows", 1_000).out)
    assert (said["false_alarms_per_10000_rows"], said["false_alarms_per_key_day"]) == (20.0, 0.1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.jsonl", "labels.csv"], "no alerts at nowhere.jsonl"),
        (["alerts.jsonl", "nowhere.csv"], "no labels at nowhere.csv"),
        (["alerts.jsonl", "sites.csv"], "a labels file has the columns"),
        (["labels.csv", "labels.csv"], "does not hold JSON lines"),
        (["alerts.jsonl", "labels.csv", "--tolerance", "soon"], "--tolerance: 'soon'"),
        (["alerts.jsonl", "labels.csv", "--span", "-1d"], "--span: a duration cannot be negative"),
        (["alerts.jsonl", "labels.csv", "--pipeline", "bars"], "bars is pipeline 'bars'"),
        (["alerts.jsonl", "labels.csv", "--ledger", "labels.csv"], "labels.csv is not the output of"),
        (["alerts.jsonl", "labels.csv", "--ledger", "none.json"], "cannot read none.json"),
        (["alerts.jsonl", "labels.csv", "--key-days", "1"], "3 key-days have an alert or an anomaly"),
        (["alerts.jsonl", "labels.csv", "--html", "."], "is a folder"),
    ],
)
def test_refusals(offbeat: Command, sites: Path, words: list[str], why: str) -> None:
    assert sites.is_dir()
    assert why in offbeat.refused("evaluate", *words)


def test_many_days_without_listing_them() -> None:
    """A billion key-days cost nothing; the areas follow from their number."""
    events = events_of(("A", "x", "02T10:00", "02T11:00"), ("B", "x", "02T10:00", "02T11:00"))
    areas = evaluate(alerts_of(("A", "row", "02T10:30", 0.2)), events, key_days=10**9).ranked.areas
    others = 10**9 - 2
    assert areas.roc_auc == pytest.approx((others + others / 2) / (2 * others))
    assert areas.pr_auc == pytest.approx((1 + 2 / 10**9) / 2)
