"""NAB's scoring against the paper and the published figures; and that `series` does not look ahead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.nab import FOLDER, alert_scores, times, windows
from benchmarks.nab_scoring import PROFILES, best_threshold, normalised, placed, raw_score
from offbeat.spec.load import load_plan

STANDARD = PROFILES[0]
needs_nab = pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared/data/labelled/nab")


def test_worth_by_hand() -> None:
    """100 rows: 15 of probation; a window of 10 from row 40 on. sigmoid(y) = 2 / (1 + e^5y) - 1."""
    where = placed(np.arange(100, dtype=np.int64), [(40, 49)])
    assert (where.window == np.array([-2] * 15 + [-1] * 25 + [0] * 10 + [-1] * 50)).all()
    assert where.worth[39] == -1.0
    assert where.worth[40] == 1.0
    assert where.worth[49] == pytest.approx((2 / (1 + np.exp(-0.5)) - 1) / (2 / (1 + np.exp(-5)) - 1), rel=1e-15)
    assert where.worth[58] == pytest.approx(2 / (1 + np.exp(5)) - 1, rel=1e-15)  # one width, 9 rows, past its end
    assert where.worth[77] == -1.0  # more than three
    scores = np.zeros(100)
    scores[[5, 30, 44, 47]] = 0.9
    hit = where.worth[44]
    assert raw_score([(where, scores)], 0.5, STANDARD) == pytest.approx(hit - 0.11)
    assert raw_score([(where, scores)], 0.95, STANDARD) == -1.0
    assert normalised(-1.0, 1, STANDARD) == 0.0
    assert normalised(1.0, 1, STANDARD) == 100.0
    threshold, best = best_threshold([(where, scores)], STANDARD)
    assert threshold == 0.9
    assert best == pytest.approx(hit - 0.11)
    assert best_threshold([(where, np.where(scores > 0, 0.0, 1.0) * (where.window == -1))], STANDARD)[1] == -1.0


@needs_nab
@pytest.mark.parametrize("detector", ["numenta", "contextOSE", "randomCutForest", "windowedGaussian", "null"])
def test_published_scores_give_the_published_figures(detector: str) -> None:
    every = pl.read_parquet(FOLDER / "published_scores.parquet").filter(pl.col("detector") == detector).sort("row")
    scores = {str(name): part["anomaly_score"].to_numpy() for (name,), part in every.group_by("file", maintain_order=True)}
    spans = windows()
    files = [(placed(times(FOLDER / "data" / name), spans[name]), scores[name]) for name in spans]
    published = json.loads((FOLDER / "final_results.json").read_text())[detector]
    thresholds = json.loads((FOLDER / "config" / "thresholds.json").read_text())[detector]
    for profile in PROFILES:
        at = raw_score(files, thresholds[profile.name]["threshold"], profile)
        assert normalised(at, 116, profile) == pytest.approx(published[profile.name], abs=5e-5)
        # NAB climbs towards the best threshold, which is here found by trying them all.
        best = normalised(best_threshold(files, profile)[1], 116, profile)
        assert best >= published[profile.name] - 5e-5
        assert best == pytest.approx(published[profile.name], abs=0.1)


@needs_nab
@pytest.mark.parametrize(
    "name", ["realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv", "realKnownCause/ambient_temperature_system_failure.csv"]
)
@pytest.mark.parametrize("rows", [700, 2500])
def test_a_prefix_gets_the_same_scores(tmp_path: Path, name: str, rows: int) -> None:
    plan, whole = load_plan("series"), FOLDER / "data" / name
    part = tmp_path / whole.name
    part.write_text("\n".join(whole.read_text().splitlines()[: rows + 1]) + "\n")
    assert (alert_scores(plan, part) == alert_scores(plan, whole)[:rows]).all()
