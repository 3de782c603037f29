"""Alerts of a key, close in time, are one incident."""

from __future__ import annotations

import json
from pathlib import Path

from alert_blocks import as_table, two_bars
from command import Command, offbeat

from offbeat.dashboard.alert_buffer import AlertBuffer, Row
from offbeat.dashboard.feeds import LinesFile
from offbeat.dashboard.incidents import Incident, by_key, episodes_in, ranked, similar
from offbeat.evaluate.generate_bars import generate_bars
from offbeat.io.report.console import alert_records
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]

JUMP = alert_records(as_table(two_bars()))[0]


def rows(*alerts: tuple[str, int, float]) -> list[Row]:
    """Alerts by key, minute and severity."""
    buffer = AlertBuffer()
    wrong = buffer.add(
        json.dumps(JUMP | {"alert_id": f"{i:032x}", "key": key, "time": f"2024-03-01T{m // 60:02}:{m % 60:02}:00Z", "severity": s}).encode()
        for i, (key, m, s) in enumerate(alerts)
    )
    assert wrong == []
    return buffer.rows()


def incidents_of(alerts: list[Row]) -> list[Incident]:
    return ranked(by_key(alerts))


def told(alerts: list[Row]) -> list[tuple[str, int, float]]:
    return [(incident.worst.key, len(incident.members), incident.worst.severity) for incident in incidents_of(alerts)]


def test_half_an_hour_without_an_alert_ends_an_incident() -> None:
    alerts = rows(("A", 0, 0.5), ("A", 30, 0.6), ("A", 60, 0.4), ("A", 91, 0.9), ("B", 10, 0.7))
    assert told(alerts) == [("A", 1, 0.9), ("B", 1, 0.7), ("A", 3, 0.6)]
    assert told(alerts[::-1]) == told(alerts), "whatever the order of arrival"


def test_a_late_alert_joins_two() -> None:
    alerts = rows(("A", 0, 0.5), ("A", 50, 0.6), ("A", 25, 0.1))
    assert told(alerts[:2]) == [("A", 1, 0.6), ("A", 1, 0.5)]
    (joined,) = incidents_of(alerts)
    assert joined.members == tuple(alerts[i].alert_id for i in (0, 2, 1))
    assert joined.incident_id == alerts[1].alert_id


def test_similar_ones_are_earlier() -> None:
    found = incidents_of(rows(("A", 0, 0.5), ("B", 100, 0.8), ("A", 200, 0.8), ("A", 300, 0.81), ("A", 400, 0.99)))
    now = next(incident for incident in found if incident.worst.severity == 0.81)
    assert [(other.worst.key, other.worst.severity) for other in similar(now, found)] == [("A", 0.8), ("A", 0.5), ("B", 0.8)]


def test_a_file_is_followed_cut_and_replaced(tmp_path: Path) -> None:
    path, buffer = tmp_path / "a.jsonl", AlertBuffer()
    whole = json.dumps(JUMP | {"alert_id": "1" * 32}).encode() + b"\n"
    path.write_bytes(whole + whole[:100])
    steps = LinesFile(path).steps(buffer)
    assert next(steps) == []
    assert len(buffer.rows()) == 1, "half a line waits for its end"
    with path.open("ab") as file:
        file.write(whole[100:].replace(b"1" * 32, b"2" * 32))
    next(steps)
    assert len(buffer.rows()) == 1, "its first half named the first alert"
    path.write_bytes(whole)
    assert list(steps) == [], "a file that was cut is read anew"
    next(LinesFile(path).steps(buffer))
    assert len(buffer.rows()) == 1


def test_a_known_pipeline_has_the_episodes_that_the_command_lists(offbeat: Command, tmp_path: Path) -> None:
    """Bars are quiet for as long as the pipeline says: `offbeat episodes` gives the same ones."""
    generate_bars(tmp_path / "bars", symbols=2, days=3, seed=1)
    assert offbeat("run", "bars", tmp_path / "bars", "--alerts", tmp_path / "a.jsonl").code == 0
    listed = [json.loads(line) for line in offbeat("episodes", tmp_path / "a.jsonl", "--json", "--limit", 10_000).out.splitlines()]
    buffer = AlertBuffer()
    assert buffer.add((tmp_path / "a.jsonl").read_bytes().splitlines()) == []
    found = episodes_in(load_plan("bars").episodes, buffer.rows())
    assert len(found) > 5
    assert {one.incident_id: (one.key, one.members, one.worst.alert_id) for one in found} == {
        record["episode_id"]: (record["group"], tuple(record["alert_ids"]), record["worst"]) for record in listed
    }
