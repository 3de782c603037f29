"""Trained detectors in the fold: score by the model there is, keep the row, train when the row count says so [S14, law 6].

Every row is scored by the model that its own key's rows before it made: so a batch is cut where a key's model changes [`Detector.cuts`].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.compiled import compiled, settle
from offbeat.core.evidence import Evidence
from offbeat.core.plan import ModelPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.detectors.detector import Detector, DetectorInput, Verdicts
from offbeat.detectors.extension.adapters import OneByOne, instance
from offbeat.detectors.implementation import implementation
from offbeat.detectors.spec import detector_types
from offbeat.detectors.trained.constants import CHANGED, NOTHING, U8, Constants
from offbeat.detectors.trained.model import Model, Training
from offbeat.detectors.trained.plateaus import DRAWN, drawn, exceeded
from offbeat.detectors.trained.shared_training import SharedTraining, key_hash
from offbeat.detectors.trained.thresholds import Thresholds
from offbeat.detectors.trained.training_rows import TRAINING


def model_of(plan: ModelPlan) -> Model:
    """A model of the plan's type: the class named like its file, in a folder of its type, or another package's detector."""
    if plan.type not in detector_types():
        return OneByOne(plan.type, instance(plan.type, str(dict(plan.settings)["settings"])), len(plan.inputs))
    model: Model = implementation(plan.type)(len(plan.inputs), **dict(plan.settings))
    return model


_RAW, _LIMIT, _SCORE, _EXCEEDANCE = range(4)


@compiled
def _verdicts(
    slots: I32, complete: Bools, found: F64, places: I32, limits: F64, records: I64, values: F64, voted: Bools, version: I64
) -> None:
    """Verdicts on n rows of which the `complete` ones have raw scores, one after the other in `found`; `values` (4, n)."""
    p = 0
    for i in range(len(slots)):
        values[_RAW, i] = values[_LIMIT, i] = values[_SCORE, i] = values[_EXCEEDANCE, i] = np.nan
        voted[i], version[i] = False, 0
        if not complete[i]:
            continue
        s = slots[i]
        value = found[p]
        p += 1
        t = limits[places[s]] if places[s] >= 0 else np.nan
        version[i], values[_RAW, i], values[_LIMIT, i] = records[s, TRAINING], value, t
        if value != value or t != t:
            continue
        # Where all scores are the same, even 0, the threshold is that score.
        r = value / t if t > 0.0 else (1.0 if value <= t else np.inf)
        values[_EXCEEDANCE, i] = r
        values[_SCORE, i] = r / (1.0 + r) if r <= 1e300 else 1.0
        voted[i] = value > t


@compiled
def _over_constants(beside: U8, values: F64, voted: Bools) -> None:
    """Verdicts on rows of which something is to be said `beside` (n,) their models: infinitely odd, or not at all."""
    for i in range(len(beside)):
        if beside[i] != NOTHING:
            changed = beside[i] == CHANGED
            values[_RAW, i] = values[_EXCEEDANCE, i] = np.inf if changed else 0.0
            values[_SCORE, i] = 1.0 if changed else 0.0
            voted[i] = changed


@compiled
def _hold_out(slots: I32, voted: Bools, runs: I64, patience: int, learned: Bools) -> None:
    """Which of the complete rows are learned: not those that are flagged, unless more than `patience` of the key were in a row."""
    for i in range(len(slots)):
        s = slots[i]
        runs[s] = runs[s] + 1 if voted[i] else 0
        learned[i] = not voted[i] or runs[s] > patience


class Trained(Detector):
    """A detector with a model for each key of a shard, and the threshold that its live scores make."""

    def __init__(self, plan: ModelPlan, shared: SharedTraining, pipeline_seed: int, *, keeps_rows: bool) -> None:
        """keeps_rows: of those that share their rows, the one whose state holds them."""
        super().__init__(plan)
        self._features, self._shared, self._keeps_rows = plan.features, shared, keeps_rows
        self._seed, self._hash = pipeline_seed, key_hash(plan.name)
        self._model, self._thresholds = model_of(plan), Thresholds(plan.contamination, plan.limit)
        self._constants = None if self._model.tolerance is None else Constants(len(plan.inputs), self._model.tolerance)
        self._patience = plan.patience
        """0: all rows are learned, be they flagged or not."""
        self._runs: I64 = np.zeros(0, np.int64)
        """By slot: flagged rows since the last other one."""
        self._known = 0
        shared.join(self._train)
        self._live: tuple[I32, F64] | None = None
        """Slots and raw scores of the last batch that the thresholds have not seen."""
        self._stale: Bools = np.zeros(0, np.bool_)
        """Slots whose models wait to be fitted again after a restart."""
        self._waiting = False

    def cuts(self, batch: DetectorInput) -> I32:
        """How many trainings of its key come before each row."""
        return self._shared.cuts(batch)

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows, those of a key side by side, of which none but a key's last one calls for a training."""
        settle()
        rows = self._shared.follow(batch)
        self._catch_up(len(batch.names))
        if self._waiting:
            self._refit(rows.slots)
        found = self._model.score(rows.slots, rows.rows)
        beside = None if self._constants is None else self._constants.compare(rows.slots, rows.rows)
        if beside is not None:
            # What no model gave is no live score.
            found[beside != NOTHING] = np.nan
        self._live = rows.slots, found
        n = len(batch)
        values, voted, version = np.empty((4, n)), np.empty(n, np.bool_), np.empty(n, np.int64)
        thresholds, records = self._thresholds, self._shared.kept.records
        _verdicts(batch.slots, rows.complete, found, thresholds.places, thresholds.values, records, values, voted, version)
        said = np.zeros(n, np.uint8)
        if beside is not None:
            said[rows.complete] = beside
            _over_constants(said, values, voted)
        if self._patience:
            self._live = rows.slots, self._unflagged(rows.slots, found, voted[rows.complete])
        self._verdicts = Verdicts(values[_SCORE], voted, values[_EXCEEDANCE], np.empty((0, n)))
        self._judged = batch.slots, rows, values[_RAW], values[_LIMIT], version
        self._beside = said
        return self._verdicts

    def _unflagged(self, slots: I32, found: F64, voted: Bools) -> F64:
        """Say which complete rows are learned; live scores, of which those that are not count as the threshold that they exceed."""
        learned = np.empty(len(slots), np.bool_)
        _hold_out(slots, voted, self._runs, self._patience, learned)
        self._shared.learned = learned
        out = found.copy()
        held = ~learned & ~np.isnan(found)
        out[held] = self._thresholds.of(slots[held])
        return out

    def _catch_up(self, slots: int) -> None:
        """Take in the scores of the last batch."""
        if self._known < slots:
            self._known = slots
            self._model.grow(slots)
            self._thresholds.grow(slots)
            if self._constants is not None:
                self._constants.grow(slots)
            self._stale = grown_rows(self._stale, slots)
            if self._patience:
                self._runs = grown_rows(self._runs, slots)
        if self._live is not None:
            self._thresholds.keep(*self._live)
            self._live = None

    def _train(self, slots: I32) -> None:
        settle()
        self._catch_up(self._shared.known)
        self._stale[slots] = False
        training = self._shared.training(slots, self._seed, self._hash)
        self._model.train(training)
        if self._constants is not None:
            self._constants.learn(slots, training.starts, training.counts, self._may_exceed(training.counts), training.rows)
        if not self._thresholds.live:
            self._thresholds.begin(slots)
            return
        few = self._thresholds.begin(slots)
        for slot in few.tolist():
            self._thresholds.own(slot, self._own_scores(slot), live=False)
        for slot in slots[self._exceeded(training) & ~np.isin(slots, few)].tolist():
            self._thresholds.own(slot, self._own_scores(slot), live=True)

    def _may_exceed(self, counts: I64) -> I64:
        """(g,) how many of so many rows the contamination allows to be odd."""
        return np.array([self._thresholds.above(n) for n in counts.tolist()], np.int64)

    def _own_scores(self, slot: int) -> F64:
        """Scores of a slot's training rows by its model."""
        rows = self._shared.rows_of(slot)
        return self._model.score(np.full(len(rows), slot, np.int32), rows)

    def _exceeded(self, training: Training) -> Bools:
        """(g,) whether more of a new model's own training rows may lie above its threshold than should."""
        twins, lots = self._shared.twins(), drawn(training.seeds, training.starts, training.counts)
        index = np.concatenate([twins.rows, lots.reshape(-1)])
        slots = np.concatenate([np.repeat(training.slots, np.diff(twins.ends)), np.repeat(training.slots, DRAWN)])
        scores = self._model.score(slots, training.rows[index])
        limits, lot_scores = self._thresholds.of(training.slots), scores[len(twins.rows) :].reshape(lots.shape)
        most, most_drawn = self._may_exceed(training.counts), 2 * max(1, self._thresholds.above(DRAWN))
        beyond = exceeded(scores, twins.weight, twins.ends, lot_scores, limits, most, most_drawn)
        return beyond | (training.counts <= DRAWN)

    def _refit(self, slots: I32) -> None:
        """Fit models again that a snapshot does not hold: the same rows and seeds give the same models."""
        for waiting in self._shared.rows_at_hand(np.unique(slots[self._stale[slots]])):
            self._model.train(self._shared.training(waiting, self._seed, self._hash))
            self._stale[waiting] = False
            self._waiting = bool(self._stale.any())

    def explain(self, index: I64) -> Evidence:
        """Raw scores, what each feature adds to them, and the rows that the models were trained on."""
        all_slots, rows, all_raw, limit, version = self._judged
        slots, x, complete, raw = all_slots[index], rows.x[index], rows.complete[index], all_raw[index]
        m, k = x.shape
        trained = complete & (version[index] > 0)
        speaks = ~np.isnan(raw) & (self._beside[index] == NOTHING)
        if speaks.all():
            contributions = self._model.contributions(slots, x)
        else:
            contributions = np.full((k, m), np.nan)
            if speaks.any():
                contributions[:, speaks] = self._model.contributions(slots[speaks], x[speaks])
        notes = tuple(self._note(*row) for row in zip(slots.tolist(), complete.tolist(), self._beside[index].tolist(), x, strict=True))
        return Evidence(
            name=self.name,
            type=self.type,
            score=self._verdicts.score[index],
            voted=self._verdicts.voted[index],
            raw=raw,
            threshold=limit[index],
            observed=np.where(np.isnan(raw), np.nan, x[:, 0]) if k == 1 else np.full(m, np.nan),
            expected=np.full(m, np.nan),
            features=self._features,
            contributions=contributions,
            out_of_range=self._shared.out_of_range(slots, trained, x),
            notes=notes if any(notes) else (),
            version=version[index],
            window=self._shared.kept.span(slots, trained),
        )

    def _note(self, slot: int, complete: bool, beside: int, row: F64) -> str:
        if not complete:
            return "no verdict: a feature is null"
        if not self._shared.kept.records[slot, TRAINING]:
            first = self._shared.kept.first_training(slot)
            return f"no verdict: waits for its first training, after {first:,} rows without a null"
        if beside != NOTHING and self._constants is not None:
            return self._constants.changes(slot, self._features, row)
        return self._model.note(slot)

    def untrained(self) -> str:
        """Why there is not a single model yet; '' where there is one."""
        return self._shared.why_none()

    def learned_ns(self) -> int:
        """Time of the last row that the newest model was trained on."""
        return self._shared.kept.learned_ns()

    def snapshot(self, slots: I64) -> Arrays:
        """Models that do not follow from their rows, scores for thresholds, and the rows, where this detector keeps them for all."""
        self._shared.take_up()
        self._catch_up(int(slots.max(initial=-1)) + 1)
        rows = prefixed("rows", self._shared.snapshot(slots)) if self._keeps_rows else {}
        own = rows | prefixed("model", self._model.snapshot(slots)) | prefixed("scores", self._thresholds.snapshot(slots))
        if self._patience:
            own["runs"] = self._runs[slots]
        return own if self._constants is None else own | prefixed("constants", self._constants.snapshot(slots))

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot: equal scores from here on."""
        if self._keeps_rows:
            self._shared.restore(under("rows", arrays), names)
        self._catch_up(len(names))
        self._model.restore(under("model", arrays))
        self._thresholds.restore(under("scores", arrays))
        if self._patience:
            self._runs = arrays["runs"].copy()
        if self._constants is not None:
            self._constants.restore(under("constants", arrays), len(names))
        if self._model.refits:
            self._stale[: len(names)] = self._thresholds.places[: len(names)] >= 0
            self._waiting = bool(self._stale.any())
