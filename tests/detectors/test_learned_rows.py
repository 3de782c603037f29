"""Which rows trained detectors learn: `learn: all`, `unflagged`, `once`; on made data, with right values by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from contract import case_of, stream
from driver import Driver, plan_of
from harness import Record

from benchmarks.adbench import auroc
from offbeat.core.batch import F64, Bools
from offbeat.engines.compare import judge
from offbeat.errors import UserError
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import load_plan

SPEC = """
name: plant
source: {key: k, time: {column: t, format: s}, columns: {COLUMNS}}
views:
  row:
    detectors:
      it: {type: TYPE, features: [NAMES], train_on: 400, retrain_every: 50, train_min: 300, contamination: 0.02, LEARN}
"""
NAMES = [f"f{j}" for j in range(6)]


def plant(seed: int) -> tuple[F64, Bools]:
    """A plant's sensors that hang together, as SKAB's do: 500 rows of usual running, then faults of 150 rows that shift two of them."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(len(NAMES), 3))
    rows = random.normal(size=(1500, 3)) @ mixing.T + 0.3 * random.normal(size=(1500, len(NAMES)))
    odd = np.zeros(1500, np.bool_)
    for begin in (500, 800, 1100, 1300):
        odd[begin : begin + 150] = True
        rows[begin : begin + 150, [0, 3]] += (2.0, -2.0)
    return rows, odd


def area(folder: Path, kind: str, learn: str, seed: int) -> float:
    """ROC-AUC of the rows after the first training."""
    rows, odd = plant(seed)
    file = folder / "rows.csv"
    table = pl.DataFrame({"k": ["a"] * len(rows), "t": np.arange(len(rows)) + 1_700_000_000, **dict(zip(NAMES, rows.T, strict=True))})
    table.write_csv(file)
    text = SPEC.replace("COLUMNS", ", ".join(f"{name}: float" for name in NAMES)).replace("NAMES", ", ".join(NAMES))
    pipeline = folder / "p.yaml"
    pipeline.write_text(text.replace("TYPE", kind).replace("LEARN", learn))
    plan = load_plan(pipeline)
    (series,) = judge(plan, open_source(plan.source, [str(file)]), {("row", "it"): "it"}).series
    known = ~np.isnan(series.score)
    assert known.sum() > 1000
    return auroc(series.score[known], odd[known])


def test_a_contaminated_stream(tmp_path: Path) -> None:
    """Faults that last are learned as usual by `all`; kept out, they stay odd."""
    found = {
        learn: np.mean([area(tmp_path, "robust_covariance", f"learn: {learn}", seed) for seed in (1, 2, 3)])
        for learn in ("all", "unflagged", "once")
    }
    assert found["all"] < 0.65
    assert found["unflagged"] >= 0.75
    assert found["once"] >= 0.9


def said(learn: str, values: list[float]) -> list[Record]:
    settings = "type: robust_covariance, features: [x], train_on: 20, retrain_every: 10, train_min: 10, limit: 5"
    driver = Driver(case_of("learn", {"it": f"{settings}{learn}"}))
    driver.feed(stream(len(values), lambda i: [values[i], 1.0, 0.0], keys=1))
    driver.drain()
    alerts = sorted(driver.alerts(), key=lambda alert: alert["time_ns"])
    return [d for alert in alerts for d in alert["detectors"] if d["name"] == "it"]


USUAL = [float(i * 7 % 10) for i in range(60)]
SHIFTED = USUAL + [100.0 + value for value in USUAL]


def test_a_new_level_becomes_usual_after_patience() -> None:
    """Of the 60 shifted rows the first 25 are not learned; of `all`, the first training with the new level ends the flags."""
    votes = [d["voted"] for d in said(", learn: unflagged, patience: 25", SHIFTED)][60:]
    assert all(votes[:26])
    assert not any(votes[-10:])
    quicker = [d["voted"] for d in said("", SHIFTED)][60:]
    assert sum(quicker) < sum(votes)
    never = [d["voted"] for d in said(", learn: unflagged, patience: 1000", SHIFTED)][60:]
    assert all(never)


def test_once_is_the_first_training_for_good() -> None:
    found = said(", learn: once", SHIFTED)
    assert {d["version"] for d in found} == {0, 1}
    assert all(d["voted"] for d in found[60:])
    assert len({d["window"]["to"] for d in found if d["window"]}) == 1


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ("patience: 3", "patience"),
        ("learn: once, patience: 3", "patience"),
        ("learn: some", "learn"),
        ("learn: unflagged, patience: 0", "patience"),
    ],
)
def test_what_is_refused(settings: str, word: str) -> None:
    with pytest.raises(UserError, match=word):
        plan_of(case_of("learn", {"it": f"type: isolation_forest, features: [x], {settings}"}))


def hashes(settings: str) -> tuple[Any, Any]:
    plan = plan_of(case_of("learn", {"it": f"type: isolation_forest, features: [x]{settings}"}))
    return plan.plan_hash, plan.state_hash


def test_hashes() -> None:
    """`all` is what it was without the setting; the others are other trainings."""
    assert hashes("") == hashes(", learn: all")
    assert len({hashes(text) for text in ("", ", learn: once", ", learn: unflagged", ", learn: unflagged, patience: 5")}) == 4
    assert hashes(", learn: unflagged") != hashes(", learn: unflagged, patience: 501")
