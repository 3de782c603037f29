"""Alerts of real runs in words: what they say was observed, compared and used is worked out by hand from the rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from statistics import fmean, stdev
from typing import Any

import polars as pl
import pytest
from oracle_detectors import key_hash

import offbeat
from offbeat.io.report.console import alert_records, moment, number
from offbeat.io.report.explain import explain_words

START = datetime(2024, 1, 1, tzinfo=UTC)
STEADY = [100.0 + (i * 7 % 11 - 5) / 4 for i in range(59)]
"""98.75 to 101.25, without a pattern that a window of 50 could tell."""


def at(row: int) -> str:
    """When a row happened, as the words have it."""
    return moment((START + timedelta(seconds=row)).isoformat())


def last_alert(detectors: dict[str, Any], values: list[float], windows: dict[str, Any] | None = None) -> dict[str, Any]:
    """The record of the last row, on which at least one of the detectors votes."""
    view = {"detectors": detectors, **({} if windows is None else {"windows": windows})}
    pipeline = {"name": "made", "source": {"key": "k", "time": "t", "columns": {"x": "float"}}, "views": {"v": view}}
    rows = {"k": ["a"] * len(values), "t": [START + timedelta(seconds=i) for i in range(len(values))], "x": values}
    found = offbeat.run(pipeline, pl.DataFrame(rows)).alerts.sort("time").tail(1)
    record = alert_records(found.to_arrow())[0]
    assert moment(record["time"]) == at(len(values) - 1)
    return record


def entry(alert: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(d) for d in alert["detectors"] if d["name"] == name)


@pytest.mark.parametrize("kind", ["isolation_forest", "robust_covariance", "half_space_trees"])
def test_a_model_over_one_feature_shows_the_value_and_its_training_rows(kind: str) -> None:
    settings = {"type": kind, "features": ["x"], "train_on": 40, "retrain_every": 10, "train_min": 20, "contamination": 0.1}
    alert = last_alert({"it": settings, "every": {"type": "rule", "when": "x > 0"}}, [*STEADY, 106.0])
    said, words = entry(alert, "it"), explain_words(alert)
    # A training follows the n-th row where n + hash is a multiple of 10; the first from the 20th row on.
    n = next(n for n in range(59, 0, -1) if (n + key_hash("a")) % 10 == 0)
    number_of_it = len([i for i in range(20, n + 1) if (i + key_hash("a")) % 10 == 0])
    assert (said["type"], said["observed"], said["model_version"]) == (kind, 106.0, number_of_it)
    assert said["raw"] != said["observed"]
    assert f"x was 106; its raw score was {number(said['raw'])}, " in words
    assert f"the limit ({number(said['threshold'])})" in words
    assert f"    model {number_of_it}, trained on 40 rows from {at(n - 40)} to {at(n - 1)}\n" in words
    mean, sd = fmean(STEADY[n - 40 : n]), stdev(STEADY[n - 40 : n])
    assert f"    x was 106; usually {number(mean)}, between {number(mean - 3 * sd)} and {number(mean + 3 * sd)}\n" in words
    assert words.count("alone") == 1, "the rule is judged on this row alone"


def test_a_model_over_several_features_observes_no_single_value() -> None:
    settings = {"type": "robust_covariance", "features": ["x", "x * x"], "train_on": 40, "retrain_every": 10, "train_min": 20}
    said = entry(last_alert({"it": settings, "every": {"type": "rule", "when": "x > 0"}}, [*STEADY, 106.0]), "it")
    assert said["observed"] is None
    assert said["raw"] > said["threshold"] > 0


def test_each_detector_tells_its_own_window() -> None:
    """Both looked at 50 rows; the 2 rows of the view's window decided nothing."""
    detectors = {
        "z": {"type": "zscore", "over": "50 rows", "limits": {"x": 3}},
        "q": {"type": "quantile", "value": "x", "over": "50 rows", "low": 0.05, "high": 0.95, "factor": 1.5},
    }
    alert = last_alert(detectors, [*STEADY, 106.0], {"w": {"over": "2 rows", "features": {"m": "mean(x)"}}})
    words = explain_words(alert)
    assert words.count(f"    compared with 50 rows from {at(9)} to {at(59)}\n") == 2
    assert f"The view's window: 2 rows from {at(57)} to {at(59)}; m {number(fmean(STEADY[-2:]))}.\n" in words
    assert "2 rows" not in words.replace("The view's window: 2 rows", "")


def test_the_words_say_the_same_as_the_score() -> None:
    """A z-score counts in distances from the mean: how far a value lies above its limit is another figure."""
    alert = last_alert({"z": {"type": "zscore", "over": "50 rows", "limits": {"x": 3}}}, [*STEADY, 106.0])
    mean, sd = fmean(STEADY[9:]), stdev(STEADY[9:])
    r = (106 - mean) / (3 * sd)
    assert r > 2
    assert entry(alert, "z")["score"] == pytest.approx(r / (1 + r))
    line = f"z voted: x was 106; expected {number(mean)}, limit {number(mean + 3 * sd)}: "
    assert f"{line}{r:.1f} times the allowed distance." in explain_words(alert).splitlines()


def test_only_a_rule_without_a_window_is_judged_by_the_row_alone() -> None:
    detectors = {
        "z": {"type": "zscore", "over": "5 rows", "min_values": 3, "limits": {"x": 3}},
        "band": {"type": "band", "value": "x", "over": "4 rows", "min_values": 3},
        "big": {"type": "rule", "when": "x > 50"},
        "more": {"type": "rule", "when": "x > 2 * m"},
    }
    alert = last_alert(detectors, [1.0, 2.0, 1.0, 2.0, 1.0, 99.0], {"w": {"over": "3s", "features": {"m": "mean(x)"}}})
    assert [entry(alert, name)["window"] and entry(alert, name)["window"]["n"] for name in detectors] == [5, 4, None, 3]
    words = explain_words(alert)
    assert words.count("judged on this row alone") == 1
    assert "big voted: x was 99, 2.0 times the limit (50).\n" in words, "what is compared in a rule are multiples of the limit"
    assert f"    compared with 3 rows from {at(2)} to {at(5)}\n" in words


def test_what_never_was_negative_is_not_usual_below_zero() -> None:
    """1, 2, 1, 2, 1: mean 1.4, three sd 1.64, so the range would begin at -0.24. With -1 among them it does lie below 0."""
    settings = {"z": {"type": "zscore", "over": "5 rows", "min_values": 3, "limits": {"x": 3}}}
    alert = last_alert(settings, [1.0, 2.0, 1.0, 2.0, 1.0, 99.0])
    assert f"x was 99; usually 1.4, between 0 and {number(1.4 + 3 * stdev([1, 2, 1, 2, 1]))}\n" in explain_words(alert)
    values = [1.0, 2.0, -1.0, 2.0, 1.0]
    (outside,) = entry(last_alert(settings, [*values, 99.0]), "z")["out_of_range"]
    assert outside["low"] == pytest.approx(fmean(values) - 3 * stdev(values))
    assert outside["low"] < 0


def test_a_line_of_jsonl_says_what_the_record_says() -> None:
    alert = last_alert({"z": {"type": "zscore", "over": "5 rows", "min_values": 3, "limits": {"x": 3}}}, [1.0, 2.0, 1.0, 2.0, 1.0, 99.0])
    assert explain_words(json.loads(json.dumps(alert))) == explain_words(alert)
