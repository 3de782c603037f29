"""The published JSON schema accepts real alerts and refuses broken ones."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import polars as pl
import pytest
from alert_blocks import as_table, many, two_bars

import offbeat
from offbeat.io.write.alert_json_schema import alert_json_schema
from offbeat.io.write.alert_table import EMPTY
from offbeat.io.write.jsonl_sink import json_lines

jsonschema: Any = import_module("jsonschema")


def alerts() -> list[dict[str, Any]]:
    tables = (as_table(two_bars()), many(5), as_table(two_bars(), lean=True))
    return [json.loads(line) for table in tables for line in json_lines(table).splitlines()]


def judged() -> list[dict[str, Any]]:
    """Alerts of a run with models, z-scores and rules: with and without verdicts, values out of range, notes, windows without a row."""
    detectors = {
        "cov": {"type": "robust_covariance", "features": ["x"], "train_on": 20, "retrain_every": 10, "train_min": 20},
        "z": {"type": "zscore", "over": "10 rows", "limits": {"x": 2, "x * x": 2}},
        "every": {"type": "rule", "when": "x > 0"},
    }
    view = {"windows": {"w": {"over": "1s", "features": {"m": "mean(x)"}}}, "detectors": detectors}
    pipeline = {"name": "made", "source": {"key": "k", "time": "t", "columns": {"x": "float"}}, "views": {"v": view}}
    times = [datetime(2024, 1, 1) + timedelta(seconds=i) for i in range(60)]
    rows = pl.DataFrame({"k": ["a"] * 60, "t": times, "x": [float(1 + i * i % 7 + 90 * (i == 50)) for i in range(60)]})
    return [json.loads(line) for line in json_lines(offbeat.run(pipeline, rows).alerts.to_arrow()).splitlines()]


def problems(alert: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(alert_json_schema())
    return [error.json_path for error in validator.iter_errors(alert)]


def test_real_alerts_are_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(alert_json_schema())
    assert [problems(alert) for alert in alerts()] == [[]] * 9
    found = judged()
    assert len(found) == 60
    assert [problems(alert) for alert in found] == [[]] * 60
    first, odd = found[0]["detectors"], found[50]["detectors"]
    assert [d["model_version"] for d in first] == [None, None, None]
    assert first[0]["note"].startswith("no verdict: waits for its first training")
    assert first[2]["window"] is None
    assert odd[0]["model_version"] >= 3
    assert [[d["raw"] is None, d["observed"]] for d in odd] == [[False, odd[0]["observed"]], [False, None], [True, odd[2]["observed"]]]
    assert odd[0]["observed"] == odd[2]["observed"] > 90
    assert {part["feature"] for part in odd[1]["out_of_range"]} == {"x", "x * x"}
    assert [d["voted"] for d in odd] == [True, True, True]


def test_it_has_a_version() -> None:
    schema = alert_json_schema()
    assert (schema["$id"], schema["version"]) == ("urn:offbeat:alert:2", 2)
    assert schema["properties"]["status"]["enum"] == ["early", "provisional", "final", "retracted"]


@pytest.mark.parametrize("field", list(alert_json_schema()["properties"]["detectors"]["items"]["properties"]))
def test_what_may_be_absent_of_a_detector(field: str) -> None:
    """Of a pipeline of rules alone four fields are; the schema says which."""
    alert = alerts()[0]
    del alert["detectors"][0][field]
    assert bool(problems(alert)) == (field not in {"model_version", "raw", "out_of_range", "note"})


def test_the_schema_has_the_fields_of_the_record_in_order() -> None:
    assert list(alert_json_schema()["properties"]) == EMPTY.names


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alert_id", "AB" * 16),
        ("time", "2023-11-14T22:13:20Z"),
        ("status", "over"),
        ("severity", 1.5),
        ("votes", -1),
        ("row", {"a": [1]}),
        ("extra", 1),
    ],
)
def test_broken_alerts_are_not(field: str, value: object) -> None:
    assert problems({**alerts()[0], field: value})


@pytest.mark.parametrize("field", EMPTY.names)
def test_every_field_is_there(field: str) -> None:
    alert = alerts()[0]
    del alert[field]
    assert problems(alert)
