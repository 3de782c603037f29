"""Cooldowns worked out on paper, and through the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import Command, offbeat

from offbeat.decide.cooldown import Cooldown

__all__ = ["offbeat"]
INF = float("inf")


def raised(cooldown: Cooldown, strengths: Sequence[float], times: Sequence[int] | None = None) -> list[bool]:
    """Which rows of one key are raised; strength 0: a row that is no alert anyway."""
    n = len(strengths)
    index = np.flatnonzero(np.array(strengths)).astype(np.int64)
    alert = np.ones(len(index), np.bool_)
    at = np.arange(n, dtype=np.int64) if times is None else np.array(times, np.int64)
    suppressed = cooldown.cool(1, np.zeros(n, np.int32), at, index, alert, np.array(strengths)[index])
    assert suppressed == len(index) - alert.sum()
    out = np.zeros(n, np.bool_)
    out[index] = alert
    return out.tolist()


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        # Two rows: an equal or weaker one is not raised, a stronger one is, and so is any from the third row on.
        ([2, 2, 2, 2, 2], [1, 0, 0, 1, 0]),
        ([2, 3, 2, 2, 1.5], [1, 1, 0, 0, 1]),
        ([0, 4, 0, 3, 3], [0, 1, 0, 0, 1]),
        # What is not raised starts no cooldown.
        ([2, 1.5, 0, 1.5, 1.5], [1, 0, 0, 1, 0]),
        # Nothing exceeds infinity.
        ([2, INF, INF, 9, 1], [1, 1, 0, 0, 1]),
    ],
)
def test_rows(strengths: list[float], expected: list[int]) -> None:
    assert raised(Cooldown(2, 0), strengths) == [bool(x) for x in expected]


def test_a_duration_holds_its_end() -> None:
    """10 ns: at 110 the alert of 100 still counts, at 111 it does not; equal times are folded one after the other."""
    assert raised(Cooldown(0, 10), [2, 2, 2, 2, 3], [100, 110, 111, 111, 111]) == [True, False, True, False, True]


def test_rows_that_may_change_are_not_remembered() -> None:
    cooldown, one = Cooldown(5, 0), np.zeros(1, np.int64)
    for _ in range(2):
        alert = np.ones(1, np.bool_)
        assert cooldown.cool(1, np.zeros(1, np.int32), one, one, alert, np.array([2.0]), folds=False) == 0
    assert raised(cooldown, [2.0, 2.0]) == [True, False]


def test_keys_have_their_own() -> None:
    cooldown, alert = Cooldown(5, 0), np.ones(4, np.bool_)
    slots = np.array([0, 1, 1, 0], np.int32)
    every = np.arange(4, dtype=np.int64)
    cooldown.cool(2, slots, every, every, alert, np.array([2.0, 1.5, 3.0, 2.0]))
    assert alert.tolist() == [True, True, True, False]


SPEC = """
name: p
source: {key: k, time: t, columns: {v: float}}
views: {row: {detectors: {high: {type: rule, when: v > 10}}, cooldown: COOLDOWN}}
"""


def run(offbeat: Command, folder: Path, cooldown: str, *files: Path, state: str = "") -> tuple[list[float], dict[str, int]]:
    spec, out = folder / "p.yaml", folder / f"{state or cooldown.replace(' ', '')}.jsonl"
    spec.write_text(SPEC.replace("COOLDOWN", cooldown))
    kept = ("--state", folder / state) if state else ()
    done = offbeat("run", spec, *files, "--alerts", out, "--json", *kept)
    assert done.code == 0, done
    lines = out.read_text().splitlines() if out.exists() else []
    return [json.loads(line)["row"]["v"] for line in lines], json.loads(done.out)["views"]["row"]


def rows(folder: Path, name: str, first: int, values: Sequence[float]) -> Path:
    file = folder / name
    file.write_text("k,t,v\n" + "".join(f"a,2024-01-01T00:{first + i:02}:00Z,{v}\n" for i, v in enumerate(values)))
    return file


VALUES = (20, 15, 21, 5, 12, 14, 13, 30, 29)


def test_through_the_command(offbeat: Command, tmp_path: Path) -> None:
    """3 rows: 20, 21 exceed; 12 and 14 come within 3 rows of 21 (rows 3 to 6); 13 is the fourth after it; 30 exceeds, 29 does not."""
    file = rows(tmp_path, "all.csv", 0, VALUES)
    by_rows, counts = run(offbeat, tmp_path, "3 rows", file)
    assert (by_rows, counts["in_cooldown"], counts["scored"]) == ([20, 21, 13, 30], 4, 9)
    by_time, _ = run(offbeat, tmp_path, "3m", file)
    assert by_time == by_rows
    everything, counts = run(offbeat, tmp_path, "1 row", rows(tmp_path, "few.csv", 0, [20, 5, 20]))
    assert (everything, counts["in_cooldown"]) == ([20, 20], 0)
    report = offbeat("run", tmp_path / "p.yaml", file, "--set", "row.cooldown=3 rows")
    assert report.code == 0
    assert "4 more would be alerts" in report.out + report.err


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_it_survives_a_restart_and_a_change(offbeat: Command, tmp_path: Path, cut: int) -> None:
    first, second = rows(tmp_path, "1.csv", 0, VALUES[:cut]), rows(tmp_path, "2.csv", cut, VALUES[cut:])
    run(offbeat, tmp_path, "3 rows", first, state="s")
    found, counts = run(offbeat, tmp_path, "3 rows", first, second, state="s")
    assert (found, counts["in_cooldown"]) == ([20, 21, 13, 30], 4)
    # Another cooldown is no other state: an hour goes on from 30, raised 1 minute before.
    last = rows(tmp_path, "3.csv", 9, [25, 31])
    found, _ = run(offbeat, tmp_path, "1h", first, second, last, state="s")
    assert found == [20, 21, 13, 30, 31]


@pytest.mark.parametrize("text", ["0 rows", "3 cadences", "soon", "0s"])
def test_what_is_no_cooldown(offbeat: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(SPEC.replace("COOLDOWN", text))
    done = offbeat("lint", tmp_path / "p.yaml")
    assert done.code == 2
    assert "cooldown" in done.out + done.err
