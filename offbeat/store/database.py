"""Connections to a store, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from offbeat.errors import UserError
from offbeat.store.address import StoreAddress

_BUSY_SECONDS = 30.0
"""How long a writer waits for another one's transaction before it counts the store as gone."""
_LOST = ("unable to open database file", "locked", "disk I/O error", "disk is full", "busy")
"""Beginnings of trouble with a file of SQLite that may pass."""
_SERVER = {"connect_timeout": "10", "keepalives_idle": "20", "tcp_user_timeout": "30000", "application_name": "offbeat"}
"""A server that has vanished without a word is noticed within half a minute."""


class StoreGoneError(Exception):
    """The store cannot be reached now; later it may. The transaction may or may not have taken place."""


class Database:
    """A store's connections.

    `reading` and `writing` raise StoreGoneError for what may pass, and UserError for what a person must put right.
    """

    def __init__(self, address: StoreAddress) -> None:
        """Raises UserError where the driver is not installed."""
        self.address = address
        self.sqlite = address.path is not None
        self._engine = _of_file(address.path) if address.path is not None else _of_server(address)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the store as it is at its first query."""
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, taken back where something is raised."""
        with self._told(), self._engine.connect().execution_options(offbeat_writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            said = _said(error)
            if error.connection_invalidated or (isinstance(error, InterfaceError | OperationalError) and self._passes(said)):
                raise StoreGoneError(said) from error
            raise UserError(f"{self.address.text}: {said}") from error

    def _passes(self, said: str) -> bool:
        return not self.sqlite or any(words in said for words in _LOST)


def _of_file(path: Path) -> Engine:
    name = f"file:{quote(str(path))}?mode=rw"

    def connected() -> sqlite3.Connection:
        connection = sqlite3.connect(name, timeout=_BUSY_SECONDS, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    # A connection a transaction: a file that was moved away under a live run is noticed.
    engine = create_engine("sqlite://", creator=connected, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later may fail for want of the lock, whatever the timeout.
        writes = connection.get_execution_options().get("offbeat_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def insert_into(connection: Connection, table: Table) -> Any:
    """An insertion that can say what becomes of rows that are there: `on_conflict_do_update`, `on_conflict_do_nothing`."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def create_file(path: Path) -> None:
    """An empty database, in the mode in which readers and a writer do not wait for each other. Raises UserError where that cannot be."""
    try:
        with sqlite3.connect(path, timeout=_BUSY_SECONDS) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    except sqlite3.Error as error:
        folder = path.absolute().parent
        why = f"there is no folder {folder}" if not folder.is_dir() else str(error)
        raise UserError(f"cannot open the store {path}: {why}") from error


def _of_server(address: StoreAddress) -> Engine:
    if address.url is None:
        raise TypeError("a server needs its URL")
    url = address.url.update_query_dict({name: value for name, value in _SERVER.items() if name not in address.url.query})
    try:
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise UserError("PostgreSQL needs psycopg: pip install 'offbeat[postgres]'") from error


def _said(error: DBAPIError) -> str:
    """What the database said, on one line."""
    origin: Any = error.orig
    lines = [line.strip() for line in str(origin).splitlines() if line.strip()]
    return (lines[0] if lines else type(origin).__name__)[:300]
