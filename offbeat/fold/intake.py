"""From a chunk of the source to rows that can be folded: all that needs no state but names of keys, so it can be done ahead of the fold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, NULL_INT, Batch, Bools
from offbeat.core.chunk import FAULTS, Chunk
from offbeat.core.keys import KeyTable
from offbeat.core.plan import NO_KEY, Plan
from offbeat.decide.block import Quarantined
from offbeat.fold.rollup import RollupFold, RollupRows
from offbeat.fold.row_columns import Columns
from offbeat.quality.row_filter import RowFilter
from offbeat.quality.rows import RowChecks
from offbeat.quality.unseen_texts import UnseenTexts


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk's rows that are fit to be judged, and those that are not."""

    chunk: Chunk
    index: I64
    """(n,) places of the batch's rows in the chunk."""
    batch: Batch
    rollups: dict[str, RollupRows]
    """The batch's rows as the views on other keys fold them."""
    quarantined: list[Quarantined]
    filtered: int = 0
    """Rows that are not of this pipeline."""
    height: int = -1
    """How many rows of the chunk this stands for; -1: all."""

    @property
    def rows_in(self) -> int:
        """Rows that came."""
        return self.chunk.frame.height if self.height < 0 else self.height

    def cut(self, edges: list[int]) -> list[Prepared]:
        """As several, cut before these rows of the chunk, rising; what is said of the chunk as a whole comes with the first."""
        parts: list[Prepared] = []
        begin = at = 0
        for edge in [*edges, self.chunk.frame.height]:
            end = int(np.searchsorted(self.index, edge))
            rows = np.arange(begin, end)
            rollups = {name: each.part(begin, end) for name, each in self.rollups.items()}
            first = not parts
            aside, filtered = (self.quarantined, self.filtered) if first else ([], 0)
            parts.append(Prepared(self.chunk, self.index[rows], self.batch.take(rows), rollups, aside, filtered, edge - at))
            begin, at = end, edge
        return parts


class Intake:
    """Reads chunks for one shard; all that it changes is which keys, and which targets of rollups, are known."""

    def __init__(self, plan: Plan) -> None:
        self.columns = Columns(plan)
        c = self.columns
        self._checks = RowChecks(plan.quality, c.numbers, c.allow_nan)
        where = plan.source.where
        self.filter = RowFilter(where, plan.source.columns) if where is not None else None
        named = {column.name for column in plan.source.columns if column.kind == "text"}
        self.unseen = UnseenTexts((name, literals) for name, literals in plan.codes if name in named)
        self._order = c.fixed.index(plan.source.order) if plan.source.order else -1

    def prepare(self, chunk: Chunk, keys: KeyTable, rollups: dict[str, RollupFold]) -> Prepared:
        """Check the rows and bring them into the form that is folded."""
        quarantined: list[Quarantined] = []
        rejected = self.filter.rejected(chunk.frame, chunk.faults) if self.filter is not None else None
        good = self._faultless(chunk, rejected, quarantined)
        frame = chunk.frame if good is None else chunk.frame[good]
        time_ns = chunk.time_ns if good is None else chunk.time_ns[good]
        index: I64 = np.arange(chunk.frame.height) if good is None else good
        self.unseen.see(frame)
        numbers, integers, nullable, texts = self.columns.read(frame, partial(_keys, chunk, index))
        codes, bad = self._checks.check(numbers, nullable, time_ns)
        if bad:
            wrong = np.flatnonzero(codes)
            quarantined.append(aside(chunk, index[wrong], [self._checks.reasons[code] for code in codes[wrong].tolist()]))
            right = np.flatnonzero(codes == 0)
            index, time_ns, numbers, integers = index[right], time_ns[right], numbers.take(right, axis=1), integers.take(right, axis=1)
            texts = tuple(text.gather(right) for text in texts)
        batch = self._batch(chunk, index, time_ns, numbers, integers, texts, keys)
        rows = {name: rollup.rows(batch) for name, rollup in rollups.items()}
        return Prepared(chunk, index, batch, rows, quarantined, 0 if rejected is None else int(rejected.sum()))

    def _faultless(self, chunk: Chunk, rejected: Bools | None, quarantined: list[Quarantined]) -> I64 | None:
        """Indices of the rows that the source could read and that are not filtered; None for all of them."""
        if rejected is None and not np.count_nonzero(chunk.faults):
            return None
        wrong = chunk.faults != 0
        faulty = np.flatnonzero(wrong if rejected is None else wrong & ~rejected)
        if len(faulty):
            reasons = [FAULTS[code] for code in chunk.faults[faulty].tolist()]
            quarantined.append(replace(aside(chunk, faulty, reasons), details=chunk.details(faulty)))
        return np.flatnonzero(~wrong if rejected is None else ~(wrong | rejected))

    def _batch(
        self, chunk: Chunk, index: I64, time_ns: I64, numbers: F64, integers: I64, texts: tuple[pl.Series, ...], keys: KeyTable
    ) -> Batch:
        if chunk.keys is None:
            slots = np.full(len(index), keys.slot(chunk.key or "") if len(index) else 0, np.int32)
        else:
            slots = keys.slots(chunk.keys if len(index) == len(chunk.keys) else chunk.keys.gather(index))
        order = np.zeros(len(index), np.int64)
        if self._order >= 0:
            order = np.where(integers[self._order] == NULL_INT, 0, integers[self._order])
        identity, content = self.columns.hashes(numbers, integers, texts, time_ns)
        return Batch(
            slots=slots,
            time_ns=time_ns,
            order=order,
            numbers=numbers,
            integers=integers,
            texts=texts,
            identity=identity,
            content=content,
            files=np.full(len(index), chunk.file, np.int32) if chunk.files is None else chunk.files[index],
            rows=(index + chunk.first_row) if chunk.rows is None else chunk.rows[index],
        )


def _keys(chunk: Chunk, index: I64) -> pl.Series:
    """(n,) keys of some rows of a chunk."""
    if chunk.keys is None:
        return pl.repeat(chunk.key, len(index), dtype=pl.String, eager=True)
    keys = chunk.keys.gather(index).cast(pl.String)
    return keys.set(keys == NO_KEY, None) if (keys == NO_KEY).any() else keys


def aside(chunk: Chunk, index: I64, reasons: list[str]) -> Quarantined:
    """Rows of a chunk as they are kept for reading."""
    keys: list[str | None] = [chunk.key] * len(index) if chunk.keys is None else chunk.keys.gather(index).cast(pl.String).to_list()
    return Quarantined(
        reasons=reasons,
        files=np.full(len(index), chunk.file, np.int32) if chunk.files is None else chunk.files[index],
        rows=(index + chunk.first_row) if chunk.rows is None else chunk.rows[index],
        keys=keys,
        time_ns=chunk.time_ns[index],
        raw=chunk.raw(index),
    )
