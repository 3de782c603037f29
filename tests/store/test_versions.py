"""The tables of a store: made by migrations, as the models say, refused where they are a newer offbeat's."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from command import Command, offbeat
from sqlalchemy import Connection, inspect, text
from stores import NewStore

from offbeat.errors import UserError
from offbeat.store import migrations
from offbeat.store.address import store_address
from offbeat.store.database import Database, create_file
from offbeat.store.migrate import VERSION_TABLE, known_versions, migrate, stored_version
from offbeat.store.models import METADATA
from offbeat.store.open import open_database
from offbeat.store.store import Store

__all__ = ["offbeat"]


def tables(connection: Connection) -> object:
    """Columns, keys and indexes, but for the table of the version."""
    look = inspect(connection)
    names = sorted(set(look.get_table_names()) - {VERSION_TABLE})
    columns = {name: [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)] for name in names}
    keys = {name: (look.get_pk_constraint(name)["constrained_columns"], look.get_foreign_keys(name)) for name in names}
    asked = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        if connection.dialect.name == "sqlite"
        else f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> '{VERSION_TABLE}' ORDER BY indexname"  # noqa: S608
    )
    return columns, keys, [tuple(row) for row in connection.execute(text(asked))]


def test_migrations_make_what_the_models_say(new_store: NewStore) -> None:
    migrated = open_database(new_store(), write=True)
    address = store_address(new_store())
    if address.path is not None:
        create_file(address.path)
    at_once = Database(address)
    with at_once.writing() as connection:
        METADATA.create_all(connection)
    with migrated.reading() as one, at_once.reading() as other:
        assert tables(one) == tables(other)
        assert stored_version(one) == known_versions()[-1]
    migrated.close()
    at_once.close()


def test_each_version_follows_the_one_before() -> None:
    """Two with one number, or two that follow the same one, come of two changes made side by side: the later one takes the next number."""
    steps = list((Path(migrations.__file__).parent / "versions").glob("v*.py"))
    told = {file.name[1:5]: re.search(r'^down_revision: str \| None = "?(\w+)"?$', file.read_text(), re.MULTILINE) for file in steps}
    assert len(told) == len(steps)
    numbers = sorted(told)
    assert [found and found[1] for _, found in sorted(told.items())] == ["None", *numbers[:-1]]


def test_a_store_of_the_first_version_is_brought_up_to_this_one_with_its_alerts(store: str, offbeat: Command) -> None:
    address = store_address(store)
    if address.path is not None:
        create_file(address.path)
    database = Database(address)
    with database.writing() as connection:
        config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "newline")
        command.upgrade(config, "0001")
        for number, (status, severity) in enumerate([("final", 0.3), ("final", 0.7), ("retracted", 0.9), ("final", 1 / 3)]):
            values = {"id": f"{number:032x}", "change": number + 1, "status": status, "severity": severity}
            connection.execute(
                text(
                    "INSERT INTO alerts VALUES (:id, :change, 1, :status, 'p', 'v', 'k', 5, :severity, 'high', 1, 0.5, '{\"key\": \"k\"}')"
                ),
                values,
            )
        connection.execute(text("UPDATE changes SET last = 4"))
    database.close()
    assert f"offbeat store upgrade {store}" in offbeat.refused("alerts", store)
    assert offbeat("store", "upgrade", store).out.endswith(f"version {known_versions()[-1]}\n")
    with Store.open(store) as there:
        totals = there.totals()
        assert (totals.by_level, totals.max_severity) == ({"high": 3}, 0.7)
        assert totals.mean_severity == pytest.approx((0.3 + 0.7 + 1 / 3) / 3, abs=1e-9)
        assert [alert.record for alert in there.since(0)] == [{"key": "k"}] * 4


def test_two_that_come_first_at_once_make_the_tables_once(store: str) -> None:
    refused: list[BaseException] = []

    def opens() -> None:
        try:
            open_database(store, write=True).close()
        except BaseException as error:
            refused.append(error)

    threads = [threading.Thread(target=opens) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    Store.open(store).close()


def test_a_store_of_a_newer_version_is_refused(store: str, offbeat: Command) -> None:
    database = open_database(store, write=True)
    with database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608
    for refused in (lambda: migrate(database), lambda: Store.open(store)):
        with pytest.raises(UserError, match=r"made by a newer offbeat \(version 9999"):
            refused()
    database.close()
    assert "update offbeat" in offbeat.refused("alerts", store)


def test_what_is_no_store(store: str, new_store: NewStore, tmp_path: Path, offbeat: Command) -> None:
    if not store.startswith("sqlite"):
        assert "holds no alerts" in offbeat.refused("alerts", store)
        assert "does not exist" in offbeat.refused("alerts", store.rpartition("/")[0] + "/nothing")
        return
    assert "there is no store" in offbeat.refused("alerts", new_store())
    text_file = tmp_path / "text.db"
    text_file.write_text("not a database at all, but long enough to be looked at " * 40)
    for uri, said in (
        (f"sqlite:///{text_file}", "not a database"),
        ("sqlite://here.db", "write sqlite:///FILE.db"),
        ("sqlite:///:memory:", "write sqlite:///FILE.db"),
        (f"sqlite:///{tmp_path}/no/folder.db", "no folder"),
    ):
        with pytest.raises(UserError, match=said):
            open_database(uri, write=True)
