"""The population forest from its definition, in plain Python: which rows a model learns from, its threshold, its scores.

Only the growing of the trees is offbeat's, which has tests of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from math import ceil, inf, isnan

import numpy as np
from oracle_forest import forest_scores

from offbeat.core.plan import PopulationPlan
from offbeat.detectors.isolation_forest.isolation_forest import IsolationForest
from offbeat.detectors.trained.model import Training

_WORD = 2**64


@dataclass(frozen=True)
class Window:
    """A window of a rollup with its features; NaN: null."""

    key: str
    start: int
    features: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """None: no verdict."""

    raw: float | None = None
    threshold: float | None = None
    score: float | None = None
    voted: bool = False


def _fmix(x: int) -> int:
    """MurmurHash3's finaliser."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ (x >> 33)) * factor % _WORD
    return x ^ (x >> 33)


def sample_hash(key: str, start: int) -> int:
    """FNV-1a of the key's UTF-8, mixed with the start."""
    word = 0xCBF29CE484222325
    for byte in key.encode():
        word = (word ^ byte) * 0x100000001B3 % _WORD
    return _fmix(_fmix(word) * 5 % _WORD ^ _fmix((start + 0x4CF5AD432745937F) % _WORD))


def _stream(seed: int, number: int) -> int:
    """SplitMix64."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % _WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
    return z ^ (z >> 31)


def _seed(pipeline: int, detector: str, start: int) -> int:
    name = int.from_bytes(blake2b(detector.encode(), digest_size=8).digest(), "little")
    return _stream(_stream(_stream(pipeline, 0) ^ name, 0), start)


def _lowest(past: Sequence[tuple[Window, float | None]], first: int, last: int, rows: int) -> list[tuple[Window, float | None]]:
    inside = [(w, live) for w, live in past if first <= w.start < last and not any(isnan(x) for x in w.features)]
    return sorted(inside, key=lambda pair: (sample_hash(pair[0].key, pair[0].start), pair[0].start))[:rows]


def _judged(plan: PopulationPlan, chosen: list[tuple[Window, float | None]], seed: int, windows: Sequence[Window]) -> dict[Window, Verdict]:
    if len(chosen) < plan.train_min:
        return {}
    rows = np.array([w.features for w, _ in chosen])
    grown = IsolationForest(rows.shape[1], **{name: int(value) for name, value in plan.settings})
    grown.grow(1)
    one = np.ones(1, np.int64)
    grown.train(Training(np.zeros(1, np.int32), one - 1, one * len(rows), rows, one, np.array([seed], np.uint64)))
    share = 1 - Fraction(repr(plan.contamination))
    allowed = len(chosen) - ceil(share * len(chosen))
    still: dict[int, tuple[float, float]] = {}
    for f in range(rows.shape[1]):
        values = [w.features[f] for w, _ in chosen]
        value, _ = Counter(values[: 2 * allowed + 1]).most_common(1)[0]
        others = [x for x in values if abs(x - value) > 2.0**-23 * abs(value)]
        if len(others) <= allowed:
            still[f] = (min([value, *others]) - 2.0**-23 * abs(value), max([value, *others]) + 2.0**-23 * abs(value))
    alike = len(still) == rows.shape[1] and not any(len({w.features[f] for w, _ in chosen}) > 1 for f in still)
    whole = [w for w in windows if not any(isnan(x) for x in w.features)]
    changed = {w for w in whole if any(not low <= w.features[f] <= high for f, (low, high) in still.items())}
    found = {w: Verdict(inf, None, 1.0, voted=True) if w in changed else Verdict(0.0, None, 0.0) for w in whole}
    if alike or grown.note(0):
        return found if alike else {}
    forest = grown.forest(0)
    own = sorted(forest_scores(forest, rows[:8192]))
    live = sorted(score for _, score in chosen if score is not None)
    threshold = own[ceil(share * len(own)) - 1]
    if len(live) >= 500:
        threshold = max(threshold, live[ceil(share * len(live)) - 1])
    found |= {w: Verdict(inf, threshold, 1.0, voted=True) for w in changed}
    usual = [w for w in whole if w not in changed]
    for window, raw in zip(usual, forest_scores(forest, np.array([w.features for w in usual])) if usual else [], strict=True):
        r = raw / threshold
        found[window] = Verdict(raw, threshold, r / (1 + r), raw > threshold)
    return found


def rolling(plan: PopulationPlan, view: str, pipeline_seed: int, windows: Sequence[Window]) -> list[Verdict]:
    """Verdicts on windows, each by the model of its tick."""
    past: list[tuple[Window, float | None]] = []
    verdicts: dict[Window, Verdict] = {}
    for start in sorted({w.start for w in windows}):
        tick = [w for w in windows if w.start == start]
        chosen = _lowest(past, start - plan.over_ns, start, plan.sample_rows)
        found = _judged(plan, chosen, _seed(pipeline_seed, f"{view}.{plan.name}", start), tick)
        # What no model gave is no live score.
        past += [(w, found[w].raw if w in found and found[w].threshold and found[w].raw != inf else None) for w in tick]
        verdicts |= found
    return [verdicts.get(w, Verdict()) for w in windows]


def fixed(plan: PopulationPlan, view: str, pipeline_seed: int, windows: Sequence[Window], first: int, last: int) -> list[Verdict]:
    """Verdicts on the windows that start from `first` until before `last`, by one model of those very windows."""
    chosen = _lowest([(w, None) for w in windows], first, last, plan.sample_rows)
    inside = [w for w in windows if first <= w.start < last]
    found = _judged(plan, chosen, _seed(pipeline_seed, f"{view}.{plan.name}", first), inside)
    return [found.get(w, Verdict()) for w in windows]
