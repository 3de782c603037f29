"""A topic, a database and a file of alerts have the same episodes."""

from __future__ import annotations

from pathlib import Path

from command import finished
from kafka_rows import Trades
from kafka_topics import Brokers


def test_a_topic_has_the_episodes_of_its_alerts(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    out, store, parts = kafka.topic(1), f"sqlite:///{tmp_path / 'alerts.db'}", tmp_path / "alerts.parquet"
    command = ["run", "trades", kafka.uri(trades.topic), "--group", out, "--until", "end", "--state", tmp_path / "state"]
    done = finished(*command, "--alerts", kafka.uri(out), "--alerts", store, "--alerts", parts)
    assert done.code == 0, done.err
    found = []
    for number, alerts in enumerate((kafka.uri(out), store, parts)):
        file = tmp_path / f"{number}.jsonl"
        listed = finished("episodes", alerts, "--out", file)
        assert listed.code == 0, listed.err
        found.append(file.read_bytes())
    assert found[0] == found[1] == found[2]
    assert found[0].count(b"\n") > 0
    refused = finished(*command, "--alerts", kafka.uri(out), "--episodes", tmp_path / "e.jsonl")
    assert (refused.code, "offbeat episodes" in refused.err) == (2, True), refused.err
