"""Metrics against scikit-learn, against definitions counted out slowly, and on examples worked by hand."""

from __future__ import annotations

from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.evaluate.labels import EVENTS, TIME
from offbeat.evaluate.metrics import (
    ALL,
    Delay,
    KindFigures,
    Ranking,
    alert_figures,
    count_key_days,
    found_events,
    in_events,
    ranking,
)

reference: Any = import_module("sklearn.metrics")
FARTHEST = 2**63 - 1


def events_of(*rows: tuple[str, str, int, int]) -> pl.DataFrame:
    plain = {"key": pl.String, "kind": pl.String, "from": pl.Int64, "to": pl.Int64}
    return pl.DataFrame(list(rows), schema=plain, orient="row").cast({"from": TIME, "to": TIME})


def rows_of(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"key": pl.String, "time": pl.Int64}, orient="row").cast({"time": TIME})


NO_EVENTS = pl.DataFrame(schema=EVENTS)


@pytest.mark.parametrize("levels", [2, 7, 1_000_000])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_areas_are_scikit_learns(levels: int, share: float) -> None:
    random = np.random.default_rng(levels)
    odd = random.random(20_000) < share
    scores = np.floor((random.random(20_000) + 0.3 * odd) * levels) / levels
    made = ranking(odd, scores)
    assert made.roc_auc == pytest.approx(reference.roc_auc_score(odd, scores), abs=1e-12)
    assert made.pr_auc == pytest.approx(reference.average_precision_score(odd, scores), abs=1e-12)
    assert (made.rows, made.odd, made.unscored) == (20_000, int(odd.sum()), 0)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([-2.0, 0.0, 0.1, 0.1 + 2**-55, 3.0, 1e300])), min_size=2, max_size=30))
def test_areas_with_many_ties(pairs: list[tuple[bool, float]]) -> None:
    odd, scores = np.array([odd for odd, _ in pairs]), np.array([score for _, score in pairs])
    made = ranking(odd, scores)
    if odd.all() or not odd.any():
        assert (made.roc_auc, made.pr_auc) == (None, None)
    else:
        assert made.roc_auc == pytest.approx(reference.roc_auc_score(odd, scores), abs=1e-12)
        assert made.pr_auc == pytest.approx(reference.average_precision_score(odd, scores), abs=1e-12)


def test_areas_by_hand() -> None:
    """Odd 4 and 2, others 3 and 2: 4 wins both its pairs, 2 loses one and ties one. Precision is 1 at recall ½, and ½ at recall 1."""
    made = ranking(np.array([True, False, True, False]), np.array([4.0, 3.0, 2.0, 2.0]))
    assert made == Ranking(4, 2, 0, roc_auc=2.5 / 4, pr_auc=0.5 * 1 + 0.5 * 0.5)


def test_rows_without_score_take_no_part() -> None:
    odd, scores = np.array([True, True, False, False]), np.array([np.nan, np.inf, -np.inf, np.nan])
    assert ranking(odd, scores) == Ranking(2, 1, 2, 1.0, 1.0)
    assert ranking(odd, np.full(4, np.nan)) == Ranking(0, 0, 4, None, None)


@pytest.mark.parametrize("one", [True, False])
def test_one_class_has_no_area(one: bool) -> None:
    assert ranking(np.array([one, one]), np.array([1.0, 2.0])) == Ranking(2, 2 * one, 0, None, None)


def test_infinite_scores_tie() -> None:
    """As if infinity were a number greater than all."""
    odd = np.array([True, False, True, False, False])
    high, low = np.array([np.inf, np.inf, 1.0, 0.0, -np.inf]), np.array([9.0, 9.0, 1.0, 0.0, -9.0])
    assert ranking(odd, high) == ranking(odd, low)
    assert ranking(odd, high).roc_auc == pytest.approx(reference.roc_auc_score(odd, low), abs=1e-12)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 scores for 2 labels"):
        ranking(np.array([True, False]), np.array([1.0, 2.0, 3.0]))


def test_figures_by_hand() -> None:
    """Key a: a spike at 10…12 with two alerts, one missed at 50…60, a burst at 100…110 alerted 5 late. b: one alert, no event."""
    events = events_of(("a", "spike", 10, 12), ("a", "spike", 50, 60), ("a", "burst", 100, 110), ("c", "burst", 10, 10))
    alerts = rows_of(("a", 9), ("a", 11), ("a", 12), ("a", 115), ("b", 11), ("c", 13))
    made = alert_figures(events, alerts, tolerance_ns=5, rows=1_000, key_days=4)
    assert (made.alerts, made.false_alarms) == (6, 2)
    assert (made.per_10_000_rows, made.per_key_day) == (20.0, 0.5)
    burst = KindFigures("burst", 2, 2, 2, 2 / 4, 1.0, 2 / 3, Delay(9.0, 9.0, 15))
    spike = KindFigures("spike", 2, 1, 2, 2 / 4, 0.5, 0.5, Delay(1.0, 1.0, 1))
    assert made.kinds == (burst, spike)
    assert made.overall.f1 == pytest.approx(12 / 17)
    assert made.overall == KindFigures(ALL, 4, 3, 4, 4 / 6, 3 / 4, made.overall.f1, Delay(3.0, 19 / 3, 15))


def test_tolerance_reaches_past_the_end_only() -> None:
    events = events_of(("a", "x", 10, 12))
    for time, tolerance, hit in [(9, 99, 0), (10, 0, 1), (12, 0, 1), (13, 0, 0), (13, 1, 1), (14, 1, 0)]:
        found = found_events(events, rows_of(("a", time)), tolerance)
        assert found["alerts"].to_list() == [hit]
        assert found["first_alert"].cast(pl.Int64).to_list() == [time if hit else None]


def test_nothing_to_divide_by_is_none() -> None:
    empty = alert_figures(NO_EVENTS, rows_of())
    assert empty.overall == KindFigures(ALL, 0, 0, 0, None, None, None, None)
    assert (empty.per_10_000_rows, empty.per_key_day, empty.kinds) == (None, None, ())
    silent = alert_figures(events_of(("a", "x", 1, 2)), rows_of(), rows=10, key_days=1)
    assert silent.overall == KindFigures(ALL, 1, 0, 0, None, 0.0, 0.0, None)
    assert (silent.per_10_000_rows, silent.per_key_day) == (0.0, 0.0)
    noisy = alert_figures(NO_EVENTS, rows_of(("a", 1)), rows=10)
    assert noisy.overall == KindFigures(ALL, 0, 0, 0, 0.0, None, None, None)
    assert noisy.per_10_000_rows == 1_000.0


def test_the_ends_of_time() -> None:
    events = events_of(("a", "x", -(2**63) + 1, -(2**63) + 1), ("a", "x", FARTHEST - 3, FARTHEST - 1))
    assert in_events(events, rows_of(("a", FARTHEST), ("a", 0), ("a", -(2**63) + 3)), 5).tolist() == [True, False, True]


def slowly(events: pl.DataFrame, alerts: pl.DataFrame, tolerance: int) -> tuple[list[bool], list[list[int]]]:
    """Which alerts lie in an event, and for each event the times of its alerts, by comparing all pairs."""
    marks = [False] * alerts.height
    of: list[list[int]] = [[] for _ in range(events.height)]
    spans, times = events.cast({"from": pl.Int64, "to": pl.Int64}).rows(), alerts.cast({"time": pl.Int64}).rows()
    for (e, (key, _, begin, end)), (a, (whose, time)) in product(enumerate(spans), enumerate(times)):
        if key == whose and begin <= time <= end + tolerance:
            marks[a] = True
            of[e].append(time)
    return marks, of


KEYS, KIND_NAMES = st.sampled_from("abc"), st.sampled_from("xy")
SPANS = st.lists(st.tuples(KEYS, KIND_NAMES, st.integers(0, 60), st.integers(0, 20)), max_size=8)


@given(SPANS, st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 90)), max_size=12), st.integers(0, 5))
def test_overlapping_events_and_many_keys(spans: list[tuple[str, str, int, int]], times: list[tuple[str, int]], tolerance: int) -> None:
    events = events_of(*((key, kind, begin, begin + length) for key, kind, begin, length in spans))
    alerts = rows_of(*times)
    marks, of = slowly(events, alerts, tolerance)
    assert in_events(events, alerts, tolerance).tolist() == marks
    found = found_events(events, alerts, tolerance)
    assert found["alerts"].to_list() == [len(inside) for inside in of]
    assert found["first_alert"].cast(pl.Int64).to_list() == [min(inside, default=None) for inside in of]
    made = alert_figures(events, alerts, tolerance_ns=tolerance)
    assert made.false_alarms == marks.count(False)
    assert made.overall.found == sum(map(bool, of))
    for figures in made.kinds:
        chosen = (events["kind"] == figures.kind).to_list()
        assert figures.events == sum(chosen)
        assert figures.alerts == sum(slowly(events.filter(pl.Series(chosen)), alerts, tolerance)[0])


def test_key_days() -> None:
    hour = 3_600_000_000_000
    rows = rows_of(("a", 0), ("a", 23 * hour), ("a", 24 * hour), ("b", 20 * hour))
    assert count_key_days(rows) == 3
    assert count_key_days(rows, "Asia/Kolkata") == 3  # 05:30 later: a on days 0 and 1, b on day 1
    assert count_key_days(rows_of(("a", 0), ("a", 20 * hour)), "Asia/Kolkata") == 2
    assert count_key_days(rows_of()) == 0
