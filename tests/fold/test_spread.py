"""Windows of a bounded source that several merges share: the same alerts and ledger as one fold over all rows gives [R31]."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MORE
from test_live_laws import PLANS, Feed, Live, bounded, chunk_of, feeds, plan_of

from offbeat.core.ledger import Ledger
from offbeat.fold.fold import Fold
from offbeat.fold.merge_fold import MergeFold
from offbeat.fold.spread import merges, spread
from offbeat.fold.wire import pack, unpack


@pytest.mark.heavy
@pytest.mark.parametrize("name", PLANS)
def test_spread_merges(name: str) -> None:
    """However rows are spread over shards, windows over merges, and in whatever order the merges hear of them."""

    @settings(max_examples=8 * MORE)
    @given(feeds(), st.integers(1, 4), st.randoms(use_true_random=False))
    def law(feed: Feed, most: int, chance: random.Random) -> None:
        plan, shards = plan_of(name), 3
        count = merges(plan, most)
        fold = Fold(plan, remote=True)
        for shard in range(shards):
            fold.assign(shard)
        told = list[tuple[int, bytes]]()

        def tell(shard: int) -> None:
            told.extend((merge, pack(delta)) for merge, delta in spread(plan, unpack(fold.partials(shard)), count))

        ours = Live(plan)
        for i, call in enumerate(feed.calls):
            shard = feed.shards["abcdef".index(call.who)] % shards
            ours.blocks += fold.feed(shard, fold.prepare(shard, chunk_of([call], i))).alerts
            if chance.random() < 0.2:
                tell(shard)
        ours.blocks += fold.end().alerts
        for shard in range(shards):
            tell(shard)
        chance.shuffle(told)
        ledger = Ledger()
        for shard in range(shards):
            ledger.add(fold.shard_ledger(shard))
        for number in range(count):
            merge = MergeFold(plan, shards, live=False)
            for to, record in told:
                if to == number:
                    ours.blocks += merge.feed(record).alerts
            ours.blocks += merge.end().alerts
            ledger.add(merge.ledger)
        one = bounded(plan, feed)
        assert ours.records("final") == one.records("final")
        assert ledger.as_dict() == one.fold.ledger.as_dict()

    law()


@pytest.mark.parametrize(("name", "count"), [("two views", 4), ("across keys", 1), ("neither", 1)])
def test_how_many_merges(name: str, count: int) -> None:
    """Several can share what one view alone says of rows and no detector looks across targets for."""
    assert merges(plan_of(name), 4) == count
