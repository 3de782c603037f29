"""`sqlite:///FILE` and `postgresql://…`: where a store is, as a person writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.stores import WRITTEN_AS, is_store


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store's place."""

    text: str
    """As it may be shown: without a password."""
    path: Path | None
    """The file of SQLite; None for a server."""
    url: URL | None
    """Of a server, password included if one was written; else it comes from PGPASSWORD or ~/.pgpass."""


def store_address(uri: str) -> StoreAddress:
    """Raises UserError, one line, where `uri` names no store."""
    text = shown(uri)
    scheme, _, rest = uri.partition("://")
    if not is_store(uri):
        raise UserError(f"{text} is no store of alerts: write {WRITTEN_AS}")
    if scheme == "sqlite":
        name = unquote(rest.removeprefix("/"))
        if not rest.startswith("/") or not name or name == ":memory:" or "?" in rest or name.endswith("/"):
            raise UserError(f"{text}: a store needs a file: write sqlite:///FILE.db, or sqlite:////FOLDER/FILE.db from the root")
        return StoreAddress(text, Path(name), None)
    try:
        url = make_url(uri).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise UserError(f"{text} is no address of a database: write postgresql://USER@HOST:PORT/DATABASE") from error
    if not url.database:
        raise UserError(f"{text} names no database: write postgresql://USER@HOST:PORT/DATABASE")
    return StoreAddress(text, None, url)
