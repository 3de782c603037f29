"""Limits for a budget: met on days that were held out, by real and by made-up data; nothing is changed in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import DATA, Command, offbeat

from offbeat.engines.calibration.budget import budget_of
from offbeat.engines.calibration.calibrate import calibrate
from offbeat.errors import UserError
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]

PIPELINE = """
name: p
source: {key: k, time: ts, columns: {v: float}}
episodes: {quiet: 30m}
views: {row: {detectors: {high: {type: rule, when: v > 10}}}}
"""
BUDGETS = [
    ("20 incidents/day", 20.0, "incidents", False),
    ("1 alert / hour", 24.0, "alerts", False),
    ("7 alerts per week per key", 1.0, "alerts", True),
    ("0.5 incidents a day", 0.5, "incidents", False),
]


@pytest.mark.parametrize(("text", "a_day", "of", "per_key"), BUDGETS)
def test_budgets(text: str, a_day: float, of: str, per_key: bool) -> None:
    found = budget_of(text)
    assert found.a_day == pytest.approx(a_day)
    assert (found.of, found.per_key) == (of, per_key)


@pytest.mark.parametrize("text", ["20", "20 rows/day", "0 alerts/day", "-3 alerts/day", "3 alerts/year", ""])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UserError, match="expected such as '20 incidents/day'"):
        budget_of(text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 days with an hourly row of 11, 12, … 34: each is an alert, an hour from the next, so an episode of its own."""
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    rows = [f"a,2024-01-{day:02d}T{hour:02d}:00:00,{11 + hour}" for day in range(1, 31) for hour in range(24)]
    Path("r.csv").write_text("k,ts,v\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("budget", ["3 incidents/day", "3 alerts/day", "21 alerts/week per key"])
def test_a_budget_by_hand(here: Path, budget: str) -> None:
    """24 alerts a day; the three greatest values are 32, 33 and 34, so the limit lies from 31 to below 32."""
    found = calibrate("p.yaml", ["r.csv"], budget_of(budget))
    assert found.rates == {"found": (24, 3), "checked": (24, 3), "recent": (24, 3)}
    assert (found.off, found.met) == (0, True)
    (value,) = found.settings.values()
    assert 31 <= float(value.removeprefix("v > ")) < 32
    assert (here / "p.yaml").read_text() == PIPELINE


def test_a_budget_above_what_there_is_makes_limits_milder(here: Path) -> None:
    (here / "p.yaml").write_text(PIPELINE.replace("v > 10", "v > 25"))
    found = calibrate("p.yaml", ["r.csv"], budget_of("12 alerts/day"))
    assert found.rates["checked"] == (9, 12)
    never = calibrate("p.yaml", ["r.csv"], budget_of("50 alerts/day"))
    assert not never.met


def test_through_the_command(offbeat: Command, here: Path) -> None:
    done = offbeat("calibrate", "p.yaml", "r.csv", "--budget", "3 incidents/day", "--write", "q.yaml", "--limit", "2")
    assert done.code == 0, done.err
    for said in ("-views:", "+views:", "no alert is left of 630 of the former episodes", "written: q.yaml"):
        assert said in done.out
    assert (here / "p.yaml").read_text() == PIPELINE
    figures = json.loads(offbeat("calibrate", "p.yaml", "r.csv", "--budget", "3 incidents/day", "--json").out)
    assert (figures["a_day"], figures["off"], figures["episodes_gone"], figures["episodes_new"]) == (3, 0, 630, 0)
    assert f"v > {figures['settings']['row.high.when'].removeprefix('v > ')}" in Path("q.yaml").read_text()
    assert load_plan("q.yaml").state_hash == load_plan("p.yaml").state_hash, "a kept state goes on"
    for words, said in (
        (("--budget", "many"), "expected such as"),
        (("--budget", "3 alerts/day", "--write", "p.yaml"), "that is the pipeline itself"),
        (("--budget", "3 alerts/day", "--write", "q.yaml"), "it is there already"),
        (("--budget", "3 alerts/day", "--write", "q.json"), "a pipeline is a YAML file"),
        (("--budget", "3 alerts/day", "--since", "soon"), "--since"),
    ):
        assert said in offbeat.refused("calibrate", "p.yaml", "r.csv", *words)
    assert "name files or folders" in offbeat.refused("calibrate", "p.yaml", "-", "--budget", "3 alerts/day")
    Path("none.csv").write_text("k,ts,v\na,2024-01-01T00:00:00,1\n")
    assert "nothing to calibrate" in offbeat.refused("calibrate", "p.yaml", "none.csv", "--budget", "3 alerts/day")


@pytest.mark.parametrize("budget", ["3 incidents/day", "20 alerts/day"])
def test_bars_meet_their_budget(budget: str) -> None:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")
    assert abs(calibrate("bars", [str(DATA / "bars")], budget_of(budget)).off) <= 0.2


@pytest.mark.heavy
def test_trades_meet_their_budget(offbeat: Command, tmp_path: Path) -> None:
    """Models set their limits by the data: only a run shows what a share of rows comes to."""
    file = tmp_path / "trades.parquet"
    assert offbeat("generate", "trades", "--rows", 1_000_000, "--symbols", 8, "--out", file).code == 0
    assert abs(calibrate("trades", [str(file)], budget_of("20 incidents/day")).off) <= 0.2


@pytest.mark.heavy
def test_call_records_meet_their_budget(offbeat: Command, tmp_path: Path) -> None:
    assert offbeat("generate", "cdr", "--out", tmp_path / "calls", "--rows", 300_000, "--days", 60).code == 0
    assert abs(calibrate("cdr", [str(tmp_path / "calls")], budget_of("20 incidents/day")).off) <= 0.2
