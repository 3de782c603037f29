"""The laws, as properties of random streams on every pipeline under test; the package equals the oracle bit for bit."""

from __future__ import annotations

import pytest
from case import Case
from driver import Driver, plan_of
from harness import assert_same, ledger_of, plain_set_aside
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle, run
from oracle_spec import Row
from strategies import MORE, Stream, chunk_sizes, streams
from under_test import CASES

SLOW = ("forgetful", "filled")
"""Variants of other cases, whose laws take long."""
cases = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.heavy] if case.name.startswith(SLOW) else []) for case in CASES]
)


def chunks(stream: Stream, sizes: list[int] | None = None) -> list[tuple[Row, ...]]:
    """The rows cut at the stream's own places, or at `sizes`."""
    parts, at = [], 0
    for size in chunk_sizes(stream) if sizes is None else sizes:
        parts.append(stream.rows[at : at + size])
        at += size
    return parts


def whole(case: Case, stream: Stream) -> Driver:
    """The stream as one chunk through one shard: what all others must equal."""
    driver = Driver(case)
    driver.feed(stream.rows)
    driver.drain()
    return driver


@cases
def test_ours_equals_the_oracle(case: Case) -> None:
    """Alerts, rows set aside and the ledger at every moment."""

    @settings(max_examples=60 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        ours, oracle = Driver(case), Oracle(case.pipeline)
        for part in chunks(stream):
            ours.feed(part)
            for row in part:
                oracle.feed(row)
            assert ours.ledger() == ledger_of(oracle)
        ours.drain()
        oracle.drain()
        assert_same(ours.alerts(), oracle.alerts)
        assert plain_set_aside(ours.quarantined) == sorted(oracle.quarantined)
        assert ours.ledger() == ledger_of(oracle)

    law()


@cases
def test_chunking(case: Case) -> None:
    """However the rows are cut, with empty chunks and chunks of one row."""

    @settings(max_examples=30 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        expected = whole(case, stream)
        for sizes in (chunk_sizes(stream), [1] * len(stream.rows)):
            ours = Driver(case)
            for part in chunks(stream, sizes):
                ours.feed(part)
            ours.drain()
            ours.assert_equals(expected)

    law()


@cases
def test_sharding(case: Case) -> None:
    """However keys are spread over shards."""

    @settings(max_examples=30 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        ours = Driver(case, shards=3)
        names = sorted({row.key or "" for row in stream.rows})
        of = {name: stream.shards[i % len(stream.shards)] for i, name in enumerate(names)}
        for part in chunks(stream):
            for shard in range(3):
                ours.feed([row for row in part if of[row.key or ""] == shard], shard)
        ours.drain()
        ours.assert_equals(whole(case, stream))

    law()


@cases
def test_restart(case: Case) -> None:
    """Killed after any chunk, also twice in a row, and after work that was never committed."""

    @settings(max_examples=30 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        ours = Driver(case)
        parts = chunks(stream)
        for number, part in enumerate(parts):
            ours.feed(part)
            if number in stream.crashes:
                kept = ours.snapshot()
                lost = Driver.restored(case, kept)
                for after in parts[number + 1 : number + 3]:
                    lost.feed(after)  # dies before it commits: nobody sees this
                ours.restart(kept)
                ours.restart(ours.snapshot())
        ours.drain()
        ours.assert_equals(whole(case, stream))

    law()


@cases
def test_purity(case: Case) -> None:
    """What comes later never changes what was said: alerts on rows before it are there, whole, in any continuation."""

    @settings(max_examples=30 * MORE)
    @given(streams(case), st.integers(0, 50))
    def law(stream: Stream, cut: int) -> None:
        rows_views = {view.name for view in case.pipeline.views if view.rollup is None}
        before = Driver(case)
        before.feed(stream.rows[:cut])
        said = {alert["alert_id"]: alert for alert in before.alerts()}
        after = {alert["alert_id"]: alert for alert in whole(case, stream).alerts() if alert["view"] in rows_views}
        assert said.keys() <= after.keys()
        assert_same(list(said.values()), [after[name] for name in said])
        assert {alert["status"] for alert in said.values()} <= {"final"}

    law()


@cases
def test_alert_ids_are_unique(case: Case) -> None:
    """One alert a row and view: an id never stands for two."""

    @settings(max_examples=30 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        oracle = run(case.pipeline, stream.rows)
        ids = [alert["alert_id"] for alert in oracle.alerts]
        assert len(ids) == len(set(ids))

    law()


@cases
def test_nothing_at_all(case: Case) -> None:
    """No rows: no alerts, an empty ledger, and a snapshot that can be restored."""
    ours = Driver(case)
    ours.restart(ours.snapshot())
    ours.feed([])
    ours.drain()
    assert ours.alerts() == []
    assert ours.ledger() == ledger_of(run(case.pipeline, []))
    assert plan_of(case).name == case.pipeline.name
