"""Keys that were not seen for long start anew, and are not kept (`quality.forget_after`): by hand, and as laws of a live source [R27]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from case import Case
from driver import Driver, plan_of
from harness import assert_same, ledger_of, plain_set_aside
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle
from oracle_spec import Row, Value
from strategies import MORE, Stream, chunk_sizes, streams
from under_test import FORGETFUL

from offbeat.core.state import decode
from offbeat.fold import shard
from offbeat.fold.fold import Fold

SECOND = 10**9
START = 1_600_000_000


class Live(Driver):
    """A live run that never ends until it is drained."""

    def __init__(self, case: Case) -> None:
        super().__init__(case, 0)
        self.fold = Fold(plan_of(case), live=True)
        self.fold.assign(0)

    def restart(self, kept: list[bytes]) -> None:
        self.fold = Fold(plan_of(self.case), live=True)
        self.fold.assign(0, kept[0])


@pytest.fixture(params=[1, 3, 10])
def every(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows after which a live shard forgets keys; few, so that it also gives up slots all the time."""
    rows: int = request.param
    monkeypatch.setattr(shard, "EVERY_ROWS", rows)
    return rows


ROWS = [case for case in FORGETFUL if all(view.rollup is None for view in case.pipeline.views)]
"""Those without windows of which a live source says something before they are final."""


@pytest.mark.heavy
@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_a_live_source_forgets_as_the_oracle_does(case: Case, every: int) -> None:
    """However its rows are cut, whenever it is killed, and whenever what nobody needs any more is dropped."""

    @settings(max_examples=20 * MORE)
    @given(streams(case), st.booleans())
    def law(stream: Stream, tidies: bool) -> None:
        oracle, ours, at = Oracle(case.pipeline, every), Live(case), 0
        for number, size in enumerate(chunk_sizes(stream)):
            ours.feed(stream.rows[at : at + size])
            for row in stream.rows[at : at + size]:
                oracle.feed(row)
            at += size
            assert ours.ledger() == ledger_of(oracle)
            if tidies:
                ours.fold.tidy()
            if number in stream.crashes:
                ours.restart(ours.snapshot())
        ours.drain()
        oracle.drain()
        assert_same(ours.alerts(), oracle.alerts)
        assert plain_set_aside(ours.quarantined) == sorted(oracle.quarantined)
        assert ours.ledger() == ledger_of(oracle)

    law()


def _rows(keyed: Sequence[tuple[str, int]]) -> list[Row]:
    """Rows of a key at so many seconds."""
    columns: dict[str, Value] = {"x": 1.0, "n": 100, "seq": None}
    return [Row(key, (START + at) * SECOND, columns, row=number + 1) for number, (key, at) in enumerate(keyed)]


def test_endless_new_keys_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key has three rows and never comes again: what is kept is that of the keys of the last 45 seconds, and one pass."""
    monkeypatch.setattr(shard, "EVERY_ROWS", 300)
    case = FORGETFUL[0]
    live, sizes, names = Live(case), [], []
    for begin in range(0, 3000, 100):
        keyed = [(f"k{n}", n // 2 + step) for n in range(begin, begin + 100) for step in range(3)]
        live.feed(_rows(keyed))
        live.fold.tidy()
        sizes.append(len(live.snapshot()[0]))
        names.append(len(live.fold.keys(0)))
    # Two keys a second, of 45 seconds that are kept, of one pass over 100 keys, and as much again before slots are given up.
    assert max(names[10:]) <= 2 * (2 * (90 + 200) + 300)
    assert max(sizes[20:]) < 1.2 * max(sizes[5:10])
    _, document = decode(live.snapshot()[0], "snapshot")
    assert len(document["keys"]) <= 90 + 200
    assert live.fold.ledger.rows_in == 9000


def test_what_is_left_at_the_end_of_files_does_not_depend_on_the_shards() -> None:
    """At the end of bounded input 'old' is 100 s behind the others, of which the median counts; 'odd' is far ahead and says nothing."""
    case = FORGETFUL[0]
    keyed = [("old", 0), ("old", 1), *[(key, at) for at in (90, 95, 100) for key in ("a", "b", "c")], ("odd", 9000), ("odd", 9001)]
    for shards in (1, 2, 3):
        run = Driver(case, shards)
        for number in range(shards):
            run.feed([row for row in _rows(keyed) if hash_of(row.key or "") % shards == number], number)
        run.drain()
        kept = {key for data in run.snapshot() for key in decode(data, "snapshot")[1]["keys"]}
        assert kept == {"a", "b", "c", "odd"}, shards


def hash_of(key: str) -> int:
    return int(np.frombuffer(key.encode().ljust(8, b"\0"), np.int64)[0] % 7)


def test_a_key_that_comes_back_in_the_middle_of_a_batch_starts_anew() -> None:
    """The window of four rows: n of 100 counts 1 each. After 6 seconds, more than the 5, it is empty again; after 5 it is not."""
    case = FORGETFUL[0]
    for gap, counts in ((5, [0, 1, 2, 3]), (6, [0, 1, 0, 1])):
        run, seen = Driver(case), list[float]()
        run.fold.observe("rows", lambda batch, seen=seen: seen.extend(batch.features[0].tolist()))  # type: ignore[misc]
        run.feed(_rows([("k", 0), ("k", 1), ("k", 1 + gap), ("k", 2 + gap)]))
        run.drain()
        assert [0.0 if value != value else value for value in seen] == counts
