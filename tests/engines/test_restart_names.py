"""A state that was kept with a pipeline in former names goes on with the same pipeline in present ones [S24]."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command, offbeat

from offbeat.io.read.alert_files import latest, read_alerts

__all__ = ["offbeat"]
PRESENT = """\
name: kept
source:
  key: who
  time: {column: t, format: s}
  columns:
    mb: {type: decimal, scale: 2}
    place: text
views:
  row:
    windows:
      recent: {over: 5 rows, min_rows: 2, features: {usual: mean(mb)}}
    detectors:
      far: {type: rule, when: mb > 1.2 * usual, expected: usual}
      steps: {type: zscore, over: 8 rows, min_values: 3, limits: {mb: 1}}
    vote: {quorum: 2}
  hour:
    rollup: {key: place, size: 1h, columns: {total: sum(mb)}}
    windows:
      before: {over: 6 rows, min_rows: 2, features: {usual_total: mean(total)}}
    detectors:
      more: {type: rule, when: total > 1.1 * usual_total}
      gone: {type: absence, min_history: 3, limit: 0.3}
"""
NAMES = {"decimal": "fixed", "size": "every", **dict.fromkeys(("min_rows", "min_values", "min_history", "quorum"), "at_least")}


def former(text: str) -> str:
    for new, old in NAMES.items():
        text = text.replace(f"{new}:", f"{old}:").replace(f"type: {new},", f"type: {old},")
    return text


def rows(begin: int, end: int) -> list[str]:
    return [f"{'abc'[i % 3]},{1_700_000_000 + 700 * i},{(i * 7919) % 1013 / 100},{'xy'[i % 7 > 4]}" for i in range(begin, end)]


def alerts(path: Path) -> list[tuple[str, str, str, float]]:
    """What holds in the end: view, id, plan and severity."""
    return sorted(latest(read_alerts(str(path))).select("view", "alert_id", "plan_hash", "severity").iter_rows())


@pytest.mark.parametrize("order", [("former", "present"), ("present", "former")])
def test_a_kept_state_goes_on_under_other_names(order: tuple[str, str], offbeat: Command, tmp_path: Path) -> None:
    texts = {"present": PRESENT, "former": former(PRESENT)}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    for name, lines in (("1", rows(0, 150)), ("2", rows(150, 300)), ("both", rows(0, 300))):
        (tmp_path / f"{name}.csv").write_text("\n".join(["who,t,mb,place", *lines, ""]))
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    for name, part in zip(order, "12", strict=True):
        args = ["run", tmp_path / f"{name}.yaml", tmp_path / f"{part}.csv", "--state", tmp_path / "state", "--alerts", out, "--json"]
        done = offbeat(*args)
        assert done.code == 0, done.err
        notes = [note for note in json.loads(done.out)["notes"] if "is now called" in note]
        assert len(notes) == (len(NAMES) if name == "former" else 0)
        assert all(note.startswith(f"{tmp_path}/former.yaml:") for note in notes)
    assert offbeat("run", tmp_path / "present.yaml", tmp_path / "both.csv", "--state", tmp_path / "other", "--alerts", whole).code == 0
    expected = alerts(whole)
    assert {view for view, *_ in expected} == {"row", "hour"}
    assert len(expected) > 40
    assert alerts(out) == expected
