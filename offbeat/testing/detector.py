"""`check_detector`: what every detector must keep, ours and other people's, as checks that any test can call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan
from offbeat.fold.fold import Fold
from offbeat.fold.view import BatchResult
from offbeat.spec.load import load_plan

_KEYS = ("a", "b", "c", "d")
_START_NS = 1_700_000_000 * 10**9
Verdict = tuple[float, bool]
"""Score and vote."""


@dataclass(frozen=True)
class _Row:
    key: str
    values: tuple[float | None, ...]


class _Run:
    """A pipeline with the detector alone, over some shards, and every verdict that it gave."""

    def __init__(self, plan: Plan, shards: int = 1) -> None:
        self._plan, self._shards = plan, shards
        self.verdicts: dict[str, list[Verdict]] = {key: [] for key in _KEYS}
        self._begin(Fold(plan))
        for number in range(shards):
            self.fold.assign(number)
        self._watch()

    def _begin(self, fold: Fold) -> None:
        self.fold = fold

    def _watch(self) -> None:
        for number in range(self._shards):
            names = self.fold.keys(number)

            def see(result: BatchResult, names: list[str] = names) -> None:
                found = result.verdicts[0]
                for slot, score, voted in zip(result.rows.slots.tolist(), found.score.tolist(), found.voted.tolist(), strict=True):
                    self.verdicts[names[slot]].append((score, voted))

            self.fold.observe("view", see, number)

    def feed(self, rows: Sequence[_Row], first: int) -> None:
        parts: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            parts.setdefault(_KEYS.index(row.key) % self._shards, []).append(i)
        for number, index in parts.items():
            self.fold.feed(number, self.fold.prepare(number, _chunk([rows[i] for i in index], [first + i for i in index])))

    def restart(self) -> None:
        """Forget everything that is not in the snapshots."""
        kept = [self.fold.snapshot(number) for number in range(self._shards)]
        self._begin(Fold(self._plan))
        for number, data in enumerate(kept):
            self.fold.assign(number, data)
        self._watch()

    def through(self, rows: Sequence[_Row], sizes: Iterable[int], *, restarts: bool = False) -> _Run:
        at = 0
        for size in sizes:
            if at >= len(rows):
                break
            self.feed(rows[at : at + size], at)
            at += size
            if restarts:
                self.restart()
        self.feed(rows[at:], at)
        self.fold.end()
        return self

    def bits(self) -> dict[str, list[tuple[str, bool]]]:
        return {key: [(float(score).hex(), voted) for score, voted in found] for key, found in self.verdicts.items()}


def _chunk(rows: Sequence[_Row], numbers: Sequence[int]) -> Chunk:
    columns = zip(*(row.values for row in rows), strict=True)
    frame = pl.DataFrame([pl.Series(f"f{j}", values, pl.Float64) for j, values in enumerate(columns)])
    return Chunk(
        frame=frame, key=None, keys=pl.Series("key", [row.key for row in rows], pl.String),
        time_ns=np.array([_START_NS + number * 10**9 for number in numbers], np.int64), faults=np.zeros(len(rows), np.int8), file=0,
        first_row=1, rows=np.array(numbers, np.int64) + 1, files=None, raw=lambda index: ["" for _ in index], position={},
        floor_ns=NULL_INT,
    )  # fmt: skip


def _usual(count: int, features: int, seed: int = 5) -> list[_Row]:
    """Rows of four keys in turn, one of them much busier: noise, ties, here and there a null or a value far out."""
    random = np.random.default_rng(seed)
    keys = random.choice(_KEYS, size=count, p=(0.55, 0.25, 0.15, 0.05)).tolist()
    rows = []
    for key in keys:
        values = [float(value) for value in np.round(random.normal(10.0, 2.0, features), 1)]
        if random.random() < 0.02:
            values[int(random.integers(features))] *= 20.0
        rows.append(_Row(key, tuple(None if random.random() < 0.01 else value for value in values)))
    return rows


def check_detector(
    detector: type | str, settings: Mapping[str, Any] | None = None, *, features: int = 2, rows: int = 1500, degenerate: bool = True
) -> None:
    """Check that a detector keeps what a run relies on; raises AssertionError that says what it breaks.

    detector: a class that can be imported, or the `type` as the pipeline file has it. settings: its settings beside `type` and `features`;
    give such with which it gives verdicts within `rows` rows of four keys (the busiest has over half of them). features: how many
    columns it is shown.

    Checked to the last bit: equal verdicts however rows are cut into batches, however keys are spread over shards, after a restart at any
    row, and whatever comes later; scores in 0…1 that agree with votes; a state that does not grow with rows; and, with `degenerate`, that
    constants, nulls, single rows and huge values raise nothing.
    """
    name = detector if isinstance(detector, str) else f"{detector.__module__}:{detector.__qualname__}"
    names = [f"f{j}" for j in range(features)]
    plan = load_plan(
        {
            "name": "check",
            "source": {"key": "key", "time": "at", "columns": {column: {"type": "float", "required": False} for column in names}},
            "views": {"view": {"detectors": {"it": {"type": name, "features": names, **(settings or {})}}}},
        }
    )
    usual = _usual(rows, features)
    whole = _Run(plan).through(usual, [rows])
    _check_scores(whole)
    expected = whole.bits()
    random = np.random.default_rng(1)
    some = [int(size) for size in random.integers(1, 40, rows)]
    _hold(_Run(plan).through(usual, some).bits() == expected, "verdicts depend on how rows are cut into batches")
    _hold(_Run(plan).through(usual, [1] * rows).bits() == expected, "verdicts differ where rows come one by one")
    _hold(_Run(plan, 3).through(usual, some).bits() == expected, "verdicts depend on how keys are spread over shards")
    cuts = [int(size) for size in random.integers(rows // 9, rows // 4, 12)]
    _hold(_Run(plan).through(usual, cuts, restarts=True).bits() == expected, "verdicts differ after a restart from a snapshot")
    prefix = _Run(plan).through(usual[: rows // 2], [rows])
    for key, found in prefix.bits().items():
        _hold(found == expected[key][: len(found)], f"verdicts on rows of {key!r} depend on later rows")
    _check_state(plan, usual)
    if degenerate:
        for odd in _degenerate(features):
            _check_scores(_Run(plan).through(odd, some), must_judge=False)


def _check_scores(run: _Run, *, must_judge: bool = True) -> None:
    judged = [verdict for found in run.verdicts.values() for verdict in found if verdict[0] == verdict[0]]
    _hold(judged or not must_judge, "no verdict on any row: give settings with which it judges, or more rows")
    _hold(all(0.0 <= score <= 1.0 for score, _ in judged), "a score lies outside 0…1")
    _hold(all(voted == (score > 0.5) for score, voted in judged if score != 0.5), "a vote does not agree with its score")
    nobody = [voted for found in run.verdicts.values() for score, voted in found if score != score]
    _hold(not any(nobody), "a vote without a verdict")


def _check_state(plan: Plan, usual: Sequence[_Row]) -> None:
    run, sizes = _Run(plan), []
    busiest = [_Row("a", row.values) for row in usual]  # other keys would take longer to have all the rows that are kept
    for turn in range(6):
        run.feed(busiest, turn * len(usual))
        sizes.append(len(run.fold.snapshot(0)))
    _hold(sizes[-1] <= 1.1 * max(sizes[2], 20_000), f"the state grows with rows: {sizes} bytes")


def _degenerate(features: int) -> list[list[_Row]]:
    one = (1.0,) * features
    return [
        [_Row("a", one)],
        [_Row("a", one)] * 700,
        [_Row("b", (None,) * features)] * 50,
        [_Row("a", (0.0,) * features)] * 600 + [_Row("a", one)] * 20,
        [_Row("c", (1e300 if i % 3 else -1e300,) * features) for i in range(600)],
        [_Row("d", (float(i % 2),) * features) for i in range(700)],
    ]


def _hold(condition: object, breaks: str) -> None:
    if not condition:
        raise AssertionError(breaks)
