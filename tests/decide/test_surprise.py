"""Votes by surprise: the oracle over more than two periods, the budget kept, what an alert says, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from command import Command, offbeat
from oracle_surprise import Budget, Surprised

from offbeat.core.plan import BudgetPlan
from offbeat.decide.surprise import Surprise
from offbeat.spec.load import load_plan, load_text

__all__ = ["offbeat"]
PIPELINE = """
name: p
source: {key: k, time: t, columns: {x: float}}
views:
  v:
    detectors:
      up: {type: zscore, over: 50 rows, limits: {x: 3}}
      down: {type: rule, when: abs(x) > 3}
    vote: {by: surprise, budget: BUDGET}
"""
MINUTE = 60 * 10**9


@pytest.mark.heavy
def test_the_oracle_over_three_periods() -> None:
    """Values of two detectors, some without a verdict, with new records now and then; restored in the middle."""
    random, n = Random(7), 50_000
    r = np.array([[random.paretovariate(1.5) * (1000.0 if random.random() < 1e-4 else 1.0) for _ in range(n)] for _ in range(2)])
    r[1, ::7] = np.nan
    r[:, ::5000] = np.nan
    times = np.cumsum([random.choice([1, 10, 60]) * 10**9 for _ in range(n)]).astype(np.int64)
    ours = Surprise(2, BudgetPlan(3.0, 86_400 * 10**9, 0, 500))
    voted, strength, told = np.zeros((2, n), np.bool_), np.zeros((2, n)), list[tuple[str, str]]()
    for begin in range(0, n, 9000):
        part = slice(begin, begin + 9000)
        own = len(times[part])
        ours.begin(own)
        now = np.zeros((2, own), np.bool_)
        rows = np.arange(own)
        ours.weigh(rows, 1, np.zeros(own, np.int32), times[part], r[:, part], r[:, part], now)
        voted[:, part], strength[:, part] = now, ours.strength
        told += zip(ours.told(0, rows), ours.told(1, rows), strict=True)
        again = Surprise(2, BudgetPlan(3.0, 86_400 * 10**9, 0, 500))
        again.restore(ours.snapshot(np.zeros(1, np.int64)))
        ours = again
    oracle, alerts = Surprised(Budget(3.0, seconds=86_400.0)), 0
    for i in range(n):
        ahead, notes = oracle.weigh([None if np.isnan(x) else float(x) for x in r[:, i]], int(times[i]))
        expected = [ahead >= 0.0 and note is not None for note in notes]
        assert voted[:, i].tolist() == expected, i
        alerts += any(expected)
        for d in range(2):
            if expected[d]:
                assert strength[d, i] == 1.0 + ahead
                assert told[i][d] == notes[d]
    assert 5 < alerts < 200


def test_a_key_takes_little() -> None:
    """Three detectors: 9 kB, however many rows there were."""
    ours = Surprise(3, BudgetPlan(1.0, 0, 100, 500))
    ours.begin(1)
    one = np.ones((3, 1))
    ours.weigh(np.arange(1), 1, np.zeros(1, np.int32), np.zeros(1, np.int64), one, one, np.zeros((3, 1), np.bool_))
    assert sum(array.nbytes for array in ours.snapshot(np.zeros(1, np.int64)).values()) < 9000


def _noise(path: Path, days: int, spike: int | None = None) -> Path:
    random = Random(8)
    rows = [random.gauss(0.0, 1.0) for _ in range(days * 1440)]
    if spike is not None:
        rows[spike] = 40.0
    path.write_text(
        "".join(json.dumps({"k": "a", "t": "2024-01-01T00:00:00Z", "x": x} | {"t": _at(i)}) + "\n" for i, x in enumerate(rows))
    )
    return path


def _at(minute: int) -> str:
    return str(np.datetime64("2024-01-01T00:00:00") + np.timedelta64(minute, "m")) + "Z"


@pytest.mark.parametrize(("budget", "wanted"), [("1 per day", 40), ("3 per week", 40 * 3 / 7), ("10 per 10000 rows", 57.6)])
def test_the_budget_is_kept(offbeat: Command, tmp_path: Path, budget: str, wanted: float) -> None:
    """40 days of noise, a row a minute."""
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("BUDGET", budget))
    done = offbeat("run", tmp_path / "p.yaml", _noise(tmp_path / "x.ndjson", 40), "--json")
    assert done.code == 0
    assert 0.4 * wanted < json.loads(done.out)["alerts"] < 1.6 * wanted


def test_an_alert_says_how_rare_it_is(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("BUDGET", "1 per week"))
    rows = _noise(tmp_path / "x.ndjson", 20, spike=25_000)
    assert offbeat("run", tmp_path / "p.yaml", rows, "--alerts", tmp_path / "a.jsonl").code == 0
    alerts = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    worst = max(alerts, key=lambda alert: alert["severity"])
    assert worst["time"].startswith(_at(25_000)[:16])
    # Halved after 23,000 values, the memory holds 11,500 and 2,000, less what halving rounds down, and what came before the first verdict.
    for detector in worst["detectors"]:
        assert detector["voted"]
        assert "once in 14,000 rows of this key" in detector["note"] or "once in 13,000 rows of this key" in detector["note"]
        assert "times its record" in detector["note"]
    told = offbeat("explain", worst["alert_id"], "--alerts", tmp_path / "a.jsonl", "--pipeline", tmp_path / "p.yaml")
    assert told.code == 0
    assert "rows of this key" in told.out


def test_another_budget_goes_on_with_the_state_and_another_limit_does_not(offbeat: Command, tmp_path: Path) -> None:
    rows, state = _noise(tmp_path / "x.ndjson", 2), tmp_path / "kept"
    for name, text in (
        ("a", PIPELINE.replace("BUDGET", "1 per day")),
        ("b", PIPELINE.replace("BUDGET", "2 per week")),
        ("c", PIPELINE.replace("BUDGET", "1 per day").replace("{x: 3}", "{x: 4}")),
    ):
        (tmp_path / f"{name}.yaml").write_text(text)
    assert offbeat("run", tmp_path / "a.yaml", rows, "--state", state).code == 0
    assert offbeat("run", tmp_path / "b.yaml", rows, "--state", state).code == 0
    assert "vote" in offbeat.refused("run", tmp_path / "c.yaml", rows, "--state", state)


def test_a_pipeline_written_out_is_the_same() -> None:
    """With all its defaults, as it is kept in a state and shown to engines."""
    for vote in ("{by: surprise, budget: 3 per week}", "{by: surprise}", "{quorum: 2}"):
        loaded = load_text(PIPELINE.replace("{by: surprise, budget: BUDGET}", vote), "p.yaml")
        again = load_plan(loaded.spec.model_dump(mode="json", exclude_none=True))
        assert again.plan_hash == loaded.plan.plan_hash
        assert load_text(again.text, "p.yaml").plan.state_hash == loaded.plan.state_hash
