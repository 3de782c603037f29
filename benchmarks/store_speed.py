"""How long a page waits for a store of 10 M alerts (SQLite), and how fast a run's alerts are taken into it.

The alerts are one real record each, told apart by columns that SQL makes up; a page asks for 50 of them.

Run: python -m benchmarks.store_speed [--alerts N] [--store postgresql://…]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from sqlalchemy import text

from benchmarks.alerts_out import bars
from benchmarks.results import record
from offbeat.io.report.console import alert_records
from offbeat.io.write.alert_table import alert_table
from offbeat.store.database import Database
from offbeat.store.open import open_database
from offbeat.store.sink import StoreSink
from offbeat.store.store import Cursor, Filters, Order, Store

_STEP_NS = 3_000_000_000
_BEGIN_NS = 1_700_000_000_000_000_000
_AT_ONCE = 500_000
_NEW = 50_000
_FILL = """
WITH RECURSIVE n(i) AS (SELECT CAST(:first AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO alerts SELECT
  {id}, i, 1, 'final', 'pipeline ' || (i % 3), 'view', 'key ' || (i % 5000), :begin + i * :step,
  ((i * 7919) % 1000003) / 1000003.0,
  CASE WHEN (i * 7919) % 1000003 > 980000 THEN 'critical' WHEN (i * 7919) % 1000003 > 500000 THEN 'high' ELSE 'low' END,
  1 + i % 3, ((i * 104729) % 10007) / 10007.0, :record
FROM n
"""
_COUNT = """
INSERT INTO tallies SELECT pipeline, view, level, count(*), sum(CAST(severity * 1e9 AS bigint)) FROM alerts GROUP BY pipeline, view, level
"""


def fill(database: Database, alerts: int, line: str) -> None:
    """Put so many alerts into an empty store."""
    made = "printf('%032x', i * 2654435761 % 4294967296)" if database.sqlite else "lpad(to_hex(i * 2654435761 % 4294967296), 32, '0')"
    for first in range(1, alerts + 1, _AT_ONCE):
        values = {"first": first, "last": min(first + _AT_ONCE - 1, alerts), "begin": _BEGIN_NS, "step": _STEP_NS, "record": line}
        with database.writing() as connection:
            connection.execute(text(_FILL.format(id=made)), values)
    with database.writing() as connection:
        connection.execute(text(_COUNT))
        connection.execute(text("UPDATE changes SET last = :last"), {"last": alerts})
        connection.execute(text("ANALYZE"))


def seconds(call: Callable[[], Any]) -> float:
    """The median of five calls, each of which a person would wait for."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return sorted(took)[2]


def waits(store: Store, alerts: int) -> dict[str, float]:
    """What a page asks → seconds."""
    day = Filters(since_ns=_BEGIN_NS + (alerts - 28_800) * _STEP_NS)

    def deep(order: Order) -> Cursor | None:
        page = store.alerts(Filters(), order, limit=5_000)
        return page.next

    worst, newest = deep(Order.WORST), deep(Order.NEWEST)
    some = store.alerts(limit=1).alerts[0].alert_id
    return {
        "the worst 50 of all": seconds(store.alerts),
        "a page 5,000 alerts further down": seconds(lambda: store.alerts(after=worst)),
        "the newest 50": seconds(lambda: store.alerts(order=Order.NEWEST)),
        "a page 5,000 alerts further back": seconds(lambda: store.alerts(order=Order.NEWEST, after=newest)),
        "the worst 50 of the last day": seconds(lambda: store.alerts(day)),
        "the worst 50 of one key": seconds(lambda: store.alerts(Filters(keys=("key 77",)))),
        "the newest 50 of a level": seconds(lambda: store.alerts(Filters(levels=("critical",)), Order.NEWEST)),
        "the worst 50 of a pipeline": seconds(lambda: store.alerts(Filters(pipelines=("pipeline 1",)))),
        "what came since (50)": seconds(lambda: store.since(alerts - 50)),
        "one alert": seconds(lambda: store.alert(some)),
        "counts by level, mean and greatest severity": seconds(store.totals),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000_000)
    parser.add_argument("--store", help="an empty store instead of SQLite in a folder of its own")
    options = parser.parse_args()
    table: pa.Table = alert_table(bars(_NEW, 1), pipeline="bars", plan_hash="0" * 32, version="0")
    with TemporaryDirectory(prefix="offbeat-", dir=Path(__file__).parent.parent / "build") as folder:
        uri = options.store or f"sqlite:///{folder}/alerts.db"
        database = open_database(uri, write=True)
        fill(database, options.alerts, json.dumps(alert_records(table.slice(0, 1))[0]))
        figures = waits(Store(database), options.alerts)
        sink = StoreSink(uri, None, bounded=True)
        sink.write(table)
        began = time.perf_counter()
        sink.close(complete=True)
        rate = _NEW / (time.perf_counter() - began)
        database.close()
    kind = "PostgreSQL" if options.store else "SQLite"
    rows = "\n".join(f"| {name} | {took:.3f} |" for name, took in figures.items())
    head = f"{options.alerts:,} alerts in {kind}; {rate:,.0f} new ones a second are taken into it."
    body = f"{head}\n\n| a page asks for | s |\n|---|---:|\n{rows}"
    sys.stdout.write(record(f"Pages on a store ({kind})", body, "sqlalchemy"))
    slow = {name: took for name, took in figures.items() if took > 0.5}
    if slow:
        raise SystemExit(f"slower than 0.5 s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
