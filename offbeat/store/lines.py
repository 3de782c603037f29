"""All alerts of a store as JSON lines, for what reads alerts from files too."""

from __future__ import annotations

from sqlalchemy import select

from offbeat.store.models import ALERTS
from offbeat.store.open import open_database, reached


def stored_lines(uri: str) -> bytes:
    """The record of each alert, retracted ones too, in the order in which they became what they are.

    Raises UserError where the store cannot be read.
    """
    database = open_database(uri, write=False)
    with reached(database), database.reading() as connection:
        found = connection.execute(select(ALERTS.c.record).order_by(ALERTS.c.change)).scalars()
        return b"".join(line.encode() + b"\n" for line in found)
