"""The laws of a live source: every record that is emitted, not only the last of each alert, is a function of the rows [R29]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from harness import plain_alerts
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MORE
from test_live_windows import PIPELINE

from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan
from offbeat.core.state import decode, encode
from offbeat.decide.block import AlertBlock
from offbeat.fold.closed_windows import ClosedInMemory
from offbeat.fold.fold import Fold
from offbeat.fold.merge_fold import MergeFold
from offbeat.fold.shard import Output
from offbeat.spec.load import load_text

MINUTE = 60 * 10**9
START = 1_700_006_400 * 10**9  # a midnight
ACROSS = """\
name: across
source: {key: who, time: {column: at, zone: UTC}, columns: {id: {type: decimal, scale: 0}, mb: {type: decimal, scale: 2}, place: text}}
quality: {unique: [time, id], rules: {volume: mb >= 0}}
views:
  hour:
    rollup: {key: who, size: 1h, columns: {n: count(*), total: sum(mb)}}
    windows: {past: {over: 6h, min_rows: 1, features: {usual: mean(total)}}}
    detectors:
      much: {type: rule, early: true, when: total > 2 * usual}
      gone: {type: absence, min_history: 2, limit: 0.5}
"""
QUICK = PIPELINE
for slow, quick in (
    ("size: 1d", "size: 2h"),
    ("over: all, lag: 1d, min_rows: 3", "over: all, lag: 1h, min_rows: 2"),
    ("size: 1h", "size: 30m"),
    ("over: 5d, season: 1d, min_rows: 2", "over: 4h, min_rows: 1"),
    ("over: 20 rows, min_values: 10", "over: 8 rows, min_values: 4"),
):
    assert slow in QUICK
    QUICK = QUICK.replace(slow, quick)
NEITHER = """\
name: neither
source: {key: who, time: {column: at, zone: UTC}, columns: {id: {type: decimal, scale: 0}, mb: {type: decimal, scale: 2}, place: text}}
quality: {unique: [time, id], rules: {volume: mb >= 0}}
views:
  hour:
    rollup: {key: who, size: 1h, columns: {total: sum(mb)}}
    windows: {past: {over: 6h, min_rows: 2, features: {usual: mean(total)}}}
    detectors: {much: {type: rule, early: true, when: total > 2 * usual}}
    cooldown: 3 rows
  place:
    rollup: {key: place, size: 15m, where: mb > 1, columns: {total: sum(mb)}}
    windows: {past: {over: 3h, min_rows: 3, features: {usual: mean(total)}}}
    detectors: {much: {type: rule, when: total > 2 * usual}}
    cooldown: 1h
"""
"""Neither view alone says what became of a row."""
FILLED = NEITHER.replace("size: 1h,", "size: 1h, fill: zero,").replace("size: 15m,", "size: 15m, fill: zero,")
FILLED = FILLED.replace("detectors: {much:", "detectors: {none: {type: rule, when: total < 0.5 * usual}, much:")
"""Windows without a row are judged like any other [R11]."""
PLANS = {
    "neither, filled": FILLED,
    "neither": NEITHER,
    "two views": QUICK,
    "late rows": QUICK.replace("unique: [time, id]", "unique: [time, id]\n  lateness: 2h"),
    "jumps": QUICK.replace("unique: [time, id]", "unique: [time, id]\n  lateness: 30m\n  max_jump: 5h"),
    "across keys": ACROSS,
}
plans = pytest.mark.parametrize("name", PLANS)


@cache
def plan_of(name: str) -> Plan:
    return load_text(PLANS[name], name).plan


@dataclass(frozen=True)
class Call:
    """A row: time in minutes from the start, caller, hundredths of a megabyte, place."""

    minute: int
    who: str
    mb: int
    place: str


@dataclass(frozen=True)
class Feed:
    """Rows in arrival order, how they are cut, and after which of them time is said to have passed."""

    calls: tuple[Call, ...]
    cuts: tuple[int, ...]
    other_cuts: tuple[int, ...]
    punctuations: frozenset[int]
    shards: tuple[int, ...]
    crash: int

    def parts(self, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(begin, end) of chunks of these sizes; none reaches over a punctuation."""
        at = number = 0
        while at < len(self.calls):
            stop = min((p for p in self.punctuations if p > at), default=len(self.calls))
            end = min(at + cuts[number % len(cuts)], stop, len(self.calls))
            yield at, end
            at, number = end, number + 1

    def floor(self, after: int) -> int:
        """Time before which no row comes from number `after` on, ns."""
        return START + min((call.minute for call in self.calls[after:]), default=self.calls[-1].minute) * MINUTE


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    behind = st.sampled_from((0, 0, 0, 0, 0, 0, 20, 50, 200))
    """How late callers are, each by itself: windows are opened again by those whose own time stands still."""
    step = st.sampled_from((0, 1, 5, 10, 20, 30, 40, 130))
    call = st.tuples(step, st.sampled_from("aabbcdef"), st.sampled_from((1, 100, 120, 300, 900)), st.sampled_from("ppq"), st.integers(1, 6))
    late = dict(zip("abcdef", draw(st.lists(behind, min_size=6, max_size=6)), strict=True))
    calls: list[Call] = []
    minute = 400
    for delta, who, mb, place, times in draw(st.lists(call, min_size=15, max_size=60)):
        minute += delta
        calls += [Call(minute - late[who] + i // 3, who, mb, place) for i in range(times)]
    sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple)
    return Feed(
        tuple(calls),
        draw(sizes),
        draw(sizes),
        frozenset(draw(st.lists(st.integers(1, len(calls)), max_size=5))),
        tuple(draw(st.lists(st.integers(0, 6), min_size=6, max_size=6))),
        draw(st.integers(1, len(calls))),
    )


def chunk_of(calls: Sequence[Call], first: int) -> Chunk:
    def raw(index: npt.NDArray[np.intp]) -> list[str]:
        return [f"row {first + i}" for i in index]

    n = len(calls)
    frame = pl.DataFrame(
        {"id": pl.Series(range(first, first + n), dtype=pl.Int64), "mb": pl.Series([c.mb for c in calls], dtype=pl.Int64)}
        | {"place": pl.Series([c.place for c in calls], dtype=pl.String)}
    )
    return Chunk(
        frame=frame, key=None, keys=pl.Series([c.who for c in calls], dtype=pl.String),
        time_ns=np.array([START + c.minute * MINUTE for c in calls], np.int64), faults=np.zeros(n, np.int8), file=0, first_row=first + 1,
        rows=None, files=None, raw=raw, position={},
    )  # fmt: skip


@dataclass
class Live:
    """A live fold over some shards, and all that it emitted."""

    plan: Plan
    shards: int = 1
    live: bool = True
    stores: dict[str, ClosedInMemory] = field(default_factory=dict)
    blocks: list[AlertBlock] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fold = Fold(self.plan, live=self.live, closed=lambda view: self.stores.setdefault(view, ClosedInMemory()))
        for number in range(self.shards):
            self.fold.assign(number)

    def take(self, output: Output) -> None:
        self.blocks += output.alerts

    def feed(self, calls: Sequence[Call], first: int, shard: int = 0) -> None:
        self.take(self.fold.feed(shard, self.fold.prepare(shard, chunk_of(calls, first))))

    def run(self, feed: Feed, cuts: Sequence[int], begin: int = 0, end: int | None = None) -> Live:
        """Rows from `begin` to `end`, with the punctuation among them."""
        stop = len(feed.calls) if end is None else end
        for first, last in feed.parts(cuts):
            low, high = max(first, begin), min(last, stop)
            if low < high:
                self.feed(feed.calls[low:high], low)
            if high == last > begin and last in feed.punctuations and last <= stop:
                self.take(self.fold.punctuate(0, feed.floor(last)))
        return self

    def end(self) -> Live:
        self.take(self.fold.end())
        return self

    def snapshot(self) -> tuple[list[bytes], bytes]:
        return [self.fold.snapshot(number) for number in self.fold.shards], encode(*self.fold.merge_state())

    def restored(self, kept: tuple[list[bytes], bytes]) -> Live:
        """Another worker with what a snapshot holds; closed windows lie where both can read them."""
        other = Live(self.plan, 0, self.live, self.stores)
        for number, data in enumerate(kept[0]):
            other.fold.assign(number, data)
        other.fold.restore_merge(*decode(kept[1], "merge"))
        return other

    def emitted(self) -> Counter[str]:
        """All records, whole."""
        return Counter(repr(alert) for alert in plain_alerts(self.blocks))

    def records(self, *statuses: str) -> list[tuple[str, int]]:
        """(alert_id, revision) of the records with these statuses."""
        return sorted((a["alert_id"], a["revision"]) for a in plain_alerts(self.blocks) if a["status"] in statuses)


def bounded(plan: Plan, feed: Feed) -> Live:
    run = Live(plan, live=False)
    run.feed(feed.calls, 0)
    return run.end()


@pytest.mark.heavy
@plans
def test_chunking_of_every_record(name: str) -> None:
    """Early, provisional, final and retracted: none depends on how the rows were cut, nor on their being fed one by one."""

    @settings(max_examples=12 * MORE)
    @given(feeds())
    def law(feed: Feed) -> None:
        expected = Live(plan_of(name)).run(feed, [len(feed.calls)]).end()
        said = [(alert["alert_id"], alert["revision"], alert["status"]) for alert in plain_alerts(expected.blocks)]
        assert len(said) == len(set(said)), "nothing is said twice"
        for cuts in (feed.cuts, (1,)):
            assert Live(plan_of(name)).run(feed, cuts).end().emitted() == expected.emitted()

    law()


@pytest.mark.heavy
@plans
def test_every_final_once(name: str) -> None:
    """With punctuation and then the end of the input each alert is final exactly once, and the finals are the bounded run's alerts."""

    @settings(max_examples=12 * MORE)
    @given(feeds())
    def law(feed: Feed) -> None:
        ours = Live(plan_of(name)).run(feed, feed.cuts).end()
        assert ours.records("final") == bounded(plan_of(name), feed).records("final")
        assert ours.fold.ledger.accounted() == ours.fold.ledger.rows_in == len(feed.calls)
        assert ours.fold.ledger.pending == 0
        assert ours.fold.ledger.scored == bounded(plan_of(name), feed).fold.ledger.scored or name.startswith("neither")

    law()


@pytest.mark.heavy
@plans
def test_silent_replay(name: str) -> None:
    """From a snapshot on, rows that were fed before are fed again in other chunks: the same records, those emitted before among them."""

    @settings(max_examples=12 * MORE)
    @given(feeds())
    def law(feed: Feed) -> None:
        expected = Live(plan_of(name)).run(feed, [len(feed.calls)]).end()
        first = Live(plan_of(name)).run(feed, feed.cuts, end=feed.crash)
        kept = first.snapshot()
        lost = first.restored(kept).run(feed, feed.cuts, begin=feed.crash)  # goes on, and dies
        again = lost.restored(kept).run(feed, feed.other_cuts, begin=feed.crash).end()
        again.blocks = first.blocks + again.blocks
        assert again.emitted() == expected.emitted()

    law()


def _spread(feed: Feed, live: Live, *, moved: bool = False) -> Live:
    """The feed with its callers spread over the shards; at each punctuation all shards are told, and may move to other workers."""
    for first, last in feed.parts(feed.cuts):
        for shard in live.fold.shards:
            index = [i for i in range(first, last) if feed.shards["abcdef".index(feed.calls[i].who)] % live.shards == shard]
            for i in index:
                live.feed(feed.calls[i : i + 1], i, shard)
        if moved:
            shard = first % live.shards
            kept = live.fold.snapshot(shard)
            live.fold.revoke(shard)
            live.fold.assign(shard, kept)
        if last in feed.punctuations:
            for shard in live.fold.shards:
                live.take(live.fold.punctuate(shard, feed.floor(last)))
    return live.end()


@pytest.mark.heavy
@plans
@pytest.mark.parametrize(("shards", "moved"), [(2, False), (7, False), (3, True)])
def test_sharding_live(name: str, shards: int, moved: bool) -> None:
    """Keys spread over shards, also such as are revoked and assigned again in mid-stream: the same finals, once each, the same ledger."""

    @settings(max_examples=6 * MORE)
    @given(feeds())
    def law(feed: Feed) -> None:
        ours, one = _spread(feed, Live(plan_of(name), shards), moved=moved), Live(plan_of(name)).run(feed, feed.cuts).end()
        assert ours.records("final") == one.records("final")
        counts: list[dict[str, Any]] = [live.fold.ledger.as_dict() for live in (ours, one)]
        if not name.startswith("neither"):  # there a row counts by its windows' first verdicts, be they provisional
            assert counts[0] == counts[1]

    law()


@pytest.mark.heavy
@pytest.mark.parametrize("shards", [2, 5])
def test_early_alerts_of_many_shards(shards: int) -> None:
    """While no window is closed, what is said early does not depend on the shards: each limit crossed, at the row that crosses it."""

    @settings(max_examples=20 * MORE)
    @given(feeds())
    def law(feed: Feed) -> None:
        day = tuple(Call(call.minute % 600, call.who, call.mb, call.place) for call in feed.calls)
        plan = load_text(PIPELINE.replace("total > 2 * usual_mb", "total > 4"), "day").plan
        ours = []
        for count in (1, shards):
            live = Live(plan, count)
            for i, call in enumerate(sorted(day, key=lambda call: call.minute)):
                live.feed([call], i, feed.shards["abcdef".index(call.who)] % count)
            ours.append(live)
        assert ours[0].records("early") == ours[1].records("early")

    law()


@pytest.mark.heavy
@plans
def test_remote_merge(name: str) -> None:
    """Shards hand over packed deltas at commits of any size to a merge shard, which is restored on the way: the same finals and ledger."""

    @settings(max_examples=8 * MORE)
    @given(feeds(), st.lists(st.booleans(), min_size=8, max_size=8))
    def law(feed: Feed, commits: list[bool]) -> None:
        plan, count = plan_of(name), 3
        workers = Fold(plan, live=True, remote=True)
        for shard in range(count):
            workers.assign(shard)
        merge, alerts = MergeFold(plan, count), list[AlertBlock]()
        for number, (first, last) in enumerate(feed.parts(feed.cuts)):
            for i in range(first, last):
                shard = feed.shards["abcdef".index(feed.calls[i].who)] % count
                alerts += workers.feed(shard, workers.prepare(shard, chunk_of(feed.calls[i : i + 1], i))).alerts
            if last in feed.punctuations:
                for shard in range(count):
                    alerts += workers.punctuate(shard, feed.floor(last)).alerts
            if commits[number % 8]:
                for shard in range(count):
                    alerts += merge.feed(workers.partials(shard)).alerts
                    kept = workers.snapshot(shard)
                    workers.revoke(shard)
                    workers.assign(shard, kept)
                again = MergeFold(plan, count)
                again.restore(*decode(encode(*merge.state()), "merge"))
                merge = again
        alerts += workers.end().alerts
        for shard in range(count):
            alerts += merge.feed(workers.partials(shard)).alerts
        alerts += merge.end().alerts
        one = bounded(plan, feed)
        ours = Live(plan)
        ours.blocks = alerts
        assert ours.records("final") == one.records("final")
        ledger = workers.ledger
        assert merge.ledger.accounted() == 0, "the merge shard's part adds up by itself"
        ledger.add(merge.ledger)
        assert (ledger.rows_in, ledger.late, ledger.pending) == (len(feed.calls), one.fold.ledger.late, 0)
        assert ledger.accounted() == ledger.rows_in
        if not name.startswith("neither"):  # there a row counts by its windows' first verdicts, be they provisional
            assert ledger.scored == one.fold.ledger.scored

    law()
