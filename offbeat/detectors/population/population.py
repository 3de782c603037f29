"""Models over all keys: a window is compared with everybody's windows of the days before it [S15].

All windows with the same start make a tick. The model of a tick is trained on a sample of the rows of earlier ticks; its threshold comes
from the scores that those rows got when they were judged [S17]. What kind of model it is, a `Method` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, NULL_INT, U64, Bools
from offbeat.core.clock import LocalTime
from offbeat.core.compiled import settle
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.hashing import TEXT, row_hashes, words_of
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import PopulationPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.detectors.detector import Detector, DetectorInput, Verdicts
from offbeat.detectors.population.population_kernels import beside_constants, calibrate, complete_rows
from offbeat.detectors.population.population_model import Method, PopulationModel, load, model_seed, save, train
from offbeat.detectors.population.population_sample import PopulationSample, Sampled
from offbeat.detectors.trained.constants import NOTHING, changes
from offbeat.detectors.trained.shared_training import key_hash
from offbeat.detectors.trained.thresholds import rank

_BEFORE = "no verdict: windows that start later were judged before it"
_NULL = "no verdict: a feature is null"
_NOT_FIXED = "no verdict: the model is for other days"


class Population(Detector):
    """One detector of a view with a rollup.

    `judge` scores a tick by the model of the ticks before it, then the tick's rows enter the sample; how a tick is cut into batches changes
    nothing. A row whose tick lies before the newest gets no verdict.
    """

    def __init__(self, plan: PopulationPlan, method: Method, view: str, pipeline_seed: int, local: LocalTime | None = None) -> None:
        """local: by which clock days are counted; None: as time goes by. Raises UserError when the plan's `model` is no model for it."""
        super().__init__(plan)
        self._plan, self._method = plan, method
        self._as_of_ns: int | None = None
        self._seed, self._detector = np.uint64(pipeline_seed), np.uint64(key_hash(f"{view}.{plan.name}"))
        self._inputs = np.array(plan.inputs, np.int64)
        self._share = Fraction(repr(plan.contamination)).as_integer_ratio()
        self._sample = PopulationSample(len(plan.inputs), plan.sample_rows, plan.over_ns, local)
        self._keys: U64 = np.zeros(0, np.uint64)
        self._known = 0
        self._models: dict[int, PopulationModel | str] = {}
        """By tick: the models of the last batch, or why there is none."""
        self._given = load(plan, method) if plan.model else None
        self._fixed: tuple[int, int, PopulationModel | str] | None = None
        self._newest = self._given
        self._spoke = self._saw = False

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n windows. Ticks are judged in order of time, whatever the order of the rows.

        As of a moment, the very windows are learnt first, and then judged by one model of all that was learnt up to it.
        """
        if self._as_of_ns is not None:
            self.learn(batch)
            self.fix(self._sample.since(self._as_of_ns), self._as_of_ns)
        n, outputs, slots = len(batch), batch.outputs, batch.slots
        self._outputs, self._time = outputs, batch.time_ns
        self._raw, self._limit, self._version = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
        self._beside = np.zeros(n, np.uint8)
        score, voted, exceedance = np.full(n, np.nan), np.zeros(n, np.bool_), np.full(n, np.nan)
        self._models = {start: model for start, model in self._models.items() if start == self._sample.tick}
        self._grow(batch.names)
        for start, rows in self._ticks(batch.time_ns, outputs):
            model = self._model_at(start)
            live = np.full(len(rows), np.nan)
            if isinstance(model, PopulationModel):
                limit = self._threshold(model)
                live = model.scorer.score(outputs, self._inputs, rows)
                beside = np.zeros(len(rows), np.uint8)
                if self._method.tolerance is not None and not np.isnan(model.constants).all():
                    beside = beside_constants(outputs, self._inputs, rows, model.constants, self._method.tolerance)
                self._beside[rows] = beside
                calibrate(rows, live, beside, limit, self._raw, score, voted, exceedance)
                self._limit[rows], self._version[rows] = limit, model.version
                self._spoke = self._spoke or len(rows) > 0
            if self._learns and start == self._sample.tick:
                self._sample.add(outputs, self._inputs, rows, live, slots, self._keys)
        self._verdicts = Verdicts(score, voted, exceedance, np.empty((0, n)))
        return self._verdicts

    def learn(self, batch: DetectorInput) -> None:
        """Take rows into the sample without judging them. Rows of a tick before the newest are left out."""
        self._grow(batch.names)
        for start, rows in self._ticks(batch.time_ns, batch.outputs):
            if start > self._sample.tick:
                self._sample.open(start)
            if start == self._sample.tick:
                self._sample.add(batch.outputs, self._inputs, rows, np.full(len(rows), np.nan), batch.slots, self._keys)

    def as_of(self, time_ns: int) -> int:
        """One model of what was learnt in `over` up to that moment judges the very windows that it learnt from."""
        self._as_of_ns = time_ns
        return self._sample.since(time_ns)

    def fix(self, from_ns: int, until_ns: int) -> None:
        """From here on judge windows that start from `from_ns` until before `until_ns`, by one model of those learnt; learn no more [S16].

        Raises ValueError where the sample no longer holds them all. With a `model` in the plan that one judges.
        """
        self._fixed = from_ns, until_ns, self._given or self._trained(from_ns, self._sample.between(from_ns, until_ns))

    @property
    def _learns(self) -> bool:
        return self._given is None and self._fixed is None

    def _ticks(self, time_ns: I64, outputs: F64) -> Iterator[tuple[int, I64]]:
        """Each tick's start, and its rows without a null, in order of time."""
        if not len(time_ns):
            return
        order = None if (time_ns[1:] >= time_ns[:-1]).all() else np.argsort(time_ns, kind="stable")
        sorted_ns = time_ns if order is None else time_ns[order]
        cuts = [0, *(np.flatnonzero(sorted_ns[1:] != sorted_ns[:-1]) + 1).tolist(), len(sorted_ns)]
        values = outputs if order is None else outputs[:, order]
        for first, last in pairwise(cuts):
            rows = complete_rows(values, self._inputs, first, last)
            self._saw = self._saw or len(rows) > 0
            yield int(sorted_ns[first]), rows if order is None else order[rows]

    def _model_at(self, start: int) -> PopulationModel | str:
        """The model of a tick, trained if need be, or why there is none."""
        if self._fixed is not None:
            from_ns, until_ns, model = self._fixed
            return model if from_ns <= start < until_ns else _NOT_FIXED
        if self._given is not None:
            return self._given
        if start in self._models:
            return self._models[start]
        if start < self._sample.tick:
            return _BEFORE
        if start > self._sample.tick:
            self._sample.open(start)
        self._models[start] = self._trained(start, self._sample.before())
        return self._models[start]

    def _trained(self, start: int, sampled: Sampled) -> PopulationModel | str:
        model = train(self._plan, self._method, sampled, np.uint64(model_seed(self._seed, self._detector, start)))
        if isinstance(model, PopulationModel):
            self._newest = model
        return model

    def _threshold(self, model: PopulationModel) -> float:
        limits = [float(scores[rank(len(scores), *self._share)]) for scores in (model.scores, model.own) if len(scores)]
        return max(limits, default=np.nan)

    def _grow(self, names: Sequence[str]) -> None:
        """Hash the names of new slots."""
        settle()
        known, slots = self._known, len(names)
        if known < slots:
            words = words_of(pl.Series(names[known:slots], dtype=pl.String))[None]
            hashes = np.empty(slots - known, np.uint64)
            nothing = np.empty(0, np.int64)
            row_hashes(np.array([TEXT]), np.zeros(1, np.int64), words[:0], nothing[None], words, nothing, hashes)
            self._keys = grown_rows(self._keys, slots)
            self._keys[known:slots] = hashes
            self._known = slots

    def explain(self, index: I64) -> Evidence:
        """Raw scores, and what each feature adds to them."""
        rows = np.ascontiguousarray(self._outputs[self._inputs][:, index].T)
        contributions = np.full((len(self._inputs), len(index)), np.nan)
        notes = np.full(len(index), "", object)
        odd: Bools = np.zeros(rows.shape, np.bool_)
        usual, spans = np.zeros((3, *rows.shape)), np.full((3, len(index)), NULL_INT)
        null = np.isnan(rows).any(axis=1)
        starts = self._time[index]
        for start in np.unique(starts).tolist():
            model = self._model_at(start)
            own = np.flatnonzero((starts == start) & ~null)
            if isinstance(model, str):
                notes[own] = model
                continue
            contributions[:, own], spans[:, own] = model.scorer.contributions(rows[own]), np.array(model.span)[:, None]
            for place in own[self._beside[index[own]] != NOTHING].tolist():
                contributions[:, place] = np.nan
                notes[place] = changes(self._plan.features, rows[place], model.constants, self._method.tolerance or 0.0)
            usual[:, own] = model.usual[:, None]
            odd[own] = (rows[own] < model.usual[1]) | (rows[own] > model.usual[2])
        notes[null] = _NULL
        at, feature = np.nonzero(odd)
        offsets = np.append(np.int64(0), np.cumsum(odd.sum(axis=1)))
        raw = self._raw[index]
        return Evidence(
            name=self.name,
            type=self.type,
            score=self._verdicts.score[index],
            voted=self._verdicts.voted[index],
            raw=raw,
            threshold=self._limit[index],
            observed=np.where(np.isnan(raw), np.nan, rows[:, 0]) if len(self._inputs) == 1 else np.full(len(index), np.nan),
            expected=np.full(len(index), np.nan),
            features=self._plan.features,
            contributions=contributions,
            out_of_range=OutOfRange(offsets, feature.astype(np.int32), np.concatenate([rows[None], usual])[:, at, feature]),
            notes=tuple(notes.tolist()),
            version=self._version[index],
            window=WindowSpan(*spans),
        )

    def model(self) -> bytes | None:
        """The file of the model that was trained or loaded last; None: there is none."""
        return None if self._newest is None else save(self._plan, self._newest)

    def untrained(self) -> str:
        """Why it never had a verdict; '' where it had one."""
        if self._spoke:
            return ""
        if not self._saw:
            return "never trained, as every row had a null among the features"
        return f"never trained, as no window had {self._plan.train_min:,} rows without a null in the time before it"

    def learned_ns(self) -> int:
        """Start of the last window that the newest model was trained on."""
        return NULL_INT if self._newest is None else self._newest.span[1]

    def snapshot(self, slots: I64) -> Arrays:
        """The sample; models are trained again."""
        del slots
        return self._sample.snapshot() if self._learns else {}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot."""
        del names
        if arrays:
            self._sample.restore(arrays)
            live = np.concatenate([arrays["past.live"], arrays["new.live"]])
            self._saw, self._spoke = len(live) > 0, bool((~np.isnan(live)).any())
