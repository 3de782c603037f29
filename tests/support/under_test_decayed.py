"""A pipeline of weighted means, forecasts, seasons and the clock in views of rows, and of weighted means over windows of a rollup."""

from __future__ import annotations

from typing import Any

from case import Case, change, col, exact, measured, plain
from oracle import CLOCK
from oracle_decayed import Decayed, Weighted
from oracle_logic import Num, Truth, absolute, all_of, any_of, area_sine, compare, logarithm, mul, sub
from oracle_spec import DAY, SECOND, Column, Model, Pipeline, Rollup, Rule, Verdict, View
from oracle_trained import forest
from oracle_windows import Agg, Env, Window

NEW_YORK = "America/New_York"
HOUR = 3600 * SECOND


def hour(env: Env) -> Num:
    return float(env[CLOCK].hour)


def weekday(env: Env) -> Num:
    return float(env[CLOCK].isoweekday())


def _step(env: Env) -> Num:
    return absolute(change("x")(env))


def _verdict(when: Truth, expected: Num) -> Verdict:
    """Of a condition that has no measure."""
    return Verdict(when, expected=expected)


def _far(value: str, center: str, spread: str) -> Any:
    return lambda e: measured(absolute(sub(e[value], e[center])), ">", mul(2.0, e[spread]), e[center])


DECAYED = Case(
    "decayed",
    """
name: decayed
source:
  key: {column: key}
  time: {column: time, zone: America/New_York}
  columns:
    x: {type: float, required: false, allow_nan: true}
    n: {type: decimal, scale: 1, required: false}
quality: {lateness: 20m, max_jump: 3d, not_after: "2020-12-31"}
views:
  row:
    windows:
      level:
        over: all
        min_rows: 2
        features:
          level: ewma(x, 5)
          spread: ewstd(x, 5)
          small: ewma(asinh(x), 3)
          step: ewma(abs(diff(x)), 4) + 0
          next_n: ar(n, 3)
          next_x: ar(x, 1)
      with_it: {over: all, current: true, features: {now: "ewma(ln(n), 1)", after: "ar(x, 2)", quiet: still(x)}}
      half_hour: {over: all, season: 7d, slot: 30m, features: {usual: "ewma(x, 3)", off: "ewstd(x, 3)"}}
      hours: {over: 3 rows, season: 1d, slot: 1h, min_rows: 1, features: {same_hour: mean(x), top_hour: max(hour())}}
    detectors:
      far: {type: rule, when: abs(x - level) > 2 * spread, expected: level}
      seasonal: {type: rule, when: abs(x - usual) > 2 * off, expected: usual}
      foretold: {type: rule, when: abs(n - next_n) > 2 OR x > after, expected: next_n}
      jump: {type: rule, when: abs(asinh(x) - small) > step AND weekday() = 7}
      hourly: {type: rule, when: x > same_hour AND top_hour >= hour() AND now IS NOT NULL, expected: same_hour}
      forest: {type: isolation_forest, trees: 2, sample: 4, features: [x, hour()], train_on: 8, retrain_every: 3, train_min: 4, limit: 1.05}
  again:
    windows: {last3: {over: 3 rows, min_rows: 1, features: {mx: mean(x), late: max(hour())}}}
    detectors:
      forest: {type: isolation_forest, trees: 2, sample: 4, features: [mx, late, hour()], train_on: 8, retrain_every: 3, train_min: 4,
               limit: 1.05}
  hour:
    rollup: {key: key, size: 1h, columns: {calls: count(*), total: sum(n)}}
    windows:
      same: {over: all, season: 1d, features: {usual_calls: "ewma(calls, 4)", usual_step: "ewma(diff(total), 3)"}}
      all: {over: all, features: {usual_total: "ewma(total, 8)", after_total: "ar(total, 2)"}}
    detectors:
      calls: {type: rule, when: calls > usual_calls OR calls < usual_step, expected: usual_calls}
      total: {type: rule, when: total > usual_total AND after_total > 1, expected: usual_total}
""",
    Pipeline(
        name="decayed",
        columns=(Column("x", allow_nan=True), Column("n", "decimal", 1)),
        lateness_ns=20 * 60 * SECOND,
        max_jump_ns=3 * DAY,
        not_after_ns=1_609_372_800 * SECOND,
        zone=NEW_YORK,
        views=(
            View(
                "row",
                windows=(
                    Decayed(
                        "level",
                        {
                            "level": Weighted("ewma", col("x"), 5),
                            "spread": Weighted("ewstd", col("x"), 5),
                            "small": Weighted("ewma", lambda e: area_sine(e["x"]), 3),
                            "step": Weighted("ewma", _step, 4),
                            "next_n": Weighted("ar", col("n"), 3),
                            "next_x": Weighted("ar", col("x"), 1),
                        },
                        plain("level", "spread", "small", "step", "next_n", "next_x"),
                        min_rows=2,
                    ),
                    Decayed(
                        "with_it",
                        {
                            "now": Weighted("ewma", lambda e: logarithm(e["n"]), 1),
                            "after": Weighted("ar", col("x"), 2),
                            "quiet": Weighted("still", col("x")),
                        },
                        plain("now", "after", "quiet"),
                        current=True,
                    ),
                    Decayed(
                        "half_hour",
                        {"usual": Weighted("ewma", col("x"), 3), "off": Weighted("ewstd", col("x"), 3)},
                        plain("usual", "off"),
                        season_ns=7 * DAY,
                        slot_ns=HOUR // 2,
                        zone=NEW_YORK,
                    ),
                    Window(
                        "hours",
                        {"same_hour": Agg("mean", col("x")), "top_hour": Agg("max", hour)},
                        plain("same_hour", "top_hour"),
                        rows=3,
                        min_rows=1,
                        season_ns=DAY,
                        slot_ns=HOUR,
                        zone=NEW_YORK,
                    ),
                ),
                detectors=(
                    Rule("far", _far("x", "level", "spread")),
                    Rule("seasonal", _far("x", "usual", "off")),
                    Rule(
                        "foretold",
                        lambda e: _verdict(
                            any_of(
                                compare(absolute(sub(e["n"], e["next_n"])), ">", 2.0),
                                compare(e["x"], ">", e["after"]),
                            ),
                            e["next_n"],
                        ),
                    ),
                    Rule(
                        "jump",
                        lambda e: measured(
                            absolute(sub(area_sine(e["x"]), e["small"])), ">", e["step"], rest=compare(weekday(e), "=", 7.0)
                        ),
                    ),
                    Rule(
                        "hourly",
                        lambda e: measured(
                            e["x"],
                            ">",
                            e["same_hour"],
                            e["same_hour"],
                            rest=all_of(compare(e["top_hour"], ">=", hour(e)), e["now"] is not None),
                        ),
                    ),
                    Model("forest", "isolation_forest", {"x": col("x"), "hour()": hour}, forest(2, 4), 8, 3, 4, limit=1.05),
                ),
            ),
            View(
                "again",
                windows=(
                    Window("last3", {"mx": Agg("mean", col("x")), "late": Agg("max", hour)}, plain("mx", "late"), rows=3, min_rows=1),
                ),
                detectors=(
                    Model(
                        "forest",
                        "isolation_forest",
                        {"mx": col("mx"), "late": col("late"), "hour()": hour},
                        forest(2, 4),
                        8,
                        3,
                        4,
                        limit=1.05,
                    ),
                ),
            ),
            View(
                "hour",
                rollup=Rollup(
                    lambda key, _env: key,
                    HOUR,
                    {"calls": Agg("count_rows"), "total": Agg("sum_exact", exact("n"), scale=1)},
                    plain("calls", "total"),
                ),
                windows=(
                    Decayed(
                        "same",
                        {"usual_calls": Weighted("ewma", col("calls"), 4), "usual_step": Weighted("ewma", change("total"), 3)},
                        plain("usual_calls", "usual_step"),
                        season_ns=DAY,
                        slot_ns=HOUR,
                        zone=NEW_YORK,
                    ),
                    Decayed(
                        "all",
                        {"usual_total": Weighted("ewma", col("total"), 8), "after_total": Weighted("ar", col("total"), 2)},
                        plain("usual_total", "after_total"),
                    ),
                ),
                detectors=(
                    Rule(
                        "calls",
                        lambda e: _verdict(
                            any_of(compare(e["calls"], ">", e["usual_calls"]), compare(e["calls"], "<", e["usual_step"])),
                            e["usual_calls"],
                        ),
                    ),
                    Rule(
                        "total",
                        lambda e: measured(e["total"], ">", e["usual_total"], e["usual_total"], rest=compare(e["after_total"], ">", 1.0)),
                    ),
                ),
            ),
        ),
    ),
    step_ns=600 * SECOND,
    start_s=1_604_200_000,
)
