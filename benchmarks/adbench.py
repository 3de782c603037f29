"""The labelled sets of ADBench in ../shared/data, and how well scores tell their anomalies."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from offbeat.core.batch import F64, Bools

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "labelled" / "adbench"
NAMES = (
    "2_annthyroid", "4_breastw", "6_cardio", "14_glass", "18_Ionosphere", "23_mammography", "28_pendigits", "30_satellite", "32_shuttle",
    "38_thyroid", "40_vowels", "45_wine",
)  # fmt: skip


def labelled(name: str) -> tuple[F64, Bools]:
    """(n, k) rows of a set and (n,) whether each is an anomaly."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return np.ascontiguousarray(arrays["X"], np.float64), arrays["y"] == 1


def published(detector: str) -> dict[str, float]:
    """AUROC (0…1) of a detector in ADBench's table, by the names of NAMES."""
    with (FOLDER / "published_aucroc.csv").open(newline="") as lines:
        table = {line["dataset"]: float(line[detector]) / 100 for line in csv.DictReader(lines)}
    return {name: table[name.partition("_")[2].lower()] for name in NAMES}


def auroc(scores: F64, odd: Bools) -> float:
    """Area under the ROC curve: the share of pairs (anomaly, other) in which the anomaly scores higher, ties counting half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    anomalies = int(odd.sum())
    return float((ranks[odd].sum() - anomalies * (anomalies + 1) / 2) / (anomalies * (len(odd) - anomalies)))
