"""Training rows made again from the raw rows of a view: a few raw columns are kept instead of all features of 2,500 rows a key.

Features are sums in a certain order, so to come out with the same bits a window of R rows must be filled from a row at which the running
window restarted: it does so at a key's rows 1, R + 2, 2R + 3, … (see `features.kernels`). Windows of time restart at other rows; views
with such a window keep the features themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.expression_machine import Machine
from offbeat.core.history import LENGTH, NO_CODE, SEEN, History
from offbeat.core.plan import ModelPlan, ViewPlan
from offbeat.core.state import Arrays
from offbeat.detectors.detector import DetectorInput
from offbeat.features.windows import WindowFold
from offbeat.fold.fixed_point import FixedPoint

_CODES = 127
"""Codes of so many literals fit into a byte."""


def can_rebuild(view: ViewPlan) -> bool:
    """Whether the view trains models on features of windows of rows alone; one with a rollup starts afresh each time and keeps no state."""
    plain = all(window.rows > 0 and not window.season_ns for window in view.windows)
    return plain and view.rollup is None and any(isinstance(d, ModelPlan) for d in view.detectors)


class Rebuild:
    """Keeps a view's raw rows. `columns` and `fixed` name the rows of the matrices it is given, `codes` what the codes of texts mean.

    Fixed-point columns are kept as their exact integers alone, of which `scales` are the decimal digits.
    """

    def __init__(
        self,
        view: ViewPlan,
        columns: tuple[str, ...],
        fixed: tuple[str, ...],
        codes: Sequence[tuple[str, tuple[str, ...]]],
        scales: Mapping[str, int],
    ) -> None:
        self._view, self._columns, self._fixed = view, columns, fixed
        self._features = tuple(name for window in view.windows for name in window.features)
        programs = [view.program, *(window.arguments for window in view.windows), *(window.changes for window in view.windows)]
        read = {name for program in programs for name in program.inputs}
        read |= {aggregate.column for window in view.windows for aggregate in window.aggregates}
        self._literals = {f"{name}@code": list(literals) for name, literals in codes}
        self._whole = [name for name in fixed if name in read]
        small = [name for name in columns if name in read and len(self._literals.get(name, [""] * _CODES)) < _CODES]
        self._codes = small
        self._values = [name for name in columns if name in read and name not in self._whole and name not in small]
        self._about = [self._whole, self._values, self._codes, self._literals]
        """What a snapshot says of its columns."""
        self._fixed_point = FixedPoint([scales[name] for name in self._whole], [columns.index(name) for name in self._whole])
        kept = max(d.train_on + d.retrain_every for d in view.detectors if isinstance(d, ModelPlan))
        self._history = History(
            np.array([fixed.index(name) for name in self._whole], np.int64),
            np.array([columns.index(name) for name in self._values], np.int64),
            np.array([columns.index(name) for name in small], np.int64),
            kept + 2 * max((w.rows for w in view.windows), default=0) + 3,
        )
        self._shown: list[tuple[int, F64, I64]] = []
        """Batches that the view was given and that are not kept yet: number of the first row, columns and integers."""
        self._next = 0
        self._kept: DetectorInput | None = None
        self._numbers: I64 = np.zeros(0, np.int64)
        self._before: list[Callable[[DetectorInput], None]] = []

    def show(self, columns: F64, integers: I64, keys: int) -> I64:
        """A batch of n rows that is to be judged; returns (n,) their numbers among all rows of the view. `keep` is to follow.

        columns (c, n), integers (i, n); `keys` slots are in use.
        """
        self._history.grow(keys)
        self._shown = [*self._shown[-1:], (self._next, columns, integers)]
        self._next += columns.shape[1]
        return np.arange(self._next - columns.shape[1], self._next)

    def before(self, each: Callable[[DetectorInput], None]) -> None:
        """Call `each` with every batch before its rows take the place of older ones."""
        self._before.append(each)

    def keep(self, batch: DetectorInput) -> I64:
        """Keep the rows of a batch that was judged, or of a part, once however often it is asked; returns their numbers in their keys."""
        if self._kept is not batch:
            for each in self._before:
                each(batch)
            if len(batch):
                # Batches before this one are kept already.
                self._shown = [shown for shown in self._shown if shown[0] + shown[1].shape[1] > batch.numbers[0]]
                first, columns, integers = self._shown[0]
                self._numbers = self._history.append(batch.slots, batch.time_ns, batch.numbers - first, columns, integers)
            else:
                self._numbers = np.zeros(0, np.int64)
            self._kept = batch
        return self._numbers

    def _from(self, first: I64) -> I64:
        """The rows that must be there so that the rows from number `first` on can be made again."""
        needed = first
        for window in self._view.windows:
            needed = np.minimum(needed, _begin(first, window.rows))
        return needed

    def covers(self, slots: I32, first: I64) -> Bools:
        """(g,) of some slots, whether the rows from number `first` (g,) on can be made again; 0 is none."""
        self._history.grow(int(slots.max(initial=-1)) + 1)
        r = self._history.records[slots]
        covered: Bools = (first > 0) & (self._from(first) > r[:, SEEN] - r[:, LENGTH])
        return covered

    def room(self, slots: I32, first: I64) -> I64:
        """(g,) how many more rows each slot may get before its rows from number `first` on can no longer be made again; 0: the next."""
        seen = self._history.records[slots, SEEN]
        room: I64 = self._from(np.where(first > 0, first, seen + 1)) + self._history.least - seen - 1
        return room

    def outputs(self, slots: I32, first: I64) -> tuple[I64, I64, I64, F64]:
        """Outputs of the view's program for the rows of some slots from number `first` (g,) on.

        Returns (r,) the place of each row's slot among `slots`, (r,) its number in its key, (r,) its time, and (o, r).
        """
        seen = self._history.records[slots, SEEN]
        lengths = seen - self._from(first) + 1
        times, whole, values, codes = self._history.rows(slots, lengths)
        place: I64 = np.repeat(np.arange(len(slots)), lengths)
        number = np.arange(len(times)) - np.repeat(np.cumsum(lengths) - seen, lengths) + 1
        columns, integers = self._matrices(whole, values, codes)
        features = np.full((len(self._features), len(times)), np.nan)
        at = 0
        for window in self._view.windows:
            fold = WindowFold(window, self._columns, self._fixed)
            if len(self._view.windows) == 1:
                features = fold.fold(place.astype(np.int32), times, columns, integers, len(slots)).features
                break
            rows = np.flatnonzero(number >= _begin(first, window.rows)[place])
            made = fold.fold(place[rows].astype(np.int32), times[rows], columns[:, rows], integers[:, rows], len(slots))
            features[at : at + len(window.features), rows] = made.features
            at += len(window.features)
        wanted = np.flatnonzero(number >= first[place])
        # Inputs of detectors with a window of their own are not needed here.
        behind = tuple(name for window in self._view.backgrounds for name in window.features)
        known = np.concatenate([features[:, wanted], np.full((len(behind), len(wanted)), np.nan)])
        outputs = Machine(self._view.program, self._columns, self._features + behind).run(columns[:, wanted], known)
        return place[wanted], number[wanted], times[wanted], outputs

    def _matrices(self, whole: I64, values: F64, codes: np.ndarray) -> tuple[F64, I64]:
        """Rows of the history as the view had them."""
        columns, integers = np.full((len(self._columns), len(whole)), np.nan), np.full((len(self._fixed), len(whole)), NULL_INT)
        exact = np.ascontiguousarray(whole.T)
        self._fixed_point.numbers(exact, columns)
        for j, name in enumerate(self._whole):
            integers[self._fixed.index(name)] = exact[j]
        for j, name in enumerate(self._values):
            columns[self._columns.index(name)] = values[:, j]
        for j, name in enumerate(self._codes):
            columns[self._columns.index(name)] = np.where(codes[:, j] == NO_CODE, np.nan, codes[:, j])
        return columns, integers

    def snapshot(self, slots: I64) -> Arrays:
        """State of some slots; rows that are not kept yet are not in it."""
        return self._history.snapshot(slots) | {"about": np.frombuffer(json.dumps(self._about).encode(), np.uint8)}

    def restore(self, arrays: Arrays) -> None:
        """Restore a snapshot. Rules may have changed since; they decide which other columns are kept and what codes mean."""
        about = json.loads(arrays["about"].tobytes())
        if about == self._about:
            self._history.restore(arrays)
            return
        whole, values, codes, literals = about
        count = len(arrays["times"])
        kept = dict(zip([*values, *codes], [*arrays["values"], *arrays["codes"].astype(np.float64)], strict=True))
        for name in codes:
            kept[name][kept[name] == NO_CODE] = np.nan
        for name in self._literals.keys() & literals.keys() & kept.keys():
            now = [self._literals[name].index(text) if text in self._literals[name] else -1 for text in literals[name]]
            known = kept[name] >= 0
            kept[name][known] = np.array(now, np.float64)[kept[name][known].astype(np.int64)]
        missing = np.full(count, np.nan)
        integers = [arrays["whole"][whole.index(name)] if name in whole else np.full(count, NULL_INT) for name in self._whole]
        coded = [kept.get(name, missing) for name in self._codes]
        again = {
            "whole": np.array(integers, np.int64).reshape(len(integers), count),
            "values": np.array([kept.get(name, missing) for name in self._values]).reshape(len(self._values), count),
            "codes": np.array([np.where(np.isnan(of), NO_CODE, of) for of in coded]).astype(np.int8).reshape(len(coded), count),
        }
        self._history.restore({**arrays, **again})


def _begin(first: I64, rows: int) -> I64:
    """The last row at which a window of `rows` rows restarted early enough to be the same from row `first` on."""
    return np.maximum((first - rows - 2) // (rows + 1) * (rows + 1) + 1, 1)
