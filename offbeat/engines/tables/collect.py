"""Tables out: what views say of their windows is collected by local day of their start, and each day is written whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from offbeat.core.batch import F64, I8, I32, I64, NULL_INT, Bools
from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.days import DAY_NS
from offbeat.core.plan import Plan, RollupPlan, TablePlan, ViewPlan
from offbeat.engines.tables.dimension import Dimension
from offbeat.engines.tables.values import START, Flags, Names, Said, column, local_date, microseconds
from offbeat.errors import UserError
from offbeat.features.tumbling import Tumbling
from offbeat.fold.view import BatchResult, Observer
from offbeat.io.write.arrow_arrays import strings, truths
from offbeat.io.write.tables.open import open_tables
from offbeat.io.write.tables.sink import TableSink

_BEHIND = 4
"""Days of tables that may wait for the writing thread."""
CoOccurrences = Callable[[str, str, int, I32], CoOccurring]
"""(view, other view, start, slots) → links of the m windows of `view` that begin at `start`, by slot; `targets` are the other's slots."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Windows of one start that are, or may be, in a table: m."""

    slots: I32
    values: tuple[F64 | I8, ...]
    """(m,) of each column that is not linked."""
    chosen: Bools
    """(m,) whether one of the view's own conditions holds."""
    linked: dict[str, CoOccurring]


@dataclass(frozen=True, slots=True)
class _Part:
    """The windows of a batch that begin at one time."""

    day_ns: int
    """Start of the local day to which they belong."""
    start: int
    index: I64


class _Seen:
    """What is known of a view with a rollup beside its verdicts."""

    def __init__(self, view: ViewPlan, rollup: RollupPlan, names: Callable[[], Sequence[str]]) -> None:
        self.plan = view
        self.windows = Tumbling(rollup.size_ns, rollup.zone)
        self.size_ns = rollup.size_ns
        self.names = Names(names)
        self.flags: Flags | None = None
        """For views that others are linked to."""

    def end(self, start: int) -> int:
        """End of the window that begins at `start`."""
        return int(self.windows.ends(np.array([start]))[0])

    def moments(self, starts: I64) -> I64:
        """A moment of each window, by its start, that lies in the day to which it belongs.

        An hour belongs to the day in which it ends: what reaches over midnight is not over when its first day is.
        """
        return starts if self.size_ns >= DAY_NS else self.windows.ends(starts) - 1

    def last_end(self, before_ns: int) -> int:
        """When all windows are over that belong to days before a time at which a day begins."""
        if self.size_ns < DAY_NS:
            return before_ns
        return self.end(int(self.windows.starts(np.array([before_ns - 1]))[0]))


class _Table:
    """One table: pieces by start of the local day, then by their own start, until the day is written."""

    def __init__(self, plan: TablePlan, views: Mapping[str, _Seen], links: CoOccurrences) -> None:
        self.plan, self._links = plan, links
        self._view = views[plan.view]
        self._linked = {name: views[name] for name in plan.linked}
        self.pending: dict[int, dict[int, _Piece]] = {}
        self._own = [value for value in plan.where if not value.view]
        self._others = [value for value in plan.where if value.view]
        self._levels = strings(["low", *(name for name, _ in reversed(self._view.plan.levels))])
        taken = (plan.key, "start", "day", *(value.name for value in plan.columns))
        self._dimension = Dimension(plan.name, plan.dimension, taken, self._view.names) if plan.dimension is not None else None
        self.schema = self._schema()

    def _schema(self) -> pa.Schema:
        fields: list[pa.Field[Any]] = [pa.field(self.plan.key, pa.string()), pa.field("start", START)]
        for value in self.plan.columns:
            kind: pa.DataType = pa.float64()
            if value.kind == "linked":
                kind = self._flags(value.view).kind()
            elif value.kind == "level":
                kind = pa.string()
            elif value.kind in ("voted", "alert", "linked_voted"):
                kind = pa.bool_()
            fields.append(pa.field(value.name, kind))
        return pa.schema([*fields, *(self._dimension.fields if self._dimension is not None else [])])

    def _flags(self, view: str) -> Flags:
        flags = self._linked[view].flags
        if flags is None:
            raise TypeError(f"nothing is linked to {view}")
        return flags

    def collect(self, said: Said, slots: I32, parts: Sequence[_Part]) -> None:
        """Take a batch of n windows of which something was `said`; `slots` (n,)."""
        chosen = said.holds(self._own) if self._own else np.full(len(slots), not self._others)
        values = [said(value) for value in self.plan.columns if not value.view]
        for part in parts:
            # What others say of a window is known only when its day is over: all are kept until then.
            index = part.index if self._others else part.index[chosen[part.index]]
            mine = slots[index]
            linked = {name: self._links(self.plan.view, name, part.start, mine) for name in self._linked}
            piece = _Piece(mine, tuple(found[index] for found in values), chosen[index], linked)
            self.pending.setdefault(part.day_ns, {})[part.start] = piece

    def closed(self, next_day_ns: int) -> int:
        """When all windows of days before the next one have come to their end, ns."""
        return self._view.last_end(next_day_ns)

    def unmatched(self) -> list[str]:
        """See `Dimension.unmatched`."""
        return [] if self._dimension is None else self._dimension.unmatched()

    def rows(self, day_ns: int) -> pa.Table:
        """All rows of a day, which is no longer pending."""
        pieces = self.pending.pop(day_ns)
        if not pieces:
            return self.schema.empty_table()
        return pa.concat_tables([self._part(start, pieces[start]) for start in sorted(pieces)]).combine_chunks()

    def _part(self, start: int, piece: _Piece) -> pa.Table:
        within = {name: self._flags(name).within(start, self._view.end(start)) for name in piece.linked}
        chosen = piece.chosen.copy()
        for value in self._others:
            chosen |= within[value.view].any(piece.linked[value.view])
        kept = np.flatnonzero(chosen)
        slots = piece.slots[kept]
        linked = {name: found.take(kept) for name, found in piece.linked.items()}
        columns = [self._view.names.of(slots), microseconds(np.full(len(kept), start, np.int64))]
        values = iter(piece.values)
        for value in self.plan.columns:
            kind = self.schema.field(value.name).type
            if value.kind == "linked":
                columns.append(within[value.view].listed(linked[value.view], self._linked[value.view].names, kind))
            elif value.kind == "linked_voted":
                columns.append(truths(within[value.view].any(linked[value.view], value.index)))
            else:
                columns.append(column(next(values)[kept], kind, self._levels))
        if self._dimension is not None:
            columns += self._dimension.of(slots)
        return pa.Table.from_arrays(columns, schema=self.schema)


class Tables:
    """The tables of one run.

    uris: outputs (see `open_tables`). names: of each view with a rollup, the keys so far, by slot. links: see `CoOccurrences`.

    What `observer` gives is shown batches of a view; of each start that a batch has it must have all windows, and what came of that start
    before is replaced. A day that has been closed may come again: all its windows then, and the linked ones, so that it is replaced whole.
    Raises UserError where the plan has no tables, or an output or a dimension cannot be used.
    """

    def __init__(self, plan: Plan, uris: Sequence[str], names: Mapping[str, Callable[[], Sequence[str]]], links: CoOccurrences) -> None:
        if not plan.tables:
            raise UserError(f"pipeline {plan.name} has no tables; add a `tables` section, or leave out --tables")
        self._zone = plan.zone
        self._days = Tumbling(DAY_NS, self._zone)
        self._views = {view.name: _Seen(view, view.rollup, names[view.name]) for view in plan.views if view.rollup is not None}
        keys = {value.view: value.key for table in plan.tables for value in (*table.columns, *table.where) if value.kind == "linked"}
        for name in {name for table in plan.tables for name in table.linked}:
            seen = self._views[name]
            seen.flags = Flags(seen.plan, seen.size_ns, keys.get(name, "key"))
        self._tables = [_Table(table, self._views, links) for table in plan.tables]
        schemas = {table.plan.name: table.schema for table in self._tables}
        self._sinks: list[TableSink] = []
        self._uris = list(uris)
        self._written: dict[str, set[date]] = {table.plan.name: set() for table in self._tables}
        self.since_ns = NULL_INT
        """Windows of earlier days stand as they were written, also where they are seen again."""
        # Encoding and waiting for the disk hold no interpreter lock, so they run beside the fold of the next rows.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tables")
        self._jobs: deque[Future[None]] = deque()
        try:
            for uri in uris:
                self._sinks.append(open_tables(uri, schemas))
        except BaseException:
            self.close()
            raise

    def observer(self, view: str) -> Observer | None:
        """What a view is to be watched with; None where no table needs it."""
        seen = self._views[view]
        tables = [table for table in self._tables if table.plan.view == view]
        return (lambda sitting: self._see(seen, tables, sitting)) if tables or seen.flags is not None else None

    def _see(self, seen: _Seen, tables: list[_Table], sitting: BatchResult) -> None:
        slots, said = sitting.rows.slots, Said(seen.plan, sitting)
        parts = [part for part in self._parts(seen, sitting.rows.time_ns) if part.day_ns >= self.since_ns]
        if seen.flags is not None:
            votes = said.votes()
            for part in parts:
                seen.flags.note(part.start, seen.end(part.start), slots[part.index], votes[part.index])
        for table in tables:
            table.collect(said, slots, parts)

    def _parts(self, seen: _Seen, time_ns: I64) -> list[_Part]:
        """The windows by start, in order of it; those of one start as they stand."""
        if not len(time_ns):
            return []
        order = np.arange(len(time_ns)) if (time_ns[1:] >= time_ns[:-1]).all() else np.argsort(time_ns, kind="stable")
        ordered = time_ns[order]
        edges = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        starts = ordered[edges]
        days = self._days.starts(seen.moments(starts)).tolist()
        return [_Part(*part) for part in zip(days, starts.tolist(), np.split(order, edges[1:]), strict=True)]

    def expect(self, days: Sequence[int]) -> None:
        """These days were written and are to be replaced, also where nothing comes for them; starts of days, ns."""
        for table in self._tables:
            for day_ns in days:
                table.pending.setdefault(day_ns, {})

    def close_until(self, time_ns: int) -> None:
        """Every window that ends by `time_ns` has been seen: write the days that are complete."""
        for table in self._tables:
            for day_ns in sorted(table.pending):
                if table.closed(int(self._days.ends(np.array([day_ns]))[0])) <= time_ns:
                    self._write(table, day_ns)
        open_days = [day_ns for table in self._tables for day_ns in table.pending]
        # Twice the longest window: what lies in a window that is still open, or has just come to its end.
        reach = 2 * max(seen.size_ns for seen in self._views.values()) + DAY_NS
        self._forget(min([time_ns, *open_days]) - reach)

    def finish(self) -> None:
        """No more will come: write what is left."""
        for table in self._tables:
            for day_ns in sorted(table.pending):
                self._write(table, day_ns)
        self.settle()

    def settle(self) -> None:
        """Wait until everything handed to the outputs is on disk; raises UserError where it cannot be."""
        while self._jobs:
            self._jobs.popleft().result()

    def _forget(self, before_ns: int) -> None:
        for seen in self._views.values():
            if seen.flags is not None:
                seen.flags.forget(before_ns)

    def _write(self, table: _Table, day_ns: int) -> None:
        while len(self._jobs) >= _BEHIND:
            self._jobs.popleft().result()
        rows, day = table.rows(day_ns), local_date(day_ns, self._zone)
        self._jobs.append(self._worker.submit(self._put, table.plan.name, day, rows))

    def _put(self, table: str, day: date, rows: pa.Table) -> None:
        for sink in self._sinks:
            sink.write(table, day, rows)
        self._written[table].add(day)

    def unmatched(self) -> list[str]:
        """For people: dimensions that know none of the keys."""
        return [note for table in self._tables for note in table.unmatched()]

    def left(self) -> list[str]:
        """For people: of each output, which days are there that this run has not written."""
        return [note for uri, sink in zip(self._uris, self._sinks, strict=True) if (note := _left(uri, sink, self._written))]

    def close(self) -> None:
        """Let go of the outputs; days that were not written stay as they were."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        for sink in self._sinks:
            sink.close()


def _left(uri: str, sink: TableSink, written: Mapping[str, set[date]]) -> str:
    alike: dict[tuple[int, date, date], list[str]] = {}
    for table, there in sink.there.items():
        days = there - written[table]
        if days:
            alike.setdefault((len(days), min(days), max(days)), []).append(table)
    if not alike:
        return ""
    spans = [
        f"{n} day{'s' if n > 1 else ''} {f'from {first} to {last}' if n > 1 else f'({first})'} in {', '.join(tables)}"
        for (n, first, last), tables in alike.items()
    ]
    return f"{uri}: readers also get what earlier runs left there: {'; '.join(spans)}"
