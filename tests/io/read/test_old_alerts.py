"""Alerts as offbeat first wrote them, without types, windows and raw scores, are read as far as they tell what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alert_blocks import as_table, two_bars

from offbeat.io.read.alert_files import find_alert, latest, read_alerts
from offbeat.io.report.console import summary
from offbeat.io.report.explain import explain_words
from offbeat.io.write.jsonl_sink import json_lines

X = {"feature": "x", "observed": 106.0, "expected": 100.0, "low": 97.5, "high": 102.5}
FAR = {"name": "far", "score": 0.7, "threshold": 102.5, "voted": True, "observed": 106.0, "expected": 100.0}
COV = {"name": "cov.x", "score": 0.8, "threshold": 1.5, "voted": True, "observed": 7.5, "expected": None}
MORE: dict[str, Any] = {"contributions": [{"feature": "x", "value": 7.5}], "odd": [X], "note": None}
RULE = {"name": "cov", "score": 0.5, "threshold": 105.0, "voted": True, "observed": 106.0, "expected": None, "contributions": []}
OLD = {
    "alert_id": "ab" * 16,
    "revision": 1,
    "status": "final",
    "pipeline": "made",
    "view": "v",
    "key": "a",
    "time": "2024-01-01T00:00:59.000000000Z",
    "severity": 0.8,
    "level": "high",
    "votes": 3,
    "voters": 3,
    "detectors": [COV | MORE, FAR | MORE, RULE | {"odd": [], "note": None}],
    "row": {"x": 106.0},
    "window": None,
    "model_version": "cov.x 12",
    "plan_hash": "0" * 32,
    "offbeat_version": "0.1.0",
}


def written(folder: Path, name: str, *alerts: dict[str, Any]) -> Path:
    """The alerts in a file as the first version wrote them."""
    path, lines = folder / name, "".join(json.dumps(alert) + "\n" for alert in alerts)
    if name.endswith(".jsonl"):
        path.write_text(lines)
    else:
        time = pl.col("time").str.to_datetime("%+", time_unit="ns", time_zone="UTC")
        pl.read_ndjson(lines.encode()).with_columns(time).write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_what_it_tells_is_where_it_stands_today(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, OLD, OLD | {"alert_id": "cd" * 16, "status": "withdrawn", "model_version": None})
    first, second = read_alerts(path).to_dicts()
    cov, far, rule = first["detectors"]
    assert (cov["raw"], cov["observed"], cov["threshold"], cov["model_version"]) == (7.5, None, 1.5, 12)
    assert (far["raw"], far["observed"], far["expected"], far["model_version"]) == (None, 106.0, 100.0, None)
    assert (rule["name"], rule["raw"], rule["observed"], rule["model_version"]) == ("cov", None, 106.0, None)
    assert cov["out_of_range"] == far["out_of_range"] == [X]
    assert rule["out_of_range"] == []
    assert all(d["type"] is None and d["window"] is None for d in first["detectors"])
    assert second["status"] == "retracted"
    assert second["detectors"][0]["observed"] == 7.5, "nothing says that it was a model"
    assert latest(read_alerts(path)).height == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_words_claim_no_more_than_the_record_tells(tmp_path: Path, name: str) -> None:
    alert = find_alert(written(tmp_path, name, OLD), "ab")
    assert summary(alert) == "cov.x x 106 (usual 97.5 to 102), far x 106 (usual 97.5 to 102), cov 106 > 105"
    words = explain_words(alert)
    assert "cov.x voted: the raw score was 7.5, 5.0 times the limit (1.5).\n" in words
    assert "far voted: x was 106, above the limit (102.5); expected 100, so it was 6 % above that.\n" in words
    assert "compared with" not in words
    assert "alone" not in words


def test_old_lines_and_new_ones_in_one_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", OLD)
    path.write_bytes(path.read_bytes() + json_lines(as_table(two_bars())))
    old, *new = read_alerts(path).to_dicts()
    assert (old["detectors"][0]["raw"], old["detectors"][0]["type"]) == (7.5, None)
    lines = [json.loads(line) for line in json_lines(as_table(two_bars())).splitlines()]
    assert [[(d["type"], d["observed"], d["window"] is None) for d in alert["detectors"]] for alert in new] == [
        [(d["type"], d["observed"], d["window"] is None) for d in alert["detectors"]] for alert in lines
    ]
