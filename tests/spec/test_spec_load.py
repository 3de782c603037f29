"""From a pipeline in any form to its Plan: what `bars` becomes, and what its hashes depend on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from interpreter import run
from told import facts

from offbeat.core.plan import Aggregate, Column, Plan, RulePlan, ViewPlan
from offbeat.detectors.rule.rule_spec import RuleSpec
from offbeat.errors import SpecError
from offbeat.spec.load import load, load_plan, load_text, shipped
from offbeat.spec.models import (
    ColumnSpec,
    KeySpec,
    PipelineSpec,
    QualitySpec,
    SourceSpec,
    TimeSpec,
    ViewSpec,
    WindowSpec,
)

MINUTE = 60_000_000_000
TRADES = """
name: trades
source:
  key: symbol
  time: {column: ts, format: ns}
  order: sequence
  columns:
    sequence: decimal
    price: {type: decimal, scale: 9}
    side: text
    odd: {type: bool, required: false}
quality: {rules: {side: "side IN ('A', 'B')"}, unique: [time, sequence]}
views:
  trade:
    windows:
      last_hundred: {over: 100 rows, features: {buys: mean(side = 'B'), mid: median(price)}}
    detectors:
      far: {type: rule, when: side = 'N' OR price > 2 * mid, expected: mid}
      odd: {type: rule, when: odd AND buys > 0.5 AND price < mid}
    vote: {quorum: 2}
  minute:
    rollup: {key: {constant: market}, size: 1m, columns: {trades: count(*), sold: sum(side = 'A'), top: max(price)}}
    windows:
      day: {over: 1d, current: true, min_rows: 10, features: {usual: mean(trades)}}
    detectors:
      busy: {type: rule, when: trades > 3 * usual AND sold > 0}
  sector:
    rollup: {key: {mapping: {INFY: IT, TCS: IT}}, size: 1d, columns: {trades: count(*)}}
    detectors: {many: {type: rule, when: trades > 5}}
"""
MARKET = {
    "rollup": {"key": {"constant": "m"}, "size": "1m", "columns": {"n": "count(*)"}},
    "detectors": {"d": {"type": "rule", "when": "n > 1"}},
}


def rules_of(view: ViewPlan) -> list[RulePlan]:
    return [detector for detector in view.detectors if isinstance(detector, RulePlan)]


def bars_text() -> str:
    return files("offbeat.pipelines").joinpath("bars.yaml").read_text(encoding="utf-8")


def test_bars() -> None:
    plan = load_plan("bars")
    assert re.search(plan.source.key_pattern, "BRK.A_minute.csv.gz")["key"] == "BRK.A"  # type: ignore[index]
    assert plan.source.time.headers == ("timestamp", "Datetime", "Date", "Time")
    assert plan.source.time.zone == "Asia/Kolkata"
    assert plan.source.columns[3] == Column("close", "float", 0, ("close", "Close"))
    assert plan.source.columns[4].kind == "float"
    assert plan.quality.rules == ("price", "high", "low", "volume")
    assert (plan.quality.unique, plan.quality.lateness_ns, plan.quality.cadence_ns) == (("time",), 0, MINUTE)
    assert plan.quality.not_before_ns == 946_684_800_000_000_000
    assert plan.quality.max_jump_ns == 10 * 1440 * MINUTE
    view = plan.views[0]
    assert view.columns == ("open", "high", "low", "close", "volume")
    assert [(w.name, w.duration_ns, w.rows, w.current, w.min_rows) for w in view.windows] == [
        ("previous_minute", MINUTE, 0, False, 1),
        ("ten_minutes", 10 * MINUTE, 0, False, 5),
        ("day", 0, 375, False, 1),
    ]
    assert view.windows[0].aggregates == (Aggregate("last", 0),)
    assert view.windows[1].aggregates == (Aggregate("sum", 0), Aggregate("count_rows"))
    assert view.levels == (("critical", 0.8), ("high", 0.6), ("medium", 0.4))


def test_bars_rules_on_a_row() -> None:
    plan = load_plan("bars")
    assert plan.quality.program is not None
    row = {"open": 10.0, "high": 9.0, "low": 9.5, "close": 10.2, "volume": 0.0}
    assert run(plan.quality.program, row) == [1.0, 0.0, 1.0, 1.0]
    view = plan.views[0]
    outputs = run(view.program, {**row, "previous_close": 10.0, "mean_volume": None, "usual_volume": 7.0})
    jump, surge = rules_of(view)
    assert (jump.comparison, jump.measure, jump.text) == (
        ">",
        "abs(close / previous_close - 1)",
        "abs(close / previous_close - 1) > 0.005",
    )
    assert [outputs[i] for i in (jump.when, jump.observed, jump.threshold, jump.expected)] == [1.0, abs(10.2 / 10.0 - 1), 0.005, 0.0]
    assert [outputs[i] for i in (surge.when, surge.observed, surge.threshold, surge.expected)] == [None, 0.0, None, None]
    assert (jump.floor, outputs[surge.floor]) == (-1, 7.0)


def test_several_views_share_codes() -> None:
    plan = load_text(TRADES).plan
    assert plan.codes == (("side", ("A", "B", "N")),)
    trade, minute, sector = plan.views
    assert plan.source.key_column == ("symbol",)
    assert plan.source.order == "sequence"
    assert trade.columns == ("sequence", "price", "odd", "side@code")
    assert trade.windows[0].min_rows == 100
    assert trade.quorum == 2
    far, odd = rules_of(trade)
    assert (far.comparison, far.observed, far.threshold, far.measure) == ("", -1, -1, "")
    assert (odd.comparison, odd.measure, odd.expected) == (">", "buys", -1)
    outputs = run(trade.program, {"side@code": 2.0, "price": 1.0, "mid": 3.0, "odd": 1.0, "buys": 0.6})
    assert [outputs[far.when], outputs[odd.when]] == [1.0, 1.0]
    assert minute.rollup is not None
    assert (minute.rollup.key_constant, minute.rollup.size_ns, minute.columns) == ("market", MINUTE, ("trades", "sold", "top"))
    assert minute.rollup.aggregates == (Aggregate("count_rows"), Aggregate("sum_exact", 0), Aggregate("max", 1))
    assert run(minute.rollup.arguments, {"side@code": 0.0, "price": 7.0}) == [1.0, 7.0]
    assert minute.windows[0].current
    assert sector.rollup is not None
    assert sector.rollup.mapping == (("INFY", "IT"), ("TCS", "IT"))


def test_all_forms_give_the_same_plan(tmp_path: Path) -> None:
    plan = load_plan("bars")
    path = tmp_path / "mine.yaml"
    path.write_text(bars_text())
    spec = load("bars").spec
    for other in (
        load_plan(path),
        load_plan(str(path)),
        load_plan(spec),
        load_plan(json.loads(plan.text)),
        load_plan(yaml.safe_load(bars_text())),
    ):
        assert other == plan
        assert other.state_parts == plan.state_parts


def test_a_pipeline_in_python() -> None:
    spec = PipelineSpec(
        name="mine",
        source=SourceSpec(key=KeySpec(column="symbol"), time=TimeSpec(column="ts"), columns={"price": ColumnSpec(type="float")}),
        quality=QualitySpec(lateness="5s"),
        views={
            "tick": ViewSpec(
                windows={"recent": WindowSpec(over="20 rows", features={"usual": "mean(price)"})},
                detectors={"far": RuleSpec(when="price > 2 * usual", expected="usual")},
            )
        },
    )
    plan = load_plan(spec)
    assert plan.quality.lateness_ns == 5_000_000_000
    assert plan.views[0].detectors[0].name == "far"
    text = """
    name: mine
    source: {key: symbol, time: ts, columns: {price: float}}
    quality: {lateness: 5s}
    views: {tick: {windows: {recent: {over: 20 rows, features: {usual: mean(price)}}},
                   detectors: {far: {type: rule, when: price > 2 * usual, expected: usual}}}}
    """
    assert load_text(text).plan == plan


def changed(*path_and_value: Any) -> Plan:
    raw = yaml.safe_load(bars_text())
    *path, last, value = path_and_value
    inside = raw
    for key in path:
        inside = inside.setdefault(key, {})
    inside[last] = value
    return load_plan(raw)


@pytest.mark.parametrize(
    "change",
    [
        ("views", "bar", "detectors", "price_jump", "when", "abs(close / previous_close - 1) > 0.01"),
        ("views", "bar", "detectors", "price_jump", "expected", "1"),
        ("views", "bar", "detectors", "more", {"type": "rule", "when": "close > 9"}),
        ("views", "bar", "vote", {"quorum": 2}),
        ("views", "bar", "severity", {"levels": {"bad": 0.5}}),
        ("source", "columns", "close", "headers", ["C"]),
        ("source", "separator", ";"),
    ],
)
def test_thresholds_votes_severity_and_spellings_keep_the_state(change: tuple[Any, ...]) -> None:
    plan, other = load_plan("bars"), changed(*change)
    assert other.state_hash == plan.state_hash
    assert other.plan_hash != plan.plan_hash


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("name", "other"), "name"),
        (("source", "key", {"column": "symbol"}), "source.key"),
        (("source", "time", "zone", "UTC"), "source.time"),
        (("source", "columns", "close", {"type": "decimal", "scale": 2, "headers": ["Close"]}), "source.columns"),
        (("quality", "rules", "price", "close > 0"), "quality.rules"),
        (("quality", "unique", []), "quality.unique"),
        (("quality", "lateness", "1s"), "quality.lateness"),
        (("quality", "max_jump", "1d"), "quality.max_jump"),
        (("quality", "not_before", "2001-01-01"), "quality.not_before"),
        (("quality", "dedup_rows", 8), "quality.dedup_rows"),
        (("views", "bar", "windows", "ten_minutes", "over", "11m"), "views.bar.windows.ten_minutes"),
        (("views", "bar", "windows", "previous_minute", "features", "previous_close", "first(close)"), "views.bar.windows.previous_minute"),
        (
            ("views", "market", MARKET),
            "views.market.rollup",
        ),
    ],
)  # fmt: skip
def test_what_the_state_depends_on_is_named(change: tuple[Any, ...], part: str) -> None:
    plan, other = load_plan("bars"), changed(*change)
    assert other.state_hash != plan.state_hash
    assert other.plan_hash != plan.plan_hash
    parts = {**plan.state_parts, **other.state_parts}
    assert [name for name in parts if plan.state_parts.get(name) != other.state_parts.get(name)] == [part]


def test_the_state_depends_on_the_order_of_equal_times() -> None:
    plan, other = load_plan("trades"), load_plan("trades", ["source.order=publisher_id"])
    parts = {**plan.state_parts, **other.state_parts}
    assert [name for name in parts if plan.state_parts.get(name) != other.state_parts.get(name)] == ["source.order"]


@pytest.mark.parametrize(
    "change",
    [
        ("description", "other words"),
        ("quality", "cadence", "60s"),
        ("quality", "calendar", "XNYS"),
        ("quality", "max_jump", "240h"),
        ("views", "bar", "windows", "previous_minute", "over", "1m"),
        ("views", "bar", "detectors", "volume_surge", "when", "(volume)>1.020*mean_volume"),
    ],
)
def test_words_and_spelling_change_nothing(change: tuple[Any, ...]) -> None:
    plan, other = load_plan("bars"), changed(*change)
    assert (other.plan_hash, other.state_hash) == (plan.plan_hash, plan.state_hash)


def test_hashes_are_32_hex_digits_and_parts_are_json() -> None:
    plan = load_plan("bars")
    assert len(bytes.fromhex(plan.plan_hash)) == len(bytes.fromhex(plan.state_hash)) == 16
    assert all(json.loads(part) is not Ellipsis for part in plan.state_parts.values())


def test_hashes_do_not_depend_on_the_process() -> None:
    program = "from offbeat.spec.load import load_plan; p = load_plan('bars'); print(p.plan_hash, p.state_hash)"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    ).stdout
    plan = load_plan("bars")
    assert printed.split() == [plan.plan_hash, plan.state_hash]


def test_loading_is_light() -> None:
    program = "import sys; from offbeat.spec.load import load_plan; load_plan('bars'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "polars", "numpy", "pandas", "pyarrow", "exchange_calendars"} & set(loaded)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("bar", "bar: no such pipeline file; did you mean 'bars'?"),
        ("no/such.yaml", "no/such.yaml: no such pipeline file"),
        (".", ".: a pipeline is a YAML file, but this is a folder"),
    ],
)
def test_files_that_are_not_there(pipeline: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_plan(pipeline)
    assert list(map(facts, caught.value.problems)) == [facts(said)]


def test_binary_and_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(SpecError, match="UTF-8"):
        load_plan(path)
    path.write_bytes(b"\xef\xbb\xbf" + bars_text().encode())
    assert load_plan(path) == load_plan("bars"), "a byte order mark is no fault"


def test_shipped_pipelines_load() -> None:
    assert "bars" in shipped()
    for name in shipped():
        assert load_plan(name).name == name
