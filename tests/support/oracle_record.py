"""The record detector a second time, one row of one key at a time, from docs/definitions.md. Imports nothing from the package."""

from __future__ import annotations

import math
from dataclasses import dataclass

from oracle_detectors import Said, calibrated
from oracle_logic import Num, finite
from oracle_spec import Records
from oracle_windows import Env


@dataclass
class _Known:
    """Of one feature."""

    n: int = 0
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0

    def distance(self, x: float) -> float:
        """Beyond [low, high] in widths; below it less than 0."""
        if self.low <= x <= self.high:
            return 0.0
        side = 1.0 if x > self.high else -1.0
        end = self.high if side > 0 else self.low
        if self.low >= self.high:
            return 0.0 if abs(x - end) <= 1e-9 * abs(end) else side * math.inf
        if abs(x - end) <= 1e300 and self.high - self.low <= 1e300:
            return (x - end) / (self.high - self.low)
        return (x / 4 - end / 4) / (self.high / 4 - self.low / 4)

    def learn(self, x: float, leak: float) -> None:
        self.n += 1
        if self.n == 1:
            self.low = self.high = self.mean = x
            return
        share = 1.0 / (self.n if leak == 0 else min(float(self.n), 1.0 / leak))
        self.mean = self.mean + (share * x - share * self.mean)
        low, high = min(self.low, x), max(self.high, x)
        self.low = low + (leak * self.mean - leak * low)
        self.high = high - (leak * high - leak * self.mean)


class RecordLife:
    """One record detector of one key."""

    def __init__(self, detector: Records) -> None:
        self.detector = detector
        self.known = [_Known() for _ in detector.features]
        self.times: list[int] = []

    def judge(self, env: Env) -> Said:
        d = self.detector
        said = Said(d.name, "record")
        x = [value(env) for value in d.features.values()]
        distances: list[Num] = []
        for known, value in zip(self.known, x, strict=True):
            distances.append(None if value is None or known.n < d.warm_up else known.distance(value))
        spoken = [abs(distance) for distance in distances if distance is not None]
        said.contributions = [None if distance is None else finite(distance) for distance in distances]
        if self.times:
            said.window = {"from": self.times[0], "to": self.times[-1], "n": len(self.times)}
        notes = []
        for number, (name, known, value, distance) in enumerate(zip(d.features, self.known, x, distances, strict=True)):
            if distance is not None and abs(distance) > d.limit:
                said.out_of_range.append((number, value, known.mean, known.low, known.high))
            if distance is not None and math.isinf(distance):
                notes.append(f"{name} never varied before: it was {known.mean:.6g}")
        if not spoken:
            said.note = f"no verdict: no feature has had {d.warm_up:,} values yet, or all are null"
            return said
        raw = max(spoken)
        said.note, said.r, said.voted = "; ".join(notes), raw / d.limit, raw > d.limit
        said.score = calibrated(said.r)
        if len(x) > 1:
            said.raw, said.threshold = finite(raw), d.limit
        else:
            (known,) = self.known
            width = d.limit * (known.high - known.low)
            said.observed, said.expected = x[0], known.mean
            said.threshold = finite(known.high + width if x[0] is not None and x[0] >= known.mean else known.low - width)
        return said

    def explain(self, env: Env, said: Said) -> None:
        """Nothing more."""

    def learn(self, env: Env, said: Said, time_ns: int) -> None:
        """After the row was judged."""
        del said
        self.times.append(time_ns)
        for known, value in zip(self.known, self.detector.features.values(), strict=True):
            x = value(env)
            if x is not None:
                known.learn(x, self.detector.leak)
