"""Tables as a sink takes them, and read back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

FIELDS: list[pa.Field[Any]] = [pa.field("key", pa.string()), pa.field("start", pa.timestamp("us", "UTC")), pa.field("n", pa.float64())]
SCHEMA = pa.schema(FIELDS)
DAY = date(2024, 3, 1)


def some(n: int, key: str = "a") -> pa.Table:
    start = datetime(2024, 3, 1, tzinfo=UTC)
    return pa.table({"key": [key] * n, "start": [start] * n, "n": [None if i == 1 else float(i) for i in range(n)]}, schema=SCHEMA)


def read(uri: str | Path, table: str) -> pl.DataFrame:
    path = Path(str(uri).removeprefix("delta:")) / table
    if str(uri).startswith("delta:"):
        return pl.read_delta(str(path))
    return pl.read_parquet(path / "**" / "*.parquet", hive_partitioning=True)


def written(uri: str | Path, table: str) -> list[dict[str, Any]]:
    frame = read(uri, table)
    return frame.sort(frame.columns[0], "start").to_dicts()
