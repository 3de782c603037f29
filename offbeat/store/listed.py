"""A store's alerts as what a list shows; the database filters and sorts."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.read.alert_files import from_lines
from offbeat.io.read.alert_query import Filters
from offbeat.store.database import StoreGoneError
from offbeat.store.store import Cursor, Store

_FIRST, _AT_ONCE = 200, 5_000


class StoreAlerts:
    """An `AlertList` in a database. Its calls raise UserError where the database cannot be reached."""

    def __init__(self, uri: str) -> None:
        self._name = shown(uri)
        self._store = Store.open(uri)

    def worst(self, filters: Filters) -> Iterator[pl.DataFrame]:
        after: Cursor | None = None
        most = _FIRST  # a list of the worst twenty needs no more
        try:
            while True:
                page = self._store.alerts(filters, limit=most, after=after)
                yield from_lines(b"".join(alert.line.encode() + b"\n" for alert in page.alerts), self._name)
                if page.next is None:
                    return
                after, most = page.next, _AT_ONCE
        except StoreGoneError as error:
            raise self._gone(error) from error

    def first_time(self, filters: Filters) -> int | None:
        try:
            return self._store.first_time(filters)
        except StoreGoneError as error:
            raise self._gone(error) from error

    def count(self, filters: Filters) -> int:
        try:
            return self._store.count(filters)
        except StoreGoneError as error:
            raise self._gone(error) from error

    def close(self) -> None:
        self._store.close()

    def _gone(self, error: StoreGoneError) -> UserError:
        return UserError(f"cannot reach {self._name}: {error}")
