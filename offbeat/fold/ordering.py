"""Dedup and order: from rows as they arrive to rows as they are folded, with what is held back in between [S1, S2, S4, S8]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from offbeat.core.batch import I64, NULL_INT, Batch
from offbeat.core.chunk import Chunk
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.core.reorder_buffer import ReorderBuffer
from offbeat.core.row_order import Admitted, Order, RowOrder
from offbeat.core.row_walk import CONFLICT, DUPLICATE, FOLDED, FUTURE, HELD, LATE
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import Quarantined
from offbeat.fold.file_pairs import FilePairs
from offbeat.fold.intake import Prepared, aside
from offbeat.fold.late_files import LateFiles
from offbeat.fold.row_columns import Columns


@dataclass(slots=True)
class Ordered:
    """Rows to fold now, in fold order, and rows that will never be."""

    batch: Batch
    ordinals: I64
    """(n,) n-th row of its key at that time, from 1 [S21]."""
    whole: bool
    """Whether these are just the rows that came, in the order in which they came."""
    quarantined: list[Quarantined] = field(default_factory=list)


class Ordering:
    """Dedup and order of one shard's rows. Counts what it turns away in `ledger`."""

    def __init__(self, plan: Plan, columns: Columns) -> None:
        q = plan.quality
        self._columns, self._unique = columns, bool(q.unique)
        self._order = RowOrder(Order(q.lateness_ns, q.dedup_rows, q.max_jump_ns, "time" in q.unique, q.keep_last, q.forget_ns))
        self._held = ReorderBuffer(len(columns.numbers), len(columns.fixed), len(columns.texts))
        self.late, self.pairs = LateFiles(), FilePairs()
        self.floor_ns = NULL_INT
        """No row before this is to come: the shard was told so. One that comes all the same is late."""

    def __len__(self) -> int:
        """Rows held back."""
        return len(self._held)

    def earliest_ns(self) -> int:
        """Least time of the rows held back; the end of all time without any."""
        return self._held.earliest_ns()

    def newest_ns(self, keys: int) -> I64:
        """(keys,) greatest accepted time of each key."""
        return self._order.newest_ns(keys)

    def admit(self, prepared: Prepared, keys: KeyTable, ledger: Ledger) -> Ordered:
        """Take prepared rows, in their order."""
        chunk, index, batch = prepared.chunk, prepared.index, prepared.batch
        turned_away: list[Quarantined] = []
        whole = True
        if self.floor_ns != NULL_INT and (late := batch.time_ns < self.floor_ns).any():
            whole = False
            self._turn_away(chunk, index[late], "late", turned_away)
            ledger.late += int(late.sum())
            stay = np.flatnonzero(~late)
            index, batch = index[stay], batch.take(stay)
        floor_ns = max(chunk.floor_ns, self.floor_ns)
        admitted = self._order.admit(
            batch.slots, batch.time_ns, batch.order, batch.identity, batch.content, len(keys), len(self._held), floor_ns
        )
        ordered = self._ordered(batch, admitted)
        if len(ordered.batch) < len(batch) or len(self._held):
            self._account(chunk, index, batch, admitted, ledger, turned_away)
            self._refute(admitted.refuted, keys, ledger, turned_away)
            ledger.duplicate += len(admitted.replaced)
            self._held.drop(admitted.replaced)
            self._hold(chunk, index, batch, admitted)
        ordered.whole, ordered.quarantined = ordered.whole and whole, turned_away
        return ordered

    def pass_until(self, floor_ns: int, keys: KeyTable) -> Ordered:
        """No row before `floor_ns` will come: what waited for such rows alone is folded."""
        self.floor_ns = max(self.floor_ns, floor_ns)
        return self._let_go(self._order.pass_until(self.floor_ns, len(keys), len(self._held), unique=self._unique))

    def finish(self, keys: KeyTable) -> Ordered:
        """End of bounded input: everything held back is folded."""
        return self._let_go(self._order.finish(len(keys), len(self._held), unique=self._unique))

    def seen_ns(self, keys: int) -> I64:
        """(keys,) time at which each key was last seen, NULL_INT for one of which nothing is known."""
        return self._order.seen_ns(keys)

    def forget(self, slots: I64, keys: KeyTable) -> Ordered:
        """Nothing is known of the keys of some slots any more; what waited for their next rows is folded."""
        ordered = self._let_go(self._order.finish(len(keys), len(self._held), unique=self._unique, slots=slots))
        self._order.forget(slots)
        return ordered

    def continue_notes(self, other: Ordering, names: KeyTable, keys: KeyTable) -> None:
        """What `other`, which counted its keys as in `names`, noted of files goes on here, where they are counted as in `keys`."""
        self.late = other.late
        for (one, two, slot), n in other.pairs.rows.items():
            if (mine := keys.find(names.names[slot])) >= 0:
                self.pairs.rows[one, two, mine] += n

    def _account(
        self, chunk: Chunk, index: I64, batch: Batch, admitted: Admitted, ledger: Ledger, turned_away: list[Quarantined]
    ) -> None:
        status = admitted.status
        ledger.duplicate += int((status == DUPLICATE).sum())
        late = np.flatnonzero(status == LATE)
        ledger.late += len(late)
        if len(late):
            self.late.note(batch, late, admitted.behind_ns[late])
        self._turn_away(chunk, index[late], "late", turned_away)
        conflicts = status == CONFLICT
        if conflicts.any():
            self.pairs.note(batch, conflicts)
        for code, reason in ((CONFLICT, "conflict"), (FUTURE, "future")):
            wrong = np.flatnonzero(status == code)
            if len(wrong):
                ledger.quarantined[reason] += len(wrong)
                self._turn_away(chunk, index[wrong], reason, turned_away)

    def _turn_away(self, chunk: Chunk, index: I64, reason: str, turned_away: list[Quarantined]) -> None:
        if len(index):
            turned_away.append(aside(chunk, index, [reason] * len(index)))

    def _refute(self, places: I64, keys: KeyTable, ledger: Ledger, turned_away: list[Quarantined]) -> None:
        """Held candidates that turned out to be from the future."""
        if not len(places):
            return
        held = self._held
        ledger.quarantined["future"] += len(places)
        turned_away.append(
            Quarantined(
                reasons=["future"] * len(places),
                files=held.files[places],
                rows=held.rows[places],
                keys=[keys.names[slot] for slot in held.slots[places].tolist()],
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
            self._order.settle(batch.slots, places)
        if len(gone):
            self._held.drop(gone)

    def _ordered(self, batch: Batch, admitted: Admitted) -> Ordered:
        """The rows to fold now, in order; a copy only where something was held, dropped or moved."""
        emitted = admitted.emitted
        n = len(batch)
        if len(emitted) == n and bool((emitted == np.arange(n)).all()):
            return Ordered(batch, admitted.ordinals, whole=True)
        here = emitted >= 0
        ours, theirs = emitted[here], -1 - emitted[~here]
        held = self._held

        def pick(now: np.ndarray, before: np.ndarray) -> np.ndarray:
            out = np.empty((*now.shape[:-1], len(emitted)), now.dtype)
            out[..., here] = now[..., ours]
            out[..., ~here] = before[..., theirs]
            return out

        mixed = Batch(
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
        return Ordered(mixed, admitted.ordinals, whole=False)

    def _texts(self, now: pl.Series, column: int, here: np.ndarray, ours: I64, theirs: I64) -> pl.Series:
        if not len(theirs):
            return now.gather(ours)
        both = pl.concat([now.gather(ours), self._held.text(column, theirs)])
        place = np.empty(len(here), np.int64)
        place[here], place[~here] = np.arange(len(ours)), len(ours) + np.arange(len(theirs))
        return both.gather(place)

    def _let_go(self, admitted: Admitted) -> Ordered:
        """Rows that were held back, all of `admitted`."""
        places = -1 - admitted.emitted
        held = self._held
        nothing = np.empty(0, np.uint64)
        batch = Batch(
            held.slots[places], held.time_ns[places], np.empty(0, np.int64), held.numbers[places].T.copy(),
            held.integers[places].T.copy(), tuple(held.text(t, places) for t in range(len(self._columns.texts))),
            nothing, nothing, held.files[places], held.rows[places],
        )  # fmt: skip
        held.drop(places)
        return Ordered(batch, admitted.ordinals, whole=False)

    def state(self, slots: I64) -> tuple[Arrays, dict[str, list[list[str | None]]]]:
        """State of some slots, which have all rows that wait: arrays, and what is text."""
        held = self._held.arrays()
        if len(held["slots"]):
            places: I64 = np.zeros(max(int(slots.max(initial=0)), int(held["slots"].max())) + 1, np.int64)
            places[slots] = np.arange(len(slots))
            held["slots"] = places[held["slots"]].astype(np.int32)
        arrays = prefixed("order", self._order.snapshot(slots)) | prefixed("held", held)
        return arrays | {"floor": np.array([self.floor_ns])}, self._held.words()

    def restore(self, arrays: Arrays, words: dict[str, list[list[str | None]]], names: Sequence[str]) -> None:
        """Take over what `state` gave; `names` of keys by slot."""
        self._order.restore(under("order", arrays))
        self._held.restore(under("held", arrays), words)
        # A place that is free may name a key that is no more.
        keys = [names[slot] if slot < len(names) else "" for slot in self._held.slots.tolist()]
        self._held.numbers = self._columns.recoded(self._held.numbers, self._held.texts, keys)
        self.floor_ns = int(arrays["floor"][0])
