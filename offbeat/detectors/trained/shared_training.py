"""What detectors share that are trained on the same rows at the same time: the rows, and when their keys' turns come [S14].

Each of them asks for a batch's rows, in the same order of batches. What a batch leaves is taken up when the next one is asked for: its rows
are kept, and where a key's turn has come, every detector trains its model. Until then the models are those that judged.

Where rows can be made again from raw ones, only the keys trained last have theirs in memory, as many as fit into a few megabytes: so few
keys cost no time, and many cost no memory. Which keys these are changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import ModelPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.detectors.detector import DetectorInput, RawRows
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.plateaus import Twins, twins_of
from offbeat.detectors.trained.random import stream
from offbeat.detectors.trained.training_rows import CAPACITY, FIRST, LENGTH, OFFSET, SEEN, TRAINED, TRAINING, TrainingRows

WIDTH = 3.0
"""Standard deviations around the mean of the training rows in which a feature counts as usual, for explanations only."""

AT_HAND = 8 << 20
"""Bytes of training rows that are kept in memory although they can be made again: 20 keys of `trades`."""
PORTION = 8
"""Keys whose rows are made again at a time."""


def key_hash(key: str) -> int:
    """64 bits of BLAKE2b over the key's UTF-8: spreads the trainings of keys, and seeds their models."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


@compiled
def _seeds(pipeline: np.uint64, detector: np.uint64, keys: U64, slots: I32, numbers: I64, seeds: U64) -> None:
    start = stream(pipeline, 0) ^ detector
    for i in range(len(slots)):
        seeds[i] = stream(stream(start, 0) ^ keys[slots[i]], numbers[i])


@compiled
def _gather(outputs: F64, inputs: I64, x: F64, complete: Bools) -> bool:
    """x[i] = inputs of row i; returns whether all rows are complete."""
    all_whole = True
    for i in range(len(complete)):
        whole = True
        for j in range(len(inputs)):
            value = outputs[inputs[j], i]
            x[i, j] = value
            whole = whole and value == value
        complete[i] = whole
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
def _usual(slots: I32, places: I32, records: I64, rows: F64, known: I64, usual: F64) -> None:
    """usual[places[s]] = by feature the mean of slot s's training rows, WIDTH sample standard deviations, the lower end of what is usual.

    `known`, by place, is the training it was worked out for: of another one it is worked out anew.
    """
    k = rows.shape[1]
    for i in range(len(slots)):
        s = slots[i]
        p = places[s]
        if p < 0 or known[p] == records[s, TRAINING]:
            continue
        known[p] = records[s, TRAINING]
        begin, n = records[s, OFFSET], records[s, TRAINED]
        mean, width, low = usual[p, 0], usual[p, 1], usual[p, 2]
        for j in range(k):
            mean[j] = 0.0
            width[j] = 0.0
            low[j] = rows[begin, j]
        for r in range(begin, begin + n):
            for j in range(k):
                mean[j] += rows[r, j]
                low[j] = min(low[j], rows[r, j])
        for j in range(k):
            mean[j] /= n
        for r in range(begin, begin + n):
            for j in range(k):
                d = rows[r, j] - mean[j]
                width[j] += d * d
        for j in range(k):
            width[j] = WIDTH * np.sqrt(width[j] / (n - 1.0)) if n > 1 else np.nan
            # What was never negative is not usual below 0, whatever its spread.
            low[j] = 0.0 if mean[j] - width[j] < 0.0 and low[j] >= 0.0 else mean[j] - width[j]


@compiled
def _unusual(slots: I32, trained: Bools, places: I32, usual: F64, x: F64, offsets: I64, feature: I32, values: F64) -> int:
    """Values of m rows x that are not usual for their slots; returns how many, with feature and (value, mean, low, high) of each."""
    found = 0
    for p in range(len(slots)):
        if trained[p]:
            place = places[slots[p]]
            mean, width, low = usual[place, 0], usual[place, 1], usual[place, 2]
            for j in range(x.shape[1]):
                if abs(x[p, j] - mean[j]) > width[j]:
                    feature[found] = j
                    values[0, found] = x[p, j]
                    values[1, found] = mean[j]
                    values[2, found] = low[j]
                    values[3, found] = mean[j] + width[j]
                    found += 1
        offsets[p + 1] = found
    return found


class FeatureRows(NamedTuple):
    """Rows of a batch as models see them."""

    x: F64
    """(n, k) C-contiguous."""
    complete: Bools
    """(n,) rows without a null: what is incomplete is neither judged nor learnt."""
    all_complete: bool
    slots: I32
    """(c,) slots of the complete ones."""
    rows: F64
    """(c, k) the complete ones."""


class SharedTraining:
    """The rows that detectors of one view are trained on, for all keys of a shard."""

    def __init__(self, plan: ModelPlan, raw: RawRows | None) -> None:
        """raw: from which rows can be made again, so that they need not be kept or saved."""
        self._plan = plan
        self._raw = raw
        turns, once = (plan.train_on, plan.retrain_every, plan.train_min), plan.learn == "once"
        self.kept = TrainingRows(len(plan.inputs), *turns, lent=raw is not None, once=once)
        self._most_at_hand = max(AT_HAND // self.kept.stretch_bytes, 1)
        self._at_hand: dict[int, None] = {}
        """Slots whose rows are in memory although they can be made again, the one that was trained last at the end."""
        if raw is not None:
            raw.before(self._secure)
        self._inputs = np.array(plan.inputs, np.int64)
        self._hashes: U64 = np.zeros(0, np.uint64)
        self.known = 0
        """Slots in use."""
        self._places: I32 = np.zeros(0, np.int32)
        """By slot: where in `_usual` its key's rows are summed up, -1 for a key of which that was not asked."""
        self._usual: F64 = np.zeros((0, 3, len(plan.inputs)))
        self._usual_of: I64 = np.zeros(0, np.int64)
        self._explained = 0
        self._asked: tuple[DetectorInput, I32] | None = None
        """The batch that `cuts` was last asked of, and what it gave."""
        self._left: tuple[DetectorInput, FeatureRows] | None = None
        """The batch whose rows are not taken up."""
        self.learned: Bools | None = None
        """(c,) which of its complete rows are learned; None: all."""
        self._due: I32 = np.zeros(0, np.int32)
        """Slots that are being trained."""
        self._twins: Twins | None = None
        """Of these."""
        self._trainers: list[Callable[[I32], None]] = []

    def join(self, train: Callable[[I32], None]) -> None:
        """Call `train` with slots whose turn has come, while their rows are at hand."""
        self._trainers.append(train)

    def cuts(self, batch: DetectorInput) -> I32:
        """As `Detector.cuts`, the same for every detector that asks for a batch."""
        if self._asked is not None and self._asked[0] is batch:
            return self._asked[1]
        self.take_up()
        self._grow(batch.names)
        complete = np.empty(len(batch), np.bool_)
        _whole(batch.outputs, self._inputs, complete)
        found = self.kept.cuts(batch.slots, complete)
        self._asked = batch, found
        return found

    def follow(self, batch: DetectorInput) -> FeatureRows:
        """The rows of a batch in which no key is trained; what the batch before left is taken up first."""
        if self._left is not None and self._left[0] is batch:
            return self._left[1]
        self.take_up()
        self._grow(batch.names)
        n = len(batch)
        x, complete = np.empty((n, len(self._inputs))), np.empty(n, np.bool_)
        if _gather(batch.outputs, self._inputs, x, complete):
            rows = FeatureRows(x, complete, True, batch.slots, x)
        else:
            rows = FeatureRows(x, complete, False, batch.slots[complete], x[complete])
        self._left = batch, rows
        return rows

    def take_up(self) -> None:
        """Keep the rows of the last batch, and train where turns come with them."""
        if self._left is None:
            return
        batch, rows = self._left
        learned, self.learned = self.learned, None
        self._left = self._asked = None
        numbers, times = batch.numbers if self._raw is None else self._raw.keep(batch), batch.time_ns
        if not rows.all_complete:
            numbers, times = numbers[rows.complete], times[rows.complete]
        for slots in self.rows_at_hand(self.kept.append(rows.slots, rows.rows, numbers, times, learned)):
            self.kept.begin(slots)
            self._due, self._twins = slots, None
            for train in self._trainers:
                train(slots)

    def rows_at_hand(self, slots: I32) -> Iterator[I32]:
        """The distinct slots in portions, each while the rows of its keys are in memory."""
        portion = max(len(slots), 1) if self._raw is None else PORTION
        for at in range(0, len(slots), portion):
            part = slots[at : at + portion]
            self._bring(part)
            yield part
            if self._raw is not None:
                self._let_go(self._raw, part)

    def _bring(self, slots: I32) -> None:
        """Make rows again that are not in memory."""
        away = slots[self.kept.records[slots, CAPACITY] == 0]
        if self._raw is None or not len(away):
            return
        self.kept.lend(away)
        away = away[self.kept.records[away, LENGTH] > 0]
        if not len(away):
            return
        place, numbers, times, outputs = self._raw.outputs(away, self.kept.records[away, FIRST])
        x, complete = np.empty((len(times), len(self._inputs))), np.empty(len(times), np.bool_)
        _gather(outputs, self._inputs, x, complete)
        if (np.bincount(place[complete], minlength=len(away)) != self.kept.records[away, LENGTH]).any():
            raise RuntimeError("rows that were made again are not those that models were trained on")
        self.kept.fill(away, x[complete], numbers[complete], times[complete])

    def _let_go(self, raw: RawRows, slots: I32) -> None:
        """These slots were used last; drop the rows of those that were not for the longest time."""
        for slot in slots.tolist():
            self._at_hand.pop(slot, None)
            self._at_hand[slot] = None
        surplus = len(self._at_hand) - self._most_at_hand
        if surplus <= 0:
            return
        oldest = np.array(list(islice(self._at_hand, surplus)), np.int32)
        for slot in oldest.tolist():
            del self._at_hand[slot]
        gone = oldest[raw.covers(oldest, self.kept.records[oldest, FIRST])]
        self._sum_up(gone[self.kept.records[gone, TRAINING] > 0])
        self.kept.take_back(gone)

    def _secure(self, batch: DetectorInput) -> None:
        """Bring rows into memory that can no longer be made again once this batch is kept, as too many rows with nulls lie among them."""
        slots, counts = self.kept.without_stretch(batch.slots)
        if self._raw is not None and len(slots):
            self._bring(slots[self._raw.room(slots, self.kept.records[slots, FIRST]) < counts])

    def training(self, slots: I32, pipeline_seed: int, detector: int) -> Training:
        """The rows to fit a detector's models of some slots on; `detector` is the hash of its name."""
        records = self.kept.records[slots]
        numbers = records[:, TRAINING]
        seeds = np.empty(len(slots), np.uint64)
        _seeds(np.uint64(pipeline_seed), np.uint64(detector), self._hashes, slots, numbers, seeds)
        return Training(slots, records[:, OFFSET], records[:, TRAINED], self.kept.rows, numbers, seeds)

    def twins(self) -> Twins:
        """Training rows of the slots that are being trained that stand there more than once."""
        if self._twins is None:
            self._twins = twins_of(self.kept.rows, *self._stretches(self._due))
        return self._twins

    def _stretches(self, slots: I32) -> tuple[I64, I64]:
        records = self.kept.records[slots]
        return records[:, OFFSET].copy(), records[:, TRAINED].copy()

    def rows_of(self, slot: int) -> F64:
        """(r, k) rows of a slot's last training."""
        at, n = self.kept.records[slot, OFFSET], self.kept.records[slot, TRAINED]
        return self.kept.rows[at : at + n]

    def out_of_range(self, slots: I32, trained: Bools, x: F64) -> OutOfRange:
        """Features of (m, k) rows that lie outside what was usual in the training rows of their keys, where these are `trained` (m,)."""
        self._places = grown_rows(self._places, self.known, -1)
        place = self._places[slots]
        new = place < 0
        new[~new] = self._usual_of[place[~new]] != self.kept.records[slots[~new], TRAINING]
        if (new & trained).any():
            for part in self.rows_at_hand(np.unique(slots[new & trained])):
                self._sum_up(part)
        m, k = x.shape
        offsets, feature, values = np.zeros(m + 1, np.int64), np.empty(m * k, np.int32), np.empty((4, m * k))
        found = _unusual(slots, trained, self._places, self._usual, x, offsets, feature, values)
        return OutOfRange(offsets, feature[:found], values[:, :found])

    def _sum_up(self, slots: I32) -> None:
        """Work out what is usual for some slots that were trained and have their rows in memory."""
        self._places = grown_rows(self._places, self.known, -1)
        new = slots[self._places[slots] < 0]
        self._places[new] = np.arange(self._explained, self._explained + len(new), dtype=np.int32)
        self._explained += len(new)
        self._usual, self._usual_of = grown_rows(self._usual, self._explained), grown_rows(self._usual_of, self._explained)
        _usual(slots, self._places, self.kept.records, self.kept.rows, self._usual_of, self._usual)

    def why_none(self) -> str:
        """Why no key was ever trained; '' where one was."""
        self.take_up()
        if self.kept.records[:, TRAINING].any():
            return ""
        seen = int(self.kept.records[:, SEEN].max(initial=0))
        if not seen:
            return "never trained, as every row had a null among the features"
        least = self._plan.train_min
        return f"never trained, as no key had enough rows without a null ({seen:,} at most, {least:,} are the least)"

    def _grow(self, names: Sequence[str]) -> None:
        slots = len(names)
        if self.known < slots:
            self._hashes = grown_rows(self._hashes, slots)
            for slot in range(self.known, slots):
                self._hashes[slot] = key_hash(names[slot])
            self.kept.grow(self.known, self._hashes[self.known : slots])
            self.known = slots

    def snapshot(self, slots: I64) -> Arrays:
        """State of some slots, once the last batch is taken up; rows that can be made again are left out."""
        without = np.zeros(len(slots), np.bool_)
        if self._raw is not None:
            self.kept.records = grown_rows(self.kept.records, int(slots.max(initial=-1)) + 1)
            first = self.kept.records[slots, FIRST]
            without = (self.kept.records[slots, CAPACITY] == 0) | self._raw.covers(slots.astype(np.int32), first)
        return self.kept.snapshot(slots, without)

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Restore a snapshot. Rows that it does not hold are made again when they are needed, models as well."""
        self._grow(names)
        self.kept.restore(arrays)
