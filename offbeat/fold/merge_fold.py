"""`MergeFold`: the merge shard, which judges the windows of all shards where these are held by other workers [R31, R32]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from offbeat.core.batch import NULL_INT
from offbeat.core.co_occurrence import CoOccurrences
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import Ledger
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import Plan, RollupPlan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.features.tumbling import Tumbling
from offbeat.fold.closed_windows import ClosedInMemory, ClosedWindows
from offbeat.fold.merge_stage import MergeStage
from offbeat.fold.rollup import Touched
from offbeat.fold.shard import Output
from offbeat.fold.undecided import RowGroups, Undecided
from offbeat.fold.watermark import provisional_lag_ns
from offbeat.fold.wire import Delta, unpack


class _Windows:
    """The open windows of a view that one shard has told of."""

    def __init__(self, rollup: RollupPlan) -> None:
        self.table = PartialTable(PartialLayout.of(rollup.aggregates, rollup.sure))
        self.targets = KeyTable()
        self.tumbling = Tumbling(rollup.size_ns, rollup.zone)
        self.size_ns = rollup.size_ns


class _Inbox:
    """What one shard has told so far."""

    def __init__(self, plan: Plan) -> None:
        self.rollups = {view.name: _Windows(view.rollup) for view in plan.views if view.rollup is not None}
        self.undecided = Undecided(len(self.rollups))
        self.links: dict[tuple[str, str], CoOccurrences] = {}
        self.watermark_ns = self.floor_ns = self.newest_ns = self.last_ns = NULL_INT
        self.ledger = Ledger()

    def add(self, delta: Delta, early: frozenset[str]) -> dict[str, Touched]:
        """Take what a shard told; gives the windows that grew, by views with early alerts."""
        self.watermark_ns = max(self.watermark_ns, delta.watermark_ns)
        self.floor_ns = max(self.floor_ns, delta.floor_ns)
        self.last_ns = max(self.last_ns, delta.last_ns)
        self.newest_ns = max(self.newest_ns, delta.newest_ns if delta.newest_ns != NULL_INT else delta.last_ns)
        touched, targets = {}, delta.groups.targets.copy()
        for v, (view, side) in enumerate(self.rollups.items()):
            names, windows = delta.windows[view]
            slots = np.array([side.targets.slot(name) for name in names], np.int32)
            places = side.table.add(windows.of(slots[windows.targets]))
            if view in early:
                nothing = side.table.at(places[:0])
                touched[view] = Touched(None, places, places[:0], nothing)
            there = targets[:, v] >= 0
            targets[there, v] = slots[targets[there, v]]
        if len(delta.groups):
            self.undecided.add(list(targets.T), list(delta.groups.starts.T), delta.groups.rows)
        return touched

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = prefixed("groups", self.undecided.groups().arrays())
        for view, side in self.rollups.items():
            arrays |= prefixed(f"windows/{view}", side.table.partials().arrays())
        times = [self.watermark_ns, self.floor_ns, self.newest_ns, self.last_ns]
        return arrays, {"targets": {view: side.targets.names for view, side in self.rollups.items()}, "times": times}

    def restore(self, arrays: Arrays, document: dict[str, Any]) -> None:
        self.watermark_ns, self.floor_ns, self.newest_ns, self.last_ns = document["times"]
        self.undecided.restore(RowGroups(**under("groups", arrays)))
        for view, side in self.rollups.items():
            side.targets = KeyTable(document["targets"][view])
            side.table.restore(Partials.from_arrays(under(f"windows/{view}", arrays)))


class MergeFold:
    """The views on other keys of a pipeline, fed with what `Fold.partials` gave, each record once and those of a shard in their order.

    Of live sources windows are closed provisionally once the watermarks of all shards have passed them, and for good once all shards were
    told so. Of bounded ones all are judged at the end, and records may come in any order.
    """

    def __init__(self, plan: Plan, shards: int, *, closed: Callable[[str], ClosedWindows] | None = None, live: bool = True) -> None:
        """shards: how many there are in all; before each has said something, nothing is closed for good."""
        self.plan, self._count, self._live = plan, shards, live
        if live and closed is None:
            closed = _in_memory
        self._merge = MergeStage(plan, closed, live=live)
        self._inboxes: dict[int, _Inbox] = {}
        self._behind_ns = provisional_lag_ns(plan)
        self._ended: Ledger | None = None

    def feed(self, record: bytes) -> Output:
        """Take a record. Raises UserError where it is damaged."""
        delta = unpack(record)
        inbox = self._inboxes.setdefault(delta.shard, _Inbox(self.plan))
        out, self._ended = Output(), None
        if not self._live:
            inbox.add(delta, frozenset())
            return out
        out.alerts += self._merge.fire(self._inboxes, delta.shard, inbox.add(delta, self._merge.early))
        marks = [each.watermark_ns for each in self._inboxes.values() if each.watermark_ns != NULL_INT]
        if marks and min(marks) > NULL_INT + self._behind_ns:
            out.alerts += self._merge.close(self._inboxes, min(marks) - self._behind_ns, final=False)
        if len(self._inboxes) == self._count:
            out.alerts += self._merge.close(self._inboxes, min(each.floor_ns for each in self._inboxes.values()))
        return out

    def learned_ns(self) -> dict[tuple[str, str], int]:
        """As `Fold.learned_ns`."""
        return self._merge.learned_ns()

    @property
    def newest_ns(self) -> int:
        """Greatest time of a row that any shard has folded."""
        return max((inbox.newest_ns for inbox in self._inboxes.values()), default=NULL_INT)

    def end(self) -> Output:
        """No record will come any more: all windows are judged for good."""
        if not self._inboxes:
            return Output()
        blocks, self._ended = self._merge.finish(self._inboxes)
        return Output(blocks)

    @property
    def ledger(self) -> Ledger:
        """The merge shard's part of the ledger: rows that the shards hand over as pending are taken from there as they are decided."""
        ledger = self._ended if self._ended is not None else self._merge.ledger(self._inboxes)
        return Ledger(scored=ledger.scored, warming_up=ledger.warming_up, pending=-ledger.scored - ledger.warming_up, views=ledger.views)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """State as arrays and a JSON document."""
        arrays, document = self._merge.state()
        arrays = prefixed("merge", arrays)
        inboxes = {}
        for number, inbox in self._inboxes.items():
            own, inboxes[str(number)] = inbox.state()
            arrays |= prefixed(f"inbox/{number}", own)
        return arrays, {"merge": document, "inboxes": inboxes}

    def restore(self, arrays: Arrays, document: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._merge.restore(under("merge", arrays), document["merge"])
        self._inboxes = {}
        for number, kept in document["inboxes"].items():
            inbox = self._inboxes[int(number)] = _Inbox(self.plan)
            inbox.restore(under(f"inbox/{number}", arrays), kept)


def _in_memory(_: str) -> ClosedWindows:
    return ClosedInMemory()
