"""Nothing is rounded in silence [R4]: a value that a decimal column cannot hold is quarantined, whatever carries it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat
from test_rows import report

import offbeat as package
from offbeat.io.write.quarantine import listed

__all__ = ["offbeat"]
MONEY = """
name: money
source: {key: k, time: t, columns: {v: {type: decimal, scale: 2}}}
views: {v: {detectors: {high: {type: rule, when: v > 100}}}}
"""
HELD = ("1.25", "1.2500", "-0.01", "0", "2e2", "0.30000000000000004", "66684.12", "92233720368547758.07", "1.250000001")
"""The last one: a tenth of a millionth of a cent off, less than 1e-6 of a unit."""
UNHELD = ("1.255", "0.001", "1e19", "-1e17", "92233720368547758.08", "0.9999", "1.25001")
VALUES = (*HELD, *UNHELD)


def _table(values: list[object] | pl.Series) -> pl.DataFrame:
    times = [f"2024-03-01T10:{n:02}:00Z" for n in range(len(values))]
    return pl.DataFrame({"k": ["A"] * len(values), "t": times, "v": values})


def _csv(path: Path, *, quoted: bool) -> None:
    lines = [f'A,2024-03-01T10:{n:02}:00Z,{f"{chr(34)}{v}{chr(34)}" if quoted else v}' for n, v in enumerate(VALUES)]
    text = "k,t,v\n" + "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def _lines(path: Path, *, text: bool) -> None:
    records = [f'{{"k": "A", "t": "2024-03-01T10:{n:02}:00Z", "v": {json.dumps(v) if text else v}}}\n' for n, v in enumerate(VALUES)]
    path.write_text("".join(records))


DECIMALS = pl.Series([Decimal(v) for v in VALUES], dtype=pl.Decimal(38, 17))
CARRIERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv": ("csv", lambda path: _csv(path, quoted=False)),
    "quoted csv": ("csv", lambda path: _csv(path, quoted=True)),
    "packed csv": ("csv.gz", lambda path: _csv(path, quoted=False)),
    "json lines": ("ndjson", lambda path: _lines(path, text=False)),
    "json lines with text": ("ndjson", lambda path: _lines(path, text=True)),
    "parquet with text": ("parquet", lambda path: _table(pl.Series(VALUES)).write_parquet(path)),
    "parquet with decimals": ("parquet", lambda path: _table(DECIMALS).write_parquet(path)),
}


@pytest.mark.parametrize("carrier", list(CARRIERS))
def test_what_a_decimal_column_cannot_hold(tmp_path: Path, offbeat: Command, carrier: str) -> None:
    (tmp_path / "money.yaml").write_text(MONEY)
    ending, write = CARRIERS[carrier]
    path, kept = tmp_path / f"x.{ending}", tmp_path / "q.parquet"
    write(path)
    figures = report(offbeat, tmp_path / "money.yaml", path, "--quarantine", kept)
    assert figures["quarantined"] == {"precision": len(UNHELD)}
    assert figures["scored"] == len(HELD)
    rows = listed(kept, limit=100).sort("row")
    assert rows["row"].to_list() == list(range(len(HELD) + 1, len(VALUES) + 1))
    assert [detail.split("'")[0] for detail in rows["detail"]] == ["v "] * len(UNHELD)
    assert "1.255" in rows["detail"][0]


def test_doubles_are_no_nearer_than_doubles_are(tmp_path: Path, offbeat: Command) -> None:
    """Binary doubles, of a file and of a table in memory. 92233720368547758.07 has a double that is a whole number, too large."""
    (tmp_path / "money.yaml").write_text(MONEY)
    held = [float(v) for v in HELD if "7758" not in v] + [sum([0.1] * 3), 4.35 * 100 / 100, 1e12 + 0.01]
    unheld = [float(v) for v in UNHELD]
    table = _table([*held, *unheld])
    table.write_parquet(tmp_path / "x.parquet")
    figures = report(offbeat, tmp_path / "money.yaml", tmp_path / "x.parquet")
    assert (figures["scored"], figures["quarantined"]) == (len(held), {"precision": len(unheld)})
    ledger = package.run(str(tmp_path / "money.yaml"), table).ledger
    assert (ledger["scored"], ledger["quarantined"]) == (len(held), {"precision": len(unheld)})


def test_integers_that_are_too_large(tmp_path: Path) -> None:
    (tmp_path / "money.yaml").write_text(MONEY)
    table = _table(pl.Series([1, 2**63 // 100, 2**63 // 100 + 1], dtype=pl.UInt64))
    assert package.run(str(tmp_path / "money.yaml"), table).ledger["quarantined"] == {"precision": 1}


def test_the_scale_can_be_set(tmp_path: Path, offbeat: Command) -> None:
    (tmp_path / "money.yaml").write_text(MONEY)
    _csv(tmp_path / "x.csv", quoted=False)
    figures = report(offbeat, tmp_path / "money.yaml", tmp_path / "x.csv", "--set", "source.columns.v.scale=9")
    assert figures["quarantined"] == {"precision": 4}  # 1e19 and 1e17 are too large, so are 92,233,720,368,547,758.07 and .08


def test_times_are_rounded_to_nanoseconds(tmp_path: Path, offbeat: Command) -> None:
    """Of seconds with ten decimals none is quarantined: a time is no sum of money."""
    (tmp_path / "money.yaml").write_text(MONEY.replace("time: t", "time: {column: t, format: s}"))
    (tmp_path / "x.csv").write_text("k,t,v\nA,1652315869.53,1\nA,1652315870.1234567891,1\n")
    assert report(offbeat, tmp_path / "money.yaml", tmp_path / "x.csv")["quarantined"] == {}


def test_a_quarantine_lists_them(tmp_path: Path, offbeat: Command) -> None:
    (tmp_path / "money.yaml").write_text(MONEY)
    _csv(tmp_path / "x.csv", quoted=False)
    report(offbeat, tmp_path / "money.yaml", tmp_path / "x.csv", "--quarantine", tmp_path / "q.parquet")
    assert "scale" in offbeat("quarantine", "list", tmp_path / "q.parquet").out
