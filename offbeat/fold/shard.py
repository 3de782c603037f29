"""A shard: all of a pipeline's state for some of the keys, and the fold over their rows. Engines differ only in how rows get here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import I8, I64, NULL_INT, Batch, Bools
from offbeat.core.chunk import Chunk
from offbeat.core.co_occurrence import CoOccurrences, CoOccurring
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import Ledger, ViewCounts
from offbeat.core.plan import Plan
from offbeat.core.reorder_buffer import ReorderBuffer
from offbeat.core.row_order import CONFLICT, DUPLICATE, FOLDED, FUTURE, HELD, LATE, NEWEST, Admitted, Order, RowOrder
from offbeat.core.state import Arrays, Document, decode, encode, prefixed, under
from offbeat.decide.block import AlertBlock, Quarantined
from offbeat.errors import UserError
from offbeat.fold.as_of import as_of_ns
from offbeat.fold.intake import Intake, Prepared, aside
from offbeat.fold.rollup import RollupFold, RollupRows, Undecided
from offbeat.fold.scoring_view import scoring_view
from offbeat.fold.view import Rows, View
from offbeat.quality.gaps import Gaps


@dataclass(slots=True)
class Output:
    """What a step gave."""

    alerts: list[AlertBlock] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    time_ns: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """Times of the rows folded."""
    places: dict[str, I64] = field(default_factory=dict)
    """By view on another key: places of their windows in its table, -1 for rows not selected."""


class Shard:
    """The fold of one pipeline over the rows of some keys."""

    def __init__(self, plan: Plan, *, linked: bool = False) -> None:
        """linked: note which windows of views share rows, as the plan's tables want to know."""
        self.plan = plan
        self.keys = KeyTable()
        self._ledger = Ledger()
        self._intake = Intake(plan)
        c = self._columns = self._intake.columns
        self._admission, self._held = self._fresh()
        self._views = [View(plan, view, c.numbers, c.fixed) for view in plan.views if view.rollup is None]
        end_ns = as_of_ns(plan)
        self.rollups = {
            view.name: RollupFold(view.rollup, c.numbers, c.fixed, c.texts, self.keys, end_ns)
            for view in plan.views
            if view.rollup is not None
        }
        self.links = {(view, other): CoOccurrences(self.rollups[other].size_ns) for view, other in plan.links} if linked else {}
        self._decider = scoring_view(plan)
        self.undecided = Undecided(len(self.rollups))
        self.newest_ns = NULL_INT
        """Greatest time of a row folded before the input's end."""
        self.last_ns = NULL_INT
        """Greatest time of a row that this process folded."""
        self.gaps = self._gaps()

    def _fresh(self) -> tuple[RowOrder, ReorderBuffer]:
        """As it is before the first row."""
        q, c = self.plan.quality, self._columns
        held = ReorderBuffer(len(c.numbers), len(c.fixed), len(c.texts))
        return RowOrder(Order(q.lateness_ns, q.dedup_rows, q.max_jump_ns, "time" in q.unique)), held

    def _gaps(self) -> Gaps | None:
        q = self.plan.quality
        return Gaps(q.cadence_ns, self.plan.source.time.zone, q.calendar) if q.cadence_ns else None

    @property
    def views(self) -> list[View]:
        """The views on the rows themselves."""
        return self._views

    @property
    def ledger(self) -> Ledger:
        """The ledger as it stands: rows held back, and rows in windows that are still open, are pending."""
        waiting = self.rollups[self._decider].table.rows() if self._decider else self.undecided.rows() if self.rollups else 0
        return replace(self._ledger, pending=len(self._held) + waiting, views={v.plan.name: v.counts for v in self._views})

    def settled_ns(self, floor_ns: int) -> int:
        """The time before which nothing is left to be folded, where no row to come is earlier than `floor_ns`."""
        return floor_ns if floor_ns == NULL_INT else min(floor_ns, self._held.earliest_ns())

    def feed(self, chunk: Chunk) -> Output:
        """Fold the rows of a chunk, in their order."""
        return self.absorb(self.prepare(chunk))

    def prepare(self, chunk: Chunk) -> Prepared:
        """The first half of `feed`, for each chunk in order; may run ahead of the second on another thread."""
        return self._intake.prepare(chunk, self.keys, self.rollups)

    def absorb(self, prepared: Prepared) -> Output:
        """The second half of `feed`."""
        out = Output()
        self._ledger.rows_in += prepared.chunk.frame.height
        for rows in prepared.quarantined:
            self._ledger.quarantined.update(rows.reasons)
            out.quarantined.append(rows)
        if len(prepared.batch):
            self._admit(prepared, out)
        return out

    def _admit(self, prepared: Prepared, out: Output) -> None:
        chunk, index, batch = prepared.chunk, prepared.index, prepared.batch
        admitted = self._admission.admit(
            batch.slots, batch.time_ns, batch.order, batch.identity, batch.content, len(self.keys), len(self._held), chunk.floor_ns
        )
        status = admitted.status
        released = self._released(batch, admitted)
        if len(released.slots) < len(batch) or len(self._held):
            self._account(chunk, index, status, out)
            self._refute(admitted.refuted, out)
            self._hold(chunk, index, batch, admitted)
        if len(released):
            self.newest_ns = max(self.newest_ns, int(released.time_ns.max()))
        self._fold(released, prepared.rollups if released is batch else None, out)

    def _account(self, chunk: Chunk, index: I64, status: I8, out: Output) -> None:
        self._ledger.duplicate += int((status == DUPLICATE).sum())
        late = np.flatnonzero(status == LATE)
        if len(late):
            self._ledger.late += len(late)
            out.quarantined.append(aside(chunk, index[late], ["late"] * len(late)))
        for code, reason in ((CONFLICT, "conflict"), (FUTURE, "future")):
            wrong = np.flatnonzero(status == code)
            if len(wrong):
                self._ledger.quarantined[reason] += len(wrong)
                out.quarantined.append(aside(chunk, index[wrong], [reason] * len(wrong)))

    def _refute(self, places: I64, out: Output) -> None:
        """Held candidates that turned out to be from the future."""
        if not len(places):
            return
        held = self._held
        self._ledger.quarantined["future"] += len(places)
        out.quarantined.append(
            Quarantined(
                reasons=["future"] * len(places),
                files=held.files[places],
                rows=held.rows[places],
                keys=[self.keys.names[slot] for slot in held.slots[places].tolist()],
                time_ns=held.time_ns[places],
                raw=[held.raw[place] for place in places.tolist()],
            )
        )
        held.drop(places)

    def _hold(self, chunk: Chunk, index: I64, batch: Batch, admitted: Admitted) -> None:
        """Keep the rows that neither left nor were folded; free the places of held rows that were."""
        emitted = admitted.emitted
        waiting = (admitted.status == HELD) | (admitted.status == FOLDED)
        waiting[emitted[emitted >= 0]] = False
        stay = np.flatnonzero(waiting)
        gone = -1 - emitted[emitted < 0]
        if len(stay):
            places: I64 = np.zeros(len(batch), np.int64)
            places[stay] = self._held.keep(batch, stay, chunk.raw(index[stay]))
            self._admission.settle(batch.slots, places)
        if len(gone):
            self._held.drop(gone)

    def _released(self, batch: Batch, admitted: Admitted) -> Batch:
        """The rows to fold now, in order; a copy only where something was held, dropped or moved."""
        emitted = admitted.emitted
        n = len(batch)
        self._ordinals = admitted.ordinals
        if len(emitted) == n and bool((emitted == np.arange(n)).all()):
            return batch
        here = emitted >= 0
        ours, theirs = emitted[here], -1 - emitted[~here]
        held = self._held

        def pick(now: np.ndarray, before: np.ndarray) -> np.ndarray:
            out = np.empty((*now.shape[:-1], len(emitted)), now.dtype)
            out[..., here] = now[..., ours]
            out[..., ~here] = before[..., theirs]
            return out

        return Batch(
            slots=pick(batch.slots, held.slots),
            time_ns=pick(batch.time_ns, held.time_ns),
            order=np.empty(0, np.int64),
            numbers=pick(batch.numbers, held.numbers.T),
            integers=pick(batch.integers, held.integers.T),
            texts=tuple(self._texts(text, t, here, ours, theirs) for t, text in enumerate(batch.texts)),
            identity=np.empty(0, np.uint64),
            content=np.empty(0, np.uint64),
            files=pick(batch.files, held.files),
            rows=pick(batch.rows, held.rows),
        )

    def _texts(self, now: pl.Series, column: int, here: np.ndarray, ours: I64, theirs: I64) -> pl.Series:
        if not len(theirs):
            return now.gather(ours)
        both = pl.concat([now.gather(ours), self._held.text(column, theirs)])
        place = np.empty(len(here), np.int64)
        place[here], place[~here] = np.arange(len(ours)), len(ours) + np.arange(len(theirs))
        return both.gather(place)

    def _fold(self, batch: Batch, rows_of: dict[str, RollupRows] | None, out: Output) -> None:
        """Rows in fold order through windows, rules, votes, and into partials; `rows_of` has them as the rollups take them, if known."""
        n = len(batch)
        if not n:
            return
        self.last_ns = max(self.last_ns, int(batch.time_ns.max()))
        if self.gaps is not None:
            self.gaps.add(batch.slots, batch.time_ns)
        rows = Rows(
            slots=batch.slots,
            time_ns=batch.time_ns,
            ordinals=self._ordinals,
            columns=batch.numbers,
            integers=batch.integers,
            revision=np.ones(n, np.int64),
            files=batch.files,
            numbers=batch.rows,
            frame=lambda index: self._columns.frame(batch.numbers, batch.integers, batch.texts, index),
        )
        judged = np.zeros(n, np.bool_)
        for view in self._views:
            opinion = view.judge(self.keys, rows)
            judged |= opinion.judged
            if opinion.block is not None:
                out.alerts.append(opinion.block)
        places = {
            name: rollup.fold(rollup.rows(batch) if rows_of is None else rows_of[name]) for name, rollup in self.rollups.items()
        }
        out.time_ns, out.places = batch.time_ns, places
        for (name, other), links in self.links.items():
            _, starts = self.rollups[name].table.addresses()
            links.fold(places[name], starts, places[other], *self.rollups[other].table.addresses())
        waiting: Bools = np.zeros(n, np.bool_)
        if self._decider is not None:
            waiting = places[self._decider] >= 0
        elif places:
            waiting = ~judged & np.any([p >= 0 for p in places.values()], axis=0)
            if waiting.any():
                self.undecided.file([p[waiting] for p in places.values()])
        scored = int(judged.sum())
        self._ledger.scored += scored
        self._ledger.warming_up += n - scored - int(waiting.sum())

    def drain(self) -> Output:
        """End of bounded input: rows held back are folded. The shard can be fed again afterwards."""
        out = Output()
        admitted = self._admission.finish(len(self.keys), len(self._held), unique=bool(self.plan.quality.unique))
        places = -1 - admitted.emitted
        if len(places):
            held = self._held
            nothing = np.empty(0, np.uint64)
            self._ordinals = admitted.ordinals
            batch = Batch(
                held.slots[places], held.time_ns[places], np.empty(0, np.int64), held.numbers[places].T.copy(),
                held.integers[places].T.copy(), tuple(held.text(t, places) for t in range(len(self._columns.texts))),
                nothing, nothing, held.files[places], held.rows[places],
            )  # fmt: skip
            held.drop(places)
            self._fold(batch, None, out)
        return out

    def rewind(self, starts: Mapping[str, int], ledger: Ledger) -> None:
        """Forget, by view, the windows from a start on, and all that was noted of rows: those from there on will come again.

        `ledger`: of the rows that will not come again those that are late, duplicate or set aside, and all of them as `rows_in`.
        """
        self._admission, self._held = self._fresh()
        self.newest_ns = NULL_INT
        for name, rollup in self.rollups.items():
            places = rollup.keep_before(starts[name])
            for (view, _), links in self.links.items():
                if view == name:
                    links.renumber(places)
        if self.gaps is not None:
            self.gaps = self._gaps()
        self._ledger = ledger

    def skip_before(self, starts: Mapping[str, int]) -> None:
        """By view, do not fold rows of windows before a start: they are folded already."""
        for name, rollup in self.rollups.items():
            rollup.floor_ns = starts[name]

    def goes_on(self, chunks: Iterable[Chunk]) -> bool:
        """Whether all rows of some chunks are later than those that their keys had."""
        records = self._admission.snapshot(len(self.keys))["keys"]
        own, newest = Shard(self.plan), dict(zip(self.keys.names, records[:, NEWEST].tolist(), strict=True))
        for chunk in chunks:
            batch = own.prepare(chunk).batch
            last = np.array([newest.get(name, NULL_INT) for name in own.keys.names], np.int64)
            if (batch.time_ns <= last[batch.slots]).any():
                return False
        return True

    def adopt(self, other: Shard) -> None:
        """Add the windows and the ledger of another shard, which holds no rows back; what this one knows of keys stays as it is."""
        moved = {name: rollup.adopt(other.rollups[name]) for name, rollup in self.rollups.items()}
        for (name, to), links in self.links.items():
            places = moved[name][1]
            found = other.links[name, to].take(np.arange(len(places)))
            links.adopt(CoOccurring(found.offsets, moved[to][0][found.targets], found.masks), places)
        self._ledger.add(other._ledger)
        self.newest_ns = max(self.newest_ns, other.newest_ns)

    def snapshot(self) -> bytes:
        """The whole state, to be restored to equal verdicts."""
        arrays, document = self.state()
        return encode(arrays, document)

    def state(self) -> tuple[Arrays, Document]:
        """The whole state as named arrays and a JSON document."""
        keys = len(self.keys)
        arrays = prefixed("admission", self._admission.snapshot(keys)) | prefixed("held", self._held.arrays())
        for view in self._views:
            arrays |= prefixed(f"view/{view.plan.name}", view.snapshot(keys))
        targets = {}
        for name, rollup in self.rollups.items():
            kept, targets[name] = rollup.snapshot()
            arrays |= prefixed(f"rollup/{name}", kept)
        for (name, other), links in self.links.items():
            arrays |= prefixed(f"links/{name}/{other}", links.arrays())
        for v, table in enumerate(self.undecided.tables):
            p = table.partials()
            arrays |= prefixed(f"undecided/{v}", {"targets": p.targets, "starts": p.starts, "ints": p.ints, "floats": p.floats})
        if self.gaps is not None:
            arrays |= prefixed("gaps", self.gaps.arrays())
        document: Document = {
            "keys": self.keys.names,
            "held": self._held.words(),
            "targets": targets,
            "ledger": self.ledger.as_dict(),
            "gaps": self._cadence(),
            "newest_ns": self.newest_ns,
            "linked": [list(pair) for pair in self.links],
        }
        return arrays, document

    def _cadence(self) -> list[Any]:
        """What gaps are counted against; it decides no alert, so it may change: they are then counted from there on."""
        q = self.plan.quality
        return [q.cadence_ns, self.plan.source.time.zone, q.calendar]

    def take(self, arrays: Arrays, document: Document) -> None:
        """Take over what `state` gave."""
        self.keys = KeyTable(document["keys"])
        self._ledger = Ledger.from_dict(document["ledger"])
        self.newest_ns = document["newest_ns"]
        self._admission.restore(under("admission", arrays))
        self._held.restore(under("held", arrays), document["held"])
        self._held.numbers = self._columns.recoded(self._held.numbers, self._held.texts)
        for view in self._views:
            view.restore(under(f"view/{view.plan.name}", arrays), self.keys.names)
            view.counts = self._ledger.views.get(view.plan.name, ViewCounts())  # a view without windows may be new
        for name, rollup in self.rollups.items():
            rollup.restore(under(f"rollup/{name}", arrays), document["targets"][name], self.keys)
        if any(list(pair) not in document["linked"] for pair in self.links):
            raise UserError(
                "the state was kept without these tables, and does not know which windows share rows: leave --tables out, or start with a "
                "new state directory"
            )
        for (name, other), links in self.links.items():
            links.restore(under(f"links/{name}/{other}", arrays))
        self.undecided.restore([under(f"undecided/{v}", arrays) for v in range(len(self.undecided.tables))])
        if self.gaps is not None and document["gaps"] == self._cadence():
            self.gaps.restore(under("gaps", arrays))

    @classmethod
    def restore(cls, plan: Plan, data: bytes) -> Shard:
        """A shard as it was when `snapshot` gave `data`."""
        shard = cls(plan)
        shard.take(*decode(data, "snapshot"))
        return shard
