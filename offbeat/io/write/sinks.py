"""From the name of an output to its sink."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.contract import Sink
from offbeat.io.write.alert_table import EMPTY
from offbeat.io.write.jsonl_sink import JsonlSink
from offbeat.io.write.parquet_sink import ParquetSink

SUPPORTED = "*.jsonl, *.ndjson, *.parquet, or - for JSON lines on standard output"
_JSONL = {".jsonl", ".ndjson"}
_PARQUET = {".parquet", ".pq"}


def open_sink(uri: str, *, position: Position | None = None, bounded: bool = True, schema: pa.Schema = EMPTY) -> Sink:
    """The sink that `uri` names.

    `bounded`: the run goes from the beginning of its input to the end and keeps no state: the output is one file, which appears whole
    at the end. Otherwise (a state directory, a live source) the output grows by commits, and `position` is what the last stored
    `commit()` returned; None where nothing is stored: an output of an earlier life is then replaced. `schema` (see
    `shape.plan_schema`) names the columns of all views beforehand, which saves a Parquet file of several views a rewriting. Raises
    UserError for an output of an unknown kind or one that cannot be written.
    """
    path = local_path(uri)
    if str(path) == "-" or path.suffix.lower() in _JSONL:
        return JsonlSink(path, position, bounded=bounded)
    return ParquetSink(path, position, bounded=bounded, schema=schema)


def local_path(uri: str) -> Path:
    """The file or folder that an output's name stands for; raises UserError where it is none that we can write."""
    scheme, colon, rest = uri.partition("://")
    if colon and scheme != "file":
        raise UserError(f"cannot write alerts to {scheme}://; this version writes {SUPPORTED}")
    path = Path(rest if colon else uri)
    if uri != "-" and path.suffix.lower() not in _JSONL | _PARQUET:
        raise UserError(f"cannot tell the format of {uri!r}; this version writes {SUPPORTED}")
    return path
