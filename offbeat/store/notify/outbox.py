"""What is to be said to a receiver, kept in the store until it was said: nothing is lost, nothing is noted twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select, update

from offbeat.decide.block import STATUSES
from offbeat.io.read.alert_query import Filters
from offbeat.store.database import Database, insert_into
from offbeat.store.models import ALERTS, CHANGES, NOTIFIED, OUTBOX
from offbeat.store.query import filtered
from offbeat.store.store import StoredAlert, alert_of

RETRACTED = "retracted"
_AT_ONCE = 1_000
_O = OUTBOX.c

Fields = Callable[[StoredAlert], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be said: an event of an alert or an incident, with what a template can name as it was then."""

    number: int
    fields: dict[str, str]
    made_ns: int
    attempts: int
    tried_ns: int


class Outbox:
    """One receiver's part of the outbox. Methods raise what `Database` raises."""

    def __init__(self, database: Database, receiver: str) -> None:
        self._database, self._receiver = database, receiver

    def begin(self, wanted: Filters, fields: Fields, now_ns: int) -> bool:
        """Whether the receiver is new to this store. It is told of what comes from now on; with `since_ns` also of what is there."""
        with self._database.writing() as connection:
            if self._seen(connection) is not None:
                return False
            last = connection.execute(select(CHANGES.c.last)).scalar_one()
            start = last if wanted.since_ns is None else 0
            connection.execute(_once(connection, NOTIFIED, {"receiver": self._receiver, "change": start}))
            while start == 0 and not self._collect(connection, wanted, fields, now_ns)[1]:
                pass
            return True

    def collect(self, wanted: Filters, fields: Fields, now_ns: int) -> int:
        """Note what became of alerts since the last call; how many notices are new."""
        new = 0
        while True:
            with self._database.reading() as connection:
                if self._seen(connection) == connection.execute(select(CHANGES.c.last)).scalar_one():
                    return new  # without a look, writers would wait for us every second
            with self._database.writing() as connection:
                more, done = self._collect(connection, wanted, fields, now_ns)
            new += more
            if done:
                return new

    def _collect(self, connection: Connection, wanted: Filters, fields: Fields, now_ns: int) -> tuple[int, bool]:
        seen = self._seen(connection, lock=True) or 0
        last = int(connection.execute(select(CHANGES.c.last)).scalar_one())
        asked = filtered(select(ALERTS), replace(wanted, statuses=STATUSES)).where(ALERTS.c.change > seen, ALERTS.c.change <= last)
        found = [alert_of(row) for row in connection.execute(asked.order_by(ALERTS.c.change).limit(_AT_ONCE))]
        known = self._known(connection, [alert.alert_id for alert in found if alert.status == RETRACTED])
        events = [
            (alert.alert_id, RETRACTED if alert.status == RETRACTED else alert.level, fields(alert))
            for alert in found
            if alert.status != RETRACTED or alert.alert_id in known  # of what nobody heard of, nobody need hear that it is no more
        ]
        new = self._add(connection, events, now_ns)
        done = len(found) < _AT_ONCE
        place = last if done else found[-1].change
        connection.execute(update(NOTIFIED).where(NOTIFIED.c.receiver == self._receiver).values(change=place))
        return new, done

    def note(self, events: Iterable[tuple[str, str, dict[str, str]]], now_ns: int, *, said: bool = False) -> int:
        """Note events (subject, event, fields) that are not noted yet; how many. `said`: as if they had been sent."""
        with self._database.writing() as connection:
            return self._add(connection, list(events), now_ns, sent_ns=now_ns if said else None)

    def waiting(self) -> list[Notice]:
        """What is still to be said, the oldest first."""
        asked = select(_O.number, _O.fields, _O.made_ns, _O.attempts, _O.tried_ns)
        asked = asked.where(_O.receiver == self._receiver, _O.sent_ns.is_(None)).order_by(_O.number)
        with self._database.reading() as connection:
            return [Notice(row[0], json.loads(row[1]), *row[2:]) for row in connection.execute(asked)]

    def messages_since(self, time_ns: int) -> int:
        """How many messages went out since then."""
        asked = select(func.count(func.distinct(_O.sent_ns))).where(_O.receiver == self._receiver, _O.sent_ns > time_ns)
        with self._database.reading() as connection:
            return int(connection.execute(asked).scalar_one())

    def sent(self, notices: Sequence[Notice], now_ns: int) -> None:
        """They were said in one message."""
        self._mark(notices, {"sent_ns": now_ns, "error": None})

    def failed(self, notices: Sequence[Notice], why: str, now_ns: int) -> None:
        """The message did not go out."""
        self._mark(notices, {"error": why[:500], "tried_ns": now_ns, "attempts": _O.attempts + 1})

    def _mark(self, notices: Sequence[Notice], values: dict[str, Any]) -> None:
        # A message says all that waited: what is between the first and the last number is theirs.
        first, last = notices[0].number, notices[-1].number
        there = and_(_O.receiver == self._receiver, _O.sent_ns.is_(None), _O.number >= first, _O.number <= last)
        with self._database.writing() as connection:
            connection.execute(update(OUTBOX).where(there).values(values))

    def _seen(self, connection: Connection, *, lock: bool = False) -> int | None:
        asked = select(NOTIFIED.c.change).where(NOTIFIED.c.receiver == self._receiver)
        found: int | None = connection.execute(asked.with_for_update() if lock else asked).scalar()
        return found

    def _known(self, connection: Connection, alert_ids: Sequence[str]) -> set[str]:
        asked = select(_O.subject).where(_O.receiver == self._receiver, _O.subject.in_(alert_ids))
        return set(connection.execute(asked).scalars()) if alert_ids else set()

    def _add(
        self, connection: Connection, events: Sequence[tuple[str, str, dict[str, str]]], now_ns: int, sent_ns: int | None = None
    ) -> int:
        new = 0
        for subject, event, fields in events:
            values = {
                "receiver": self._receiver, "subject": subject, "event": event, "fields": json.dumps(fields), "made_ns": now_ns,
                "attempts": 0, "tried_ns": 0, "sent_ns": sent_ns,
            }  # fmt: skip
            new += connection.execute(_once(connection, OUTBOX, values)).rowcount
        return new


def forget(database: Database, before_ns: int) -> None:
    """Remove notices that were sent before a time."""
    with database.writing() as connection:
        connection.execute(OUTBOX.delete().where(_O.sent_ns < before_ns))


def _once(connection: Connection, table: Table, values: dict[str, Any]) -> Any:
    """An insertion that does nothing where the row is there."""
    return insert_into(connection, table).values(values).on_conflict_do_nothing()
