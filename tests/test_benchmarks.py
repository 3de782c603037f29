"""What the benchmarks rest on: their data, their independent answers, and the file of results."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks import cdr_duckdb
from benchmarks.answers import expected_alerts
from benchmarks.cdr_answers import Answers, our_answers, peer_answers, same_answers
from benchmarks.cdr_process import judge, system_b
from benchmarks.cdr_scale import size_mib
from benchmarks.decode import Case
from benchmarks.make_bars import REAL, real_sessions, symbol_bars, write_symbol
from benchmarks.measure import alternate, machine, own_peak_mib, table
from benchmarks.plot import Panel, write_svg
from benchmarks.results import record
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.spec.load import load_plan

needs_real = pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/bars")


@needs_real
def test_made_bars_are_valid_keep_weekdays_and_are_the_same_each_time(tmp_path: Path) -> None:
    base = real_sessions()
    bars = symbol_bars(base, 3)
    assert 270_000 < bars.height < 280_000
    assert bars["time"].is_sorted()
    assert bars["time"].n_unique() == bars.height
    assert bars.filter(pl.col("high") < pl.max_horizontal("open", "close", "low")).is_empty()
    assert bars.filter(pl.col("low") > pl.min_horizontal("open", "close")).is_empty()
    local = bars["time"].dt.convert_time_zone("Asia/Kolkata")
    assert local.dt.weekday().max() == base["time"].dt.convert_time_zone("Asia/Kolkata").dt.weekday().max()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_symbol(symbol_bars(base, 3, 500), "SYM", tmp_path / name, None)
    assert len({(tmp_path / name / "SYM__EQ__NSE__NSE__MINUTE.csv").read_bytes() for name in ("a", "b")}) == 1


def test_expected_alerts_by_hand(tmp_path: Path) -> None:
    minutes = [*range(6), 7, 8, 19]
    closes = [100.0, 100.4, 101.0, 101.0, 101.0, 101.0, 110.0, 110.0, 110.0]
    volumes = [10.0, 10.0, 10.0, 10.0, 10.0, 10.2, 11.0, 0.0, 99.0]
    lines = [f"2017-01-02 10:{m:02}:00+05:30,{c},{c},{c},{c},{v}" for m, c, v in zip(minutes, closes, volumes, strict=True)]
    (tmp_path / "X__EQ.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *lines, "2017-01-02 10:"]), encoding="utf-8")
    found = expected_alerts(tmp_path).select(pl.col("symbol"), pl.col("time").dt.minute() - 30, "rule").rows()
    # 0.4 % is too little; at minute 7 the bar before is two minutes old; 10.2 is not above 1.02 * 10; at 19 the window is empty
    assert found == [("X", 2, "price_jump"), ("X", 7, "volume_surge")]


def test_a_section_is_replaced_not_added(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    record("One", "first figure", file=file)
    record("Two", "another", file=file)
    record("One", "second figure", "polars", file=file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Benchmark results")
    assert text.count("## One") == text.count("## Two") == 1
    assert "first figure" not in text
    assert "second figure" in text
    assert f"polars {pl.__version__}" in text


def test_measuring(tmp_path: Path) -> None:
    turns: list[str] = []
    times = alternate({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=2)
    assert turns == ["a", "b"] * 3
    assert table({"a": [1.0, 3.0, 2.0], "b": [4.0]}, "a", 1000).splitlines()[3] == "| b | 4.00 | 4.00 … 4.00 | 250 | 2.00 |"
    assert set(times) == {"a", "b"}
    assert own_peak_mib() > 1
    assert "cores" in machine()
    write_svg(tmp_path / "plot.svg", [Panel("t", "rows", [1e6, 1e7], [0.0, 5.0], " MiB")])
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").count("<circle") == 2


def said(z: float, *, flagged: bool = True, region: str = "16", volume: float = 7.0) -> Answers:
    days = {"customer": [1, 2], "day": [30, 31], "zscore": [True, flagged], "night_owls": [False, False], "spike_ratio": [False, True]}
    hours = {"region": [region], "day": [40], "hour": [3], "upper": [True]}
    return Answers(pl.DataFrame({**days, "z": [volume, z]}), pl.DataFrame(hours))


def test_answers_of_peers_may_differ_only_where_z_is_the_limit() -> None:
    sentence = same_answers({"a": said(3.0 + 1e-15), "b": said(3.0 - 1e-15, flagged=False)})
    assert "2 zscore, 0 night_owls, 1 spike_ratio and 1 region-hours" in sentence
    assert "1 customer-days with a z of exactly 3" in sentence
    for other, what in (
        (said(3.0 - 1e-6, flagged=False), "a and b differ on 1 customer-days"),
        (said(3.1), "a and b differ on 1 customer-days"),
        (said(3.0, volume=7.0000001), "a and b differ on 1 customer-days"),
        (said(3.0, region="17"), "a and b differ on 2 region-hours"),
    ):
        with pytest.raises(SystemExit, match=what):
            same_answers({"a": said(3.0), "b": other})
    fewer = Answers(said(3.5).customer_days.head(1), said(3.5).region_hours)
    with pytest.raises(SystemExit, match="differ on 1 customer-days"):
        same_answers({"a": fewer, "b": said(3.5)})


@pytest.mark.heavy
def test_offbeat_and_the_script_in_duckdb_say_the_same_of_call_records(tmp_path: Path) -> None:
    generate_cdr(tmp_path / "records", rows=100_000, days=40, customers=300, seed=5)
    judge(system_b(tmp_path / "b.yaml"), [tmp_path / "records"], tmp_path / "alerts.parquet")
    steps = cdr_duckdb.system_b(tmp_path / "records", tmp_path / "peer")
    assert len(steps) == 5
    assert size_mib(tmp_path / "peer") > 0.05
    ours = our_answers(tmp_path / "alerts.parquet")
    assert ours.customer_days["zscore"].sum() > 100
    assert ours.region_hours.height > 10
    same_answers({"offbeat": ours, "DuckDB": peer_answers(tmp_path / "peer")})


def test_three_ways_to_decode_json_give_the_same() -> None:
    line = b'{"symbol":"A","ts_recv":"2024-01-02T03:04:05.000000006Z","price":1.25,"size":3,"side":"N","action":"T",'
    line += b'"flags":0,"sequence":1,"publisher_id":8}\n'
    case = Case(load_plan("trades").source, "symbol", line + line.replace(b"1.25", b"7"))
    assert case.same() == 2
    frame = case.polars()
    assert frame["price"].to_list() == [1_250_000_000, 7_000_000_000]
    assert frame["ts_recv"].dt.nanosecond().to_list() == [6, 6]
    with pytest.raises(SystemExit, match="Polars reads other values"):
        # Nearest doubles, not what was written: only ours is the integer that the digits say.
        Case(case.plan, "symbol", line.replace(b"1.25", b"9007199.254740993")).same()
