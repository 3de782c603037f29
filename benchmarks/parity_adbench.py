"""Our isolation forest beside scikit-learn's on ADBench's sets: the same figure of merit over as many seeds, and the published one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.adbench import NAMES, auroc, labelled, published
from benchmarks.results import record
from offbeat.core.batch import F64
from offbeat.detectors.half_space_trees.half_space_trees import HalfSpaceTrees
from offbeat.detectors.isolation_forest.isolation_forest import IsolationForest
from offbeat.detectors.trained.model import Model, Training

SEEDS = 25
Scorer = Callable[[F64, int], F64]


@dataclass(frozen=True, slots=True)
class Parity:
    """AUROC of one set: ours and the reference's over their seeds."""

    name: str
    ours: F64
    reference: F64
    published: float

    @property
    def difference(self) -> float:
        """Mean of ours minus mean of the reference."""
        return float(self.ours.mean() - self.reference.mean())

    @property
    def allowed(self) -> float:
        """Three standard errors of the difference of two means over so many seeds, at the larger sd of both; at least 0.005."""
        deviation = max(self.ours.std(ddof=1), self.reference.std(ddof=1))
        return float(max(0.005, 3 * deviation * np.sqrt(2 / len(self.ours))))


def scores_of(model: Model, rows: F64, seed: int) -> F64:
    """(n,) scores of the rows by a model fitted on them all."""
    n = len(rows)
    slot, zero, one = np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones(1, np.int64)
    model.grow(1)
    model.train(Training(slot, zero, np.array([n]), rows, one, np.array([seed], np.uint64)))
    return model.score(np.zeros(n, np.int32), rows)


def our_forest(rows: F64, seed: int) -> F64:
    return scores_of(IsolationForest(rows.shape[1]), rows, seed)


def our_half_space_trees(rows: F64, seed: int) -> F64:
    return scores_of(HalfSpaceTrees(rows.shape[1]), rows, seed)


def reference_forest(rows: F64, seed: int) -> F64:
    """scikit-learn's forest of 100 trees on samples of 256."""
    ensemble: Any = import_module("sklearn.ensemble")
    forest = ensemble.IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=seed)
    scores: F64 = -forest.fit(rows).score_samples(rows)
    return scores


def measure(name: str, score: Scorer, seeds: int) -> F64:
    """(seeds,) AUROC on a set, fitted and scored on all its rows."""
    rows, odd = labelled(name)
    return np.array([auroc(score(rows, seed), odd) for seed in range(1, seeds + 1)])


def parity(name: str, ours: Scorer = our_forest, reference: Scorer = reference_forest, seeds: int = SEEDS) -> Parity:
    """Both on one set."""
    return Parity(name, measure(name, ours, seeds), measure(name, reference, seeds), published("IForest")[name])


def table(results: list[Parity], half_space: dict[str, F64]) -> str:
    """Markdown: a line a set; `half_space` are the AUROCs of half-space trees beside them."""
    lines = [
        "| set | offbeat | sd | scikit-learn | sd | difference | allowed | published IForest | half-space trees |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        figures = (r.ours.mean(), r.ours.std(ddof=1), r.reference.mean(), r.reference.std(ddof=1))
        middle = " | ".join(f"{x:.4f}" for x in figures)
        more = half_space[r.name].mean()
        lines.append(f"| {r.name} | {middle} | {r.difference:+.4f} | {r.allowed:.4f} | {r.published:.4f} | {more:.4f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    seeds = parser.parse_args().seeds
    results = [parity(name, seeds=seeds) for name in NAMES]
    half_space = {name: measure(name, our_half_space_trees, seeds) for name in NAMES}
    within = sum(abs(r.difference) <= r.allowed for r in results)
    body = (
        f"Mean AUROC over {seeds} seeds, fitted and scored on all rows of a set: 100 trees on samples of 256 both. On {within} of "
        f"{len(results)} sets the means differ by no more than three standard errors (or 0.005). The published figure is ADBench's.\n\n"
        f"{table(results, half_space)}"
    )
    sys.stdout.write(record("Forests on ADBench", body, "scikit-learn", "numba"))


if __name__ == "__main__":
    main()
