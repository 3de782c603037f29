"""`check_detector`: what every detector must keep, ours and other people's, as checks that any test can call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.extensions import DETECTORS, find
from offbeat.core.plan import Plan
from offbeat.core.state import encode
from offbeat.detectors.population.population_spec import PopulationSpec
from offbeat.detectors.spec import DetectorSpec, detector_types
from offbeat.fold.fold import Fold
from offbeat.fold.view import BatchResult
from offbeat.spec.load import load_plan

_KEYS = tuple("abcd")
_SHARES = (0.55, 0.25, 0.15, 0.05)
_SECOND_NS, _DAY_NS = 10**9, 86_400 * 10**9
_START_NS = 19_700 * _DAY_NS
_DAILY = 40
"""Keys that have a row each day, for detectors of all keys."""
Verdict = tuple[float, bool]
"""Score and vote."""


@dataclass(frozen=True)
class _Row:
    key: str
    time_ns: int
    values: tuple[float | None, ...]


class _Run:
    """A pipeline with the detector alone, over some shards, and every verdict that it gave."""

    def __init__(self, plan: Plan, shards: int = 1) -> None:
        self._plan, self._shards, self._fed = plan, shards, 0
        self.verdicts: dict[str, list[Verdict]] = {}
        self._begin(Fold(plan))
        for number in range(shards):
            self._fold.assign(number)
        self._watch()

    def _begin(self, fold: Fold) -> None:
        self._fold = fold

    def _watch(self) -> None:
        windows = self._plan.views[0].rollup is not None
        for number in range(1 if windows else self._shards):
            names = self._fold.view_keys("view") if windows else self._fold.keys(number)

            def see(result: BatchResult, names: list[str] = names) -> None:
                found = result.verdicts[0]
                for slot, score, voted in zip(result.rows.slots.tolist(), found.score.tolist(), found.voted.tolist(), strict=True):
                    self.verdicts.setdefault(names[slot], []).append((score, voted))

            self._fold.observe("view", see, number)

    def feed(self, rows: Sequence[_Row], next_ns: int = NULL_INT) -> None:
        """Some rows; none that is to come is earlier than `next_ns`."""
        parts: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            parts.setdefault(sum(row.key.encode()) % self._shards, []).append(i)
        for number, index in parts.items():
            chunk = _chunk([rows[i] for i in index], [self._fed + i for i in index])
            self._fold.feed(number, self._fold.prepare(number, chunk))
        self._fed += len(rows)
        if next_ns != NULL_INT and self._plan.views[0].rollup is not None:
            self._fold.advance(next_ns)

    def restart(self) -> None:
        """Forget everything that is not in the snapshots."""
        kept, merged = [self._fold.snapshot(number) for number in range(self._shards)], self._fold.merge_state()
        self._begin(Fold(self._plan))
        for number, data in enumerate(kept):
            self._fold.assign(number, data)
        self._fold.restore_merge(*merged)
        self._watch()

    def through(self, rows: Sequence[_Row], sizes: Iterable[int], *, restarts: bool = False) -> _Run:
        at = 0
        for size in sizes:
            if at >= len(rows):
                break
            self.feed(rows[at : at + size], rows[min(at + size, len(rows) - 1)].time_ns)
            at += size
            if restarts:
                self.restart()
        self.feed(rows[at:])
        self._fold.end()
        return self

    def size(self) -> int:
        """Bytes of the state of the first shard and of what is on other keys."""
        return len(self._fold.snapshot(0)) + len(encode(*self._fold.merge_state()))

    def bits(self) -> dict[str, list[tuple[str, bool]]]:
        return {key: [(float(score).hex(), voted) for score, voted in found] for key, found in self.verdicts.items()}


def _chunk(rows: Sequence[_Row], numbers: Sequence[int]) -> Chunk:
    columns = zip(*(row.values for row in rows), strict=True)
    frame = pl.DataFrame([pl.Series(f"c{j}", values, pl.Float64) for j, values in enumerate(columns)])
    return Chunk(
        frame=frame, key=None, keys=pl.Series("key", [row.key for row in rows], pl.String),
        time_ns=np.array([row.time_ns for row in rows], np.int64), faults=np.zeros(len(rows), np.int8), file=0,
        first_row=1, rows=np.array(numbers, np.int64) + 1, files=None, raw=lambda index: ["" for _ in index], position={},
        floor_ns=NULL_INT,
    )  # fmt: skip


def _usual(count: int, features: int, *, daily: bool) -> list[_Row]:
    """Noise, ties, here and there a null or a value far out.

    Rows of four keys in turn, a second apart, one of them much busier; `daily`: a row of each of forty keys a day.
    """
    random = np.random.default_rng(5)
    if daily:
        keys, times = [f"k{i % _DAILY}" for i in range(count)], [_START_NS + i // _DAILY * _DAY_NS for i in range(count)]
    else:
        keys = random.choice(_KEYS, size=count, p=_SHARES).tolist()
        times = [_START_NS + i * _SECOND_NS for i in range(count)]
    rows = []
    for key, time_ns in zip(keys, times, strict=True):
        values = [float(value) for value in np.round(random.normal(10.0, 2.0, features), 1)]
        if random.random() < 0.02:
            values[int(random.integers(features))] *= 20.0
        rows.append(_Row(key, time_ns, tuple(None if random.random() < 0.01 else value for value in values)))
    return rows


def check_detector(
    detector: type | str, settings: Mapping[str, Any] | None = None, *, features: int = 2, rows: int = 1500, degenerate: bool = True
) -> None:
    """Check that a detector keeps what a run relies on; raises AssertionError that says what it breaks.

    detector: a class that can be imported, or the `type` as the pipeline file has it. settings: its settings beside `type` and `features`;
    give such with which it gives verdicts within `rows` rows of four keys (the busiest has over half of them), or, for a detector of all
    keys, within `rows` daily windows of forty keys. features: how many columns it is shown.

    Checked to the last bit: equal verdicts however rows are cut into batches, however keys are spread over shards, after a restart at any
    row, and whatever comes later; scores in 0…1 that agree with votes; a state that does not grow with rows; and, with `degenerate`, that
    constants, nulls, single rows and huge values raise nothing.
    """
    name = detector if isinstance(detector, str) else f"{detector.__module__}:{detector.__qualname__}"
    daily = _over_all_keys(name)
    plan = _plan(name, settings or {}, features, daily=daily)
    usual = _usual(rows, features, daily=daily)
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
    half = rows // 2 // _DAILY * _DAILY + 7  # some keys of the last day
    prefix = _Run(plan).through(usual[:half], [rows])
    others = "later rows, or on those of other keys beside them" if daily else "later rows"
    for key, found in prefix.bits().items():
        _hold(found == expected[key][: len(found)], f"verdicts on rows of {key!r} depend on {others}")
    _check_state(plan, usual, daily=daily)
    if degenerate:
        for odd in _degenerate(features, daily=daily):
            _check_scores(_Run(plan).through(odd, some), must_judge=False)


def _over_all_keys(name: str) -> bool:
    own: Any = detector_types().get(name)
    settings: type[DetectorSpec] = own if own is not None else getattr(find(DETECTORS, name), "settings", DetectorSpec)
    return issubclass(settings, PopulationSpec)


def _plan(name: str, settings: Mapping[str, Any], features: int, *, daily: bool) -> Plan:
    columns = [f"c{j}" for j in range(features)]
    seen = [f"m{j}" for j in range(features)] if daily else columns
    view: dict[str, Any] = {"detectors": {"it": {"type": name, "features": seen, **settings}}}
    if daily:
        view["rollup"] = {"key": "key", "size": "1d", "columns": {m: f"max({c})" for m, c in zip(seen, columns, strict=True)}}
    types = {column: {"type": "float", "required": False} for column in columns}
    return load_plan({"name": "check", "source": {"key": "key", "time": "at", "columns": types}, "views": {"view": view}})


def _check_scores(run: _Run, *, must_judge: bool = True) -> None:
    judged = [verdict for found in run.verdicts.values() for verdict in found if verdict[0] == verdict[0]]
    _hold(judged or not must_judge, "no verdict on any row: give settings with which it judges, or more rows")
    _hold(all(0.0 <= score <= 1.0 for score, _ in judged), "a score lies outside 0…1")
    _hold(all(voted == (score > 0.5) for score, voted in judged if score != 0.5), "a vote does not agree with its score")
    nobody = [voted for found in run.verdicts.values() for score, voted in found if score != score]
    _hold(not any(nobody), "a vote without a verdict")


def _check_state(plan: Plan, usual: Sequence[_Row], *, daily: bool) -> None:
    run, sizes = _Run(plan), []
    # Other keys than the busiest would take longer to have all the rows that are kept.
    rows = usual if daily else [replace(row, key="a") for row in usual]
    later_ns = usual[-1].time_ns - usual[0].time_ns + _DAY_NS
    for turn in range(6):
        shifted = [replace(row, time_ns=row.time_ns + turn * later_ns) for row in rows]
        run.feed(shifted, shifted[-1].time_ns)
        sizes.append(run.size())
    _hold(sizes[-1] <= 1.1 * max(sizes[2], 20_000), f"the state grows with rows: {sizes} bytes")


def _degenerate(features: int, *, daily: bool) -> list[list[_Row]]:
    one: tuple[float | None, ...] = (1.0,) * features
    streams: list[list[tuple[float | None, ...]]] = [
        [one],
        [one] * 700,
        [(None,) * features] * 50,
        [(0.0,) * features] * 600 + [one] * 20,
        [(1e300 if i % 3 else -1e300,) * features for i in range(600)],
        [(float(i % 2),) * features for i in range(700)],
    ]
    if daily:
        return [[_Row(f"k{i % _DAILY}", _START_NS + i // _DAILY * _DAY_NS, values) for i, values in enumerate(rows)] for rows in streams]
    return [[_Row("a", _START_NS + i * _SECOND_NS, values) for i, values in enumerate(rows)] for rows in streams]


def _hold(condition: object, breaks: str) -> None:
    if not condition:
        raise AssertionError(breaks)
