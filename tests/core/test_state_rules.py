"""Rules may change on a kept state: models go on as if the new pipeline had read everything [S24]."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, offbeat

__all__ = ["offbeat"]
PIPELINE = """
name: kept
source:
  key: k
  time: {column: t, format: s}
  columns: {price: float, flags: {type: decimal, scale: 0}, place: {type: decimal, scale: 0}, side: text}
views:
  first:
    detectors: {FIRST}
  second:
    windows: {w: {over: 5 rows, current: true, features: {m: mean(price), s: std(price), b: share(side = 'B'), f: sum(flags)}}}
    detectors:
      forest: {type: isolation_forest, trees: 20, sample: 32, train_on: 60, retrain_every: 25, train_min: 40, contamination: 0.2}
      plain: RULE
"""
BEFORE = {"FIRST": "{r: {type: rule, when: price > 1e9}}", "RULE": "{type: rule, when: flags > 1000}"}
CHANGES: dict[str, dict[str, str]] = {
    "another column": {"RULE": "{type: rule, when: place > 1000}"},
    "more columns": {"RULE": "{type: rule, when: place > 1000 AND price < 0 AND flags > 7}"},
    "a literal before the others": {"FIRST": "{r: {type: rule, when: side = 'A' OR side = 'N'}}"},
}


def lines(rows: int) -> list[str]:
    rng = np.random.default_rng(5)
    price = np.cumsum(rng.normal(size=rows)) + 100
    sides = rng.choice(["A", "B", "N"], rows)
    flags = rng.integers(0, 9, rows)
    return [f"{'xy'[i % 2]},{1_600_000_000 + i},{price[i]:.3f},{flags[i]},{i % 7},{sides[i]}" for i in range(rows)]


def pipeline(path: Path, change: dict[str, str]) -> Path:
    text = PIPELINE
    for name, value in (BEFORE | change).items():
        text = text.replace(name, value) if name == "RULE" else text.replace(f"{{{name}}}", value)
    path.write_text(text)
    return path


def verdicts(path: Path) -> dict[str, Any]:
    """What the forest said, by alert."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {a["alert_id"]: d for a in records if a["view"] == "second" for d in a["detectors"] if d["name"] == "forest"}


@pytest.mark.heavy
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_rule_leaves_the_models_alone(change: str, offbeat: Command, tmp_path: Path) -> None:
    head, rows = "k,t,price,flags,place,side", lines(600)
    old, new = pipeline(tmp_path / "old.yaml", {}), pipeline(tmp_path / "new.yaml", CHANGES[change])
    for name, part in (("first", rows[:333]), ("second", rows[333:]), ("both", rows)):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *part, ""]))
    state, out = tmp_path / "state", tmp_path / "two.jsonl"
    assert offbeat("run", old, tmp_path / "first.csv", "--state", state, "--alerts", out).code == 0
    before = set(verdicts(out))
    done = offbeat("run", new, tmp_path / "second.csv", "--state", state, "--alerts", out)
    assert done.code == 0, done.err
    assert offbeat("run", new, tmp_path / "both.csv", "--alerts", tmp_path / "one.jsonl").code == 0
    after, whole = verdicts(out), verdicts(tmp_path / "one.jsonl")
    late = {alert: said for alert, said in after.items() if alert not in before}
    assert len(late) > 20
    assert all(whole[alert] == said for alert, said in late.items())
