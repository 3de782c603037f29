"""Opening a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from offbeat.errors import UserError
from offbeat.store.address import store_address
from offbeat.store.database import Database, StoreGoneError, create_file
from offbeat.store.migrate import check_version, migrate


def open_database(uri: str, *, write: bool) -> Database:
    """Connections to the store at `uri`. `write`: it is made where it is not there, and its tables are brought to this version.

    Raises UserError where it cannot be reached, holds no store (to read), or was made by a newer offbeat.
    """
    address = store_address(uri)
    if address.path is not None:
        if write:
            create_file(address.path)
        elif not address.path.is_file():
            raise UserError(f"there is no store {address.path}")
    database = Database(address)
    try:
        with reaching(database):
            if write:
                migrate(database)
            else:
                check_version(database, write=False)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def reached(database: Database) -> Iterator[None]:
    """Work with a database that is closed after it. Raises UserError where it cannot be reached."""
    try:
        with reaching(database):
            yield
    finally:
        database.close()


@contextmanager
def reaching(database: Database) -> Iterator[None]:
    """Work with a database that stays open. Raises UserError where it cannot be reached."""
    try:
        yield
    except StoreGoneError as error:
        raise UserError(f"cannot reach {database.address.text}: {error}") from error
