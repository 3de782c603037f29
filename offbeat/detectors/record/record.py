"""Records: a value beyond all that its key had before, measured by the width of what it had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import RecordPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.detectors.detector import Detector, DetectorInput, Verdicts
from offbeat.detectors.record.record_kernels import HIGH, LOW, MEAN, judge_records


class Record(Detector):
    """Holds each value against the range [low, high] of its key's values before it; a row raises the range at once.

    raw = the greatest distance beyond a range over the features, in widths of that range; 0 within all of them. Both ends leak towards the
    mean of the last 1 / leak values or so. With one feature the evidence shows it as `observed`, the end of the range on its side with the
    limit beyond it as `threshold` and the mean as `expected`; with several it shows `raw`. Contributions are the distances, signed.
    """

    def __init__(self, plan: RecordPlan) -> None:
        super().__init__(plan)
        self._plan, self._inputs = plan, np.array(plan.inputs, np.int64)
        k = len(plan.inputs)
        self._longest = 1.0 / plan.leak if plan.leak > 0.0 else np.inf
        self._ends: F64 = np.zeros((0, k, 3))
        self._counts: I64 = np.zeros((0, k), np.int64)
        self._held: I64 = np.zeros((0, 3), np.int64)

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows; none where no feature has had enough values."""
        plan, n, k = self._plan, len(batch), len(self._inputs)
        self._grow(len(batch.names))
        raw, self._beyond = np.empty(n), np.empty((n, k))
        self._before, self._span = np.empty((n, k, 3)), np.empty((n, 3), np.int64)
        judge_records(
            batch.slots, batch.time_ns, batch.outputs, self._inputs, plan.leak, self._longest, plan.warm_up,
            self._ends, self._counts, self._held, raw, self._beyond, self._before, self._span,
        )  # fmt: skip
        self._outputs, self._raw, self._verdicts = batch.outputs, raw, Verdicts.against(plan.limit, raw)
        return self._verdicts

    def explain(self, index: I64) -> Evidence:
        """Values against the ranges that they met."""
        plan, said, m = self._plan, self._verdicts, len(index)
        beyond, before, span = self._beyond[index].T, self._before[index], self._span[index]
        values = self._outputs[self._inputs][:, index]
        low, high, mean = (before[:, :, part].T for part in (LOW, HIGH, MEAN))
        spoken, nothing = ~np.isnan(said.score[index]), np.full(m, np.nan)
        if len(self._inputs) == 1:
            with np.errstate(over="ignore", invalid="ignore"):
                tolerance = plan.limit * (high[0] - low[0])
                limit = np.where(values[0] >= mean[0], high[0] + tolerance, low[0] - tolerance)
            raw, observed, expected, threshold = nothing, values[0], mean[0], limit
        else:
            raw, observed, expected, threshold = self._raw[index], nothing, nothing, np.full(m, plan.limit)
        observed, expected, threshold = (np.where(spoken, shown, np.nan) for shown in (observed, expected, threshold))
        rows, features = np.nonzero(np.abs(beyond.T) > plan.limit)
        outside = np.stack([part[features, rows] for part in (values, mean, low, high)])
        offsets = np.searchsorted(rows, np.arange(m + 1)).astype(np.int64)
        seen = span[:, 2] > 0
        return Evidence(
            name=self.name,
            type=self.type,
            score=said.score[index],
            voted=said.voted[index],
            raw=np.where(np.isinf(raw), np.nan, raw),
            threshold=threshold,
            observed=observed,
            expected=expected,
            features=plan.features,
            contributions=beyond,
            out_of_range=OutOfRange(offsets, features.astype(np.int32), outside),
            notes=self._notes(beyond, mean, spoken),
            version=np.zeros(m, np.int64),
            window=WindowSpan(*(np.where(seen, span[:, w], NULL_INT) for w in range(3))),
        )

    def _notes(self, beyond: F64, mean: F64, spoken: np.ndarray) -> tuple[str, ...]:
        notes = []
        for p in range(len(spoken)):
            still = np.flatnonzero(np.isinf(beyond[:, p])).tolist()
            note = "; ".join(f"{self._plan.features[j]} never varied before: it was {mean[j, p]:.6g}" for j in still)
            notes.append(note if spoken[p] else f"no verdict: no feature has had {self._plan.warm_up:,} values yet, or all are null")
        return tuple(notes) if any(notes) else ()

    def _grow(self, keys: int) -> None:
        self._ends, self._counts = grown_rows(self._ends, keys), grown_rows(self._counts, keys)
        self._held = grown_rows(self._held, keys)

    def snapshot(self, slots: I64) -> Arrays:
        """Ranges, numbers of values and spans by slot."""
        self._grow(int(slots.max(initial=-1)) + 1)
        return {"ends": self._ends[slots], "counts": self._counts[slots], "held": self._held[slots]}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot."""
        del names
        self._ends, self._counts, self._held = (arrays[name].copy() for name in ("ends", "counts", "held"))
