"""The published JSON schema accepts real alerts and refuses broken ones."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from alert_blocks import as_table, many, two_bars

from offbeat.io.write.alert_json_schema import alert_json_schema
from offbeat.io.write.alert_table import EMPTY
from offbeat.io.write.jsonl_sink import json_lines

jsonschema: Any = import_module("jsonschema")


def alerts() -> list[dict[str, Any]]:
    return [json.loads(line) for table in (as_table(two_bars()), many(5)) for line in json_lines(table).splitlines()]


def problems(alert: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(alert_json_schema())
    return [error.json_path for error in validator.iter_errors(alert)]


def test_real_alerts_are_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(alert_json_schema())
    assert [problems(alert) for alert in alerts()] == [[]] * 7


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
