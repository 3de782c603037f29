"""DBN in topics: the alerts of the file with the same records."""

from __future__ import annotations

import json
from pathlib import Path

import databento_dbn as dbn
from command import finished
from confluent_kafka import Producer
from databento_files import NS, T0, metadata, named, put, told, trade
from kafka_topics import Brokers, latest

EACH = """
name: each
source:
  {format: databento, key: symbol, time: {column: ts_recv, headers: [ts_event]}, columns: {price: {type: decimal, scale: 9}, side: text}}
views: {trade: {detectors: {high: {type: rule, when: "price > 50 AND side = 'B'"}}}}
"""
TRADES = [
    (number, trade(number, T0 + i * NS, price * NS + 1, side=side, sequence=i))
    for i, (number, price, side) in enumerate([(2, 49, dbn.Side.BID), (2, 51, dbn.Side.BID), (7, 60, dbn.Side.BID), (7, 60, dbn.Side.ASK)])
]
SYMBOLS = {2: "AIG", 7: "IBM"}


def test_the_alerts_are_those_of_the_file(kafka: Brokers, tmp_path: Path) -> None:
    """By symbol, which is the record's key, and by number; what is no trade is set aside."""
    (tmp_path / "p.yaml").write_text(EACH)
    file = put(tmp_path / "x.dbn", metadata(named("AIG", 2), named("IBM", 7)) + b"".join(record for _, record in TRADES))
    poison = [told("AIG", 2), TRADES[0][1][:-4], b"\x0c", b""]
    for settings, key in (([], lambda number: SYMBOLS[number]), (["--set", "source.key=instrument_id"], str)):
        topic, out, state = kafka.topic(2, retention_ms="-1"), kafka.topic(1), tmp_path / f"state{len(settings)}"
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for number, record in TRADES:
            producer.produce(topic, record, key(number))
        for record in poison:
            producer.produce(topic, record, "AIG")
        assert producer.flush(30) == 0
        command = ["run", tmp_path / "p.yaml", kafka.uri(topic), "--format", "dbn", *settings, "--alerts", kafka.uri(out), "--group", topic]
        done = finished(*command, "--state", state, "--until", "end", "--json")
        assert done.code == 0, done.err
        figures = json.loads(done.out)
        assert (figures["rows_in"], figures["quarantined"]) == (8, {"type": 4})
        whole = tmp_path / f"{len(settings)}.jsonl"
        assert finished("run", tmp_path / "p.yaml", file, *settings, "--alerts", whole).code == 0
        wanted = latest([json.loads(line) for line in whole.read_text().splitlines()])
        found = latest(kafka.alerts(out))
        assert found == wanted
        assert sorted(alert["key"] for alert in found) == sorted(key(number) for number in (2, 7))
    refused = finished("replay", file, kafka.uri(topic), "--pipeline", tmp_path / "p.yaml", "--format", "dbn")
    assert (refused.code, "expected json, avro or arrow" in refused.err) == (2, True)
