"""A store's alerts as what a list shows; the database filters and sorts."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from offbeat.io.read.alert_query import Filters
from offbeat.store.lines import frame_of
from offbeat.store.open import reaching
from offbeat.store.store import Cursor, Store

_FIRST, _AT_ONCE = 200, 5_000


class StoreAlerts:
    """An `AlertList` in a database. Its calls raise UserError where the database cannot be reached."""

    def __init__(self, uri: str) -> None:
        self._store = Store.open(uri)

    def worst(self, filters: Filters) -> Iterator[pl.DataFrame]:
        after: Cursor | None = None
        most = _FIRST  # a list of the worst twenty needs no more
        while True:
            with reaching(self._store.database):
                page = self._store.alerts(filters, limit=most, after=after)
            yield frame_of((alert.line for alert in page.alerts), self._store.database.address.text)
            if page.next is None:
                return
            after, most = page.next, _AT_ONCE

    def first_time(self, filters: Filters) -> int | None:
        with reaching(self._store.database):
            return self._store.first_time(filters)

    def count(self, filters: Filters) -> int:
        with reaching(self._store.database):
            return self._store.count(filters)

    def close(self) -> None:
        self._store.close()
