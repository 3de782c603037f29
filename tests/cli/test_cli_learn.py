"""Labels and what is learned from them: no real incident is lost, nothing changes by itself, every version can be had back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command, offbeat
from small_runs import ran

from offbeat.engines.incidents import open_incidents

__all__ = ["offbeat"]

PIPELINE = """\
name: p
source: {key: k, time: ts, columns: {v: float, w: float}}
episodes: {quiet: 10m}
views:
  row:
    detectors:
      high: {type: rule, when: v > 10}   # stays
      wide: {type: rule, when: w > 1}
"""
ROWS = [
    ("09:00", 100, 0, "real"),
    ("10:00", 60, 0, "real"),
    ("11:00", 30, 0, "false"),
    ("12:00", 15, 0, "false"),
    ("13:00", 0, 8, "real"),
    ("14:00", 0, 2, "false"),
    ("15:00", 20, 3, None),
    ("16:00", 80, 0, None),
    ("17:00", 40, 1.5, None),
]
"""By hand: `high` must let 60 pass and stop 30, so its limit lies between; `wide` must let 8 pass and stop 2. The geometric means are
42.4 and 4. Of the unlabelled ones 80 stays, the others go."""


@pytest.fixture
def here(offbeat: Command, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    Path("r.csv").write_text("k,ts,v,w\n" + "".join(f"a,2024-01-01T{at}:00,{v},{w}\n" for at, v, w, _ in ROWS))
    ran(offbeat, "p.yaml", "r.csv", "--alerts", store)
    return store


def label_all(offbeat: Command, store: str) -> None:
    listed = offbeat("incidents", store, "--pipeline", "p.yaml", "--json").out.splitlines()
    ids = {one["episode"]["start"][11:16]: one["incident_id"] for one in map(json.loads, listed)}
    for at, _, _, said in ROWS:
        if said is not None:
            done = offbeat("label", ids[at], said, "--store", store, "--pipeline", "p.yaml", "--why", "seen", "--who", "ana")
            assert (done.code, done.out.strip()) == (0, f"{ids[at][:12]} {said}")


@pytest.mark.heavy
def test_limits_by_hand(offbeat: Command, here: str) -> None:
    label_all(offbeat, here)
    figures = json.loads(offbeat("learn", here, "r.csv", "--pipeline", "p.yaml", "--json").out)
    assert (figures["real"], figures["false"], figures["false_gone"], figures["others_gone"]) == (3, 3, 3, 2)
    assert figures["settings"] == {"row.high.when": "v > 42.4", "row.wide.when": "w > 4"}
    assert figures["replayed"] == {"real_left": 3, "false_left": 0, "before": 9, "after": 4, "gone": 5, "new": 0}
    assert Path("p.yaml").read_text() == PIPELINE, "nothing changes by itself"


@pytest.mark.heavy
def test_apply_and_roll_back(offbeat: Command, here: str) -> None:
    label_all(offbeat, here)
    on = ("learn", here, "--pipeline", "p.yaml", "--who", "ana")
    shown = offbeat(*on).out
    assert "by the store's alerts 3 incidents labelled real stay, and 3 of 3 labelled false go" in shown
    assert "+      high: {type: rule, when: v > 42.4}   # stays" in shown
    assert "nothing was changed" in shown
    assert "of 3 others 2 go" in shown
    applied = offbeat(*on, "--apply")
    assert "version 2; --rollback 1 brings back" in applied.out, applied
    learned = Path("p.yaml").read_text()
    assert learned == PIPELINE.replace("v > 10", "v > 42.4").replace("w > 1", "w > 4")
    assert [line.split()[0] for line in offbeat(*on, "--versions").out.splitlines()] == ["1:", "2:"]
    assert offbeat(*on, "--rollback", "1").code == 0
    assert Path("p.yaml").read_text() == PIPELINE
    assert offbeat(*on, "--rollback", "2", "--write", "q.yaml").code == 0
    assert (Path("q.yaml").read_text(), Path("p.yaml").read_text()) == (learned, PIPELINE)
    kept = [json.loads(line) for line in offbeat(*on, "--versions", "--json").out.splitlines()]
    assert [one["why"] for one in kept][:2] == ["as it was", "learned from labels"]


@pytest.mark.heavy
def test_labels_survive_what_is_learned_from_them(offbeat: Command, here: str) -> None:
    """Limits are in no alert_id, so a run with others meets the same incidents."""
    label_all(offbeat, here)
    offbeat("learn", here, "--pipeline", "p.yaml", "--apply")
    ran(offbeat, "p.yaml", "r.csv", "--alerts", here)
    with open_incidents(here, "p.yaml") as incidents:
        assert sorted(one.label for one in incidents.every() if one.label) == ["false"] * 3 + ["real"] * 3


def test_learning_refused(offbeat: Command, here: str) -> None:
    on = ("learn", here, "--pipeline", "p.yaml")
    assert "0 incidents labelled real and 0 labelled false: it takes at least one of each" in offbeat.refused(*on)
    assert "has no version 7" in offbeat.refused(*on, "--rollback", "7")
    assert "name one of both" in offbeat.refused(*on, "--apply", "--write", "q.yaml")
    assert "the store has no alerts of pipeline 'bars'" in offbeat.refused("learn", here, "--pipeline", "bars", "--apply")
    assert "no incident 'ff'" in offbeat.refused("label", "ff", "real", "--store", here, "--pipeline", "p.yaml")
    assert "nothing is kept" not in offbeat(*on, "--versions").out
