"""`offbeat.run`: what its arguments may be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from run_notes import but_silence

import offbeat

PIPELINE = {
    "name": "p",
    "source": {"key": "k", "time": "t", "columns": {"x": "float"}},
    "views": {"v": {"detectors": {"r": {"type": "rule", "when": "x > 5"}}}},
}


def test_outputs_are_paths_or_texts(tmp_path: Path) -> None:
    table = {"k": ["a"], "t": [datetime(2024, 1, 1, tzinfo=UTC)], "x": [9.0]}
    out = tmp_path / "out.jsonl"
    for alerts in (out, str(out), [out], [str(out)]):
        assert offbeat.run(PIPELINE, table, alerts=alerts).alerts.height == 1


def _lines(out_of_order: int) -> dict[str, list[object]]:
    """A hundred rows, of which so many come a second after a later one."""
    seconds = [2 * (row // 2) + (1 - row % 2 if row < 2 * out_of_order else row % 2) for row in range(100)]
    return {"k": ["a"] * 100, "t": [datetime(2024, 1, 1, 0, s // 60, s % 60, tzinfo=UTC) for s in seconds], "x": [1.0] * 100}


def test_many_late_rows_get_a_word() -> None:
    few, many = (offbeat.run(PIPELINE, _lines(n)) for n in (1, 2))
    assert (few.ledger["late"], but_silence(few.notes)) == (1, [])
    assert many.ledger["late"] == 2
    (note,) = but_silence(many.notes)
    assert note.startswith("table: 2 rows (2%) were late")
    assert "--set quality.lateness=1001ms would" in note


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    columns = [("customer_id", pl.Int64()), ("timestamp", pl.Datetime("us", "UTC")), ("cdr_id", pl.Int64()), ("cdr_type", pl.String())]
    pl.DataFrame(schema=columns).write_parquet(tmp_path / "none.parquet")
    run = offbeat.run("cdr", tmp_path / "none.parquet", tables=str(tmp_path / "tables"))
    assert run.ledger["rows_in"] == 0
    assert run.alerts.height == 0
    assert any(note.endswith("no rows") for note in run.notes)
