"""Reading a store: pages of alerts, what came since, one alert, counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Row, func, select

from offbeat.decide.block import STATUSES
from offbeat.errors import UserError
from offbeat.io.read.alert_query import Filters
from offbeat.store.database import Database, StoreGoneError
from offbeat.store.models import ALERTS, CHANGES
from offbeat.store.open import open_database
from offbeat.store.query import Cursor, Order, filtered, page_of
from offbeat.store.tallies import answers, by_level

__all__ = ["Cursor", "Filters", "Order", "Page", "Store", "StoreGoneError", "StoredAlert", "Totals"]
_EVERYTHING = Filters()


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as the table has it."""

    alert_id: str
    change: int
    revision: int
    status: str
    pipeline: str
    view: str
    key: str
    time_ns: int
    severity: float
    level: str
    votes: int
    score: float
    line: str
    """The whole record, as its JSON line reads."""

    @property
    def record(self) -> dict[str, Any]:
        """The record of the Contract."""
        record: dict[str, Any] = json.loads(self.line)
        return record

    @property
    def cursor(self) -> Cursor:
        """Where the alert stands in every order."""
        return Cursor(self.severity, self.votes, self.score, self.time_ns, self.alert_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Alerts of a list, and where the next page begins; None where there is none."""

    alerts: tuple[StoredAlert, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures over alerts."""

    alerts: int
    by_level: dict[str, int]
    mean_severity: float | None
    max_severity: float | None


class Store:
    """A store for readers. Safe to share between threads.

    All calls raise StoreGoneError where the store cannot be reached now (ask again later), and UserError where a person must put
    something right.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, uri: str) -> Self:
        """The store at `uri`. Raises UserError where there is none, or one of another version."""
        return cls(open_database(uri, write=False))

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def alerts(self, filters: Filters = _EVERYTHING, order: Order = Order.WORST, limit: int = 50, after: Cursor | None = None) -> Page:
        """A page of a list: at most `limit` alerts, those behind `after`."""
        found = self._found(page_of(filters, order, limit + 1, after))
        page = tuple(found[:limit])
        return Page(page, page[-1].cursor if len(found) > limit else None)

    def every(self, filters: Filters = _EVERYTHING, order: Order = Order.WORST, at_once: int = 5_000) -> Iterator[StoredAlert]:
        """All alerts of a list, read page by page."""
        after = None
        while True:
            page = self.alerts(filters, order, at_once, after)
            yield from page.alerts
            if page.next is None:
                return
            after = page.next

    def since(self, change: int, filters: Filters = _EVERYTHING, limit: int = 1_000) -> tuple[StoredAlert, ...]:
        """Alerts that were added or replaced after the change of this number, in that order; retracted ones too unless `statuses` is given.

        Ask again with the `change` of the last one. 0 is before all. Nothing is left out: numbers become visible in their order.
        """
        statement = (
            filtered(select(ALERTS), replace(filters, statuses=filters.statuses or STATUSES))
            .where(ALERTS.c.change > change)
            .order_by(ALERTS.c.change)
            .limit(limit)
        )
        return tuple(self._found(statement))

    def last_change(self) -> int:
        """The number of the last change: where a reader begins who wants only what comes."""
        with self.database.reading() as connection:
            return int(connection.execute(select(CHANGES.c.last)).scalar_one())

    def alert(self, beginning: str) -> StoredAlert:
        """The alert whose id begins so. Raises UserError where none or several do."""
        wanted = beginning.lower()
        if not wanted or not set(wanted) <= set("0123456789abcdef"):
            raise UserError(f"no alert {beginning!r} in {self.database.address.text}")
        statement = select(ALERTS).where(ALERTS.c.alert_id >= wanted, ALERTS.c.alert_id < wanted + "g").order_by(ALERTS.c.alert_id).limit(2)
        found = self._found(statement)
        if not found:
            raise UserError(f"no alert {beginning!r} in {self.database.address.text}")
        if len(found) > 1:
            raise UserError(f"several alerts begin with {beginning!r}; give more digits, such as {found[0].alert_id}")
        return found[0]

    def totals(self, filters: Filters = _EVERYTHING) -> Totals:
        """How many alerts, by level, and their mean and greatest severity."""
        severity = ALERTS.c.severity
        with self.database.reading() as connection:
            if answers(filters):
                counted = by_level(connection, filters)
            else:
                asked = filtered(select(ALERTS.c.level, func.count(), func.sum(severity)).group_by(ALERTS.c.level), filters)
                counted = {row[0]: (int(row[1]), float(row[2])) for row in connection.execute(asked)}
            worst = connection.execute(filtered(select(severity), filters).order_by(severity.desc()).limit(1)).scalar()
        count = sum(alerts for alerts, _ in counted.values())
        mean = sum(total for _, total in counted.values()) / count if count else None
        return Totals(count, {level: alerts for level, (alerts, _) in counted.items()}, mean, worst)

    def count(self, filters: Filters = _EVERYTHING) -> int:
        """How many alerts."""
        with self.database.reading() as connection:
            if answers(filters):
                return sum(alerts for alerts, _ in by_level(connection, filters).values())
            return int(connection.execute(filtered(select(func.count()).select_from(ALERTS), filters)).scalar_one())

    def first_time(self, filters: Filters = _EVERYTHING) -> int | None:
        """The earliest time of an alert; None where there is none."""
        with self.database.reading() as connection:
            asked = filtered(select(ALERTS.c.time_ns), filters).order_by(ALERTS.c.time_ns).limit(1)
            found: int | None = connection.execute(asked).scalar()
            return found

    def pipelines(self) -> list[str]:
        """The pipelines that have alerts here, by name."""
        column, found = ALERTS.c.pipeline, list[str]()
        with self.database.reading() as connection:
            # From name to name in the index: DISTINCT would read all of it.
            asked = select(func.min(column))
            while (name := connection.execute(asked.where(column > found[-1]) if found else asked).scalar()) is not None:
                found.append(str(name))
        return sorted(found)

    def _found(self, statement: Any) -> list[StoredAlert]:
        with self.database.reading() as connection:
            return [alert_of(row) for row in connection.execute(statement)]


def alert_of(row: Row[Any]) -> StoredAlert:
    """An alert from its row of the table."""
    values: Sequence[Any] = tuple(row)
    return StoredAlert(*values)
