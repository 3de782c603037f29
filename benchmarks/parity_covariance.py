"""Our robust covariance beside scikit-learn's on ADBench's sets: the same figure of merit over as many seeds, and the published one."""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from typing import Any

from benchmarks.adbench import NAMES, published
from benchmarks.parity_adbench import Parity, measure, scores_of
from benchmarks.results import record
from offbeat.core.batch import F64
from offbeat.detectors.robust_covariance.robust_covariance import RobustCovariance

SEEDS = 10


def our_covariance(rows: F64, seed: int) -> F64:
    return scores_of(RobustCovariance(rows.shape[1]), rows, seed)


def reference_covariance(rows: F64, seed: int) -> F64:
    """scikit-learn's squared Mahalanobis distances, which are in the order of ours.

    Where half of the rows are singular (breastw, cardio, mammography) scikit-learn goes on with a pseudo-inverse, in which what leaves
    the rows' plane costs nothing, and warns of a determinant that rises by rounding or of a covariance that lacks rank.
    """
    covariance: Any = import_module("sklearn.covariance")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Determinant has increased")
        warnings.filterwarnings("ignore", message="The covariance matrix associated to your dataset is not full rank")
        squares: F64 = covariance.MinCovDet(random_state=seed).fit(rows).mahalanobis(rows)
    return squares


def parity(name: str, seeds: int = SEEDS) -> Parity:
    """Both on one set."""
    return Parity(name, measure(name, our_covariance, seeds), measure(name, reference_covariance, seeds), published("MCD")[name])


def table(results: list[Parity]) -> str:
    """Markdown: a line a set."""
    lines = [
        "| set | offbeat | sd | scikit-learn | sd | difference | allowed | published MCD |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        figures = (r.ours.mean(), r.ours.std(ddof=1), r.reference.mean(), r.reference.std(ddof=1))
        middle = " | ".join(f"{x:.4f}" for x in figures)
        lines.append(f"| {r.name} | {middle} | {r.difference:+.4f} | {r.allowed:.4f} | {r.published:.4f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    seeds = parser.parse_args().seeds
    results = [parity(name, seeds) for name in NAMES]
    within = sum(abs(r.difference) <= r.allowed for r in results)
    body = (
        f"Mean AUROC over {seeds} seeds, fitted and scored on all rows of a set. On {within} of {len(results)} sets the means differ by "
        "no more than three standard errors (or 0.005). Half of the rows of breastw, cardio and mammography are singular: there "
        "scikit-learn goes on "
        "with a pseudo-inverse, we with a regularised covariance. The published figure is ADBench's.\n\n"
        f"{table(results)}"
    )
    sys.stdout.write(record("Robust covariance on ADBench", body, "scikit-learn", "numba"))


if __name__ == "__main__":
    main()
