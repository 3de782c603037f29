"""The pipelines that the laws run on: each as a specification for the package and as a description for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from case import Case, Feature, col, exact, measured, plain, same
from folders import ROOT
from oracle_logic import (
    Num,
    Truth,
    absolute,
    add,
    all_of,
    any_of,
    as_number,
    compare,
    div,
    greatest,
    least,
    mul,
    negate,
    root,
    same_text,
    sub,
)
from oracle_spec import DAY, SECOND, Column, Pipeline, Rollup, Rule, Verdict, View
from oracle_windows import Agg, Env, Window
from under_test_decayed import DECAYED
from under_test_models import ENSEMBLE
from under_test_surprise import SURPRISED

# -- bars: the shipped pipeline (S25) -----------------------------------------------------------------------------------------


def _beside(price: Num, side: float) -> Num:
    """A price and a billionth of it on one side."""
    return add(price, mul(side * 1e-9, absolute(price)))


BARS = Case(
    "bars",
    str(ROOT / "offbeat" / "pipelines" / "bars.yaml"),
    Pipeline(
        name="bars",
        columns=(Column("open"), Column("high"), Column("low"), Column("close"), Column("volume")),
        rules={
            "price": lambda e: all_of(*(compare(e[name], ">", 0.0) for name in ("open", "high", "low", "close"))),
            "high": lambda e: compare(e["high"], ">=", _beside(greatest(e["open"], e["close"], e["low"]), -1.0)),
            "low": lambda e: compare(e["low"], "<=", _beside(least(e["open"], e["close"]), 1.0)),
            "volume": lambda e: compare(e["volume"], ">=", 0.0),
        },
        unique=("time",),
        max_jump_ns=10 * DAY,
        zone="Asia/Kolkata",
        views=(
            View(
                "bar",
                windows=(
                    Window("previous_minute", {"last": Agg("last", col("close"))}, {"previous_close": lambda a: a["last"]}, 60 * SECOND),
                    Window(
                        "ten_minutes",
                        {"sum": Agg("sum", col("volume")), "n": Agg("count_rows")},
                        {"mean_volume": lambda a: div(a["sum"], a["n"])},
                        600 * SECOND,
                        min_rows=5,
                    ),
                    Window(
                        "day",
                        {"sum": Agg("sum", col("volume")), "n": Agg("count_rows")},
                        {"usual_volume": lambda a: div(a["sum"], a["n"])},
                        rows=375,
                        min_rows=1,
                    ),
                ),
                detectors=(
                    Rule(
                        "price_jump",
                        lambda e: measured(absolute(sub(div(e["close"], e["previous_close"]), 1.0)), ">", 0.005, 0.0),
                    ),
                    Rule(
                        "volume_surge",
                        lambda e: measured(
                            e["volume"], ">", mul(1.02, e["mean_volume"]), e["mean_volume"], floor=e["usual_volume"]
                        ),
                    ),
                ),
            ),
        ),
    ),
    step_ns=60 * SECOND,
)


# -- buffered: lateness, an order column, windows of rows and of time, every aggregate ----------------------------------------------

EVERYTHING: dict[str, Agg] = {
    "c": Agg("count_rows"),
    "cx": Agg("count", col("x")),
    "sx": Agg("sum", col("x")),
    "sn": Agg("sum_exact", exact("n"), scale=2),
    "mx": Agg("mean", col("x")),
    "dx": Agg("std", col("x")),
    "vx": Agg("var", col("x")),
    "lo": Agg("min", col("x")),
    "hi": Agg("max", col("x")),
    "md": Agg("quantile", col("x"), 0.5),
    "q9": Agg("quantile", col("x"), 0.9),
    "fx": Agg("first", col("x")),
    "lx": Agg("last", col("x")),
    "un": Agg("distinct", col("x")),
    "sp": Agg("span"),
    "ra": Agg("rate"),
    "mr": Agg("mean", lambda e: div(e["x"], e["n"])),
}
EVERYTHING_TEXT = {
    "c": "count(*)",
    "cx": "count(x)",
    "sx": "sum(x)",
    "sn": "sum(n)",
    "mx": "mean(x)",
    "dx": "stddev(x)",
    "vx": "var(x)",
    "lo": "min(x)",
    "hi": "max(x)",
    "md": "median(x)",
    "q9": "quantile(x, 0.9)",
    "fx": "first(x)",
    "lx": "last(x)",
    "un": "count(DISTINCT x)",
    "sp": "span()",
    "ra": "rate()",
    "mr": "mean(x / n)",
}


def _everything(prefix: str, extra: dict[str, Feature]) -> dict[str, Feature]:
    return {prefix + name: same(name) for name in EVERYTHING} | extra


def _everything_text(prefix: str, indent: int) -> str:
    return "\n".join(f"{' ' * indent}{prefix}{name}: {text}" for name, text in EVERYTHING_TEXT.items())


BUFFERED = Case(
    "buffered",
    f"""
name: buffered
source:
  key: {{column: key}}
  time: {{column: time}}
  order: seq
  columns:
    x: {{type: float, required: false, allow_nan: true}}
    n: {{type: decimal, scale: 2, required: false}}
    seq: {{type: decimal, scale: 0, required: false}}
quality:
  unique: [time, seq]
  lateness: 3s
  dedup_rows: 5
  max_jump: 40s
views:
  rows:
    windows:
      last4:
        over: 4 rows
        min_rows: 1
        features:
{_everything_text("b_", 10)}
          b_move: last(x) / first(x) - 1
      current3:
        over: 3 rows
        current: true
        features:
{_everything_text("c_", 10)}
    detectors:
      spread: {{type: rule, when: b_hi - b_lo > 2 * b_dx AND n IS NOT NULL}}
      low: {{type: rule, when: x < c_mx, expected: c_mx}}
  times:
    windows:
      past:
        over: 5s
        features:
{_everything_text("p_", 10)}
      now:
        over: 4s
        current: true
        min_rows: 2
        features:
{_everything_text("q_", 10)}
          q_z: (last(x) - mean(x)) / stddev(x)
    detectors:
      any: {{type: rule, when: p_c >= 2, expected: p_mx}}
      odd: {{type: rule, when: abs(q_z) >= 0.7 OR p_sn > 4}}
      rest: {{type: rule, when: NOT (x <= 3)}}
    vote: {{quorum: 2}}
""",
    Pipeline(
        name="buffered",
        columns=(Column("x", allow_nan=True), Column("n", "decimal", 2), Column("seq", "decimal")),
        unique=("time", "seq"),
        lateness_ns=3 * SECOND,
        dedup_rows=5,
        max_jump_ns=40 * SECOND,
        order="seq",
        views=(
            View(
                "rows",
                windows=(
                    Window(
                        "last4",
                        EVERYTHING,
                        _everything("b_", {"b_move": lambda a: sub(div(a["lx"], a["fx"]), 1.0)}),
                        rows=4,
                        min_rows=1,
                    ),
                    Window("current3", EVERYTHING, _everything("c_", {}), rows=3, current=True),
                ),
                detectors=(
                    Rule(
                        "spread",
                        lambda e: measured(sub(e["b_hi"], e["b_lo"]), ">", mul(2.0, e["b_dx"]), rest=e["n"] is not None),
                    ),
                    Rule("low", lambda e: measured(e["x"], "<", e["c_mx"], e["c_mx"])),
                ),
            ),
            View(
                "times",
                windows=(
                    Window("past", EVERYTHING, _everything("p_", {}), 5 * SECOND),
                    Window(
                        "now",
                        EVERYTHING,
                        _everything("q_", {"q_z": lambda a: div(sub(a["lx"], a["mx"]), a["dx"])}),
                        4 * SECOND,
                        current=True,
                        min_rows=2,
                    ),
                ),
                detectors=(
                    Rule("any", lambda e: measured(e["p_c"], ">=", 2.0, e["p_mx"])),
                    Rule(
                        "odd",
                        lambda e: Verdict(any_of(compare(absolute(e["q_z"]), ">=", 0.7), compare(e["p_sn"], ">", 4.0))),
                    ),
                    Rule("rest", lambda e: Verdict(negate(compare(e["x"], "<=", 3.0)))),
                ),
                quorum=2,
            ),
        ),
    ),
)


# -- plain: no unique columns, no views' windows in one view, huge values --------------------------------------------------------------

PLAIN = Case(
    "plain",
    """
name: plain
source:
  key: {column: key}
  time: {column: time}
  where: x <> 0.7
  columns:
    x: {type: float, required: false}
quality:
  not_after: "2040-01-01"
  max_jump: 30s
views:
  raw:
    detectors:
      big: {type: rule, when: x > 1}
      negative: {type: rule, when: x < 0 AND x IS NOT NULL}
  drift:
    windows:
      w:
        over: 6s
        min_rows: 2
        features: {m: mean(x), s: std(x), t: sum(x), r: sqrt(sum(x * x))}
    detectors:
      far: {type: rule, when: abs(x - m) > 3 * s}
      sum: {type: rule, when: t >= r AND x BETWEEN -10 AND 10, expected: m}
""",
    Pipeline(
        name="plain",
        columns=(Column("x"),),
        where=lambda e: negate(compare(e["x"], "=", 0.7)),
        not_after_ns=2_208_988_800 * SECOND,
        max_jump_ns=30 * SECOND,
        views=(
            View(
                "raw",
                windows=(),
                detectors=(
                    Rule("big", lambda e: measured(e["x"], ">", 1.0)),
                    Rule("negative", lambda e: measured(e["x"], "<", 0.0, rest=e["x"] is not None)),
                ),
            ),
            View(
                "drift",
                windows=(
                    Window(
                        "w",
                        {
                            "m": Agg("mean", col("x")),
                            "s": Agg("std", col("x")),
                            "t": Agg("sum", col("x")),
                            "q": Agg("sum", lambda e: mul(e["x"], e["x"])),
                        },
                        {**plain("m", "s", "t"), "r": lambda a: root(a["q"])},
                        6 * SECOND,
                        min_rows=2,
                    ),
                ),
                detectors=(
                    Rule("far", lambda e: measured(absolute(sub(e["x"], e["m"])), ">", mul(3.0, e["s"]))),
                    Rule(
                        "sum",
                        lambda e: measured(e["t"], ">=", e["r"], e["m"], all_of(compare(e["x"], ">=", -10.0), compare(e["x"], "<=", 10.0))),
                    ),
                ),
            ),
        ),
    ),
)


# -- sides: texts in conditions, fixed-point prices ------------------------------------------------------------------------------------


def _is(text: str) -> Callable[[Env], Truth]:
    return lambda e: same_text(e["side"], text)


SIDES = Case(
    "sides",
    """
name: sides
source:
  key: {column: key}
  time: {column: time}
  order: seq
  where: side <> 'N' OR size > 2
  columns:
    price: {type: decimal, scale: 9}
    size: {type: decimal, scale: 0, required: false}
    side: {type: text, required: false}
    seq: {type: decimal, scale: 0, required: false}
quality:
  rules:
    price: price > 0
    side: side IN ('A', 'B', 'N')
  unique: [time, seq, side]
  keep: last
  dedup_rows: 3
  max_jump: 30s
views:
  trade:
    windows:
      last5:
        over: 5 rows
        min_rows: 2
        features:
          ask: mean(side = 'A')
          bids: sum(side = 'B')
          known: count(side <> 'N')
          price_mean: mean(price)
          total: sum(price)
          volume: sum(size)
          turnover: sum(price * size)
          momentum: last(price) / first(price) - 1
          ask_size: sum(CASE WHEN side = 'A' THEN size ELSE 0 END)
          kinds: count(DISTINCT side)
    detectors:
      one_sided: {type: rule, when: ask >= 0.5 AND side = 'A', expected: 0.25}
      move: {type: rule, when: abs(momentum) > 0.1}
      dear: {type: rule, when: price > price_mean AND side IS NOT NULL, expected: price_mean}
      mixed: {type: rule, when: "kinds >= 3 AND side NOT LIKE '_%N' AND key LIKE 'k%'"}
    vote: {quorum: 1}
""",
    Pipeline(
        name="sides",
        columns=(Column("price", "decimal", 9), Column("size", "decimal"), Column("side", "text"), Column("seq", "decimal")),
        where=lambda e: any_of(negate(same_text(e["side"], "N")), compare(e["size"], ">", 2.0)),
        rules={
            "price": lambda e: compare(e["price"], ">", 0.0),
            "side": lambda e: any_of(*(same_text(e["side"], each) for each in "ABN")),
        },
        unique=("time", "seq", "side"),
        keep_last=True,
        dedup_rows=3,
        max_jump_ns=30 * SECOND,
        order="seq",
        views=(
            View(
                "trade",
                windows=(
                    Window(
                        "last5",
                        {
                            "ask": Agg("mean", lambda e: as_number(_is("A")(e))),
                            "bids": Agg("sum_exact", lambda e: as_number(_is("B")(e))),
                            "known": Agg("count", lambda e: as_number(negate(_is("N")(e)))),
                            "price_mean": Agg("mean", col("price")),
                            "total": Agg("sum_exact", exact("price"), scale=9),
                            "volume": Agg("sum_exact", exact("size")),
                            "turnover": Agg("sum", lambda e: mul(e["price"], e["size"])),
                            "first": Agg("first", col("price")),
                            "last": Agg("last", col("price")),
                            "ask_size": Agg("sum", lambda e: e["size"] if _is("A")(e) else 0.0),
                            "kinds": Agg("distinct", col("side")),
                        },
                        {
                            **plain("ask", "bids", "known", "price_mean", "total", "volume", "turnover"),
                            "momentum": lambda a: sub(div(a["last"], a["first"]), 1.0),
                            **plain("ask_size", "kinds"),
                        },
                        rows=5,
                        min_rows=2,
                    ),
                ),
                detectors=(
                    Rule("one_sided", lambda e: measured(e["ask"], ">=", 0.5, 0.25, _is("A")(e))),
                    Rule("move", lambda e: measured(absolute(e["momentum"]), ">", 0.1)),
                    Rule("dear", lambda e: measured(e["price"], ">", e["price_mean"], e["price_mean"], e["side"] is not None)),
                    Rule(
                        "mixed",
                        lambda e: measured(
                            e["kinds"],
                            ">=",
                            3.0,
                            rest=all_of(None if e["side"] is None else e["side"][1:][-1:] != "N", e["key"][0] == "k"),
                        ),
                    ),
                ),
            ),
        ),
    ),
)


# -- rolled: views on another key ------------------------------------------------------------------------------------------------------

SECTORS = {"k0": "energy", "k1": "energy", "k2": "banks"}

ROLLED = Case(
    "rolled",
    """
name: rolled
source:
  key: {column: key}
  time: {column: time, zone: Asia/Kolkata}
  columns:
    price: {type: decimal, scale: 2, required: false}
    volume: {type: decimal, scale: 0, required: false}
    side: {type: text, required: false}
quality:
  unique: [time]
  lateness: 2h
views:
  market:
    rollup:
      key: {constant: market}
      size: 1h
      columns:
        bars: count(*)
        priced: count(price)
        volume: sum(volume)
        mean_price: mean(price)
        top: max(price)
        bottom: min(price)
        asks: mean(side = 'A')
    windows:
      before:
        over: 3 rows
        min_rows: 1
        features: {usual: mean(volume), top_before: max(top)}
    detectors:
      surge: {type: rule, when: volume > 1.5 * usual, expected: usual}
      spread: {type: rule, when: top - bottom >= 2}
  sector_day:
    rollup:
      key: {mapping: {k0: energy, k1: energy, k2: banks}}
      size: 1d
      columns:
        n: count(*)
        turnover: sum(volume)
        ask_count: sum(side = 'A')
        average: mean(price)
    windows:
      week:
        over: 7d
        features: {typical: mean(turnover), days: count(*)}
    detectors:
      unusual: {type: rule, when: turnover > typical, expected: typical}
  row:
    detectors:
      sold: {type: rule, when: price > 9 AND volume > 5}
""",
    Pipeline(
        name="rolled",
        columns=(Column("price", "decimal", 2), Column("volume", "decimal"), Column("side", "text")),
        unique=("time",),
        lateness_ns=7200 * SECOND,
        zone="Asia/Kolkata",
        views=(
            View(
                "market",
                rollup=Rollup(
                    lambda _key, _env: "market",
                    3600 * SECOND,
                    {
                        "bars": Agg("count_rows"),
                        "priced": Agg("count", exact("price")),
                        "volume": Agg("sum_exact", exact("volume")),
                        "mean_price": Agg("mean", exact("price"), scale=2),
                        "top": Agg("max", col("price")),
                        "bottom": Agg("min", col("price")),
                        "asks": Agg("mean", _is("A")),
                    },
                    plain("bars", "priced", "volume", "mean_price", "top", "bottom", "asks"),
                ),
                windows=(
                    Window(
                        "before",
                        {"usual": Agg("mean", col("volume")), "top_before": Agg("max", col("top"))},
                        plain("usual", "top_before"),
                        rows=3,
                        min_rows=1,
                    ),
                ),
                detectors=(
                    Rule("surge", lambda e: measured(e["volume"], ">", mul(1.5, e["usual"]), e["usual"])),
                    Rule("spread", lambda e: measured(sub(e["top"], e["bottom"]), ">=", 2.0)),
                ),
            ),
            View(
                "sector_day",
                rollup=Rollup(
                    lambda key, _env: SECTORS.get(key),
                    DAY,
                    {
                        "n": Agg("count_rows"),
                        "turnover": Agg("sum_exact", exact("volume")),
                        "ask_count": Agg("sum_exact", _is("A")),
                        "average": Agg("mean", exact("price"), scale=2),
                    },
                    plain("n", "turnover", "ask_count", "average"),
                ),
                windows=(
                    Window(
                        "week",
                        {"typical": Agg("mean", col("turnover")), "days": Agg("count_rows")},
                        plain("typical", "days"),
                        7 * DAY,
                    ),
                ),
                detectors=(Rule("unusual", lambda e: measured(e["turnover"], ">", e["typical"], e["typical"])),),
            ),
            View(
                "row",
                windows=(),
                detectors=(Rule("sold", lambda e: measured(e["price"], ">", 9.0, rest=compare(e["volume"], ">", 5.0))),),
            ),
        ),
    ),
    step_ns=1800 * SECOND,
)


# -- filled: sparse targets, of which a window without any row counts, in hours and days of a zone whose clock is changed ------------



def _kind(env: Env) -> str | None:
    if compare(env["price"], ">", 2.0):
        return None if env["side"] is None else str(env["side"])[:1]
    return "k1" if env["key"] == "k1" else None


def _group(key: str, env: Env) -> str | None:
    return {"k0": "one", "k1": "one", "k2": "two"}.get(key) if compare(env["price"], ">", 1.0) and key[:1] == "k" else None


FILLED = Case(
    "filled",
    """
name: filled
source:
  key: {column: key, optional: true}
  time: {column: time, zone: America/New_York}
  columns:
    price: {type: decimal, scale: 2, required: false}
    side: {type: text, required: false}
quality:
  lateness: 2h
  max_jump: 3d
  not_after: "2020-12-31"
views:
  side_hour:
    rollup:
      key: side
      size: 1h
      fill: zero
      columns:
        n: count(*)
        total: sum(price)
        asks: sum(side = 'A')
        mean_price: mean(price)
        top: max(price)
        priced: count(price)
        callers: count(DISTINCT key)
        prices: count(DISTINCT CASE WHEN key LIKE '%0' THEN price END)
        kinds: "count(DISTINCT CASE WHEN price > 2 THEN prefix(side, 1) WHEN key = 'k1' THEN key END)"
    windows:
      before: {over: 6h, min_rows: 2, features: {usual: mean(n), usual_total: mean(total)}}
    detectors:
      drop: {type: rule, when: n < 0.5 * usual, expected: usual}
      surge: {type: rule, when: total > usual_total AND asks >= 0 AND mean_price IS NOT NULL}
      many: {type: rule, when: "callers + prices + kinds >= 3 AND key <> 'B'"}
  group_day:
    rollup:
      key: {mapping: {k0: one, k1: one, k2: two}}
      size: 1d
      fill: zero
      where: "price > 1 AND prefix(key, 1) = 'k'"
      columns: {n: count(*)}
    windows: {week: {over: 4 rows, min_rows: 1, features: {usual: mean(n)}}}
    detectors: {drop: {type: rule, when: n < usual, expected: usual}}
  row: {detectors: {dear: {type: rule, when: price > 3 AND key IS NOT NULL}}}
""",
    Pipeline(
        name="filled",
        columns=(Column("price", "decimal", 2), Column("side", "text")),
        lateness_ns=7200 * SECOND,
        max_jump_ns=3 * DAY,
        not_after_ns=1_609_372_800 * SECOND,
        zone="America/New_York",
        optional_key=True,
        views=(
            View(
                "side_hour",
                rollup=Rollup(
                    lambda _key, env: env["side"],
                    3600 * SECOND,
                    {
                        "n": Agg("count_rows"),
                        "total": Agg("sum_exact", exact("price"), scale=2),
                        "asks": Agg("sum_exact", _is("A")),
                        "mean_price": Agg("mean", exact("price"), scale=2),
                        "top": Agg("max", col("price")),
                        "priced": Agg("count", exact("price")),
                        "callers": Agg("distinct", col("key")),
                        "prices": Agg("distinct", lambda e: e["price"] if e["key"] and e["key"].endswith("0") else None),
                        "kinds": Agg("distinct", _kind),
                    },
                    plain("n", "total", "asks", "mean_price", "top", "priced", "callers", "prices", "kinds"),
                    fill=True,
                ),
                windows=(
                    Window(
                        "before",
                        {"usual": Agg("mean", col("n")), "usual_total": Agg("mean", col("total"))},
                        plain("usual", "usual_total"),
                        6 * 3600 * SECOND,
                        min_rows=2,
                    ),
                ),
                detectors=(
                    Rule("drop", lambda e: measured(e["n"], "<", mul(0.5, e["usual"]), e["usual"])),
                    Rule(
                        "surge",
                        lambda e: measured(
                            e["total"], ">", e["usual_total"], rest=all_of(compare(e["asks"], ">=", 0.0), e["mean_price"] is not None)
                        ),
                    ),
                    Rule("many", lambda e: measured(e["callers"] + e["prices"] + e["kinds"], ">=", 3.0, rest=e["key"] != "B")),
                ),
            ),
            View(
                "group_day",
                rollup=Rollup(
                    _group,
                    DAY,
                    {"n": Agg("count_rows")},
                    plain("n"),
                    fill=True,
                ),
                windows=(Window("week", {"usual": Agg("mean", col("n"))}, plain("usual"), rows=4, min_rows=1),),
                detectors=(Rule("drop", lambda e: measured(e["n"], "<", e["usual"], e["usual"])),),
            ),
            View("row", windows=(), detectors=(Rule("dear", lambda e: measured(e["price"], ">", 3.0)),)),
        ),
    ),
    step_ns=1800 * SECOND,
    start_s=1_604_200_000,
)



# -- forgetful: keys that were not seen for long start anew ---------------------------------------------------------------------------


def _forgetful(case: Case, seconds: int) -> Case:
    spec = case.spec.replace("max_jump:", f"forget_after: {seconds}s, max_jump:")
    if "{unique" not in spec and "{lateness" not in spec:
        spec = spec.replace(f"forget_after: {seconds}s, ", f"forget_after: {seconds}s\n  ")
    assert spec != case.spec
    return replace(case, name=f"forgetful {case.name}", spec=spec, pipeline=replace(case.pipeline, forget_ns=seconds * SECOND))


FORGETFUL = (_forgetful(BUFFERED, 5), _forgetful(SIDES, 31), _forgetful(ENSEMBLE, 8), _forgetful(DECAYED, 7200), _forgetful(SURPRISED, 9))
"""Sooner than a row counts as far ahead, and later; with windows, models and a rollup."""

CASES = (BARS, BUFFERED, PLAIN, SIDES, ROLLED, FILLED, ENSEMBLE, DECAYED, SURPRISED, *FORGETFUL)
