"""NAB's own scoring, from its definition: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015, section II.

A detection is a row with a score of at least the threshold. In a labelled window only the best placed detection counts, which is the
earliest; outside each detection costs, the less the closer it follows a window. Rows of the probationary period count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I64

_PROBATION, _PROBATION_ROWS = 0.15, 5000
"""The first 15 % of a file, of 5,000 rows at most, may be learned from and are not scored."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What an application gains and loses by a detection."""

    name: str
    hit: float
    miss: float
    false_alarm: float


PROFILES = (
    Profile("standard", 1.0, 1.0, 0.11),
    Profile("reward_low_FP_rate", 1.0, 1.0, 0.22),
    Profile("reward_low_FN_rate", 1.0, 2.0, 0.11),
)
"""Those of `config/profiles.json`."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What a detection at each row of a file is worth, apart from the profile's weights."""

    worth: F64
    """(n,) in a window 0…1 of a hit, outside -1…0 of a false alarm."""
    window: I64
    """(n,) number of the window, -1 outside, -2 in the probationary period."""
    windows: int


def _sigmoid(position: F64) -> F64:
    """From 1 at -∞ to -1 at +∞, 0 at 0; -1 from 3 on."""
    return np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * position)) - 1.0)


def placed(time_ns: I64, windows: Sequence[tuple[int, int]]) -> Placed:
    """Worth by row of a file with these times (in its order), and labelled windows as their first and last time, both included."""
    n = len(time_ns)
    number, worth = np.full(n, -1, np.int64), np.full(n, -1.0)
    at = np.arange(n, dtype=np.float64)
    full = float(_sigmoid(np.array(-1.0)))
    for w, (first, last) in enumerate(windows):
        left, right = int(np.flatnonzero(time_ns == first)[0]), int(np.flatnonzero(time_ns == last)[0])
        width = right - left + 1
        after = slice(right + 1, None)
        worth[after] = _sigmoid((at[after] - right) / max(width - 1, 1))
        number[left : right + 1] = w
        worth[left : right + 1] = _sigmoid(-(right - at[left : right + 1] + 1) / width) / full
    number[: int(_PROBATION * min(n, _PROBATION_ROWS))] = -2
    return Placed(worth, number, len(windows))


def raw_score(files: Iterable[tuple[Placed, F64]], threshold: float, profile: Profile) -> float:
    """Sum over files of (what a detection is worth, scores) for one threshold."""
    total = 0.0
    for where, scores in files:
        found = scores >= threshold
        total += profile.false_alarm * float(where.worth[found & (where.window == -1)].sum())
        for w in range(where.windows):
            hits = where.worth[found & (where.window == w)]
            total += profile.hit * float(hits.max()) if len(hits) else -profile.miss
    return total


def normalised(raw: float, windows: int, profile: Profile) -> float:
    """0 for a detector that never speaks, 100 for one that detects every window at its first row and nothing else."""
    nothing = -profile.miss * windows
    return 100.0 * (raw - nothing) / (profile.hit * windows - nothing)


def best_threshold(files: Sequence[tuple[Placed, F64]], profile: Profile) -> tuple[float, float]:
    """(threshold, raw score) of the threshold that scores best over all files, as NAB's optimiser has it: every score is tried."""
    scores = np.concatenate([scores for _, scores in files])
    worth = np.concatenate([where.worth for where, _ in files])
    offset = np.cumsum([0] + [where.windows for where, _ in files])
    pairs = zip([where.window for where, _ in files], offset[:-1], strict=True)
    numbered = [np.where(within >= 0, within + first, within) for within, first in pairs]
    window = np.concatenate(numbered)
    windows = int(offset[-1])
    counted = (window != -2) & ~np.isnan(scores)
    scores, worth, window = scores[counted], worth[counted], window[counted]
    order = np.argsort(-scores, kind="stable")
    # A window is worth its best placed detection: what each row adds to it when rows come by falling score.
    gain = np.where(window == -1, profile.false_alarm * worth, 0.0)
    best = np.full(windows, -profile.miss)
    for i in order[window[order] >= 0].tolist():
        value = max(best[window[i]], profile.hit * worth[i])
        gain[i] = value - best[window[i]]
        best[window[i]] = value
    total = np.cumsum(gain[order]) - profile.miss * windows
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    place = int(ends[np.argmax(total[ends])])
    if total[place] <= -profile.miss * windows:
        return float("inf"), -profile.miss * windows
    return float(scores[order][place]), float(total[place])
