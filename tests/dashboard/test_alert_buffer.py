"""What the page keeps of the alerts: bounded, the latest revision of each, harmless, and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alert_blocks import as_table, two_bars

from offbeat.dashboard.alert_buffer import AlertBuffer, micros_of, short_key
from offbeat.io.report.console import alert_records

JUMP, SURGE = alert_records(as_table(two_bars()))


def line(number: int, **other: Any) -> bytes:
    return json.dumps(JUMP | {"alert_id": f"{number:032x}", "severity": 0.5, "level": "medium"} | other).encode()


def test_the_latest_revision_counts() -> None:
    buffer = AlertBuffer()
    buffer.add([line(1, status="early", severity=0.9, level="critical"), line(1, revision=2, status="provisional")])
    buffer.add([line(1, status="final")])
    assert [(row.revision, row.status) for row in buffer.rows()] == [(2, "provisional")]
    figures = buffer.figures()
    assert (figures.total, figures.levels["critical"], figures.levels["medium"], figures.mean_severity) == (1, 0, 1, 0.5)
    buffer.add([line(1, revision=2, status="retracted")])
    assert (buffer.figures().total, buffer.figures().retracted) == (0, 1)


def test_what_is_no_longer_in_memory_is_counted() -> None:
    buffer = AlertBuffer(most=10)
    buffer.add(line(i, severity=i / 100) for i in range(25))
    assert [row.alert_id for row in buffer.rows()] == [f"{i:032x}" for i in range(15, 25)]
    figures = buffer.figures()
    assert (figures.total, figures.kept, figures.max_severity) == (25, 10, 0.24)
    assert figures.mean_severity == pytest.approx(0.12)
    assert buffer.record(f"{3:032x}") is None
    assert (buffer.record(f"{20:032x}") or {})["severity"] == 0.2


def test_bytes_are_bounded_too() -> None:
    buffer = AlertBuffer(most_bytes=20_000)
    buffer.add(line(i, note=bytes((i * k) % 251 for k in range(5_000)).hex()) for i in range(1, 50))
    assert 0 < len(buffer.rows()) < 49


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"null", b'{"alert_id": 1}', b"\xff\xfe", b"[" * 100_000, line(1, time="yesterday"), line(1, row=[1])]
)
def test_what_is_no_alert_is_said(text: bytes) -> None:
    buffer = AlertBuffer()
    wrong = buffer.add([text, line(2)])
    assert len(wrong) == 1
    assert wrong[0].startswith("not an alert")
    assert len(wrong[0]) < 250
    assert len(buffer.rows()) == 1


def test_long_keys_stay_apart() -> None:
    first, second = short_key("W" * 1_000_000), short_key("W" * 1_000_001)
    assert len(first) < 250
    assert first != second
    assert short_key("ACME") == "ACME"


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:01.000000000Z", 1_000_000),
        ("2013-10-07T13:47:47.960000001Z", 1_381_153_667_960_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_times(text: str, micros: int) -> None:
    assert micros_of(text) == micros
