"""Rows as Arrow streams, one row a record: its place in the topic is the row's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import polars as pl
import pyarrow as pa

from offbeat.io.kafka.json_texts import PUNCTUATION_HEAD, JsonTexts, lines_of

_ipc: Any = import_module("pyarrow.ipc")
_TYPES: dict[str, Any] = {"string": pa.string(), "double": pa.float64(), "long": pa.int64(), "boolean": pa.bool_()}


class ArrowReader:
    """Reads records in Arrow's stream format. epoch: whether the rows' time is a number: a timestamp is read as one, then."""

    def __init__(self, *, epoch: bool) -> None:
        self._epoch = epoch

    def read(self, values: Sequence[bytes | None]) -> JsonTexts:
        """The records as JSON; punctuation is JSON already."""
        texts: list[bytes | None] = list(values)
        why: dict[int, str] = {}
        alike: dict[bytes, list[tuple[int, Any]]] = {}
        for i, value in enumerate(values):
            if value is None or value.startswith(PUNCTUATION_HEAD):
                continue
            try:
                table = _ipc.open_stream(value).read_all()
                table.validate(full=True)
            except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
                why[i] = f"no Arrow stream ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
                continue
            if table.num_rows != 1:
                why[i] = f"{table.num_rows} rows in a record, which is one row"
                continue
            alike.setdefault(table.schema.serialize().to_pybytes(), []).append((i, table))
        for rows in alike.values():
            frame = pl.DataFrame(pa.concat_tables([table for _, table in rows]))
            if self._epoch:
                frame = frame.with_columns(pl.selectors.datetime().to_physical())
            for (i, _), line in zip(rows, lines_of(frame, len(rows)), strict=True):
                texts[i] = line
        return JsonTexts.of(texts, why)


def arrow_record(kinds: dict[str, str]) -> Callable[[dict[str, Any]], bytes]:
    """What spells a row's values, by field, as a record. kinds: by field `string`, `double`, `long` or `boolean`."""
    schema = pa.schema([pa.field(name, _TYPES[kind]) for name, kind in kinds.items()])

    def record(values: dict[str, Any]) -> bytes:
        out = pa.BufferOutputStream()
        with _ipc.new_stream(out, schema) as stream:
            stream.write_batch(pa.RecordBatch.from_pylist([values], schema=schema))
        data: bytes = out.getvalue().to_pybytes()
        return data

    return record
