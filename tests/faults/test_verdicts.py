"""Verdicts that were wrong on real files: plateaus, constants that change, from file to alerts. Right values by hand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import BARS, DATA, Command, offbeat

__all__ = ["offbeat"]
FAULTS = DATA / "faults"


def ran(offbeat: Command, tmp_path: Path, *args: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `run … --json` says, and the alerts."""
    out = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
    done = offbeat("run", *args, "--alerts", out, "--json")
    assert done.code == 0, done
    alerts = [json.loads(line, parse_constant=_no_number) for line in out.read_text().splitlines()] if out.exists() else []
    return json.loads(done.out), alerts


def _no_number(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def votes(alerts: list[dict[str, Any]]) -> Counter[str]:
    return Counter(d["name"] for alert in alerts for d in alert["detectors"] if d["voted"])


MODELS = ("isolation_forest", "half_space_trees", "robust_covariance")
ALL = """
name: all
source: {{key: k, time: {{column: t, format: s}}, columns: {{v: float, w: float}}}}
views:
  row:
    detectors:
{detectors}
"""


def pipeline(folder: Path, detectors: dict[str, str]) -> Path:
    file = folder / "all.yaml"
    file.write_text(ALL.format(detectors="\n".join(f"      {name}: {{{settings}}}" for name, settings in detectors.items())))
    return file


def table(folder: Path, values: list[tuple[float, float]], form: str = "csv") -> Path:
    rows = pl.DataFrame(
        {"k": ["a"] * len(values), "t": [1_700_000_000 + i for i in range(len(values))]},
    ).with_columns(v=pl.Series([v for v, _ in values], dtype=pl.Float64), w=pl.Series([w for _, w in values], dtype=pl.Float64))
    file = folder / f"rows.{form}"
    getattr(rows, f"write_{form}")(file)
    return file


# -- plateaus ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
def test_a_plateau_of_rows(offbeat: Command, tmp_path: Path) -> None:
    """7,497 times 5.0, three times 6.0: the three are odd, whatever the tree; nothing else."""
    figures, alerts = ran(offbeat, tmp_path, FAULTS / "telecom/plateau_rows.yaml", FAULTS / "telecom/plateau_rows.csv.gz")
    assert figures["rows_in"] == 7500
    assert {alert["row"]["v"] for alert in alerts} == {6.0}
    assert votes(alerts) == {"forest": 3, "hst": 3}


@pytest.mark.heavy
def test_a_plateau_of_days(offbeat: Command, tmp_path: Path) -> None:
    """60 customers, 98 % of whose days are alike: on no day more than a few of them are flagged."""
    _, alerts = ran(offbeat, tmp_path, FAULTS / "telecom/plateau_days.yaml", FAULTS / "telecom/plateau_days.csv.gz")
    by_day = Counter(alert["time"] for alert in alerts)
    assert max(by_day.values(), default=0) <= 5
    usual = Counter(alert["row"]["calls"] for alert in alerts)
    assert usual[1] == 0


def levels(weights: dict[float, float], n: int = 6000, seed: int = 1) -> list[tuple[float, float]]:
    drawn = random.Random(seed).choices(list(weights), list(weights.values()), k=n)
    return [(v, 0.0) for v in drawn]


SERIES: dict[str, Callable[[], list[tuple[float, float]]]] = {
    "one outlier in the training rows": lambda: [(6.0 if i in (400, 2100) else 5.0, 0.0) for i in range(6000)],
    "two levels": lambda: levels({5.0: 0.9, 6.0: 0.1}),
    "two levels, one of them rare": lambda: levels({5.0: 0.97, 6.0: 0.03}),
    "counts": lambda: levels({0.0: 0.6, 1.0: 0.25, 2.0: 0.1, 3.0: 0.04, 4.0: 0.01}),
    "a die": lambda: levels({float(i): 1.0 for i in range(33)}),
    "levels by turns": lambda: [(float(i // 100 % 4), 0.0) for i in range(6000)],
    "a plateau beside noise": lambda: [(5.0 if i % 50 else 6.0 + i % 7, 0.0) for i in range(6000)],
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", SERIES)
def test_few_distinct_rows(offbeat: Command, tmp_path: Path, name: str) -> None:
    """Of a series of few distinct rows no more than 2 c are flagged, by any trained detector."""
    features = "features: [v, w], contamination: 0.01"
    file = pipeline(tmp_path, {kind: f"type: {kind}, {features}" for kind in MODELS})
    _, alerts = ran(offbeat, tmp_path, file, table(tmp_path, SERIES[name]()))
    assert all(n <= 0.02 * 6000 for n in votes(alerts).values()), votes(alerts)


def test_a_plateau_that_begins_after_a_shift(offbeat: Command, tmp_path: Path) -> None:
    """From row 3,000 on all is 7 instead of 5: new until a model has learnt it, by row 3,500 at the latest, and usual from there on."""
    file = pipeline(tmp_path, {kind: f"type: {kind}, features: [v, w]" for kind in MODELS})
    _, alerts = ran(offbeat, tmp_path, file, table(tmp_path, [(5.0 if i < 3000 else 7.0, 0.0) for i in range(9000)]))
    numbers = [int(pl.Series([alert["time"][:19]]).str.to_datetime().dt.epoch("s")[0]) - 1_700_000_000 for alert in alerts]
    assert min(numbers) == 3000
    assert max(numbers) < 3500
    assert votes(alerts) == dict.fromkeys(MODELS, len(alerts))


def test_a_restart_in_the_middle_of_a_plateau(offbeat: Command, tmp_path: Path) -> None:
    """Thresholds and constants are in the state: in two parts the alerts are those of one run."""
    file = pipeline(tmp_path, {kind: f"type: {kind}, features: [v, w]" for kind in MODELS})
    values = [(5.0 if i % 700 else 6.0, 1.0) for i in range(1, 4000)]
    values[2000] = (5.0, 1.5)
    whole = table(tmp_path, values)
    _, alerts = ran(offbeat, tmp_path, file, whole)
    lines = whole.read_text().splitlines(keepends=True)
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("".join(lines[:1990]))
    second.write_text("".join([lines[0], *lines[1990:]]))
    state, out = tmp_path / "state", tmp_path / "parts.jsonl"
    for part in (first, second):
        assert offbeat("run", file, part, "--state", state, "--alerts", out).code == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == alerts
    assert any(alert["row"]["w"] == 1.5 for alert in alerts)


# -- constants --------------------------------------------------------------------------------------------------------------------------


def _said_of(alerts: list[dict[str, Any]], value: float) -> dict[str, tuple[float, bool]]:
    (alert,) = (alert for alert in alerts if alert["row"]["v"] == value)
    return {d["name"]: (d["score"], d["voted"]) for d in alert["detectors"]}


def test_a_constant_that_jumps(offbeat: Command, tmp_path: Path) -> None:
    """Value 5 for 420 minutes, then 500: all seven say so, with the greatest score there is."""
    _, alerts = ran(offbeat, tmp_path, FAULTS / "detectors/const.yaml", FAULTS / "detectors/const.csv")
    assert _said_of(alerts, 500.0) == dict.fromkeys(["z", "zr", "band", "q", "forest", "cov", "hst"], (1.0, True))
    jump = next(alert for alert in alerts if alert["row"]["v"] == 500.0)
    assert jump["severity"] == 1.0
    assert all("never varied before" in d["note"] for d in jump["detectors"])
    assert all(part["value"] in (None, 0.0) for d in jump["detectors"] for part in d["contributions"])
    done = offbeat("explain", "worst", "--alerts", next(tmp_path.glob("*.jsonl")))
    assert "never varied before" in done.out


def test_a_constant_that_jumps_with_a_wiggle_long_before(offbeat: Command, tmp_path: Path) -> None:
    lines = (FAULTS / "detectors/const.csv").read_text().splitlines()
    lines[101] = lines[101].replace(",5,", ",5.001,")
    rows = tmp_path / "wiggle.csv"
    rows.write_text("\n".join(lines) + "\n")
    _, alerts = ran(offbeat, tmp_path, FAULTS / "detectors/const.yaml", rows)
    assert {name for name, (_, voted) in _said_of(alerts, 500.0).items() if voted} == {"z", "zr", "band", "q", "forest", "cov", "hst"}


def test_a_baseline_without_spread(offbeat: Command, tmp_path: Path) -> None:
    figures, alerts = ran(offbeat, tmp_path, FAULTS / "detectors/zero_std.yaml", FAULTS / "detectors/const.csv")
    assert [(alert["time"][:16], alert["severity"], alert["row"]["s"]) for alert in alerts] == [("2024-01-01T07:00", 1.0, 500.0)]
    assert figures["views"]["day"]["no_spread"] == {}


RANGES = {
    "z": "type: zscore, over: 50 rows, limits: {v: 3}",
    "band": "type: band, over: 50 rows, value: v",
    "q": "type: quantile, over: 50 rows, value: v",
}


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson"])
def test_one_tick_after_equal_prices(offbeat: Command, tmp_path: Path, form: str) -> None:
    """A price that stood still for 60 rows moves by a tick of 0.01: infinitely far, unless a floor says what a tick is."""
    values = [(48.2, 0.0)] * 60 + [(48.21, 0.0)]
    bare = {f"bare_{name}": settings for name, settings in RANGES.items()}
    floored = {f"tick_{name}": f"{settings}, floor: 0.01" for name, settings in RANGES.items()}
    share = {f"share_{name}": f"{settings}, floor: 0.1%" for name, settings in RANGES.items()}
    _, alerts = ran(offbeat, tmp_path, pipeline(tmp_path, {**bare, **floored, **share}), table(tmp_path, values, form))
    assert set(votes(alerts)) == set(bare)
    assert alerts[0]["severity"] == 1.0


def test_nulls_are_no_spread(offbeat: Command, tmp_path: Path) -> None:
    """One value among nulls is too few for a verdict, however the others are spelled."""
    file = pipeline(tmp_path, RANGES)
    file.write_text(file.read_text().replace("v: float", "v: {type: float, required: false, allow_nan: true}"))
    rows = tmp_path / "rows.csv"
    cells = ["" if i % 2 else "nan" for i in range(60)]
    cells[10] = "5"
    rows.write_text("k,t,v,w\n" + "".join(f"a,{1_700_000_000 + i},{cell},0\n" for i, cell in enumerate([*cells, "7"])))
    figures, alerts = ran(offbeat, tmp_path, file, rows)
    assert (figures["rows_in"], alerts) == (61, [])


# -- severity of rules ------------------------------------------------------------------------------------------------------------------


def test_one_share_is_not_worse_than_seventy_thousand(offbeat: Command, tmp_path: Path) -> None:
    """1 > 0 is no ratio: it is measured by the mean volume of the last 375 bars, and 70,000 > 6.02 stays first."""
    _, alerts = ran(offbeat, tmp_path, "bars", FAULTS / "general/AAA_bars.csv")
    found = {}
    for alert in alerts:
        (surge,) = (d for d in alert["detectors"] if d["name"] == "volume_surge" and d["voted"])
        found[surge["observed"], round(surge["threshold"], 6)] = alert
    # 5.9 is the mean of 50 and nine times 1.
    assert max(found, key=lambda said: found[said]["severity"]) == (70_000.0, 6.018)
    assert found[70_000.0, 6.018]["severity"] == pytest.approx(1 - 1.02 * 5.9 / 70_000, rel=1e-12)
    # Fifteen bars without volume lie before it: the floor is 0, which is none.
    first = found[1.0, 0.0]
    assert first["severity"] == 0.0
    file = next(tmp_path.glob("*.jsonl"))
    assert "70,000" in offbeat("explain", "worst", "--alerts", file).out
    assert "severity is 0" in offbeat("explain", first["alert_id"], "--alerts", file).out


def test_a_share_after_a_halt(offbeat: Command, tmp_path: Path) -> None:
    """A day of 100 shares a minute, ten minutes of none, then one share and, after ten more, 1,000: measured by the mean of 375 bars.

    The mean of the bars before: (100 · 90) / 100 = 90 at the first, (100 · 90 + 1) / 111 = 81.09… at the second.
    """
    volumes = [100] * 90 + [0] * 10 + [1] + [0] * 10 + [1000]
    rows = [f"2017-01-02 {9 + (15 + i) // 60:02}:{(15 + i) % 60:02}:00+05:30,100,100,100,100,{v}" for i, v in enumerate(volumes)]
    file = tmp_path / "HALT_bars.csv"
    file.write_text(BARS + "\n".join(rows) + "\n")
    _, alerts = ran(offbeat, tmp_path, "bars", file)
    assert [alert["severity"] for alert in alerts] == pytest.approx([0.0, 1 - 9001 / 111 / 1000], rel=1e-12)


RULES = """
name: rules
source: {key: k, time: {column: t, format: s}, columns: {v: float, w: float}}
views:
  row:
    detectors:
      it: {type: rule, when: "%s"%s}
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("when", "floor", "v", "w", "severity"),
    [
        ("v > w", "", 150.0, 1.0, 1 - 1 / 150),  # no cut at 100
        ("v > w", "", 1e6, 1.0, 1 - 1e-6),
        ("v > w", "", 3.0, 0.0, 0.0),  # no ratio, nothing to measure it by
        ("v > w", ", floor: 2", 3.0, 0.0, 1 - 2 / 3),
        ("v > w", ", floor: 2", 1.0, 0.0, 0.0),  # less than what counts as little
        ("v > w", ", floor: 2", 1.0, -5.0, 0.0),
        ("v > w", ", floor: w", 8.0, 0.0, 0.0),  # a floor of 0 is none
        ("v > w", ", floor: 2", 8.0, 4.0, 0.5),  # a floor is only for limits that are no ratio
        ("v < w", "", 2.0, 5.0, 1 - 2 / 5),
        ("v < w", "", 0.0, 5.0, 1.0),  # nothing, where there should be 5
        ("v < w", ", floor: 0.5", 0.0, 5.0, 0.9),
        ("v < w", "", -4.0, -2.0, 0.0),
        ("v < w", ", floor: 1", -4.0, -2.0, 0.75),
        ("v >= w", "", 0.0, 0.0, 0.0),
        ("v <= w AND v > -1", "", 0.0, 0.0, 0.0),
    ],
)
def test_severity_of_a_rule(offbeat: Command, tmp_path: Path, when: str, floor: str, v: float, w: float, severity: float) -> None:
    """1 - 1/r."""
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % (when, floor))
    _, (alert,) = ran(offbeat, tmp_path, file, table(tmp_path, [(v, w)]))
    assert alert["severity"] == pytest.approx(severity, rel=1e-12)
    assert ("no multiple of the limit" in offbeat("explain", "worst", "--alerts", next(tmp_path.glob("*.jsonl"))).out) == (w <= 0)


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson"])
def test_the_worst_is_the_one_furthest_over_its_limit(offbeat: Command, tmp_path: Path, form: str) -> None:
    """Beyond 100 times the limit too; equal ones in order of time."""
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % ("v > w", ""))
    rows = table(tmp_path, [(101.0, 1.0), (5e7, 1.0), (1e4, 1.0), (5e7, 1.0), (3.0, 0.0), (5.0001e7, 1.0)], form)
    out = tmp_path / "alerts.jsonl"
    assert offbeat("run", file, rows, "--alerts", out).code == 0
    ranked_values = [alert["row"]["v"] for alert in sorted(map(json.loads, out.read_text().splitlines()), key=lambda a: -a["severity"])]
    assert ranked_values == [5.0001e7, 5e7, 5e7, 1e4, 101.0, 3.0]


# -- verdicts are counted ---------------------------------------------------------------------------------------------------------------

JIT = FAULTS / "market/JIT.csv"


def by_hand(rows: list[str]) -> dict[str, Any]:
    """Of minute bars stamped a little off: price_jump has a verdict where the bar before lies at most 60 s back."""
    times = pl.Series([row.split(",")[0] for row in rows]).str.to_datetime(time_zone="UTC").to_list()
    near = [b - a <= timedelta(seconds=60) for a, b in pairwise(times)]
    first = near.index(True)
    return {
        "verdicts": sum(near), "votes": 0,
        "none": {"previous_close is null": near[first:].count(False)}, "warming_up": {"previous_close is null": 1 + first},
        "nearest_ns": {"previous_close is null": 60_140_000_000},
    }  # fmt: skip


def test_a_detector_that_is_silent_on_half_of_the_rows(offbeat: Command, tmp_path: Path) -> None:
    """Bars 60.14 s after the one before have no previous minute: 29 of 60, with the first."""
    figures, _ = ran(offbeat, tmp_path, "bars", JIT)
    expected = by_hand(JIT.read_text().splitlines()[1:])
    assert figures["views"]["bar"]["detectors"]["price_jump"] == expected
    (note,) = figures["notes"]
    assert "bar.price_jump" in note
    assert "29 of 60 rows (48 %)" in note
    assert "previous_close is null" in note
    assert "60.14 s" in note
    assert "60.14 s" in offbeat("run", "bars", JIT).out


@pytest.mark.parametrize("cut", [1, 2, 3, 31])
def test_counts_go_on_over_runs(offbeat: Command, tmp_path: Path, cut: int) -> None:
    """With --state the figures are those of all runs."""
    header, *rows = JIT.read_text().splitlines()
    for name, part in (("1", rows[:cut]), ("2", rows[cut:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "JIT.csv").write_text("\n".join([header, *part]) + "\n")
        done = offbeat("run", "bars", tmp_path / name / "JIT.csv", "--state", tmp_path / "state", "--set", "quality.cadence=1m", "--json")
    assert json.loads(done.out)["views"]["bar"]["detectors"]["price_jump"] == by_hand(rows)


def test_counts_of_shards_add_up(offbeat: Command, tmp_path: Path) -> None:
    header, *rows = JIT.read_text().splitlines()
    for key in "ABCDE":
        (tmp_path / f"{key}.csv").write_text("\n".join([header, *rows]) + "\n")
    found = []
    for workers in (1, 2):
        done = offbeat("run", "bars", *sorted(tmp_path.glob("*.csv")), "--workers", workers, "--json")
        found.append(json.loads(done.out)["views"]["bar"]["detectors"])
    assert found[0] == found[1]
    one = by_hand(rows)
    assert found[0]["price_jump"]["verdicts"] == 5 * one["verdicts"]
    assert found[0]["price_jump"]["none"] == {reason: 5 * n for reason, n in one["none"].items()}


@pytest.mark.parametrize(
    ("detector", "why"),
    [
        ("{type: rule, when: v / (v - v) > 1}", "an operation is null"),
        ("{type: zscore, over: 500 rows, limits: {v: 3}}", "too few values in its window"),
        ("{type: rule, when: w > 1}", "w is null"),
    ],
)
def test_a_detector_that_never_had_a_verdict(offbeat: Command, tmp_path: Path, detector: str, why: str) -> None:
    file = tmp_path / "never.yaml"
    text = RULES % ("v > 0", "")
    file.write_text(text.replace("w: float", "w: {type: float, required: false}") + f"      other: {detector}\n")
    rows = tmp_path / "rows.csv"
    rows.write_text("k,t,v,w\n" + "".join(f"a,{1_700_000_000 + i},1,\n" for i in range(50)))
    figures, _ = ran(offbeat, tmp_path, file, rows)
    assert figures["views"]["row"]["detectors"]["other"]["verdicts"] == 0
    assert figures["views"]["row"]["detectors"]["it"] | {"nearest_ns": {}} == {
        "verdicts": 50, "votes": 50, "none": {}, "warming_up": {}, "nearest_ns": {},
    }  # fmt: skip
    (note,) = (note for note in figures["notes"] if "row.other" in note)
    assert "never had a verdict" in note
    assert why in note
