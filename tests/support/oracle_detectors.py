"""The oracle's detectors, one row of one key at a time, from SEMANTICS.md and docs/definitions.md. Imports nothing from the package."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b

from oracle_logic import MASK, Num, compare, finite, mul, sub
from oracle_spec import Model, Range, Rule, Term, Verdict
from oracle_windows import Agg, Env, Window

LIVE, ENOUGH, DRAWN = 2000, 500, 64
"""S17: scores that were given live, and how many of them make a threshold."""
Getter = Callable[[Env], Num]


@dataclass
class Said:
    """One detector's word on a row."""

    name: str
    type: str
    score: Num = None
    raw: Num = None
    threshold: Num = None
    voted: bool = False
    observed: Num = None
    expected: Num = None
    contributions: list[Num] = field(default_factory=list)
    out_of_range: list[tuple[int, Num, Num, Num, Num]] = field(default_factory=list)
    """(number of the feature, observed, expected, least and greatest usual value)"""
    note: str = ""
    version: int = 0
    window: dict[str, int | None] | None = None
    """What the row was held against: from, to, n."""
    r: Num = None
    """How many times the threshold was reached; None without a verdict."""
    ratios: dict[str, Num] = field(default_factory=dict)
    """By term of a range detector."""
    live: bool = True
    """Whether a model gave the raw score."""
    no_spread: list[str] = field(default_factory=list)
    """Terms whose value and center are known, and the reach is not."""


def calibrated(r: float) -> float:
    """S18, 1 where r leaves the doubles."""
    return r / (1.0 + r) if r <= 1e300 else 1.0


# -- rules ----------------------------------------------------------------------------------------------------------------------------


def judge_rule(rule: Rule, env: Env) -> Said:
    """Without a verdict a rule shows nothing."""
    verdict = rule.judge(env)
    if verdict.when is None:
        return Said(rule.name, "rule", contributions=[None] if verdict.comparison else [])
    r = exceedance(verdict)
    return Said(
        rule.name,
        "rule",
        score=calibrated(r),
        threshold=verdict.threshold,
        voted=verdict.when,
        observed=verdict.observed,
        expected=verdict.expected,
        contributions=[calibrated(r)] if verdict.comparison else [],
        r=r,
    )


def exceedance(verdict: Verdict) -> float:
    """The number r of the rules' section, 0 or more."""
    if not verdict.comparison:
        return 2.0 if verdict.when else 0.0
    observed, threshold = verdict.observed, verdict.threshold
    if observed is None or threshold is None:
        return 0.0
    above = verdict.comparison in {">", ">="}
    floor = verdict.floor if verdict.floor is not None and verdict.floor > 0 else None
    if threshold > 0 and above:
        return max(observed / threshold, 0.0)
    if threshold > 0 and observed > 0:
        return threshold / observed
    if not compare(observed, verdict.comparison, threshold):
        return 0.0
    if threshold > 0:
        return math.inf if floor is None else max(threshold / floor, 1.0)
    return 1.0 if floor is None else max((observed if above else -observed) / floor, 1.0)


# -- ranges ---------------------------------------------------------------------------------------------------------------------------


def _ratio(value: Num, center: Num, below: Num, above: Num) -> Num:
    if value is None or center is None:
        return None
    distance = value - center
    reach = above if distance >= 0 else below
    if reach is None or reach < 0:
        return None
    if reach == 0:
        return 0.0 if abs(distance) <= 1e-9 * abs(center) else math.copysign(math.inf, distance)
    return distance / reach


def judge_range(detector: Range, env: Env) -> Said:
    said = Said(detector.name, detector.type)
    raw: Num = None
    for number, term in enumerate(detector.terms):
        value, center, below, above = term.value(env), term.center(env), term.below(env), term.above(env)
        r = _ratio(value, center, below, above)
        if term.seen and r is not None and math.isinf(r) and value is not None and (below, above)[r > 0] == 0:
            least, greatest = (end(env) for end in term.seen)
            if least is not None and greatest is not None and least <= value <= greatest:
                r = None
        said.ratios[term.name] = r
        said.contributions.append(None if r is None else finite(r * term.limit))
        if r is None and value is not None and center is not None:
            said.no_spread.append(term.name)
        if r is None or value is None or center is None:
            continue
        raw = abs(r) if raw is None else max(raw, abs(r))
        if math.isinf(r) and (below, above)[r > 0] == 0:
            joined = f"{said.note}; " if said.note else ""
            said.note = f"{joined}{term.name} never varied before: usual is {center:.6g} exactly"
        if abs(r) > 1:
            low, high = sub(center, below), None if above is None else finite(center + above)
            said.out_of_range.append((number, value, center, not_below_zero(low, term.least(env)), high))
    if raw is None:
        return said
    said.r, said.score, said.voted = raw, calibrated(raw), raw > 1.0
    said.raw, said.threshold = finite(raw), 1.0
    if len(detector.terms) == 1:
        (term,) = detector.terms
        value, center, below, above = term.value(env), term.center(env), term.below(env), term.above(env)
        said.raw, said.observed, said.expected = None, value, center
        if value is not None and center is not None:
            far = above if value >= center else below
            said.threshold = None if far is None else finite(center + far if value >= center else center - far)
    return said


def not_below_zero(low: Num, least: Num) -> Num:
    """The lower end of what is usual for what was never less than `least`."""
    return 0.0 if low is not None and low < 0 and least is not None and least >= 0 else low


def enough(count: str, least: int, of: str) -> Callable[[dict[str, Num]], Num]:
    """A feature that waits until there are so many values."""
    return lambda a: a[of] if (a[count] or 0.0) >= least else None


def zscore(
    name: str, limits: dict[str, tuple[Getter, float]], least: int, rows: int = 0, duration_ns: int = 0,
    robust: bool = False, baseline: dict[str, tuple[Getter, Getter]] | None = None, kind: str = "zscore",
) -> Range:  # fmt: skip
    """Value → how to read it, and its limit in standard deviations."""
    aggregates, features, terms = {}, {}, []
    for text, (value, limit) in limits.items():
        least_value: Getter = _nothing
        seen: tuple[Getter, Getter] | None = None
        if baseline and text in baseline:
            center, spread = baseline[text]
        else:
            where = f"{name} {text}"
            aggregates[f"{where} n"] = Agg("count", value)
            aggregates[f"{where} middle"] = Agg("quantile", value, 0.5) if robust else Agg("mean", value)
            aggregates[f"{where} spread"] = Agg("mad", value) if robust else Agg("std", value)
            features[f"{where} middle"] = enough(f"{where} n", least, f"{where} middle")
            wide = enough(f"{where} n", least, f"{where} spread")
            features[f"{where} spread"] = _times(1.482602218505602, wide) if robust else wide
            aggregates[f"{where} least"] = Agg("min", value)
            features[f"{where} least"] = _of(f"{where} least")
            center, spread, least_value = _read(f"{where} middle"), _read(f"{where} spread"), _read(f"{where} least")
            if robust:
                aggregates[f"{where} greatest"] = Agg("max", value)
                features[f"{where} greatest"] = _of(f"{where} greatest")
                seen = least_value, _read(f"{where} greatest")
        reach = _times(limit, spread)
        terms.append(Term(text, value, center, reach, reach, limit, least_value, seen))
    window = Window(name, aggregates, features, duration_ns, rows, min_rows=1) if features else None
    return Range(name, kind, tuple(terms), window)


def band(name: str, text: str, value: Getter, width: float, least: int, rows: int = 0, duration_ns: int = 0) -> Range:
    return zscore(name, {text: (value, width)}, least, rows, duration_ns, kind="band")


def quantiles(
    name: str, text: str, value: Getter, q: tuple[float, float], factor: float, least: int, rows: int = 0, duration_ns: int = 0
) -> Range:
    parts = {f"{name} {part}": Agg("quantile", value, at) for part, at in (("low", q[0]), ("center", 0.5), ("high", q[1]))}
    features = {part: enough("n", least, part) for part in parts} | {"least": _of("least")}
    low, center, high = (_read(part) for part in parts)
    term = Term(
        text, value, center,
        lambda e: mul(factor, sub(center(e), low(e))), lambda e: mul(factor, sub(high(e), center(e))), factor, _read("least"),
    )  # fmt: skip
    aggregates = {"n": Agg("count", value), "least": Agg("min", value), **parts}
    return Range(name, "quantile", (term,), Window(name, aggregates, features, duration_ns, rows, min_rows=1))


def _nothing(_: Env) -> Num:
    return None


def _of(name: str) -> Callable[[dict[str, Num]], Num]:
    return lambda aggregates: aggregates[name]


def _read(name: str) -> Getter:
    return lambda env: env[name]


def _times(factor: float, of: Getter) -> Getter:
    return lambda env: mul(factor, of(env))


# -- models ---------------------------------------------------------------------------------------------------------------------------


def key_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def split_mix(seed: int, number: int) -> int:
    """Finaliser of SplitMix64 on seed + (number + 1) · golden, never 0."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return z or 0x9E3779B97F4A7C15


def seed_of(pipeline: int, detector: str, key: str, number: int) -> int:
    start = split_mix(pipeline, 0) ^ key_hash(detector)
    return split_mix(split_mix(start, 0) ^ key_hash(key), number)


def first_training(key: str, every: int, least: int) -> int:
    """Complete rows after which a key is trained for the first time [S14]."""
    n = least
    while (n + key_hash(key)) % every:
        n += 1
    return n


def threshold_of(scores: list[float], contamination: Fraction) -> Num:
    """The ⌈(1 - c)·m⌉-th smallest, at least the first."""
    if not scores:
        return None
    return sorted(scores)[max(math.ceil((1 - contamination) * len(scores)), 1) - 1]


class Life:
    """One trained detector of one key."""

    def __init__(self, detector: Model, seed: int, key: str) -> None:
        self.detector, self.seed, self.key = detector, seed, key
        self.model = detector.fit(len(detector.features))
        self.rows: list[list[float]] = []
        self.count = self.number = self.flagged = 0
        self.live: list[float] = []
        self.threshold: Num = None
        self.constant: dict[int, tuple[float, float, float]] = {}
        """Features that next to never varied in the rows learnt: their value, the least and the greatest of all."""
        self.learnt: list[list[float]] = []
        self.times: list[int] = []
        """Of `rows`; and of those learnt the first and the last."""
        self.span: tuple[int, int] = (0, 0)

    def judge(self, env: Env) -> Said:
        said = Said(self.detector.name, self.detector.type)
        x = [value(env) for value in self.detector.features.values()]
        said.contributions = [None] * len(x)
        row = [value for value in x if value is not None]
        if len(row) < len(x):
            said.note = "no verdict: a feature is null"
            return said
        if not self.number:
            first = first_training(self.key, self.detector.retrain_every, self.detector.train_min)
            said.note = f"no verdict: waits for its first training, after {first:,} rows without a null"
        else:
            said.version, said.raw = self.number, self.model.score(row)
            said.window = {"from": self.span[0], "to": self.span[1], "n": len(self.learnt)}
            if self.constant and self._beside(said, row):
                return said
            if said.raw is not None and len(row) == 1:
                said.observed = row[0]
            if said.raw is not None and self.threshold is not None:
                self._calibrate(said, said.raw, self.threshold)
            else:
                said.threshold = self.threshold
        return said

    def _changed(self, row: list[float]) -> list[int]:
        same = self.model.same
        beyond = {f: (low - same * abs(value), high + same * abs(value)) for f, (value, low, high) in self.constant.items()}
        return [f for f, (low, high) in beyond.items() if not low <= row[f] <= high]

    def _beside(self, said: Said, row: list[float]) -> bool:
        """A constant that changes is infinitely odd; where nothing varies, what is the same is not odd at all."""
        changed = bool(self._changed(row))
        if not changed and sum(low == high for _, low, high in self.constant.values()) < len(row):
            return False
        said.raw, said.threshold, said.voted, said.live = None if changed else 0.0, self.threshold, changed, False
        said.r, said.score = (math.inf, 1.0) if changed else (0.0, 0.0)
        said.observed = row[0] if len(row) == 1 else None
        return True

    def explain(self, env: Env, said: Said) -> None:
        """What only alerts show: before the model learns the row."""
        row = [value for value in (value(env) for value in self.detector.features.values()) if value is not None]
        if said.version:
            said.note, said.out_of_range = self.model.note(), self._out_of_range(row)
            if not said.live:
                names = list(self.detector.features)
                was = []
                for f in self._changed(row):
                    value, low, high = self.constant[f]
                    of = "all" if low == high else f"nearly all (from {low:.6g} to {high:.6g} in the others)"
                    was.append(f"{names[f]} never varied before: it was {value:.6g} in {of} training rows")
                said.note = "; ".join(was)
                if not was:
                    said.note = "no feature ever varied in the training rows, nor does one here"
            elif said.raw is not None:
                said.contributions = self.model.contributions(row)

    def _calibrate(self, said: Said, raw: float, threshold: float) -> None:
        said.threshold, said.voted = threshold, raw > threshold
        said.r = raw / threshold if threshold > 0 else 1.0 if raw <= threshold else math.inf
        said.score = calibrated(said.r)

    def _out_of_range(self, row: list[float]) -> list[tuple[int, Num, Num, Num, Num]]:
        """Features more than three standard deviations from their mean over the training rows."""
        odd: list[tuple[int, Num, Num, Num, Num]] = []
        n = len(self.learnt)
        for number, x in enumerate(row):
            mean = squares = 0.0
            for each in self.learnt:
                mean += each[number]
            mean /= n
            for each in self.learnt:
                squares += (each[number] - mean) * (each[number] - mean)
            width = 3.0 * math.sqrt(squares / (n - 1.0))
            if abs(x - mean) > width:
                low = not_below_zero(mean - width, min(each[number] for each in self.learnt))
                odd.append((number, x, mean, None if low is None else finite(low), finite(mean + width)))
        return odd

    def learn(self, env: Env, said: Said, time_ns: int) -> None:
        """After the row was judged: it is kept, and if its turn has come the model is made anew."""
        row = [value(env) for value in self.detector.features.values()]
        kept = [value for value in row if value is not None]
        if len(kept) < len(row):
            return
        d = self.detector
        self.flagged = self.flagged + 1 if said.voted else 0
        passed_over = 0 < self.flagged <= d.patience
        if said.raw is not None and said.live:
            score = self.threshold if passed_over and self.threshold is not None else said.raw
            self.live = [*self.live, score][-LIVE:]
        self.count += 1
        if d.once and self.number:
            return
        if not passed_over:
            self.rows, self.times = [*self.rows, kept][-d.train_on :], [*self.times, time_ns][-d.train_on :]
        if self.count < d.train_min or (self.count + key_hash(self.key)) % d.retrain_every:
            return
        self.number += 1
        self.learnt, self.span = self.rows, (self.times[0], self.times[-1])
        self.model.train(self.rows, seed_of(self.seed, d.name, self.key, self.number), self.number)
        self.constant = {}
        allowed = 0 if d.contamination is None else _may_exceed(len(self.rows), d.contamination)
        for f in range(len(self.rows[0])):
            values = [each[f] for each in self.rows]
            value, _ = Counter(values[: 2 * allowed + 1]).most_common(1)[0]
            others = [x for x in values if not abs(x - value) <= self.model.same * abs(value)]
            if len(others) <= allowed:
                self.constant[f] = (value, min([value, *others]), max([value, *others]))
        self.threshold = d.limit if d.contamination is None else self._threshold(d.contamination)

    def _threshold(self, contamination: Fraction) -> Num:
        """From live scores, but not below the new model's own where too many of its rows would lie above it [R15]."""
        if len(self.live) < ENOUGH:
            return threshold_of(self._own(), contamination)
        live = threshold_of(self.live, contamination)
        assert live is not None
        m = len(self.rows)
        seed = seed_of(self.seed, self.detector.name, self.key, self.number)
        often = [(row, n) for row, n in Counter(map(tuple, self.rows)).items() if n > 1]
        mass = sum(n for row, n in often if (self.model.score(list(row)) or 0.0) > live)
        lots = [(split_mix(seed, (1 << 20) + i) >> 32) * m >> 32 for i in range(DRAWN)]
        above = sum((self.model.score(self.rows[lot]) or 0.0) > live for lot in lots)
        if m > DRAWN and mass <= _may_exceed(m, contamination) and above <= 2 * max(1, _may_exceed(DRAWN, contamination)):
            return live
        own = threshold_of(self._own(), contamination)
        return live if own is None else max(live, own)

    def _own(self) -> list[float]:
        return [score for score in map(self.model.score, self.rows) if score is not None]


def _may_exceed(m: int, contamination: Fraction) -> int:
    """How many of m scores may lie above their ⌈(1 - c)·m⌉-th smallest."""
    return m - max(math.ceil((1 - contamination) * m), 1)


# -- vote -----------------------------------------------------------------------------------------------------------------------------


def mean_in_order(values: list[float]) -> float:
    """From left to right: `sum` compensates from Python 3.12 on."""
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def severity(said: list[Said], weights: dict[str, float]) -> float:
    """Of an alert; S19."""
    voted = [d for d in said if d.voted]
    voters = [d for d in said if d.score is not None]
    if not weights:
        worst = max(d.r or 0.0 for d in voted)
        return max(0.0, 1.0 - 1.0 / worst) if worst > 0 else 0.0
    total = whole = 0.0
    for part, weight in weights.items():
        if part == "score":
            value: Num = mean_in_order([d.score or 0.0 for d in voted])
        elif part == "confidence":
            value = len(voted) / len(voters)
        else:
            detector, _, term = part.partition(".")
            (r,) = (d.ratios[term] for d in said if d.name == detector)
            value = None if r is None else calibrated(abs(r))
        if value is not None:
            total += weight * value
            whole += weight
    return total / whole if whole > 0 else 0.0
