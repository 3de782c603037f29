"""Lists stay quick when there are many alerts: each order and filter goes along an index and stops when the page is full."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from offbeat.store.database import Database
from offbeat.store.open import open_database
from offbeat.store.query import page_of
from offbeat.store.store import Filters, Order, Store

ROWS = 300_000
_DAY = 86_400_000_000_000
_MADE = """
WITH RECURSIVE n(i) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO alerts SELECT
  {hex}, i, 1, CASE WHEN i % 500 = 0 THEN 'retracted' ELSE 'final' END, 'pipeline ' || (i % 40), 'view', 'key ' || (i % 200),
  1700000000000000000 + i * 30000000000, ((i * 7919) % 100003) / 100003.0,
  CASE WHEN (i * 7919) % 100003 > 98000 THEN 'critical' WHEN (i * 7919) % 100003 > 50000 THEN 'high' ELSE 'low' END,
  1 + i % 3, ((i * 104729) % 10007) / 10007.0, '{{"row": ' || i || '}}'
FROM n
"""

pytestmark = pytest.mark.heavy


@pytest.fixture
def full(store: str) -> Iterator[Database]:
    database = open_database(store, write=True)
    made = "printf('%032x', i * 2654435761 % 4294967296)" if database.sqlite else "lpad(to_hex(i * 2654435761 % 4294967296), 32, '0')"
    with database.writing() as connection:
        connection.execute(text(_MADE.format(rows=ROWS, hex=made)))
    if not database.sqlite:
        with database.writing() as connection:
            connection.execute(text("ANALYZE alerts"))
    yield database
    database.close()


def plan(database: Database, filters: Filters, order: Order, *, deep: bool) -> str:
    after = None
    if deep:
        after = Store(database).alerts(filters, order, limit=100).alerts[-1].cursor
    with database.reading() as connection:
        asked = page_of(filters, order, 51, after).compile(connection.engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if database.sqlite else "EXPLAIN"
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {str(asked).replace('%', '%%')}"))


def test_pages_and_what_came_since_go_along_an_index(full: Database) -> None:
    recent = 1700000000000000000 + ROWS * 30000000000 - 30 * _DAY
    cases = [
        (Filters(), Order.WORST, "alerts_worst"),
        (Filters(), Order.NEWEST, "alerts_newest"),
        (Filters(pipelines=("pipeline 1",)), Order.WORST, "alerts_pipeline_worst"),
        (Filters(pipelines=("pipeline 1",)), Order.NEWEST, "alerts_pipeline_newest"),
        (Filters(levels=("critical",)), Order.WORST, "alerts_level_worst"),
        (Filters(levels=("low",)), Order.WORST, "alerts_level_worst"),
        (Filters(levels=("critical",)), Order.NEWEST, "alerts_level_newest"),
        (Filters(keys=("key 7",)), Order.NEWEST, "alerts_key_newest"),
        (Filters(since_ns=recent), Order.NEWEST, "alerts_newest"),
    ]
    for filters, order, index in cases:
        for deep in (False, True):
            found = plan(full, filters, order, deep=deep)
            assert index in found, (filters, order, found)
            assert "B-TREE" not in found, (filters, order, found)
            assert "Sort" not in found, (filters, order, found)
            assert "Seq Scan" not in found, (filters, order, found)
    with full.reading() as connection:
        explain = "EXPLAIN QUERY PLAN" if full.sqlite else "EXPLAIN"
        found = str(connection.exec_driver_sql(f"{explain} SELECT * FROM alerts WHERE change > 5 ORDER BY change LIMIT 9").all())  # noqa: S608
    assert "alerts_change" in found
    assert Store(full).pipelines() == sorted(f"pipeline {n}" for n in range(40))
    assert Store(full).count(Filters(keys=("key 7",))) == ROWS // 200
