"""The end of a bounded run for views on another key: partials of all shards are merged and judged [S3, S13]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock
from offbeat.engines.rollup import MergedView
from offbeat.engines.shard import Shard


class Merge:
    """All merged views of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.views = {view.name: MergedView(plan, view, view.rollup) for view in plan.views if view.rollup is not None}

    def judge(self, shards: Sequence[Shard]) -> tuple[list[AlertBlock], Ledger]:
        """Alerts of all windows as they stand, and the shards' ledger with the rows of judged windows decided."""
        ledger = Ledger()
        for shard in shards:
            ledger.add(shard.ledger)
        blocks = []
        for name, view in self.views.items():
            for number, shard in enumerate(shards):
                fold = shard.rollups[name]
                view.stage.update(number, fold.targets.names, fold.table.partials())
            block, counts = view.judge()
            ledger.views[name] = counts
            if block is not None:
                blocks.append(block)
        for shard in shards if self.views else ():
            places, rows = shard.undecided.counts()
            judged = np.zeros(len(rows), np.bool_)
            for column, (name, view) in enumerate(self.views.items()):
                place = places[:, column]
                inside = place >= 0
                judged[inside] |= view.judged(shard.rollups[name])[place[inside]]
            scored = int(rows[judged].sum())
            ledger.scored += scored
            ledger.warming_up += int(rows.sum()) - scored
            ledger.pending -= int(rows.sum())
        return blocks, ledger
