"""Made-up windows of many keys, and the population forest fed with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from oracle_population import Verdict, Window

from offbeat.core.plan import PopulationPlan
from offbeat.core.state import decode, encode
from offbeat.detectors.build import method_of
from offbeat.detectors.detector import DetectorInput
from offbeat.detectors.population.population import Population

DAY = 86_400_000_000_000
PLAN = PopulationPlan("forest", "population_forest", ("a", "b"), (2, 0), (("sample", 64), ("trees", 12)), 4 * DAY, 700, 450, 0.05, "")
VIEW, SEED = "v", 2**63 + 5


def windows(days: int = 9, keys: int = 300, seed: int = 1) -> list[Window]:
    """Each day some of the keys, in the order of (day, key): long-tailed values, nulls, whole numbers, one far out; day 5 is missing."""
    random = np.random.default_rng(seed)
    found = []
    for day in range(days):
        for key in range(keys):
            a, b = float(random.poisson(5)), round(float(random.lognormal(2, 1)), 6)
            if day == 5 or random.random() < 0.1:
                continue
            a = nan if random.random() < 0.03 else a
            found.append(Window(f"kü{key}", (18_000 + day) * DAY, (a, 1e4 * b if random.random() < 0.02 else b)))
    return found


class Run:
    """A detector fed with batches of windows."""

    def __init__(self, plan: PopulationPlan = PLAN, seed: int = SEED) -> None:
        self.forest = Population(plan, method_of(plan), VIEW, seed)
        self.names: list[str] = []

    def input(self, batch: Sequence[Window]) -> DetectorInput:
        self.names += sorted({w.key for w in batch} - set(self.names))
        slots = np.array([self.names.index(w.key) for w in batch], np.int32)
        outputs = np.full((3, len(batch)), 7.0)
        for column, row in enumerate(PLAN.inputs):
            outputs[row] = [w.features[column] for w in batch]
        n = len(batch)
        return DetectorInput(self.names, slots, np.array([w.start for w in batch], np.int64), outputs, np.zeros(n, np.int64))

    def judge(self, batch: Sequence[Window]) -> list[Verdict]:
        said = self.forest.judge(self.input(batch))
        self.evidence = self.forest.explain(np.arange(len(batch)))
        return [
            Verdict(None if np.isnan(raw) else raw, None if np.isnan(limit) else limit, None if np.isnan(score) else score, voted)
            for raw, limit, score, voted in zip(
                self.evidence.raw.tolist(), self.evidence.threshold.tolist(), said.score.tolist(), said.voted.tolist(), strict=True
            )
        ]

    def learn(self, batch: Sequence[Window]) -> None:
        self.forest.learn(self.input(batch))

    def restarted(self) -> Run:
        other = Run()
        other.names = list(self.names)
        kept = self.forest.snapshot(np.arange(len(self.names)))
        other.forest.restore(decode(encode(kept, {}), "state")[0], self.names)
        return other
