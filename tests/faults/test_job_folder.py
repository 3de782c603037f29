"""The folder of a Databento job: symbology.csv or symbology.json beside the files says whose a number is, day by day."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat
from databento_files import NS, metadata, put, trade, transcoded

__all__ = ["offbeat"]
MONDAY = 1_381_104_000 * NS
"""2013-10-07T00:00Z."""
DAY, HOUR = 86_400 * NS, 3_600 * NS
EACH = """
name: each
source: {format: databento, key: symbol, time: {column: ts_recv, headers: [ts_event]}, columns: {price: {type: decimal, scale: 9}EVENT}}
views: {trade: {detectors: {all: {type: rule, when: price > 0}}}}
"""
RAW = metadata() + b"".join(
    trade(number, MONDAY + day * DAY + HOUR, ts_event=MONDAY + day * DAY, sequence=i)
    for i, (number, day) in enumerate([(2, 0), (7, 0), (2, 1), (7, 1), (9, 1)])
)
"""Number 2 is AIG on Monday and IBM on Tuesday, 7 is IBM on Monday and has no symbol on Tuesday; 9 is C on both."""
EXPECTED = [("AIG", "07"), ("C", "08"), ("IBM", "07"), ("IBM", "08")]
CSV = "raw_symbol,instrument_id,date\nAIG,2,2013-10-07\nIBM,7,2013-10-07\nIBM,2,2013-10-08\nC,9,2013-10-07\nC,9,2013-10-08\nX,,2013-10-08\n"
JSON = {
    "result": {
        "AIG": [{"d0": "2013-10-07", "d1": "2013-10-08", "s": "2"}],
        "IBM": [{"d0": "2013-10-07", "d1": "2013-10-08", "s": "7"}, {"d0": "2013-10-08", "d1": "2013-10-09", "s": "2"}],
        "C": [{"d0": "2013-10-07", "d1": "2013-10-09", "s": "9"}],
    },
    "stype_in": "raw_symbol", "stype_out": "instrument_id", "not_found": [], "status": 0,
}  # fmt: skip
TURNED = {
    "result": {
        "2": [{"d0": "2013-10-07", "d1": "2013-10-08", "s": "AIG"}, {"d0": "2013-10-08", "d1": "2013-10-09", "s": "IBM"}],
        "7": [{"d0": "2013-10-07", "d1": "2013-10-08", "s": "IBM"}],
        "9": [{"d0": "2013-10-07", "d1": "2013-10-09", "s": "C"}],
    },
    "stype_in": "instrument_id", "stype_out": "raw_symbol",
}  # fmt: skip


def without_symbols(*, pretty: bool) -> bytes:
    """As without `map_symbols`: the last column is not there."""
    return b"".join(line.rsplit(b",", 1)[0] + b"\n" for line in transcoded(RAW, "csv", pretty=pretty).splitlines())


def as_csv(*, pretty: bool) -> Callable[[Path], object]:
    return lambda folder: put(folder / "x.trades.csv", without_symbols(pretty=pretty))


def as_parquet(folder: Path) -> None:
    pl.read_csv(without_symbols(pretty=False)).write_parquet(folder / "x.parquet")


def as_dbn(folder: Path) -> None:
    put(folder / "x.dbn", RAW)


CARRIERS: dict[str, Callable[[Path], object]] = {
    "csv": as_csv(pretty=True), "counts": as_csv(pretty=False), "parquet": as_parquet, "dbn": as_dbn
}  # fmt: skip


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(("name", "text"), [("csv", CSV), ("json", json.dumps(JSON)), ("json", json.dumps(TURNED))])
def test_symbols(offbeat: Command, tmp_path: Path, carrier: str, name: str, text: str) -> None:
    job = tmp_path / "job"
    job.mkdir()
    CARRIERS[carrier](job)
    (job / f"symbology.{name}").write_text(text)
    for other in ("metadata", "manifest", "condition"):
        (job / f"{other}.json").write_text('{"job_id": "XNAS-1"}')
    (tmp_path / "each.yaml").write_text(EACH.replace("EVENT", ""))
    found = offbeat(
        "run", tmp_path / "each.yaml", job, "--alerts", tmp_path / "a.jsonl", "--quarantine", tmp_path / "q.parquet", "--json"
    )
    assert found.code == 0, found.err
    alerts = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert sorted((alert["key"], alert["time"][8:10]) for alert in alerts) == EXPECTED
    figures = json.loads(found.out)
    assert (figures["rows_in"], figures["quarantined"]) == (5, {"missing": 1})
    if carrier != "dbn":
        (detail,) = pl.read_parquet(tmp_path / "q.parquet")["detail"]
        assert detail == f"instrument_id 7 has no symbol on its day in symbology.{name}"
        assert any(f"symbology.{name} beside it" in note for note in figures["notes"])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("csv", "symbol,number\nAIG,2\n", "not a symbol, instrument_id and date"),
        ("csv", "raw_symbol,instrument_id,date\nAIG,2,Monday\n", "Monday"),
        ("json", '{"result": {}, "stype_in": "raw_symbol", "stype_out": "continuous"}', "not to instrument_id"),
        ("json", "[", "no symbology as Databento writes it"),
    ],
)
def test_a_symbology_that_is_none(offbeat: Command, tmp_path: Path, name: str, text: str, says: str) -> None:
    as_csv(pretty=True)(tmp_path)
    (tmp_path / f"symbology.{name}").write_text(text)
    said = offbeat.refused("run", "trades", tmp_path)
    assert f"symbology.{name}" in said
    assert says in said


@pytest.mark.parametrize("carrier", ["csv", "dbn"])
def test_the_venue_s_time_beside_the_time_of_receipt(offbeat: Command, tmp_path: Path, carrier: str) -> None:
    CARRIERS[carrier](tmp_path)
    (tmp_path / "symbology.csv").write_text(CSV)
    (tmp_path / "each.yaml").write_text(EACH.replace("EVENT", ", ts_event: {type: text, required: false}"))
    assert offbeat("run", tmp_path / "each.yaml", tmp_path, "--alerts", tmp_path / "a" / "a.jsonl").code == 0
    first = json.loads((tmp_path / "a" / "a.jsonl").read_text().splitlines()[0])
    assert first["time"] == "2013-10-07T01:00:00.000000000Z"
    assert first["row"]["ts_event"] == "2013-10-07T00:00:00.000000000Z"
