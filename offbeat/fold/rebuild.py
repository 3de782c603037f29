"""Training rows made again from the raw rows of a view: so a snapshot holds a few raw columns instead of all features of 2,500 rows a key.

Features are sums in a certain order, so to come out with the same bits a window of R rows must be filled from a row at which the running
window restarted: it does so at a key's rows 1, R + 2, 2R + 3, … (see `features.kernels`). Windows of time restart at other rows; views
with such a window keep the features themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.expression_machine import Machine
from offbeat.core.history import LENGTH, SEEN, History
from offbeat.core.plan import ModelPlan, ViewPlan
from offbeat.core.rings import stretches
from offbeat.core.state import Arrays
from offbeat.features.windows import WindowFold

_AT_ONCE = 200
"""Keys whose rows are made again in one go: bounds the memory for it."""


def can_rebuild(view: ViewPlan) -> bool:
    """Whether the view trains models on features of windows of rows alone; one with a rollup starts afresh each time and keeps no state."""
    return view.rollup is None and any(isinstance(d, ModelPlan) for d in view.detectors) and all(window.rows > 0 for window in view.windows)


class Rebuild:
    """Keeps a view's raw rows. `columns` and `fixed` name the rows of the matrices it is given, `codes` what the codes of texts mean."""

    def __init__(
        self, view: ViewPlan, columns: tuple[str, ...], fixed: tuple[str, ...], codes: Sequence[tuple[str, tuple[str, ...]]]
    ) -> None:
        self._view, self._columns, self._fixed = view, columns, fixed
        self._features = tuple(name for window in view.windows for name in window.features)
        programs = [view.program, *(window.arguments for window in view.windows), *(window.changes for window in view.windows)]
        read = {name for program in programs for name in program.inputs}
        self._chosen = np.array([c for c, name in enumerate(columns) if name in read], np.int64)
        self._kept = [columns[c] for c in self._chosen.tolist()]
        self._codes = {f"{name}@code": list(literals) for name, literals in codes}
        self._exact = np.array([f for f, name in enumerate(fixed) if name in read], np.int64)
        kept = max(d.train_on + d.retrain_every for d in view.detectors if isinstance(d, ModelPlan))
        self._history = History(self._chosen, self._exact, kept + 2 * max((w.rows for w in view.windows), default=0) + 3)

    def append(self, slots: I32, time_ns: I64, columns: F64, integers: I64, keys: int) -> I64:
        """Keep n rows; returns (n,) the number of each among its key's rows, from 1."""
        numbers = np.empty(len(slots), np.int64)
        self._history.append(slots, time_ns, columns, integers, keys, numbers)
        return numbers

    def covers(self, first: I64) -> Bools:
        """(s,) whether the rows from number `first` (s,) on can be made again; 0 is none."""
        r = self._history.records[: len(first)]
        oldest = r[:, SEEN] - r[:, LENGTH] + 1
        covered: Bools = first >= oldest  # nulls among the rows make the history end later than the rows that are trained on
        for window in self._view.windows:
            covered &= _begin(first, window.rows) >= oldest
        return covered & (first > 0)

    def outputs(self, slots: I32, first: I64) -> tuple[I64, I64, F64]:
        """Outputs of the view's program for the rows of some slots from number `first` (g,) on.

        Gives (r,) the place of each row's slot among `slots`, (r,) the rows' times, and (o, r).
        """
        times, values, whole = self._history.rows(slots)
        r = self._history.records[slots]
        place: I64 = np.repeat(np.arange(len(slots)), r[:, LENGTH])
        number = stretches(r[:, SEEN] - r[:, LENGTH] + 1, r[:, LENGTH])
        columns = np.full((len(self._columns), len(times)), np.nan)
        columns[self._chosen] = values.T
        integers = np.full((len(self._fixed), len(times)), NULL_INT)
        integers[self._exact] = whole.T
        features = np.full((len(self._features), len(times)), np.nan)
        at = 0
        for window in self._view.windows:
            rows = np.flatnonzero(number >= _begin(first, window.rows)[place])
            fold = WindowFold(window, self._columns, self._fixed)
            made = fold.fold(place[rows].astype(np.int32), times[rows], columns[:, rows], integers[:, rows], len(slots))
            features[at : at + len(window.features), rows] = made.features
            at += len(window.features)
        wanted = np.flatnonzero(number >= first[place])
        # Inputs of detectors with a window of their own are not needed here.
        behind = tuple(name for window in self._view.backgrounds for name in window.features)
        known = np.concatenate([features[:, wanted], np.full((len(behind), len(wanted)), np.nan)])
        outputs = Machine(self._view.program, self._columns, self._features + behind).run(columns[:, wanted], known)
        return place[wanted], times[wanted], outputs

    def batches(self, slots: I32) -> list[I32]:
        """The slots in portions that memory is enough for."""
        return [slots[i : i + _AT_ONCE] for i in range(0, len(slots), _AT_ONCE)]

    def snapshot(self, slots: int) -> Arrays:
        """State of the first `slots` slots."""
        about = [self._kept, [self._fixed[f] for f in self._exact.tolist()], self._codes]
        return self._history.snapshot(slots) | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}

    def restore(self, arrays: Arrays) -> None:
        """Restore a snapshot. Rules may have changed since; they decide which other columns are kept and what codes mean."""
        kept, exact, codes = json.loads(arrays["about"].tobytes())
        count = arrays["values"].shape[1]
        values, whole = np.full((len(self._kept), count), np.nan), np.full((len(self._exact), count), NULL_INT)
        for row, name in enumerate(self._kept):
            if name in kept:
                values[row] = arrays["values"][kept.index(name)]
            if name in codes and name in self._codes:
                now = [self._codes[name].index(literal) if literal in self._codes[name] else -1 for literal in codes[name]]
                coded = values[row] >= 0
                values[row, coded] = np.array(now, np.float64)[values[row, coded].astype(np.int64)]
        for row, f in enumerate(self._exact.tolist()):
            if self._fixed[f] in exact:
                whole[row] = arrays["whole"][exact.index(self._fixed[f])]
        self._history.restore({**arrays, "values": values, "whole": whole})


def _begin(first: I64, rows: int) -> I64:
    """The last row at which a window of `rows` rows restarted early enough to be the same from row `first` on."""
    return np.maximum((first - rows - 2) // (rows + 1) * (rows + 1) + 1, 1)
