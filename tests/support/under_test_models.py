"""Pipelines with trained detectors, ranges and weights: a small one for random streams, and the shipped `trades`."""

from __future__ import annotations

import math
from fractions import Fraction

from case import Case, change, col, exact, gap, is_text, measured, plain
from folders import ROOT
from oracle_detectors import band, quantiles, zscore
from oracle_logic import Num, absolute, as_number, compare, div, mod, same_text, sub
from oracle_spec import DAY, SECOND, Column, Model, Pipeline, Records, Rollup, Rule, View
from oracle_trained import covariance, forest, half_spaces
from oracle_windows import Agg, Window

# -- ensemble: every kind of detector on few rows ---------------------------------------------------------------------------------------

ENSEMBLE = Case(
    "ensemble",
    """
name: ensemble
seed: 7
source:
  key: {column: key}
  time: {column: time}
  order: seq
  columns:
    x: {type: float, required: false, allow_nan: true}
    n: {type: decimal, scale: 2, required: false}
    side: {type: text, required: false}
    seq: {type: decimal, scale: 0, required: false}
quality: {unique: [time, seq], keep: last, lateness: 2s, dedup_rows: 5, max_jump: 40s}
views:
  all:
    windows:
      last4:
        over: 4 rows
        current: true
        min_rows: 2
        features:
          mx: mean(x)
          move: mean(diff(x))
          pause: max(gap())
          asks: share(side = 'A')
          wide: mad(x)
    detectors:
      forest:
        {type: isolation_forest, trees: 3, sample: 8, features: [x, mx],
         train_on: 12, retrain_every: 5, train_min: 6, contamination: 0.2}
      covariance: {type: robust_covariance, features: [mx, move], train_on: 12, retrain_every: 5, train_min: 6, contamination: 0.29}
      other: {type: isolation_forest, trees: 2, sample: 4, features: [n], train_on: 6, retrain_every: 3, train_min: 4, limit: 1.05}
      zscore: {type: zscore, over: 5 rows, min_values: 2, limits: {x: 1, mx: 2}}
      sturdy: {type: zscore, over: 4s, min_values: 2, robust: true, limits: {n: 2}}
      given: {type: zscore, limits: {x: 2}, baseline: {x: {mean: mx, std: wide}}}
      band: {type: band, value: n, width: 1, over: 5 rows, min_values: 2}
      tails: {type: quantile, value: x, low: 0.1, high: 0.9, factor: 1.5, over: 6 rows, min_values: 3}
      sold: {type: rule, when: x > 1 AND side = 'A'}
    vote: {quorum: 2}
    severity:
      weights: {zscore.mx: 0.3, score: 0.4, tails.x: 0.1, confidence: 0.2, band.n: 0.25}
      levels: {critical: 0.7, high: 0.6, medium: 0.5}
  alone:
    windows:
      w: {over: 6s, current: true, features: {last_x: last(x), move: sum(diff(x)), pause: mean(gap())}}
    detectors:
      forest: {type: isolation_forest, trees: 3, sample: 5, train_on: 10, retrain_every: 4, train_min: 5, contamination: 0.25}
      zscore: {type: zscore, over: 3 rows, min_values: 2, limits: {x: 1}}
      record: {type: record, features: [x, move], warm_up: 3, limit: 0.1, leak: 0.02}
      spaces:
        {type: half_space_trees, trees: 3, depth: 4, features: [x, n], learn: unflagged, patience: 2,
         train_on: 10, retrain_every: 4, train_min: 5, contamination: 0.25}
      settled:
        {type: isolation_forest, trees: 2, sample: 5, features: [x],
         train_on: 10, retrain_every: 4, train_min: 5, contamination: 0.25, learn: once}
    cooldown: 3 rows
  bins:
    rollup:
      key: {constant: all}
      size: 3s
      columns: {rows: count(*), total: sum(n)}
    detectors:
      forest:
        {type: isolation_forest, trees: 2, sample: 6, features: [rows, total],
         train_on: 8, retrain_every: 2, train_min: 3, contamination: 0.3}
      high: {type: band, value: rows, width: 1, over: 6 rows, min_values: 2}
      most: {type: record, features: [total], warm_up: 2, limit: 0.05, leak: 0}
    cooldown: 12s
""",
    Pipeline(
        name="ensemble",
        seed=7,
        columns=(Column("x", allow_nan=True), Column("n", "decimal", 2), Column("side", "text"), Column("seq", "decimal")),
        unique=("time", "seq"),
        keep_last=True,
        lateness_ns=2 * SECOND,
        dedup_rows=5,
        max_jump_ns=40 * SECOND,
        order="seq",
        views=(
            View(
                "all",
                windows=(
                    Window(
                        "last4",
                        {
                            "mx": Agg("mean", col("x")),
                            "move": Agg("mean", change("x")),
                            "pause": Agg("max", gap),
                            "asks": Agg("mean", lambda e: as_number(is_text("side", "A")(e))),
                            "wide": Agg("mad", col("x")),
                        },
                        plain("mx", "move", "pause", "asks", "wide"),
                        rows=4,
                        current=True,
                        min_rows=2,
                    ),
                ),
                detectors=(
                    Model("forest", "isolation_forest", {"x": col("x"), "mx": col("mx")}, forest(3, 8), 12, 5, 6, Fraction(1, 5)),
                    Model(
                        "covariance", "robust_covariance", {"mx": col("mx"), "move": col("move")}, covariance, 12, 5, 6, Fraction(29, 100)
                    ),
                    Model("other", "isolation_forest", {"n": col("n")}, forest(2, 4), 6, 3, 4, limit=1.05),
                    zscore("zscore", {"x": (col("x"), 1.0), "mx": (col("mx"), 2.0)}, 2, rows=5),
                    zscore("sturdy", {"n": (col("n"), 2.0)}, 2, duration_ns=4 * SECOND, robust=True),
                    zscore("given", {"x": (col("x"), 2.0)}, 50, baseline={"x": (col("mx"), col("wide"))}),
                    band("band", "n", col("n"), 1.0, 2, rows=5),
                    quantiles("tails", "x", col("x"), (0.1, 0.9), 1.5, 3, rows=6),
                    Rule("sold", lambda e: measured(e["x"], ">", 1.0, rest=is_text("side", "A")(e))),
                ),
                quorum=2,
                weights={"zscore.mx": 0.3, "score": 0.4, "tails.x": 0.1, "confidence": 0.2, "band.n": 0.25},
                levels=(("critical", 0.7), ("high", 0.6), ("medium", 0.5)),
            ),
            View(
                "alone",
                windows=(
                    Window(
                        "w",
                        {"last_x": Agg("last", col("x")), "move": Agg("sum", change("x")), "pause": Agg("mean", gap)},
                        plain("last_x", "move", "pause"),
                        6 * SECOND,
                        current=True,
                    ),
                ),
                detectors=(
                    Model(
                        "forest",
                        "isolation_forest",
                        {name: col(name) for name in ("last_x", "move", "pause")},
                        forest(3, 5),
                        10,
                        4,
                        5,
                        Fraction(1, 4),
                    ),
                    zscore("zscore", {"x": (col("x"), 1.0)}, 2, rows=3),
                    Records("record", {"x": col("x"), "move": col("move")}, 3, 0.1, 0.02),
                    Model(
                        "spaces",
                        "half_space_trees",
                        {"x": col("x"), "n": col("n")},
                        half_spaces(3, 4),
                        10,
                        4,
                        5,
                        Fraction(1, 4),
                        patience=2,
                    ),
                    Model("settled", "isolation_forest", {"x": col("x")}, forest(2, 5), 10, 4, 5, Fraction(1, 4), once=True),
                ),
                cooldown_rows=3,
            ),
            View(
                "bins",
                rollup=Rollup(
                    lambda _key, _env: "all",
                    3 * SECOND,
                    {"rows": Agg("count_rows"), "total": Agg("sum_exact", exact("n"), scale=2)},
                    plain("rows", "total"),
                ),
                windows=(),
                detectors=(
                    Model(
                        "forest", "isolation_forest", {"rows": col("rows"), "total": col("total")}, forest(2, 6), 8, 2, 3, Fraction(3, 10)
                    ),
                    band("high", "rows", col("rows"), 1.0, 2, rows=6),
                    Records("most", {"total": col("total")}, 2, 0.05, 0.0),
                ),
                cooldown_ns=12 * SECOND,
            ),
        ),
    ),
)


# -- trades: the shipped pipeline (S26) -------------------------------------------------------------------------------------------------

TRADE_FEATURES = (
    "current_price", "current_size", "price_mean", "price_std", "price_min", "price_max", "price_range", "volume_mean", "volume_std",
    "volume_total", "trade_count", "trades_per_second", "avg_time_between_trades", "price_volatility", "price_momentum",
    "volume_momentum", "ask_ratio", "bid_ratio",
)  # fmt: skip


def _change(first: Num, last: Num) -> Num:
    """By how much of its size a price has risen; null from 0."""
    change = sub(div(last, first), 1.0)
    return None if change is None or first is None else change * math.copysign(1.0, first)


_LEARNT = {name: col(name) for name in TRADE_FEATURES}
_LIMITS = {"current_price": 4.0, "current_size": 5.0, "price_volatility": 4.0}

TRADES = Case(
    "trades",
    str(ROOT / "offbeat" / "pipelines" / "trades.yaml"),
    Pipeline(
        name="trades",
        columns=(
            Column("price", "decimal", 9),
            Column("size", "decimal"),
            Column("action", "text"),
            Column("side", "text"),
            Column("flags", "decimal"),
            Column("sequence", "decimal"),
            Column("publisher_id", "decimal"),
        ),
        where=lambda e: same_text(e["action"], "T"),
        rules={
            "size": lambda e: compare(e["size"], ">", 0.0),
            "bad_ts_recv": lambda e: compare(mod(e["flags"], 16.0), "<", 8.0),
            "maybe_bad_book": lambda e: compare(mod(e["flags"], 8.0), "<", 4.0),
        },
        max_jump_ns=10 * DAY,
        order="sequence",
        views=(
            View(
                "trade",
                windows=(
                    Window(
                        "hundred_trades",
                        {
                            "first_price": Agg("first", col("price")),
                            "last_price": Agg("last", col("price")),
                            "first_size": Agg("first", col("size")),
                            "last_size": Agg("last", col("size")),
                            "price_mean": Agg("mean", col("price")),
                            "price_std": Agg("std", col("price")),
                            "price_min": Agg("min", col("price")),
                            "price_max": Agg("max", col("price")),
                            "volume_mean": Agg("mean", col("size")),
                            "volume_std": Agg("std", col("size")),
                            "volume_total": Agg("sum_exact", exact("size")),
                            "n": Agg("count_rows"),
                            "rate": Agg("rate"),
                            "span": Agg("span"),
                            "asks": Agg("mean", lambda e: as_number(is_text("side", "A")(e))),
                            "bids": Agg("mean", lambda e: as_number(is_text("side", "B")(e))),
                        },
                        {
                            "current_price": lambda a: a["last_price"],
                            "current_size": lambda a: a["last_size"],
                            **plain("price_mean", "price_std", "price_min", "price_max"),
                            "price_range": lambda a: sub(a["price_max"], a["price_min"]),
                            **plain("volume_mean", "volume_std", "volume_total"),
                            "trade_count": lambda a: a["n"],
                            "trades_per_second": lambda a: a["rate"],
                            "avg_time_between_trades": lambda a: div(a["span"] or None, sub(a["n"], 1.0)),
                            "price_volatility": lambda a: div(a["price_std"], absolute(a["price_mean"])),
                            "price_momentum": lambda a: _change(a["first_price"], a["last_price"]),
                            "volume_momentum": lambda a: sub(div(a["last_size"], a["first_size"]), 1.0),
                            "ask_ratio": lambda a: a["asks"],
                            "bid_ratio": lambda a: a["bids"],
                        },
                        rows=100,
                        current=True,
                    ),
                ),
                detectors=(
                    Model("forest", "isolation_forest", _LEARNT, forest(100, 256), 2000, 500, 500, Fraction(1, 100)),
                    Model("covariance", "robust_covariance", _LEARNT, covariance, 2000, 500, 500, Fraction(1, 100)),
                    zscore("zscore", {name: (col(name), limit) for name, limit in _LIMITS.items()}, 50, rows=100),
                ),
                quorum=2,
                weights={"score": 0.40, "confidence": 0.20, "zscore.current_size": 0.25, "zscore.current_price": 0.15},
                levels=(("critical", 0.8), ("high", 0.6), ("medium", 0.4)),
            ),
        ),
    ),
)
