"""From what a view said of its windows to the columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from offbeat.core.batch import F64, I8, I32, I64, U64, Bools
from offbeat.core.co_occurrence import CoOccurring, place_in
from offbeat.core.plan import RangePlan, TableValue, ViewPlan
from offbeat.fold.view import BatchResult
from offbeat.io.write.arrow_arrays import Array, floats, gathered, integers, joined, lists, strings, structs, truths

START = pa.timestamp("us", "UTC")
_ALERT = 63
"""Bit of a window's votes that says whether it is an alert; bit d is detector d."""
_SECOND_NS = 1_000_000_000


class Names:
    """The keys of a view as Arrow text, by slot. `current` gives the names so far."""

    def __init__(self, current: Callable[[], Sequence[str]]) -> None:
        self._current = current
        self._texts = strings([])

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self) -> Array:
        """All of them."""
        names = self._current()
        if len(names) > len(self._texts):
            self._texts = joined([self._texts, strings(names[len(self._texts) :])])
        return self._texts

    def of(self, slots: I32) -> Array:
        """(m,) names of these slots."""
        return gathered(self.texts(), slots)

    def ranks(self, slots: I64) -> I64:
        """(m,) numbers that order slots by name, equal ones for equal slots. Slots stand as keys came, and so depend on the shards."""
        distinct, which = np.unique(slots, return_inverse=True)
        names = [str(name) for name in self.of(distinct.astype(np.int32)).to_pylist()]
        ranks = np.empty(len(names), np.int64)
        ranks[sorted(range(len(names)), key=lambda place: names[place])] = np.arange(len(names))
        return ranks[which]


class Said:
    """What a view said of a batch of windows, value by value: doubles with NaN for null, or int8 with -1 for null."""

    def __init__(self, view: ViewPlan, sitting: BatchResult) -> None:
        self._view, self._sitting = view, sitting
        self._reported: I64 | None = None

    def __call__(self, value: TableValue) -> F64 | I8:
        """(n,) of one value that is not linked."""
        sitting, kind = self._sitting, value.kind
        if kind in ("column", "feature"):
            of_view: F64 = (sitting.rows.columns if kind == "column" else sitting.features)[value.index]
            return of_view
        if kind in ("alert", "severity", "level"):
            return self._decided(kind)
        verdicts = sitting.verdicts[value.index]
        if kind == "score":
            return verdicts.score
        if kind == "voted":
            return np.where(np.isnan(verdicts.score), np.int8(-1), verdicts.voted.astype(np.int8))
        detector = self._view.detectors[value.index]
        if not isinstance(detector, RangePlan):
            raise TypeError(f"{detector.name} has no values of its own")
        distances: F64 = verdicts.ratios[value.term] * detector.terms[value.term].limit
        # Infinitely far, where the value never varied before: no number, as in alerts.
        return np.where(np.isinf(distances), np.nan, distances)

    def _decided(self, kind: str) -> F64 | I8:
        decisions = self._sitting.decisions
        index = decisions.index[decisions.alert]
        n = len(self._sitting.rows.slots)
        if kind == "severity":
            severity = np.full(n, np.nan)
            severity[index] = decisions.severity[decisions.alert]
            return severity
        if kind == "level":
            level = np.full(n, -1, np.int8)
            level[index] = decisions.level[decisions.alert]
            return level
        alert = np.zeros(n, np.int8)
        alert[index] = 1
        return alert

    def holds(self, conditions: Sequence[TableValue]) -> Bools:
        """(n,) where at least one of the values is true, or there for a number."""
        out = np.zeros(len(self._sitting.rows.slots), np.bool_)
        for value in conditions:
            found = self(value)
            out |= ~np.isnan(found) if found.dtype == np.float64 else found > 0
        return out

    def votes(self) -> U64:
        """(n,) bit d: detector d voted; bit 63: the window is an alert."""
        out = np.zeros(len(self._sitting.rows.slots), np.uint64)
        for d, verdicts in enumerate(self._sitting.verdicts):
            out |= (verdicts.voted & ~np.isnan(verdicts.score)).astype(np.uint64) << np.uint64(d)
        return out | self._decided("alert").astype(np.uint64) << np.uint64(_ALERT)


class Flags:
    """Windows of a linked view on which something was voted, by their start."""

    def __init__(self, view: ViewPlan, size_ns: int, key: str) -> None:
        self.key, self._size_ns = key, size_ns
        self._detectors = [detector.name for detector in view.detectors]
        self._found: dict[int, tuple[int, I32, U64]] = {}

    def note(self, start: int, end: int, slots: I32, votes: U64) -> None:
        """All windows from `start` to `end`; what was noted of that start before is replaced."""
        some = votes != 0
        self._found.pop(start, None)
        if some.any():
            self._found[start] = end, slots[some], votes[some]

    def forget(self, before_ns: int) -> None:
        """Windows that begin before a time are not asked for any more."""
        for start in [start for start in self._found if start < before_ns]:
            del self._found[start]

    def within(self, start: int, end: int) -> Within:
        """Those that come to their end within a window of the view that asks: what reaches over its end is not known with it."""
        found = {}
        for other, (ends, slots, votes) in self._found.items():
            if start < ends <= end:
                found[place_in(start, other, self._size_ns)] = (other, slots, votes)
        return Within(found)

    def kind(self) -> pa.DataType:
        """Type of a column that lists them."""
        flags = [pa.field(name, pa.bool_()) for name in self._detectors]
        return pa.list_(pa.struct([pa.field(self.key, pa.string()), pa.field("start", START), *flags]))


class Within:
    """The flags within one window: place → (start, slots, votes)."""

    def __init__(self, found: dict[int, tuple[int, I32, U64]]) -> None:
        self._found = found
        self._size = max((int(slots.max()) + 1 for _, slots, _ in found.values()), default=0)

    def _masks(self, bit: int) -> U64:
        """By target: a mask of the windows whose votes have `bit`."""
        masks = np.zeros(self._size, np.uint64)
        for place, (_, slots, votes) in self._found.items():
            masks[slots[votes >> np.uint64(bit) & np.uint64(1) == 1]] |= np.uint64(1) << np.uint64(place)
        return masks

    def _hits(self, linked: CoOccurring, bit: int) -> U64:
        """(l,) windows of each link whose votes have `bit`."""
        masks = np.append(self._masks(bit), np.uint64(0))
        return linked.masks & masks[np.minimum(linked.targets, self._size)]

    def any(self, linked: CoOccurring, bit: int = _ALERT) -> Bools:
        """(m,) whether votes of a linked window have `bit`."""
        m = len(linked.offsets) - 1
        out = np.zeros(m, np.bool_)
        if self._found:
            out[linked.owners()[self._hits(linked, bit) != 0]] = True
        return out

    def listed(self, linked: CoOccurring, names: Names, kind: pa.DataType) -> Array:
        """(m,) lists of the linked windows with an alert, in order of time, then name."""
        m = len(linked.offsets) - 1
        hits, owners = self._hits(linked, _ALERT), linked.owners()
        rows, slots, starts, votes = [_NONE], [_NONE], [_NONE], [np.zeros(0, np.uint64)]
        for place, (start, flagged, said) in self._found.items():
            chosen = np.flatnonzero(hits >> np.uint64(place) & np.uint64(1))
            if len(chosen):
                targets = linked.targets[chosen]
                by_slot = np.zeros(self._size, np.uint64)
                by_slot[flagged] = said
                rows.append(owners[chosen])
                slots.append(targets.astype(np.int64))
                starts.append(np.full(len(chosen), start, np.int64))
                votes.append(by_slot[targets])
        row, slot, start_ns = np.concatenate(rows), np.concatenate(slots), np.concatenate(starts)
        order = np.lexsort((names.ranks(slot), start_ns, row))
        # Several shards may have noted the same.
        again = (np.diff(row[order]) == 0) & (np.diff(start_ns[order]) == 0) & (np.diff(slot[order]) == 0)
        order = order[np.append(True, ~again)] if len(order) else order
        row, said = row[order], np.concatenate(votes)[order]
        fields = list(kind.value_type) if isinstance(kind, pa.ListType) else []
        flags = [truths((said >> np.uint64(d) & np.uint64(1)).astype(np.bool_)) for d in range(len(fields) - 2)]
        children = [names.of(slot[order].astype(np.int32)), microseconds(start_ns[order]), *flags]
        offsets = np.zeros(m + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=m), out=offsets[1:])
        return lists(offsets, structs(children, fields))


_NONE: I64 = np.zeros(0, np.int64)


def microseconds(time_ns: I64) -> Array:
    """(m,) times as tables have them."""
    return integers(time_ns // 1000, START)


def local_date(time_ns: int, zone: str) -> date:
    """The day of a time."""
    return datetime.fromtimestamp(time_ns // _SECOND_NS, ZoneInfo(zone)).date()


def column(values: F64 | I8, kind: pa.DataType, levels: Array) -> Array:
    """(m,) values as they came from `Said` → a column of the table."""
    if kind == pa.float64():
        return floats(values.astype(np.float64, copy=False))
    if kind == pa.bool_():
        return truths(values > 0, values >= 0)
    return gathered(levels, values)
