"""Where each alert's row came from, kept beside the alerts and never in them: the same alert may arrive by file or by broker (S23)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.chunk import Position
from offbeat.decide.block import AlertBlock
from offbeat.errors import UserError
from offbeat.io.contract import Sink
from offbeat.io.stores import is_store, store_class
from offbeat.io.write.arrow_arrays import WORD, byte_ids, times, words
from offbeat.io.write.parquet_sink import Layout, ParquetSink
from offbeat.io.write.part_folder import part_files

PROVENANCE = pa.schema([pa.field("alert_id", pa.binary(16)), pa.field("file", WORD), pa.field("row", pa.int64())])
_LAYOUT = Layout(repeated=("file",), stepwise=("row",), random=("alert_id",))


@dataclass(frozen=True, slots=True)
class Origin:
    """The file and the row in it, counted from 1, that an alert was raised on."""

    file: str
    row: int


def provenance_path(alerts: str) -> Path:
    """The sidecar of an output that is a file: `out.jsonl` → `out.jsonl.provenance.parquet`."""
    path = Path(alerts.removeprefix("file://"))
    return path.with_name(path.name + ".provenance.parquet")


def open_provenance(
    alerts: str,
    *,
    position: Position | None = None,
    bounded: bool = True,
    append: bool = False,
    whole: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Sink:
    """The sink of the sidecar of the output `alerts`; commits and restarts as the alerts' own sink does."""
    if is_store(alerts):
        sink: Sink = store_class("origins:OriginSink")(alerts, position, bounded=bounded, append=append, tell=tell)
        return sink
    path = provenance_path(alerts)
    return ParquetSink(path, position, bounded=bounded, schema=PROVENANCE, layout=_LAYOUT, append=append, whole=whole)


def provenance_table(block: AlertBlock, files: Sequence[str]) -> pa.Table:
    """alert_id (its 16 bytes), file, row of the m alerts; file and row are null for windows. `files`: names by `block.files`."""
    absent = np.iinfo(np.int64).min
    rows = times(np.where(block.files >= 0, block.rows, absent)).view(pa.int64())
    return pa.Table.from_arrays([byte_ids(block.ids), words(block.files, list(files)), rows], schema=PROVENANCE)


def find_origin(alerts: str, alert_id: str) -> Origin | None:
    """Where the alert's row is, None where the sidecar does not say (a window). Raises UserError where there is no sidecar."""
    if is_store(alerts):
        found: tuple[str, int] | None = store_class("origins:origin_of")(alerts, alert_id)
        return None if found is None else Origin(*found)
    path = provenance_path(alerts)
    files = part_files(path) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"{path} is missing; it says which row each alert of {alerts} came from")
    there = pl.scan_parquet(files).filter(pl.col("alert_id") == bytes.fromhex(alert_id)).tail(1).collect()
    if there.is_empty() or there["file"][0] is None:
        return None
    return Origin(there["file"][0], there["row"][0])
