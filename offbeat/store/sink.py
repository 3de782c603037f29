"""Alerts into a store, each once, wherever a run dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import pyarrow as pa
from sqlalchemy import Connection, insert, select, update

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.store.database import StoreGoneError
from offbeat.store.models import WRITERS
from offbeat.store.open import open_database
from offbeat.store.spool import Spool
from offbeat.store.upsert import upsert

WAIT_SECONDS = 3_600.0
"""How long a run waits for a store that is gone."""
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 10.0
_SAID_EVERY = 60.0


class StoreSink:
    """A `Sink`. Alerts wait in a spool and are written in one transaction at `commit`.

    `position` = {"writer", "commits"}: how many commits the run with this state has made here. The store counts them too, in the
    transaction of the alerts. Alerts that come again after a crash change nothing (see `upsert`). `append`: go on although the store has
    fewer commits than the state says. `tell` is given a line when the store is gone, now and then while it is, and when it is back.

    Raises UserError, at once for a store that cannot be opened, and for one that was gone for an hour.
    """

    def __init__(
        self,
        uri: str,
        position: Position | None,
        *,
        bounded: bool,
        append: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._database = open_database(uri, write=True)
        self._name = self._database.address.text
        self._bounded = bounded
        self._tell = tell
        self._writer: str = position["writer"] if position else uuid4().hex
        self._commits = 0
        self._refused: UserError | None = None
        self._spool = Spool()
        try:
            if position:
                self._commits = self._known(int(position["commits"]), append=append)
        except BaseException:
            self._let_go()
            raise

    def write(self, alerts: pa.Table) -> None:
        """Keep alerts for the next `commit`."""
        if self._refused is not None:
            raise self._refused
        if alerts.num_rows:
            try:
                self._spool.add(alerts)
            except OSError as error:
                raise self._fail(f"no room for alerts that wait for their commit: {error.strerror or error}") from error

    def commit(self) -> Position:
        """Make everything written so far visible; waits while the store is gone."""
        if self._refused is not None:
            raise self._refused
        if self._bounded:
            return {}
        self._deliver()
        return {"writer": self._writer, "commits": self._commits}

    def close(self, complete: bool) -> None:
        """Commit what is left, or forget it."""
        try:
            if complete and self._refused is None:
                self._deliver()
        finally:
            self._let_go()

    def _deliver(self) -> None:
        if not self._spool:
            return
        try:
            self._patiently(self._transaction)
        except UserError as error:
            self._refused = error
            raise
        self._commits += 1
        self._spool.clear()

    def _transaction(self) -> None:
        with self._database.writing() as connection:
            for table in self._spool.tables():
                self._put(connection, table)
            if not self._bounded:
                self._count(connection)

    def _put(self, connection: Connection, table: pa.Table) -> None:
        upsert(connection, table)

    def _count(self, connection: Connection) -> None:
        """Note this commit. A transaction whose end was not heard of may have taken place, so it may be there already."""
        there = _commits_of(connection, self._writer)
        if there is None and self._commits == 0:
            connection.execute(insert(WRITERS).values(writer=self._writer, commits=1))
        elif there is not None and there in {self._commits, self._commits + 1}:
            connection.execute(update(WRITERS).where(WRITERS.c.writer == self._writer).values(commits=self._commits + 1))
        else:
            raise UserError(
                f"{self._name} is not the store that this run began with: it has {there or 0} commits of it, not {self._commits}; "
                "bring that one back and start again"
            )

    def _known(self, stored: int, *, append: bool) -> int:
        """How many commits of this writer the store has, `stored` at least."""
        with self._database.reading() as connection:
            there = _commits_of(connection, self._writer)
        if (there or 0) >= stored:
            return there or 0
        if not append:
            raise UserError(
                f"{self._name} has {there or 0} commits of the run with this state, which made {stored}: it is another store, or an older "
                "copy; bring the right one back, make all alerts again with --rebuild, or go on without the missing ones with --append"
            )
        with self._database.writing() as connection:
            if there is None:
                connection.execute(insert(WRITERS).values(writer=self._writer, commits=stored))
            else:
                connection.execute(update(WRITERS).where(WRITERS.c.writer == self._writer).values(commits=stored))
        return stored

    def _patiently(self, transaction: Callable[[], None]) -> None:
        """Try until it succeeds, at growing distances."""
        wait, began, said = _FIRST_WAIT, time.monotonic(), 0.0
        while True:
            try:
                transaction()
            except StoreGoneError as error:
                gone = time.monotonic() - began
                if gone > WAIT_SECONDS:
                    raise UserError(
                        f"{self._name}: gone for {gone / 60:.0f} minutes ({error}); what was committed before is there"
                    ) from error
                if not said or time.monotonic() - said > _SAID_EVERY:
                    self._say(f"{self._name}: {error}; waiting for it, nothing is lost")
                    said = time.monotonic()
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                if said:
                    self._say(f"{self._name} is back after {time.monotonic() - began:.0f} s")
                return

    def _say(self, text: str) -> None:
        if self._tell is not None:
            self._tell(text)

    def _fail(self, why: str) -> UserError:
        self._refused = UserError(f"{self._name}: {why}")
        return self._refused

    def _let_go(self) -> None:
        self._spool.close()
        self._database.close()


def _commits_of(connection: Connection, writer: str) -> int | None:
    found: int | None = connection.execute(select(WRITERS.c.commits).where(WRITERS.c.writer == writer)).scalar()
    return found
