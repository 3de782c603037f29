"""Where the rows of a store's alerts came from."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from sqlalchemy import Connection, select

from offbeat.store.database import insert_into
from offbeat.store.models import ORIGINS
from offbeat.store.open import open_database, reached
from offbeat.store.sink import StoreSink


class OriginSink(StoreSink):
    """A `Sink` of tables of provenance (see `provenance_table`): one row an alert, the last one counts."""

    def _put(self, connection: Connection, table: pa.Table) -> None:
        frame = pl.DataFrame(table).filter(pl.col("row").is_not_null())
        frame = frame.select(
            pl.col("alert_id").bin.encode("hex"), pl.col("file").cast(pl.String).str.replace_all("\0", "␀", literal=True), "row"
        )
        insert = insert_into(connection, ORIGINS)
        new = insert.excluded
        statement = insert.on_conflict_do_update(index_elements=[ORIGINS.c.alert_id], set_={"file": new.file, "row": new["row"]})
        if frame.height:
            connection.execute(statement, frame.to_dicts())


def origin_of(uri: str, alert_id: str) -> tuple[str, int] | None:
    """The file and row of an alert; None where the store does not say, as of windows. Raises UserError where it cannot be read."""
    database = open_database(uri, write=False)
    with reached(database), database.reading() as connection:
        row = connection.execute(select(ORIGINS.c.file, ORIGINS.c.row).where(ORIGINS.c.alert_id == alert_id)).one_or_none()
        return None if row is None else (str(row[0]), int(row[1]))
