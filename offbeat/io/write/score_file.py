"""What detectors said of every row, as a file: for those who evaluate by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.errors import UserError
from offbeat.evaluate.series import Series
from offbeat.io.write.atomic_file import prepare, whole_file

_WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("detector", _WORD, nullable=False),
        pa.field("key", _WORD, nullable=False),
        pa.field("time", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("voted", pa.bool_(), nullable=False),
    ]
)
"""`time`: as in alerts. `n`: 1 for the first row of its key at that time, 2 for the next. A null `score`: no verdict."""


def check_scores(path: Path) -> None:
    """Before hours of work: raises UserError where the file could not be written."""
    if path.suffix.lower() != ".parquet":
        raise UserError(f"--scores {path}: scores are written as Parquet; name a file that ends with .parquet")
    prepare(path)


def write_scores(series: Sequence[Series], path: Path) -> None:
    """A row for each row (or closed window) and detector, the detectors one after the other, in fold order.

    The file appears whole or not at all. Raises UserError where it cannot be written.
    """
    with whole_file(path, durable=False) as file, pq.ParquetWriter(file, SCHEMA) as writer:
        for one in series:
            writer.write_table(_table(one))


def _table(one: Series) -> pa.Table:
    rows, n = one.rows, len(one.score)
    columns = [
        pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), pa.array([one.name])),
        pa.DictionaryArray.from_arrays(rows.slots.astype(np.int32), pa.array(rows.keys, pa.string())),
        pa.array(rows.time_ns).cast(SCHEMA.field("time").type),
        pa.array(rows.ordinals.astype(np.int32)),
        pa.array(one.score, mask=np.isnan(one.score)),
        pa.array(one.voted),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
