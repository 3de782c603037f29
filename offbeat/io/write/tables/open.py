"""From the name of an output of tables to its sink."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from offbeat.errors import UserError
from offbeat.io.write.tables.delta import DeltaTables
from offbeat.io.write.tables.parquet import ParquetTables
from offbeat.io.write.tables.sink import DELTA, TableSink


def open_tables(uri: str, schemas: Mapping[str, pa.Schema]) -> TableSink:
    """The sink that `uri` names: a folder for Parquet, or `delta:` and a folder.

    `schemas`: the tables that will be written, without the column `day`. Raises UserError where they cannot be.
    """
    scheme, colon, _ = uri.partition("://")
    if colon or not uri.removeprefix(DELTA):
        known = f"a folder, for Parquet, or {DELTA}FOLDER"
        raise UserError(f"cannot write tables to {scheme + colon or repr('')}; this version writes to {known}")
    return DeltaTables(uri, schemas) if uri.startswith(DELTA) else ParquetTables(uri, schemas)
