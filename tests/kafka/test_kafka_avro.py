"""Avro and Arrow in topics: with a registry that comes and goes, with a schema from a file, broken records, envelopes."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
from command import finished
from confluent_kafka import Producer
from http_servers import HttpServer
from kafka_topics import Brokers, latest

from offbeat.io.kafka.avro import AvroReader
from offbeat.io.kafka.schemas import Schemas

PIPELINE = """
name: payloads
source:
  key: k
  time: t
  columns: {price: {type: decimal, scale: 9}, v: float, side: text, open: bool, n: {type: decimal, scale: 0}}
views: {v: {detectors: {high: {type: rule, when: "v > 100 and price > 1 and open and n > 0 and side = 'B'"}}}}
"""
ROWS = [
    {"k": "aé"[i % 2], "t": f"2024-05-01T10:00:{i:02d}.000000001Z", "price": price, "v": v, "side": side, "open": i != 3, "n": i}
    for i, (price, v, side) in enumerate(
        [(2.000000001, 500.0, "B"), (None, 1.5, "A"), (1234567.123456789, 101.0, "B"), (3, 500, "B"), (7.5, None, None), (9, 1e300, "B")]
    )
]
LINES = [json.dumps(row).encode() for row in ROWS]


class Registry:
    """Speaks as much of a schema registry's HTTP as the client asks for, until it is shut down."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.references: dict[int, list[dict[str, Any]]] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        registry = self

        class Registered(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/subjects/"):
                    name, version = self.path.split("?")[0].split("/")[2::2]
                    self._say(200, {"subject": name, "id": 99, "version": int(version), **registry.subjects[f"{name}/{version}"]})
                    return
                number = int(self.path.split("?")[0].rsplit("/", 1)[1])
                if number in registry.schemas:
                    others = registry.references.get(number, [])
                    self._say(200, {"schema": registry.schemas[number], "schemaType": "AVRO", "references": others})
                else:
                    self._say(404, {"error_code": 40403, "message": "Schema not found"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                number = 7 + len(registry.schemas)
                registry.schemas[number] = body["schema"]
                self._say(200, {"id": number})

            def _say(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = HttpServer(Registered)
        self.url = f"http://{self.server.place}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.server.stop()


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(PIPELINE)
    return path


@pytest.fixture
def wanted(pipeline: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """The alerts of the rows as JSON lines, and those lines in a file."""
    rows, out = tmp_path / "rows.ndjson", tmp_path / "plain.jsonl"
    rows.write_bytes(b"\n".join(LINES) + b"\n")
    done = finished("run", pipeline, rows, "--alerts", out)
    assert done.code == 0, done.err
    alerts = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [alert["row"]["v"] for alert in latest(alerts)]
    assert sorted(alert["row"]["v"] for alert in alerts) == [101.0, 1e300]  # the first row has n = 0, the fourth is not open
    return alerts


def _record(schema: dict[str, Any], row: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), row)
    return out.getvalue()


def _two_rows() -> bytes:
    frame, out = pl.DataFrame({"k": ["a", "b"]}), io.BytesIO()
    frame.write_ipc_stream(out)
    return out.getvalue()


def _send(kafka: Brokers, topic: str, records: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    for record in records:
        producer.produce(topic, record, "a")
    assert producer.flush(30) == 0


def test_a_registry_that_goes_away(kafka: Brokers, registry: Registry, pipeline: Path, wanted: list[Any], tmp_path: Path) -> None:
    topic, out, dead = kafka.topic(1, retention_ms="-1"), kafka.topic(1), kafka.topic(1)
    avro = ["--format", "avro", "--registry", registry.url]
    done = finished("replay", tmp_path / "rows.ndjson", kafka.uri(topic), "--pipeline", pipeline, "--speed", "max", *avro)
    assert (done.code, "2 skipped" in done.err) == (0, True), done.err  # rows without a value
    (number,) = registry.schemas
    schema = json.loads(registry.schemas[number])
    frame = struct.pack(">bI", 0, number)
    row = {"k": "a", "t": "2024-05-01T10:01:00Z", "price": "5", "v": 700.0, "side": "B", "open": True, "n": 1}
    good = frame + _record(schema, row)
    poison = [struct.pack(">bI", 0, 999) + good[5:], good[:-3], good + b"x", b"{}", b""]
    _send(kafka, topic, [*poison, good])
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--dead-letters", dead, "--group", topic, *avro]
    command += ["--state", tmp_path / "state", "--until", "end", "--json"]
    done = finished(*command)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert (figures["rows_in"], figures["quarantined"]) == (len(ROWS) - 2 + len(poison) + 1, {"type": len(poison)})
    found = kafka.alerts(out)
    assert [alert for alert in latest(found) if alert["row"]["v"] != 700.0] == latest(wanted)
    told: dict[bytes, dict[str, Any]] = {
        message.value() or b"": {str(name): value for name, value in list(message.headers() or [])} for message in kafka.read(dead)
    }
    assert b"unknown schema id 999" in told[poison[0]]["offbeat-detail"]
    assert all(told[record]["offbeat-reason"] == b"type" for record in poison)
    # The stream goes on without the registry, also with a worker that starts now.
    registry.server.stop()
    _send(kafka, topic, [poison[0], frame + _record(schema, row | {"t": "2024-05-01T10:02:00Z", "v": 800.0})])
    done = finished(*command)
    assert done.code == 0, done.err
    assert [alert["row"]["v"] for alert in kafka.alerts(out)][len(found) :] == [800.0]
    # A schema that nobody knows yet is waited for, not left out.
    _send(kafka, topic, [struct.pack(">bI", 0, 1000) + good[5:]])
    done = finished(*command)
    assert (done.code, "1000" in done.err, registry.url in done.err) == (2, True, True), done.err


SIDES = {"type": "enum", "name": "Side", "symbols": ["A", "B"]}
PRICED = {
    "type": "record", "name": "Priced", "namespace": "com.prices",
    "fields": [{"name": "price", "type": "string"}, {"name": "side", "type": "com.ours.Side"}],
}  # fmt: skip
REFERRING = {
    "type": "record", "name": "Row", "namespace": "com.ours",
    "fields": [
        {"name": "k", "type": "string"}, {"name": "t", "type": "string"}, {"name": "v", "type": "double"},
        {"name": "open", "type": "boolean"}, {"name": "n", "type": "int"},
        {"name": "side", "type": "Side"}, {"name": "was", "type": ["null", "Side"]}, {"name": "priced", "type": "com.prices.Priced"},
    ],
}  # fmt: skip
"""Side is of com.ours, as the record is, and comes three times, once by way of another schema."""
REFERENCES = [
    {"name": "com.prices.Priced", "subject": "priced", "version": 2}, {"name": "com.ours.Side", "subject": "side", "version": 1}
]  # fmt: skip
WHOLE = {**REFERRING, "fields": [*REFERRING["fields"][:5], {"name": "side", "type": SIDES}, *REFERRING["fields"][6:7],
         {"name": "priced", "type": PRICED}]}  # fmt: skip


def test_schemas_that_refer_to_others(kafka: Brokers, registry: Registry, pipeline: Path, tmp_path: Path) -> None:
    """And JSON in the same wire format, whose schema nobody asks for."""
    registry.schemas[31], registry.references[31] = json.dumps(REFERRING), REFERENCES
    registry.subjects["priced/2"] = {"schema": json.dumps(PRICED), "references": REFERENCES[1:]}
    registry.subjects["side/1"] = {"schema": json.dumps(SIDES)}
    pipeline.write_text(PIPELINE.replace("scale: 9}", "scale: 9, headers: [price, priced.price]}"))
    row = {"k": "a", "t": "2024-05-01T10:01:00Z", "v": 700.0, "side": "B", "was": "A", "open": True, "n": 1}
    avro = struct.pack(">bI", 0, 31) + _record(WHOLE, row | {"priced": {"price": "2.5", "side": "A"}})
    framed = struct.pack(">bI", 0, 32) + json.dumps(row | {"price": 2.5}).encode()
    for payload, records in (("avro", [avro, avro[:-1]]), ("json", [framed, framed[5:], b"\0\0\0\0\0", b"\0\0\0\0\0x"])):
        topic, out = kafka.topic(1, retention_ms="-1"), kafka.topic(1)
        _send(kafka, topic, records)
        spelled = ["--format", "avro", "--registry", registry.url] if payload == "avro" else []
        command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, *spelled]
        done = finished(*command, "--state", tmp_path / payload, "--until", "end", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["quarantined"] == {"type": len(records) // 2}
        assert [(alert["row"]["v"], alert["row"]["price"]) for alert in kafka.alerts(out)] == [(700.0, 2.5)] * -(-len(records) // 2)


@pytest.mark.parametrize("payload", ["avro", "arrow"])
def test_there_and_back_without_a_registry(kafka: Brokers, pipeline: Path, wanted: list[Any], payload: str, tmp_path: Path) -> None:
    topic, out = kafka.topic(2, retention_ms="-1"), kafka.topic(1)
    spelled = ["--format", payload, *(("--schema", tmp_path / "rows.avsc") if payload == "avro" else ())]
    done = finished("replay", tmp_path / "rows.ndjson", kafka.uri(topic), "--pipeline", pipeline, "--speed", "max", *spelled)
    assert done.code == 0, done.err
    poison = [b"no stream", _two_rows()] if payload == "arrow" else []
    _send(kafka, topic, poison)
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--state", tmp_path / "state", "--until", "end", *spelled]
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    assert latest(kafka.alerts(out)) == latest(wanted)
    assert json.loads(done.out)["quarantined"] == ({"type": 2} if poison else {})


def test_an_envelope(kafka: Brokers, tmp_path: Path) -> None:
    """As Debezium sends it: the row is the record `after`, which is null where a row was deleted."""
    pipeline, file = tmp_path / "own.yaml", tmp_path / "envelope.avsc"
    pipeline.write_text(
        "name: envelope\nsource:\n  key: after.k\n  time: after.t\n  columns: {v: {type: float, headers: [after.v]}}\n"
        "views: {v: {detectors: {high: {type: rule, when: v > 100}}}}\n"
    )
    inside = {
        "type": "record",
        "name": "Value",
        "fields": [
            {"name": "k", "type": "string"},
            {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "v", "type": ["null", "double"]},
        ],
    }
    fields = [{"name": "before", "type": ["null", inside]}, {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]
    schema = {"type": "record", "name": "Envelope", "fields": fields}
    file.write_text(json.dumps(schema))
    times = [datetime(2024, 5, 1, 10, 0, second, 5, UTC) for second in range(4)]
    rows = [{"before": None, "after": {"k": "a", "t": at, "v": 90.0 + 10 * i}, "op": "c"} for i, at in enumerate(times)]
    rows.insert(2, {"before": rows[0]["after"], "after": None, "op": "d"})
    topic, out = kafka.topic(1), kafka.topic(1)
    _send(kafka, topic, [_record(schema, row) for row in rows])
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--state", tmp_path, "--until", "end", "--json"]
    done = finished(*command, "--format", "avro", "--schema", file)
    assert done.code == 0, done.err
    assert json.loads(done.out)["quarantined"] == {"missing": 1}
    assert [(alert["time"], alert["row"]["v"]) for alert in kafka.alerts(out)] == [
        ("2024-05-01T10:00:02.000005000Z", 110.0),
        ("2024-05-01T10:00:03.000005000Z", 120.0),
    ]


NESTED = {
    "type": "record",
    "name": "R",
    "namespace": "a.b",
    "fields": [
        {"name": "s", "type": "string"},
        {"name": "x", "type": ["null", "double"]},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}},
        {"name": "n", "type": ["null", {"type": "record", "name": "N", "fields": [{"name": "y", "type": ["null", "long"]}]}]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}


def _row(i: int) -> dict[str, Any]:
    inner = {"y": None if i % 2 else -i} if i % 4 else None
    return {"s": "é\n" * i, "x": None if i % 3 else i / 7, "e": "AB"[i % 2], "d": Decimal(i).scaleb(-3), "n": inner, "day": i}


@pytest.mark.parametrize("more", [[], [{"name": "m", "type": {"type": "map", "values": "long"}, "default": {}}]], ids=["columns", "rows"])
def test_records_are_read_alike(more: list[Any], tmp_path: Path) -> None:
    """Whatever is among them, and however they are cut into polls: a map makes the decoder go row by row."""
    schema = {**NESTED, "fields": [*NESTED["fields"], *more]}
    file = tmp_path / "r.avsc"
    file.write_text(json.dumps(schema))
    rows = [_row(i) | ({"m": {"q": i}} if more else {}) for i in range(40)]
    records: list[bytes | None] = [_record(schema, row) for row in rows]
    records[5] = (records[5] or b"")[:-1]
    records[11] = None
    records[17] = (records[17] or b"") + (records[18] or b"")
    records[23] = b"\xff" * 40
    whole = AvroReader(Schemas([str(file)], None, None), epoch=False).read(records)
    assert set(whole.why) == {5, 17, 23}
    alone = AvroReader(Schemas([str(file)], None, None), epoch=False)
    for i, record in enumerate(records):
        one = alone.read([record])
        assert (i in whole.why, i == 11) == (bool(one.why), one.begins[0] < 0)
        if i in whole.why or i == 11:
            continue
        text = whole.data[whole.begins[i] : whole.ends[i]]
        assert text == one.data
        read, row = json.loads(text), rows[i]
        own = read["n"] if "n" in read else {"y": read["n.y"]}
        assert (read["s"], read["x"], read["e"], Decimal(read["d"]), (own or {"y": None})["y"]) == (
            row["s"], row["x"], row["e"], row["d"], (row["n"] or {"y": None})["y"],
        )  # fmt: skip
        assert read["day"] == f"1970-{i // 31 + 1:02d}-{i % 31 + 1:02d}"
