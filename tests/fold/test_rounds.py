"""Detectors of other kinds than ours among a view's detectors: what they are shown, and that their reasons are those of their verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.core.batch import F64, I32, I64
from offbeat.core.evidence import Evidence
from offbeat.core.plan import RulePlan, ViewPlan
from offbeat.core.state import Arrays
from offbeat.detectors.detector import Detector, DetectorInput, Kind, Verdicts
from offbeat.fold.detector_set import DetectorSet
from offbeat.fold.rounds import Rounds, rounds_of
from offbeat.spec.load import load_text

RULES = "a: {type: rule, when: x > 0}, b: {type: rule, when: x > 1}"
VIEW: ViewPlan = (
    load_text(f"name: p\nsource: {{key: k, time: t, columns: {{x: float}}}}\nviews: {{v: {{detectors: {{{RULES}}}}}}}\n").plan.views[0]
)
"""A view of two detectors, whatever they are."""
NAMES = ["a", "b", "c"]
NOBODY = np.zeros(0, np.bool_)
PLAN = RulePlan("toy", "", 0, -1, -1, -1, "", "")


def batch_of(slots: Sequence[int], x: Sequence[float], first: int = 0) -> DetectorInput:
    """Rows whose one output is x."""
    n = len(slots)
    return DetectorInput(NAMES, np.array(slots, np.int32), np.arange(first, first + n), np.array([x], np.float64), np.zeros(n, np.int64))


def every_row(score: F64) -> Verdicts:
    """A vote on every row."""
    return Verdicts(score, np.ones(len(score), np.bool_), np.full(len(score), 2.0), np.empty((0, len(score))))


class Counting(Detector):
    """Its model of a key is how many of the key's rows it was trained on: all, after every third one. It trains when it next judges."""

    def __init__(self) -> None:
        super().__init__(PLAN)
        self.models: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()
        self.shown: list[list[int]] = []

    def cuts(self, batch: DetectorInput) -> I32:
        self._train()
        here: Counter[int] = Counter()
        out = []
        for slot in batch.slots.tolist():
            out.append((self.seen[slot] + here[slot]) // 3 - self.seen[slot] // 3)
            here[slot] += 1
        return np.array(out, np.int32)

    def _train(self) -> None:
        for slot, n in self.seen.items():
            if n % 3 == 0:
                self.models[slot] = n

    def judge(self, batch: DetectorInput) -> Verdicts:
        self._train()
        self.shown.append(batch.slots.tolist())
        self._judged = batch
        for slot in batch.slots.tolist():
            self.seen[slot] += 1
        return every_row(np.array([self.models[slot] / 100 for slot in batch.slots.tolist()]))

    def explain(self, index: I64) -> Evidence:
        """`raw` is the model as it is now."""
        slots = self._judged.slots[index]
        said = Evidence.no_verdict(self.name, self.type, len(index), "")
        raw, at = np.array([float(self.models[slot]) for slot in slots.tolist()]), self._judged.time_ns[index].astype(np.float64)
        return Evidence(
            said.name, said.type, said.score, said.voted, raw, said.threshold, at, said.expected, (), said.contributions,
            said.out_of_range, (), said.version, said.window,
        )  # fmt: skip


class Ewma(Detector):
    """Incremental: by key a mean that forgets, in state from the first row on; votes on what lies more than 1 from it."""

    def __init__(self) -> None:
        super().__init__(PLAN)
        self.mean: F64 = np.full(len(NAMES), np.nan)

    def judge(self, batch: DetectorInput) -> Verdicts:
        n = len(batch)
        self.before = np.empty(n)
        for i, (slot, x) in enumerate(zip(batch.slots.tolist(), batch.outputs[0].tolist(), strict=True)):
            self.before[i] = self.mean[slot]
            self.mean[slot] = x if np.isnan(self.mean[slot]) else 0.5 * self.mean[slot] + 0.5 * x
        r = np.abs(batch.outputs[0] - self.before)
        self.verdicts = Verdicts(r / (1 + r), r > 1, r, np.empty((0, n)))
        return self.verdicts

    def explain(self, index: I64) -> Evidence:
        said = Evidence.no_verdict(self.name, self.type, len(index), "")
        return Evidence(
            said.name, said.type, self.verdicts.score[index], self.verdicts.voted[index], said.raw, said.threshold, said.observed,
            self.before[index], (), said.contributions, said.out_of_range, (), said.version, said.window,
        )  # fmt: skip

    def snapshot(self, slots: I64) -> Arrays:
        return {"mean": self.mean[slots]}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        self.mean[: len(names)] = arrays["mean"]


def set_of(monkeypatch: pytest.MonkeyPatch, *detectors: Detector) -> DetectorSet:
    monkeypatch.setattr("offbeat.fold.detector_set.detectors_of", lambda _: detectors)
    return DetectorSet(VIEW, 0)


streams = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@given(streams, st.integers(1, 5))
def test_rounds_part_a_batch_where_models_change(slots: list[int], every: int) -> None:
    """Each row once; rows of a key in a round stand side by side, in their order; the rows of a round are of one number, and it rises."""
    here: Counter[int] = Counter()
    numbers = []
    for slot in slots:
        numbers.append(here[slot] // every)
        here[slot] += 1
    batch, cut = batch_of(slots, [0.0] * len(slots)), np.array(numbers, np.int32)
    found = rounds_of(batch, [cut])
    if found is None:
        assert len(set(numbers)) == 1
        assert slots == sorted(slots)
        return
    assert sorted(row for _, rows in found.parts for row in rows.tolist()) == list(range(len(slots)))
    before = -1
    for part, rows in found.parts:
        assert part.slots.tolist() == [slots[row] for row in rows.tolist()] == sorted(part.slots.tolist())
        assert part.time_ns.tolist() == rows.tolist()
        (number,) = {numbers[row] for row in rows.tolist()}
        assert number > before
        before = number
        for slot in set(part.slots.tolist()):
            own = [row for row in rows.tolist() if slots[row] == slot]
            assert own == sorted(own)


def test_those_that_change_together_are_cut_once() -> None:
    batch, cut = batch_of([0, 0, 0], [0.0] * 3), np.array([0, 1, 1], np.int32)
    other = np.array([0, 0, 1], np.int32)
    together, apart = rounds_of(batch, [cut, cut]), rounds_of(batch, [cut, other])
    assert isinstance(together, Rounds)
    assert isinstance(apart, Rounds)
    assert [rows.tolist() for _, rows in together.parts] == [[0], [1, 2]]
    assert [rows.tolist() for _, rows in apart.parts] == [[0], [1], [2]]


@given(streams, st.integers(1, 12))
def test_a_verdict_is_explained_by_the_model_that_gave_it(slots: list[int], size: int) -> None:
    """A key's n-th row, from 0, is judged by the model of its first 3 · ⌊n / 3⌋ rows, however the stream is cut."""
    toy = Counting()
    here: Counter[int] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        detectors = set_of(patch, toy, Ewma())
        for begin in range(0, len(slots), size):
            part = slots[begin : begin + size]
            decisions = detectors.judge(batch_of(part, [0.0] * len(part), begin), NOBODY)
            assert decisions.index.tolist() == list(range(len(part)))
            said = detectors.evidence(decisions.index, {})[0]
            expected = []
            for slot in part:
                expected.append(here[slot] // 3 * 3)
                here[slot] += 1
            assert said.raw.tolist() == expected
            assert said.observed.tolist() == list(range(begin, begin + len(part)))
            assert detectors.verdicts[0].score.tolist() == [n / 100 for n in expected]
    assert all(part == sorted(part) for part in toy.shown), "rows of a key stand side by side"


def test_a_detector_that_keeps_a_number_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.5 · 0 + 0.5 · 4 = 2 for a; b begins at 10. Cut anywhere, and restored, the same; a verdict tells the mean before the row."""
    slots, x = [0, 1, 0, 0, 1, 0], [0.0, 10.0, 4.0, 2.5, 10.5, 5.0]
    means = [None, None, 0.0, 2.0, 10.0, 2.25]
    for size in (1, 2, 4, 6):
        detectors = set_of(monkeypatch, Ewma())
        found: list[float | None] = []
        for begin in range(0, 6, size):
            again = set_of(monkeypatch, Ewma())
            again.restore(detectors.snapshot(np.arange(3)), NAMES)
            detectors = again
            own = slice(begin, begin + size)
            decisions = detectors.judge(batch_of(slots[own], x[own], begin), np.ones(len(slots[own]), np.bool_))
            said = detectors.evidence(decisions.index, {})[0]
            found += [None if np.isnan(mean) else mean for mean in said.expected.tolist()]
        assert found == means


def test_who_is_not_asked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    detectors = set_of(monkeypatch, Ewma())
    assert [detectors.judging(kind) for kind in Kind] == [1, 0, 0]
    one = batch_of([0], [1.0])
    for kind, why in ((Kind.OPEN, "no verdict: judges when the window is over"), (Kind.MISSING, "no verdict: the window has no row")):
        batch = DetectorInput(one.names, one.slots, one.time_ns, one.outputs, one.numbers, kind)
        decisions = detectors.judge(batch, np.ones(1, np.bool_))
        assert (decisions.voters.tolist(), decisions.alert.tolist()) == ([0], [False])
        assert detectors.evidence(decisions.index, {})[0].notes == (why,)
