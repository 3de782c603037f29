"""Law 4: the same rows through files and through Kafka give the same alerts, however many partitions there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import DATA, finished
from kafka_topics import Brokers, latest
from kafka_trades import first_lines


@dataclass(frozen=True)
class Rows:
    """Rows of a shipped pipeline, in the order of their times."""

    pipeline: str
    field: str
    file: Path
    lines: list[bytes]


@pytest.fixture(scope="session", params=["trades", "bars", "cdr"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = tmp_path_factory.mktemp("rows")
    pipeline: str = request.param
    source = folder / "source"
    match pipeline:
        case "trades":
            source = DATA / "trades"
        case "bars":
            done = finished("generate", "bars", "--out", source, "--symbols", 8, "--days", 4)
            assert done.code == 0, done.err
        case "cdr":
            done = finished("generate", "cdr", "--out", source, "--rows", 8_000, "--days", 40, "--customers", 40)
            assert done.code == 0, done.err
    lines = first_lines(source, pipeline, 8_000)
    file = folder / "rows.ndjson"
    file.write_bytes(b"\n".join(lines) + b"\n")
    return Rows(pipeline, {"trades": "symbol", "bars": "key", "cdr": "customer_id"}[pipeline], file, lines)


@pytest.mark.parametrize("partitions", [1, 4, 12])
def test_kafka_equals_files(kafka: Brokers, rows: Rows, partitions: int, tmp_path: Path) -> None:
    topic, out, state = kafka.topic(partitions), kafka.topic(3), tmp_path / "state"
    kafka.fill(topic, rows.lines, rows.field)
    command = ["run", rows.pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, "--state", state, "--until", "end"]
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    by_kafka = json.loads(done.out)
    file = tmp_path / "alerts.jsonl"
    with rows.file.open() as lines:  # files of bars would be named by their keys: standard input has them in its rows
        done = finished("run", rows.pipeline, "-", "--alerts", file, "--json", stdin=lines)
    assert done.code == 0, done.err
    by_files = json.loads(done.out)
    wanted = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert wanted, "no alerts: nothing is compared"
    found = kafka.alerts(out)
    assert latest(found) == latest(wanted)
    figures = ("rows_in", "scored", "warming_up", "late", "duplicate", "pending", "quarantined")
    assert {name: by_kafka[name] for name in figures} == {name: by_files[name] for name in figures}
    # The same command again has nothing to read, and says nothing twice.
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["alerts"] == 0
    assert len(kafka.alerts(out)) == len(found)
