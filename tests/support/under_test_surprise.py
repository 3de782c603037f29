"""A pipeline whose views vote by surprise: over rows and over windows of a rollup, with a budget by rows and by time."""

from __future__ import annotations

from fractions import Fraction

from case import Case, col, measured, plain
from oracle_detectors import zscore
from oracle_spec import SECOND, Column, Model, Pipeline, Rollup, Rule, View
from oracle_surprise import Budget
from oracle_trained import forest
from oracle_windows import Agg, Window

SURPRISED = Case(
    "surprised",
    """
name: surprised
source: {key: key, time: time, columns: {x: {type: float, required: false, allow_nan: true}, n: {type: decimal, required: false}}}
quality: {lateness: 2s, max_jump: 40s}
views:
  row:
    windows: {last3: {over: 3 rows, min_rows: 1, features: {mx: mean(x)}}}
    detectors:
      zscore: {type: zscore, over: 4 rows, min_values: 2, limits: {x: 1}}
      high: {type: rule, when: x > mx}
      forest:
        {type: isolation_forest, trees: 2, sample: 4, features: [x, n], train_on: 8, retrain_every: 3, train_min: 4, contamination: 0.25}
    vote: {by: surprise, budget: 300 per 100 rows, warm_up: 3}
    cooldown: 2 rows
  weighted:
    detectors:
      high: {type: rule, when: x > 1}
      zscore: {type: zscore, over: 3 rows, min_values: 2, limits: {n: 1}}
    vote: {by: surprise, budget: 9000 per hour, warm_up: 2}
    severity: {weights: {score: 0.4, confidence: 0.3, zscore.n: 0.3}}
  bins:
    rollup: {key: key, size: 3s, columns: {calls: count(*), total: sum(n)}}
    detectors:
      calls: {type: rule, when: calls > 1}
      total: {type: zscore, over: 3 rows, min_values: 2, limits: {total: 1}}
    vote: {by: surprise, budget: 5 per 1 rows, warm_up: 1}
""",
    Pipeline(
        name="surprised",
        columns=(Column("x", allow_nan=True), Column("n", "decimal")),
        lateness_ns=2 * SECOND,
        max_jump_ns=40 * SECOND,
        views=(
            View(
                "row",
                windows=(Window("last3", {"mx": Agg("mean", col("x"))}, plain("mx"), rows=3, min_rows=1),),
                detectors=(
                    zscore("zscore", {"x": (col("x"), 1.0)}, 2, rows=4),
                    Rule("high", lambda e: measured(e["x"], ">", e["mx"])),
                    Model("forest", "isolation_forest", {"x": col("x"), "n": col("n")}, forest(2, 4), 8, 3, 4, Fraction(1, 4)),
                ),
                budget=Budget(300.0, rows=100, warm_up=3),
                cooldown_rows=2,
            ),
            View(
                "weighted",
                windows=(),
                detectors=(
                    Rule("high", lambda e: measured(e["x"], ">", 1.0)),
                    zscore("zscore", {"n": (col("n"), 1.0)}, 2, rows=3),
                ),
                budget=Budget(9000.0, seconds=3600.0, warm_up=2),
                weights={"score": 0.4, "confidence": 0.3, "zscore.n": 0.3},
            ),
            View(
                "bins",
                rollup=Rollup(
                    lambda key, _env: key,
                    3 * SECOND,
                    {"calls": Agg("count_rows"), "total": Agg("sum_exact", lambda e: e["n#"])},
                    plain("calls", "total"),
                ),
                windows=(),
                detectors=(
                    Rule("calls", lambda e: measured(e["calls"], ">", 1.0)),
                    zscore("total", {"total": (col("total"), 1.0)}, 2, rows=3),
                ),
                budget=Budget(5.0, rows=1, warm_up=1),
            ),
        ),
    ),
)
