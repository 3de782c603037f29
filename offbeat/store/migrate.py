"""The version of a store's tables: brought up to this one before the first write, refused where it is a newer one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from offbeat.errors import UserError
from offbeat.store import migrations
from offbeat.store.database import Database

VERSION_TABLE = "offbeat_version"
"""Not Alembic's usual name: a database may also hold tables of others."""
_LOCK = 0x0FFBEA7
"""Of PostgreSQL's advisory locks: two that come first at once make the tables once."""
_FOLDER = Path(migrations.__file__).parent


def known_versions() -> list[str]:
    """The versions that this offbeat knows, the newest last."""
    return sorted(file.name[1:5] for file in (_FOLDER / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py"))


def stored_version(connection: Connection) -> str | None:
    """The version of the tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return found


def check_version(database: Database, *, write: bool) -> bool:
    """Whether there is a store of this version, or one older that is to be migrated (`write`). Raises UserError for all others."""
    with database.reading() as connection:
        found = stored_version(connection)
    known, name = known_versions(), database.address.text
    if found is None:
        if not write:
            raise UserError(f"{name} holds no alerts: no run has written to it")
        return False
    if found not in known:
        raise UserError(f"{name} was made by a newer offbeat (version {found} of its tables, {known[-1]} here): update offbeat")
    if found != known[-1] and not write:
        raise UserError(f"{name} was made by an older offbeat (version {found} of its tables): offbeat store upgrade {name}")
    return found == known[-1]


def migrate(database: Database) -> None:
    """Make the tables, or bring them to this version, in one transaction. Raises UserError for a store of a newer version."""
    if check_version(database, write=True):
        return
    with database.writing() as connection:
        if not database.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        command.upgrade(config, "head")
