"""Alerts in a database: each once, the greatest revision, whoever writes and wherever a run dies."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from stores import NewStore

from offbeat.errors import UserError
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.report.console import alert_records
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.store.open import open_database
from offbeat.store.retention import prune
from offbeat.store.sink import StoreSink
from offbeat.store.store import Filters, Order, Store
from offbeat.testing import check_sink
from offbeat.testing.alerts import sample_alerts


def read(uri: str) -> list[dict[str, Any]]:
    try:
        return alert_records(read_alerts(uri).to_arrow())
    except UserError as error:
        if "there is no store" in str(error) or "holds no alerts" in str(error):
            return []
        raise


@pytest.mark.heavy
def test_wherever_a_run_dies_each_alert_is_there_once(new_store: NewStore) -> None:
    check_sink(lambda _: new_store(), read, crashes=5)


def write(uri: str, *tables: pa.Table) -> None:
    sink = StoreSink(uri, None, bounded=True)
    for table in tables:
        sink.write(table)
    sink.close(complete=True)


def lines(uri: str) -> set[str]:
    with Store.open(uri) as store:
        everything = Filters(statuses=("early", "provisional", "final", "retracted"))
        return {alert.line for alert in store.every(everything, at_once=7)}


def last_lines() -> set[str]:
    """The records that count of all that the sample has, found without a database."""
    best: dict[str, tuple[tuple[int, int], str]] = {}
    for table in sample_alerts():
        for line in json_lines(table).splitlines():
            record = json.loads(line)
            rank = record["revision"], ["early", "provisional", "final", "retracted"].index(record["status"])
            if rank >= best.get(record["alert_id"], ((-1, -1), ""))[0]:
                best[record["alert_id"]] = rank, line.decode()
    return {line for _, line in best.values()}


@pytest.mark.heavy
def test_records_come_back_byte_for_byte_in_whatever_order_they_came(store: str) -> None:
    tables = [table.slice(at, 9) for table in sample_alerts() for at in range(0, table.num_rows, 9)]
    random.Random(5).shuffle(tables)
    for at in range(0, len(tables), 40):
        write(store, *tables[at : at + 40])
    assert lines(store) == last_lines()


def test_what_comes_again_is_no_change(store: str) -> None:
    write(store, *sample_alerts())
    with Store.open(store) as there:
        changes = [alert.change for alert in there.since(0, limit=100_000)]
        write(store, *sample_alerts())
        assert [alert.change for alert in there.since(0, limit=100_000)] == changes
        assert there.since(changes[-1]) == ()


def test_the_same_alert_judged_by_other_limits_replaces_the_former(store: str) -> None:
    table = sample_alerts()[6].slice(0, 2)
    other = table.set_column(table.schema.get_field_index("severity"), "severity", pa.array([0.125, 0.25]))
    write(store, table)
    write(store, other)
    with Store.open(store) as there:
        assert {alert.record["severity"] for alert in there.since(0)} == {0.125, 0.25}


@pytest.mark.heavy
def test_two_writers_at_once_lose_nothing_and_readers_see_every_change(new_store: NewStore) -> None:
    uri = new_store()
    tables = [table.slice(at, 3) for table in sample_alerts() for at in range(0, min(table.num_rows, 150), 3)]
    write(uri)
    refused: list[BaseException] = []

    def writes(mine: list[pa.Table]) -> None:
        try:
            sink = StoreSink(uri, None, bounded=False)
            for table in mine:
                sink.write(table)
                sink.commit()
            sink.close(complete=True)
        except BaseException as error:
            refused.append(error)

    threads = [threading.Thread(target=writes, args=(tables[number::2],)) for number in range(2)]
    for thread in threads:
        thread.start()
    seen: dict[str, str] = {}
    at, ended = 0, False
    with Store.open(uri) as store:
        while True:  # a reader that only ever asks for what is new
            alive = any(thread.is_alive() for thread in threads)
            new = store.since(at, limit=50)
            seen |= {alert.alert_id: alert.line for alert in new}
            at = new[-1].change if new else at
            if ended and not new:
                break
            ended = not alive
    assert refused == []
    assert set(seen.values()) == lines(uri)
    assert seen.keys() == {i for table in tables for i in table["alert_id"].to_pylist()}


def test_order_pages_and_filters_are_those_of_the_same_alerts_in_a_file(store: str, tmp_path: Path) -> None:
    write(store, *sample_alerts())
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"".join(json_lines(table) for table in sample_alerts()))
    frame = latest(read_alerts(file)).filter(pl.col("status") != "retracted")
    voted = pl.col("detectors").list.eval(pl.element().filter(pl.element().struct.field("voted")).struct.field("score"))
    frame = frame.with_columns(score=voted.list.mean().fill_null(0.0))
    worst = frame.sort("severity", "votes", "score", "time", "alert_id", descending=[True, True, True, False, False])
    newest = frame.sort("time", "alert_id", descending=True)
    time = int(frame["time"].to_physical().median())  # type: ignore[arg-type]
    key = frame["key"].cast(pl.String).mode().sort()[0]
    at = pl.col("time").dt.epoch("ns")
    cases: list[tuple[Filters, pl.Expr]] = [
        (Filters(), pl.lit(value=True)),
        (Filters(keys=(key, "no such")), pl.col("key") == key),
        (Filters(views=("size",), since_ns=time), (pl.col("view") == "size") & (at >= time)),
        (Filters(until_ns=time, min_severity=0.3), (at < time) & (pl.col("severity") >= 0.3)),
        (Filters(pipelines=("sample",), levels=("critical", "high")), pl.col("level").cast(pl.String).is_in(["critical", "high"])),
    ]
    with Store.open(store) as there:
        for filters, condition in cases:
            for order, wanted in ((Order.WORST, worst), (Order.NEWEST, newest)):
                ids = wanted.filter(condition)["alert_id"].to_list()
                assert [alert.alert_id for alert in there.every(filters, order, at_once=13)] == ids, (filters, order)
            assert there.count(filters) == frame.filter(condition).height
            totals = there.totals(filters)
            counted = frame.filter(condition).group_by(pl.col("level").cast(pl.String)).len()
            assert totals.by_level == dict(counted.iter_rows())
            assert totals.max_severity == frame.filter(condition)["severity"].max()
        assert there.pipelines() == ["sample"]


def counts_are_right(store: str) -> None:
    """The counts that are kept are those of the alerts that are there."""
    with Store.open(store) as there:
        kept, counted = there.totals(), there.totals(Filters(since_ns=-(2**62)))
    assert kept.by_level == counted.by_level
    assert kept.max_severity == counted.max_severity
    assert kept.mean_severity == pytest.approx(counted.mean_severity, abs=1e-9)


def test_counts_follow_every_change(store: str) -> None:
    tables = [table.slice(at, 50) for table in sample_alerts() for at in range(0, table.num_rows, 50)]
    random.Random(8).shuffle(tables)
    for at in range(0, len(tables), 9):
        write(store, *tables[at : at + 9], *tables[:2])
        counts_are_right(store)
    gone = sample_alerts()[8].slice(0, 5)
    write(store, gone.set_column(2, "status", pa.array(["retracted"] * 5)))
    counts_are_right(store)
    database = open_database(store, write=True)
    with Store.open(store) as there:
        middle = sorted(alert.time_ns for alert in there.every())[there.count() // 2]
    prune(database, middle)
    database.close()
    counts_are_right(store)
    with Store.open(store) as there:
        assert there.count() == len(list(there.every())) > 0
