"""Trained detectors in the fold: score by the model there is, keep the row, train when the row count says so [S14, law 6].

A batch is cut into rounds: in a round no key is trained, between two rounds some are. So every row is scored by the model that its own
key's rows before it made, however the input was cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib import import_module
from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64, Bools
from offbeat.core.compiled import compiled, settle
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import ModelPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.detectors.trained.model import Model, Training
from offbeat.detectors.trained.random import stream
from offbeat.detectors.trained.thresholds import Thresholds
from offbeat.detectors.trained.training_rows import OFFSET, SEEN, TRAINED, TRAINING, TrainingRows

WIDTH = 3.0
"""Standard deviations around the mean of the training rows in which a feature counts as usual, for explanations only."""


def model_of(plan: ModelPlan) -> Model:
    """A model of the plan's type: the class named like its file, in a folder of its type."""
    name = "".join(part.capitalize() for part in plan.type.split("_"))
    kind: Callable[..., Model] = getattr(import_module(f"offbeat.detectors.{plan.type}.{plan.type}"), name)
    return kind(len(plan.inputs), **dict(plan.settings))


def key_hash(key: str) -> int:
    """64 bits of BLAKE2b over the key's UTF-8: spreads the trainings of keys, and seeds their models."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


@compiled
def _seeds(pipeline: np.uint64, detector: np.uint64, keys: U64, slots: I32, numbers: I64, seeds: U64) -> None:
    start = stream(pipeline, 0) ^ detector
    for i in range(len(slots)):
        seeds[i] = stream(stream(start, 0) ^ keys[slots[i]], numbers[i])


@compiled
def _gather(outputs: F64, inputs: I64, order: I64, x: F64, complete: Bools) -> bool:
    """x[p] = inputs of row order[p]; returns whether all rows are complete."""
    all_whole = True
    for p in range(len(order)):
        i = order[p]
        whole = True
        for j in range(len(inputs)):
            value = outputs[inputs[j], i]
            x[p, j] = value
            whole = whole and value == value
        complete[p] = whole
        all_whole = all_whole and whole
    return all_whole


@compiled
def _whole(outputs: F64, inputs: I64, complete: Bools) -> None:
    complete[:] = True
    for j in range(len(inputs)):
        for i in range(outputs.shape[1]):
            value = outputs[inputs[j], i]
            complete[i] = complete[i] and value == value


@compiled
def _verdicts(
    rows: I64, slots: I32, found: F64, places: I32, limits: F64, records: I64, d: int, to: int,
    raw: F64, limit: F64, version: I64, score: F64, voted: Bools, exceedance: F64,
) -> None:
    for p in range(len(rows)):
        i = rows[p]
        s = slots[p]
        version[i] = records[s, 5]
        value = found[p]
        t = limits[places[s]] if places[s] >= 0 else np.nan
        raw[d, i] = value
        limit[d, i] = t
        if value != value or t != t:
            continue
        # Where all scores are the same, even 0, the threshold is that score.
        r = value / t if t > 0.0 else (1.0 if value <= t else np.inf)
        exceedance[to, i] = r
        score[to, i] = r / (1.0 + r) if r <= 1e300 else 1.0
        voted[to, i] = value > t


@compiled
def _unusual(slots: I32, trained: Bools, records: I64, rows: F64, x: F64, offsets: I64, feature: I32, values: F64) -> int:
    """Values of m rows x beyond WIDTH sample standard deviations from the mean of their key's training rows, equal slots side by side.

    Returns how many; for each its feature and (value, mean, lower end, upper end).
    """
    k = x.shape[1]
    mean, width, least = np.empty(k), np.empty(k), np.empty(k)
    known = -1
    found = 0
    for p in range(len(slots)):
        s = slots[p]
        if trained[p] and s != known:
            known = s
            begin, n = records[s, 0], records[s, 3]
            for j in range(k):
                mean[j] = 0.0
                width[j] = 0.0
                least[j] = rows[begin, j]
            for r in range(begin, begin + n):
                for j in range(k):
                    mean[j] += rows[r, j]
                    least[j] = min(least[j], rows[r, j])
            for j in range(k):
                mean[j] /= n
            for r in range(begin, begin + n):
                for j in range(k):
                    d = rows[r, j] - mean[j]
                    width[j] += d * d
            for j in range(k):
                width[j] = WIDTH * np.sqrt(width[j] / (n - 1.0)) if n > 1 else np.nan
        if trained[p]:
            for j in range(k):
                if abs(x[p, j] - mean[j]) > width[j]:
                    feature[found] = j
                    values[0, found] = x[p, j]
                    values[1, found] = mean[j]
                    low = mean[j] - width[j]
                    # What was never negative is not usual below 0, whatever its spread.
                    values[2, found] = 0.0 if low < 0.0 and least[j] >= 0.0 else low
                    values[3, found] = mean[j] + width[j]
                    found += 1
        offsets[p + 1] = found
    return found


class VerdictMatrices(NamedTuple):
    """Where the verdicts on a batch go: the matrices of all of a view's detectors, and which of their rows are ours."""

    places: tuple[int, ...]
    score: F64
    voted: Bools
    exceedance: F64


class _Explained(NamedTuple):
    """Of m rows of a round: their numbers, their value where the models look at one feature, and what only the models of the round know."""

    rows: I64
    values: F64
    contributions: list[F64]
    """By detector, as for the next but one."""
    out_of_range: OutOfRange
    notes: list[list[str]]
    window: WindowSpan


class Trained:
    """Detectors of one view that are trained on the same rows at the same time, for all keys of a shard."""

    def __init__(self, plans: Sequence[ModelPlan], pipeline_seed: int) -> None:
        first = plans[0]
        self.plans = tuple(plans)
        self._seed = pipeline_seed
        self._models = [model_of(plan) for plan in plans]
        self._thresholds = [Thresholds(plan.contamination, plan.limit) for plan in plans]
        self._kept = TrainingRows(len(first.inputs), first.train_on, first.retrain_every, first.train_min)
        self._inputs = np.array(first.inputs, np.int64)
        self._hashes: U64 = np.zeros(0, np.uint64)
        self._known = 0
        self._stale: Bools = np.zeros(0, np.bool_)
        """Slots whose models wait to be fitted again after a restart."""
        self._waiting = False

    def open(self, names: Sequence[str], slots: I32, time_ns: I64, outputs: F64, numbers: I64, rounds: I32) -> None:
        """Begin a batch of n rows; adds to `rounds` (n,) how many trainings of its key come before each row.

        `numbers` (n,) are those of the rows among all rows of their keys.
        """
        self._grow(names)
        self._numbers, self._time = numbers, time_ns
        complete = np.empty(len(slots), np.bool_)
        _whole(outputs, self._inputs, complete)
        self._trains, self._any_trains = self._kept.schedule(slots, complete, rounds)
        n, d = len(slots), len(self.plans)
        self._raw, self._limit, self._version = np.full((d, n), np.nan), np.full((d, n), np.nan), np.zeros(n, np.int64)
        self._explained: list[_Explained] = []

    def sort(self, slots: I32, outputs: F64, order: I64, said: VerdictMatrices) -> None:
        """Rows in the order of the rounds, those of a key side by side; verdicts on them will be written to `said`."""
        self._said = said
        self._order, self._slots = order, slots[order]
        self._x, self._complete = np.empty((len(order), len(self._inputs))), np.empty(len(order), np.bool_)
        self._all_complete = _gather(outputs, self._inputs, order, self._x, self._complete)

    def judge(self, begin: int, end: int) -> None:
        """Score the rows of a round: the sorted ones from `begin` to `end`."""
        settle()
        slots, x, rows = self._slots[begin:end], self._x[begin:end], self._order[begin:end]
        if not self._all_complete:
            complete = self._complete[begin:end]
            slots, x, rows = slots[complete], x[complete], rows[complete]  # what is incomplete is neither judged nor learnt
        if self._waiting:
            self._refit(slots)
        self._round = []
        for d, (model, thresholds) in enumerate(zip(self._models, self._thresholds, strict=True)):
            found = model.score(slots, x)
            self._round.append(found)
            _verdicts(
                rows, slots, found, thresholds.places, thresholds.values, self._kept.records, d, self._said.places[d],
                self._raw, self._limit, self._version, self._said.score, self._said.voted, self._said.exceedance,
            )  # fmt: skip
        self._now = (slots, x, rows)

    def explain(self, begin: int, end: int, reported: Bools) -> None:
        """Keep the reasons for the rows of the round that are `reported` (n,), as the models will not be the same afterwards."""
        chosen = begin + np.flatnonzero(reported[self._order[begin:end]])
        if not len(chosen):
            return
        rows, slots, x, complete = self._order[chosen], self._slots[chosen], self._x[chosen], self._complete[chosen]
        m, k = x.shape
        trained = complete & (self._kept.records[slots, TRAINING] > 0)
        contributions = []
        notes = []
        for d, model in enumerate(self._models):
            parts = np.full((k, m), np.nan)
            speaks = trained & ~np.isnan(self._raw[d, rows])
            if speaks.any():
                parts[:, speaks] = model.contributions(slots[speaks], x[speaks])
            contributions.append(parts)
            notes.append([self._note(model, slot, whole) for slot, whole in zip(slots.tolist(), complete.tolist(), strict=True)])
        values, span = (x[:, 0] if k == 1 else np.full(m, np.nan)), self._kept.span(slots, trained)
        self._explained.append(_Explained(rows, values, contributions, self._out_of_range(slots, x, trained), notes, span))

    def _out_of_range(self, slots: I32, x: F64, trained: Bools) -> OutOfRange:
        """Features of (m, k) rows that lie outside what was usual in the training rows of their keys."""
        m, k = x.shape
        offsets, feature, values = np.zeros(m + 1, np.int64), np.empty(m * k, np.int32), np.empty((4, m * k))
        found = _unusual(slots, trained, self._kept.records, self._kept.rows, x, offsets, feature, values)
        return OutOfRange(offsets, feature[:found], values[:, :found])

    def _note(self, model: Model, slot: int, complete: bool) -> str:
        if not complete:
            return "no verdict: a feature is null"
        if not self._kept.records[slot, TRAINING]:
            return f"no verdict: waits for its first training, after {self._kept.first_training(slot):,} rows without a null"
        return model.note(slot)

    def learn(self, begin: int, end: int) -> None:
        """Keep the rows of the round, and train the keys whose turn has come."""
        slots, x, rows = self._now
        for thresholds, found in zip(self._thresholds, self._round, strict=True):
            thresholds.keep(slots, found)
        self._kept.append(slots, x, self._numbers[rows], self._time[rows])
        if self._any_trains:
            turn = self._slots[begin:end][self._trains[self._order[begin:end]]]
            if len(turn):
                self._train(turn)

    def _train(self, slots: I32) -> None:
        self._kept.begin(slots)
        self._stale[slots] = False
        for d, (model, thresholds) in enumerate(zip(self._models, self._thresholds, strict=True)):
            training = self._training(d, slots)
            model.train(training)
            for slot in thresholds.begin(slots).tolist():
                at, n = self._kept.records[slot, OFFSET], self._kept.records[slot, TRAINED]
                thresholds.stand_in(slot, model.score(np.full(n, slot, np.int32), self._kept.rows[at : at + n]))

    def _training(self, d: int, slots: I32) -> Training:
        records = self._kept.records[slots]
        numbers = records[:, TRAINING]
        seeds = np.empty(len(slots), np.uint64)
        _seeds(np.uint64(self._seed), np.uint64(key_hash(self.plans[d].name)), self._hashes, slots, numbers, seeds)
        return Training(slots, records[:, OFFSET], records[:, TRAINED], self._kept.rows, numbers, seeds)

    def _refit(self, slots: I32) -> None:
        """Fit models again that a snapshot does not hold: the same rows and seeds give the same models."""
        waiting = np.unique(slots[self._stale[slots]])
        if len(waiting):
            for d, model in enumerate(self._models):
                if model.refits:
                    model.train(self._training(d, waiting))
            self._stale[waiting] = False
            self._waiting = bool(self._stale.any())

    def _grow(self, names: Sequence[str]) -> None:
        slots = len(names)
        if self._known < slots:
            self._hashes = grown_rows(self._hashes, slots)
            for slot in range(self._known, slots):
                self._hashes[slot] = key_hash(names[slot])
            self._kept.grow(self._known, self._hashes[self._known : slots])
            self._known = slots
            self._stale = grown_rows(self._stale, slots)
            for model, thresholds in zip(self._models, self._thresholds, strict=True):
                model.grow(len(self._hashes))
                thresholds.grow(len(self._hashes))

    def evidence(self, index: I64) -> list[Evidence]:
        """Each detector's reasons for the rows at `index`, in rising order, all of which were explained."""
        parts = self._explained
        rows = np.concatenate([part.rows for part in parts])
        odd = OutOfRange.joined([part.out_of_range for part in parts])
        at = np.argsort(rows)[np.searchsorted(np.sort(rows), index)]
        if len(rows) != len(index) or (at[1:] < at[:-1]).any():
            odd = odd.take(at)
        values, window = np.concatenate([part.values for part in parts])[at], WindowSpan.joined([part.window for part in parts]).take(at)
        expected, version = np.full(len(index), np.nan), self._version[index]
        found = []
        for d, plan in enumerate(self.plans):
            notes = [note for part in parts for note in part.notes[d]]
            raw, to = self._raw[d, index], self._said.places[d]
            found.append(
                Evidence(
                    name=plan.name,
                    type=plan.type,
                    score=self._said.score[to, index],
                    voted=self._said.voted[to, index],
                    raw=raw,
                    threshold=self._limit[d, index],
                    observed=np.where(np.isnan(raw), np.nan, values),
                    expected=expected,
                    features=plan.features,
                    contributions=np.concatenate([part.contributions[d] for part in parts], axis=1)[:, at],
                    out_of_range=odd,
                    notes=tuple(notes[i] for i in at.tolist()),
                    version=version,
                    window=window,
                )
            )
        return found

    def untrained(self) -> str:
        """Why there is not a single model yet; '' where there is one."""
        seen = int(self._kept.records[:, SEEN].max(initial=0))
        if self._kept.records[:, TRAINING].any():
            return ""
        names = " and ".join(plan.name for plan in self.plans)
        if not seen:
            return f"{names}: never trained, as every row had a null among the features"
        least = self.plans[0].train_min
        return f"{names}: never trained, as no key had enough rows without a null ({seen:,} at most, {least:,} are the least)"

    def first(self, slots: int) -> I64:
        """(slots,) number of the oldest row each of the first slots keeps for its training; 0 for none."""
        return self._kept.first(slots)

    def snapshot(self, slots: int, without: Bools) -> Arrays:
        """State of the first `slots` slots; the rows of those in `without` (slots,) are left out, as others can make them again."""
        out = prefixed("rows", self._kept.snapshot(slots, without))
        for plan, model, thresholds in zip(self.plans, self._models, self._thresholds, strict=True):
            out |= prefixed(f"{plan.name}/model", model.snapshot(slots)) | prefixed(f"{plan.name}/scores", thresholds.snapshot(slots))
        return out

    def restore(self, arrays: Arrays, names: Sequence[str]) -> I32:
        """Take over a snapshot: equal scores from here on, once `fill` has brought the rows of the slots that this gives."""
        self._grow(names)
        missing = self._kept.restore(under("rows", arrays))
        for plan, model, thresholds in zip(self.plans, self._models, self._thresholds, strict=True):
            model.restore(under(f"{plan.name}/model", arrays))
            thresholds.restore(under(f"{plan.name}/scores", arrays))
        self._stale[: len(names)] = self._kept.records[: len(names), TRAINING] > 0
        self._waiting = bool(self._stale.any())
        return missing

    def fill(self, slots: I32, places: I64, time_ns: I64, outputs: F64) -> None:
        """Rows kept for training, made again: (o, r) outputs of the view's program, `places` (r,) of their slots among `slots`."""
        x, complete = np.empty((len(places), len(self._inputs))), np.empty(len(places), np.bool_)
        _gather(outputs, self._inputs, np.arange(len(places)), x, complete)
        self._kept.fill(slots, x[complete], time_ns[complete])
