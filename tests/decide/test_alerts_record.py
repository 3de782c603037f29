"""The alert record: each field worked out by hand, and JSONL = Parquet value for value."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from alert_blocks import PLAN_HASH, as_table, many, two_bars
from polars.testing import assert_frame_equal

from offbeat.errors import UserError
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.write.alert_table import EMPTY, is_lean
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.io.write.schema_union import plan_schema
from offbeat.io.write.sinks import open_sink
from offbeat.spec.load import load_text

FIRST: dict[str, Any] = {
    "alert_id": "ab000000000000000000000000000001",
    "revision": 1,
    "status": "final",
    "pipeline": "bars",
    "view": "bar",
    "key": 'X"\n<&>',
    "time": "2023-11-14T22:13:20.000000001Z",
    "severity": 2 / 3,
    "level": "high",
    "votes": 1,
    "voters": 1,
    "detectors": [
        {
            "name": "price_jump",
            "type": "rule",
            "model_version": None,
            "window": {"from": "2023-11-14T22:12:20.000000001Z", "to": "2023-11-14T22:13:20.000000001Z", "n": 1},
            "score": 0.75,
            "raw": None,
            "threshold": 0.005,
            "voted": True,
            "observed": 0.015,
            "expected": 0.0,
            "contributions": [{"feature": "abs(close / previous_close - 1)", "value": 0.75}],
            "out_of_range": [],
            "note": None,
        },
        {
            "name": "volume_surge",
            "type": "rule",
            "model_version": None,
            "window": None,
            "score": None,
            "raw": None,
            "threshold": None,
            "voted": False,
            "observed": None,
            "expected": None,
            "contributions": [{"feature": "volume", "value": None}, {"feature": "calm", "value": None}],
            "out_of_range": [],
            "note": None,
        },
    ],
    "row": {"close": 101.5, "volume": 7, "side": "A", "halted": False},
    "window": {
        "from": "2023-11-14T22:12:20.000000001Z",
        "to": "2023-11-14T22:13:20.000000001Z",
        "n": 1,
        "statistics": {"previous_close": 100.0, "mean_volume": None},
    },
    "model_version": None,
    "plan_hash": PLAN_HASH,
    "offbeat_version": "0.1.0",
}


def test_the_line_of_an_alert_is_the_contract_field_by_field() -> None:
    lines = json_lines(as_table(two_bars())).decode().splitlines()
    assert len(lines) == 2
    first, second = map(json.loads, lines)
    assert first == FIRST
    assert list(first) == list(FIRST)
    assert second["alert_id"] == "f" * 32
    assert second["key"] == "AIG"
    assert second["time"] == "1970-01-01T00:01:00.000000000Z"
    assert second["row"] == {"close": None, "volume": 408, "side": None, "halted": None}
    assert second["window"] is None
    assert [d["voted"] for d in second["detectors"]] == [False, True]
    assert second["detectors"][1]["contributions"] == [{"feature": "volume", "value": 0.8}, {"feature": "calm", "value": 0.0}]
    assert "NaN" not in lines[1]
    assert "Infinity" not in lines[1]
    assert ": " not in lines[1], "compact"


def test_rules_alone_leave_out_what_rules_never_fill(tmp_path: Path) -> None:
    """Whoever reads the file back finds the fields in any case."""
    table, whole = as_table(two_bars(), lean=True), as_table(two_bars())
    table.validate(full=True)
    left_out = {"model_version", "raw", "out_of_range", "note"}
    for line in json_lines(table).splitlines():
        assert [set(d) for d in json.loads(line)["detectors"]] == [set(FIRST["detectors"][0]) - left_out] * 2
    for name in ("a.parquet", "a.jsonl"):
        sink = open_sink(str(tmp_path / name), schema=table.schema)
        sink.write(table)
        sink.close(True)
        assert json_lines(read_alerts(tmp_path / name).to_arrow()) == json_lines(whole)
    element = pl.read_parquet_schema(tmp_path / "a.parquet")["detectors"]
    assert isinstance(element, pl.List)
    assert not left_out & set(pl.Series([], dtype=element.inner).struct.fields)


@pytest.mark.parametrize(
    ("detectors", "lean"),
    [
        ("{a: {type: rule, when: n > 1}, b: {type: rule, when: n > 2}}", True),
        ("{a: {type: rule, when: n > 1}, b: {type: band, value: n, over: 9 rows}}", False),
        ("{a: {type: rule, when: n > 1, early: true}, b: {type: rule, when: n > 2}}", False),  # b says why it is silent in an early alert
        ("{a: {type: rule, when: n > 1}, b: {type: absence}}", False),
    ],
)
def test_which_pipelines_are_of_rules_alone(detectors: str, lean: bool) -> None:
    source, rollup = "{key: k, time: t, columns: {x: float}}", "{key: k, size: 1d, columns: {n: count(*)}}"
    plan = load_text(f"name: p\nsource: {source}\nviews: {{v: {{rollup: {rollup}, detectors: {detectors}}}}}\n").plan
    assert is_lean(plan) == lean
    fields = [field.name for field in plan_schema(plan).field("detectors").type.value_type]
    assert ("note" in fields, "raw" in fields) == (not lean, not lean)


def test_the_table_is_sound_arrow() -> None:
    table = as_table(two_bars())
    table.validate(full=True)
    table.slice(1).validate(full=True)
    assert json_lines(table.slice(1)) == json_lines(table).split(b"\n", 1)[1]
    assert table.schema.field("time").type == pa.timestamp("ns", "UTC")


def test_ids_are_hex_of_the_bytes_in_order() -> None:
    block = two_bars()
    block.ids[:] = np.arange(32, dtype=np.uint8).reshape(2, 16) * 7
    assert as_table(block)["alert_id"].to_pylist() == [bytes(row).hex() for row in block.ids]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize("bounded", [True, False])
def test_every_sink_gives_back_every_value(tmp_path: Path, name: str, bounded: bool) -> None:
    sink = open_sink(str(tmp_path / name), bounded=bounded)
    sink.write(as_table(two_bars()))
    sink.commit()
    sink.close(True)
    back = read_alerts(tmp_path / name)
    assert back["time"].dtype == pl.Datetime("ns", "UTC")
    # Back to lines: the same text means the same values, to the last bit of each double.
    assert json_lines(back.to_arrow()) == json_lines(as_table(two_bars()))


def test_jsonl_and_parquet_agree_over_many_values(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        sink = open_sink(str(tmp_path / name))
        for seed in range(3):
            sink.write(many(2_000, seed))
        sink.write(as_table(two_bars()))
        sink.close(True)
    a, b = read_alerts(tmp_path / "a.jsonl"), read_alerts(tmp_path / "a.parquet")
    assert a.height == 6_002
    assert_frame_equal(a, b, check_exact=True)


def test_other_readers_see_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sink = open_sink(str(path))
    sink.write(as_table(two_bars()))
    sink.close(True)
    schema = pl.read_parquet_schema(path)
    assert schema["key"] == pl.String
    assert schema["time"] == pl.Datetime("ns", "UTC")
    frame = pd.read_parquet(path)
    assert frame["level"].tolist() == ["high", "critical"]
    assert frame["detectors"][0][0]["name"] == "price_jump"
    query = 'SELECT key, level, detectors[2].name, "window".statistics.previous_close, typeof(key) FROM read_parquet(?)'
    found = duckdb.connect().execute(query, [str(path)]).fetchall()
    assert found == [('X"\n<&>', "high", "volume_surge", 100.0, "VARCHAR"), ("AIG", "critical", "volume_surge", None, "VARCHAR")]


@pytest.mark.parametrize("bounded", [True, False])
def test_views_with_other_columns_share_a_file(tmp_path: Path, bounded: bool) -> None:
    for name in ("a.parquet", "a.jsonl"):
        sink = open_sink(str(tmp_path / name), bounded=bounded)
        sink.write(many(3, 1, "bar", ("close",)))
        sink.commit()
        sink.write(many(2, 2, "day", ("total", "close")))
        sink.write(as_table(two_bars()))
        sink.close(True)
    a, b = read_alerts(tmp_path / "a.jsonl"), read_alerts(tmp_path / "a.parquet")
    assert a.height == b.height == 7
    assert_frame_equal(a.drop("row", "window"), b.drop("row", "window"), check_exact=True)
    for column in ("close", "total", "volume", "side", "halted"):
        assert a["row"].struct.field(column).to_list() == b["row"].struct.field(column).to_list()
    assert b["row"].struct.field("total").is_not_null().to_list() == [False] * 3 + [True] * 2 + [False] * 2
    assert b["window"].is_null().to_list() == a["window"].is_null().to_list() == [True] * 5 + [False, True]


def test_no_alerts_at_all(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.jsonl"):
        open_sink(str(tmp_path / name)).close(True)
        back = read_alerts(tmp_path / name)
        assert back.is_empty()
        assert back.columns == EMPTY.names


def test_latest_keeps_the_greatest_revision_then_status() -> None:
    rows = [
        ("a", 1, "early"),
        ("b", 5, "final"),
        ("a", 2, "provisional"),
        ("a", 2, "final"),
        ("a", 2, "early"),
        ("c", 1, "final"),
        ("b", 5, "retracted"),
    ]
    frame = pl.DataFrame(rows, schema=["alert_id", "revision", "status"], orient="row")
    assert latest(frame).rows() == [("a", 2, "final"), ("c", 1, "final"), ("b", 5, "retracted")]
    assert latest(frame.head(0)).is_empty()


def test_a_line_still_being_written_is_left_out(tmp_path: Path) -> None:
    data = json_lines(as_table(two_bars()))
    (tmp_path / "a.jsonl").write_bytes(data[:-40])
    assert read_alerts(tmp_path / "a.jsonl")["time"].to_list() == [datetime.fromisoformat("2023-11-14T22:13:20+00:00")]


@pytest.mark.parametrize("content", [b"", b"PAR1 is not what follows", b'{"a": 1}\n', b"\xff\xfe\n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_what_is_no_alert_file_is_said_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    if name == "a.jsonl" and not content:
        assert read_alerts(tmp_path / name).is_empty()
        return
    with pytest.raises(UserError, match="alerts") as caught:
        read_alerts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_many_features_keep_their_order(tmp_path: Path) -> None:
    names = [f"f{i * 37 % 100:03d}" for i in range(100)]
    block = two_bars()
    row = pl.DataFrame({name: [1.0, 2.0] for name in names})
    wide = replace(block, statistics=tuple(names), values=np.arange(200.0).reshape(100, 2), row=row)
    path = tmp_path / "wide.jsonl"
    path.write_bytes(json_lines(as_table(wide)))
    for alert in read_alerts(path).to_dicts():
        assert list(alert["row"]) == names
        if alert["window"] is not None:
            assert list(alert["window"]["statistics"]) == names
