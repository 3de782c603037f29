"""Detectors of other packages as detectors of a view: their scores are checked, and their state is arrays with a row a key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.extensions import DETECTORS, find, made
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import ExtensionPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.detectors.detector import Detector, DetectorInput, Verdicts
from offbeat.detectors.extension.protocols import KeyedDetector, PopulationDetector, StatelessDetector, TrainedDetector
from offbeat.detectors.trained.model import Training
from offbeat.errors import UserError

_NULL = "no verdict: a feature is null"


def instance(type_: str, settings: str) -> Any:
    """An object of the class that a detector's `type` names, with its settings (JSON). Raises UserError where it cannot be made."""
    kind: Any = find(DETECTORS, type_)
    return made(DETECTORS, type_, kind, kind.settings.model_validate_json(settings))


def checked(type_: str, given: Any, rows: int) -> F64:
    """Raw scores that a detector gave for n rows. Raises UserError where they are none."""
    scores = np.asarray(given, np.float64)
    if scores.shape != (rows,):
        raise UserError(f"detector {type_}: {rows} rows want as many scores, and it gave an array of shape {scores.shape}")
    if (scores < 0).any():
        raise UserError(f"detector {type_}: a raw score is 0 or more, or NaN for no verdict; it gave {np.nanmin(scores):g}")
    return scores


class _Extension(Detector):
    """What stateless and incremental detectors share: complete rows only, one threshold."""

    def __init__(self, plan: ExtensionPlan) -> None:
        super().__init__(plan)
        self._plan, self._inputs = plan, list(plan.inputs)

    @abstractmethod
    def _raw(self, slots: I32, rows: F64, keys: int) -> F64:
        """(n,) raw scores of (n, k) complete rows."""

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows."""
        n = len(batch)
        self._x = np.ascontiguousarray(batch.outputs[self._inputs].T)
        whole = np.flatnonzero(~np.isnan(self._x).any(axis=1))
        raw = np.full(n, np.nan)
        raw[whole] = self._raw(batch.slots[whole], self._x[whole], len(batch.names))
        self._scores, self._verdicts = raw, Verdicts.against(self._plan.limit, raw)
        return self._verdicts

    def explain(self, index: I64) -> Evidence:
        """The raw score beside the limit, and the value where there is one feature."""
        plan, said, m = self._plan, self._verdicts, len(index)
        raw, x = self._scores[index], self._x[index]
        spoken, nothing = ~np.isnan(raw), np.full(m, np.nan)
        alone = len(plan.features) == 1
        null: Bools = np.any(np.isnan(x), axis=1)
        notes = tuple(_NULL if lacks else "" if speaks else "no verdict yet" for lacks, speaks in zip(null, spoken, strict=True))
        return Evidence(
            name=plan.name,
            type=plan.type,
            score=said.score[index],
            voted=said.voted[index],
            raw=np.where(np.isinf(raw), np.nan, raw),
            threshold=np.where(spoken, plan.limit, np.nan),
            observed=np.where(spoken, x[:, 0], np.nan) if alone else nothing,
            expected=nothing,
            features=plan.features,
            contributions=np.where(np.isinf(raw), np.nan, raw)[np.newaxis] if alone else np.full((len(plan.features), m), np.nan),
            out_of_range=OutOfRange.none(m),
            notes=notes,
            version=np.zeros(m, np.int64),
            window=WindowSpan.none(m),
        )


class Stateless(_Extension):
    """A `StatelessDetector` in a view."""

    def __init__(self, plan: ExtensionPlan, detector: StatelessDetector) -> None:
        super().__init__(plan)
        self._detector = detector

    def _raw(self, slots: I32, rows: F64, keys: int) -> F64:
        del slots, keys
        with np.errstate(all="ignore"):  # what overflows in a detector is its score's business
            return checked(self.type, self._detector.score(rows), len(rows)) if len(rows) else np.zeros(0)


class Keyed(_Extension):
    """A `KeyedDetector` in a view."""

    def __init__(self, plan: ExtensionPlan, detector: KeyedDetector) -> None:
        super().__init__(plan)
        self._detector = detector
        self._start = np.asarray(detector.start(len(plan.inputs)), np.float64)
        if self._start.ndim != 1:
            raise UserError(f"detector {plan.type}: `start` gives the numbers of a key as one row, not of shape {self._start.shape}")
        self._states: F64 = np.zeros((0, len(self._start)))
        self._known = 0

    def _grow(self, keys: int) -> None:
        if self._known < keys:
            self._states = grown_rows(self._states, keys)
            self._states[self._known : keys] = self._start
            self._known = keys

    def _raw(self, slots: I32, rows: F64, keys: int) -> F64:
        self._grow(keys)
        order = np.argsort(slots, kind="stable")
        edges = np.flatnonzero(np.diff(slots[order])) + 1
        raw = np.empty(len(rows))
        for index in np.split(order, edges) if len(order) else ():
            state = self._states[slots[index[0]]]
            with np.errstate(all="ignore"):
                raw[index] = checked(self.type, self._detector.update(rows[index], state), len(index))
        return raw

    def snapshot(self, slots: I64) -> Arrays:
        """The numbers of the keys of some slots."""
        self._grow(int(slots.max(initial=-1)) + 1)
        return {"states": self._states[slots]}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot."""
        self._states, self._known = arrays["states"].copy(), len(names)


class OneByOne:
    """A `TrainedDetector` as a model: one object per key, fitted again after a restart."""

    refits = True
    tolerance = None

    def __init__(self, type_: str, detector: TrainedDetector, features: int) -> None:
        self._type, self._detector, self._features = type_, detector, features
        self._models: dict[int, Any] = {}

    def grow(self, slots: int) -> None:
        """Nothing: there is an entry for each key that was trained."""

    def train(self, training: Training) -> None:
        """Replace the models of some slots."""
        for slot, start, count, seed in zip(training.slots, training.starts, training.counts, training.seeds, strict=True):
            self._models[int(slot)] = self._detector.train(training.rows[start : start + count].copy(), int(seed))

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) raw scores; NaN where a key has no model."""
        raw = np.full(len(rows), np.nan)
        edges = np.flatnonzero(np.diff(slots)) + 1
        for index in np.split(np.arange(len(slots)), edges) if len(slots) else ():
            model = self._models.get(int(slots[index[0]]))
            if model is not None:
                raw[index] = checked(self._type, self._detector.score(model, rows[index]), len(index))
        return raw

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) the raw score where there is one feature; nothing is known of several."""
        return self.score(slots, rows)[np.newaxis] if self._features == 1 else np.full((self._features, len(rows)), np.nan)

    def note(self, slot: int) -> str:
        """Nothing to add."""
        del slot
        return ""

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """Nothing: models are fitted again."""
        del slots
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot."""
        del arrays
        self._models.clear()


class FittedScorer:
    """A model of a `PopulationDetector`."""

    def __init__(self, type_: str, detector: PopulationDetector, arrays: Arrays) -> None:
        self._type, self._detector, self._arrays = type_, detector, arrays

    def score(self, outputs: F64, inputs: I64, rows: I64) -> F64:
        """(m,) raw scores of rows, by number among outputs (o, n)."""
        return self._of(np.ascontiguousarray(outputs[inputs][:, rows].T))

    def _of(self, rows: F64) -> F64:
        if not len(rows):
            return np.zeros(0)
        with np.errstate(all="ignore"):
            return checked(self._type, self._detector.score(self._arrays, rows), len(rows))

    def contributions(self, rows: F64) -> F64:
        """(k, m) the raw score where there is one feature; nothing is known of several."""
        return self._of(rows)[np.newaxis] if rows.shape[1] == 1 else np.full(rows.shape[::-1], np.nan)


class Fitted:
    """A `PopulationDetector` as a `Method`."""

    tolerance = None

    def __init__(self, type_: str, detector: PopulationDetector, settings: str) -> None:
        self.settings = f"{type_} {settings}"
        self._type, self._detector = type_, detector

    def fit(self, rows: F64, seed: np.uint64) -> Arrays:
        """The detector's model. Raises UserError where it is no mapping of arrays of numbers."""
        with np.errstate(all="ignore"):
            given: Any = self._detector.train(rows.copy(), int(seed))
        arrays = {str(name): np.asarray(array) for name, array in given.items()} if isinstance(given, Mapping) else {"": np.array(None)}
        if any(array.dtype.kind not in "biuf" for array in arrays.values()):
            raise UserError(f"detector {self._type}: `train` gives a mapping of names to arrays of numbers, which can be kept in a file")
        return arrays

    def scorer(self, arrays: Arrays) -> FittedScorer:
        """A model of some arrays."""
        return FittedScorer(self._type, self._detector, arrays)
