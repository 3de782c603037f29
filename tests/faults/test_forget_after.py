"""`quality.forget_after` through the command, from every carrier, in one run and over a state: alerts worked out by hand [R27]."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat
from small_runs import feed

from offbeat.core.state import decode
from offbeat.engines.notebook import run

__all__ = ["feed", "offbeat"]

PIPELINE = """
name: forgetful
source: {key: k, time: t, columns: {v: float}}
quality: {FORGETmax_jump: 100d, unique: [time]}
views: {v: {windows: {w: {over: 1 rows, features: {before: last(v)}}}, detectors: {rise: {type: rule, when: v > before}}}}
"""
ROWS = [
    ("a", "2024-01-01T00:00:00Z", 1.0), ("a", "2024-01-02T00:00:00Z", 2.0),
    ("b", "2024-01-02T00:00:00Z", 1.0), ("b", "2024-01-04T00:00:00Z", 2.0),
    ("b", "2024-01-06T00:00:01Z", 3.0), ("a", "2024-01-06T00:00:00Z", 9.0),
    ("a", "2024-01-07T00:00:00Z", 10.0), ("b", "2024-01-07T00:00:00Z", 4.0),
]  # fmt: skip
"""With two days: `a` pauses four days and starts anew with 9; `b` pauses two days, which is no longer, and then a second more."""
RISES = [("a", "01-02"), ("a", "01-07"), ("b", "01-04"), ("b", "01-07")]
ALL_RISES = sorted([*RISES, ("a", "01-06"), ("b", "01-06")])

Write = Callable[[Path, list[tuple[str, str, float]]], None]


def csv(path: Path, rows: list[tuple[str, str, float]]) -> None:
    path.write_text("k,t,v\n" + "".join(f"{k},{t},{v}\n" for k, t, v in rows))


def ndjson(path: Path, rows: list[tuple[str, str, float]]) -> None:
    path.write_text("".join(json.dumps({"k": k, "t": t, "v": v}) + "\n" for k, t, v in rows))


def parquet(path: Path, rows: list[tuple[str, str, float]]) -> None:
    pl.DataFrame(rows, schema=["k", "t", "v"], orient="row").write_parquet(path)


def pipeline(folder: Path, forget: str = "2d") -> Path:
    path = folder / "p.yaml"
    path.write_text(PIPELINE.replace("FORGET", f"forget_after: {forget}, " if forget else ""))
    return path


def rises(path: Path) -> list[tuple[str, str]]:
    alerts = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted((alert["key"], alert["time"][5:10]) for alert in alerts)


@pytest.mark.parametrize(("ending", "write"), [("csv", csv), ("ndjson", ndjson), ("parquet", parquet)])
@pytest.mark.parametrize(("forget", "expected"), [("2d", RISES), ("4d", ALL_RISES), ("", ALL_RISES)])
def test_files(offbeat: Command, tmp_path: Path, ending: str, write: Write, forget: str, expected: list[tuple[str, str]]) -> None:
    write(tmp_path / f"rows.{ending}", ROWS)
    offbeat("run", pipeline(tmp_path, forget), tmp_path / f"rows.{ending}", "--alerts", tmp_path / "a.jsonl", "--workers", 2)
    assert rises(tmp_path / "a.jsonl") == expected


@pytest.mark.parametrize("cut", [2, 5, 6])
def test_standard_input_with_a_restart_in_the_middle(offbeat: Command, tmp_path: Path, feed: Callable[..., None], cut: int) -> None:
    for part, ends in ((ROWS[:cut], []), (ROWS[cut:], ["--final"])):
        ndjson(tmp_path / "part", part)
        feed((tmp_path / "part").read_bytes())
        done = offbeat("run", pipeline(tmp_path), "-", "--alerts", tmp_path / "a.jsonl", "--state", tmp_path / "s", *ends)
        assert done.code == 0, done.err
    assert rises(tmp_path / "a.jsonl") == RISES


def test_nights_with_a_state_keep_the_keys_of_the_time(offbeat: Command, tmp_path: Path) -> None:
    """Each night has three keys of its own and `every`; with two days and a jump of a day, the keys of four nights are kept."""
    text = PIPELINE.replace("FORGET", "forget_after: 2d, ").replace("100d", "1d")
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "in").mkdir()
    kept = []
    for night in range(1, 13):
        rows = [(key, f"2024-01-{night:02}T0{hour}:00:00Z", 1.0) for hour in (1, 2) for key in (f"x{night}", f"y{night}", "every")]
        csv(tmp_path / "in" / f"{night:02}.csv", rows)
        assert offbeat("run", tmp_path / "p.yaml", tmp_path / "in", "--state", tmp_path / "s").code == 0
        (file,) = (tmp_path / "s").glob("*.arrow")
        kept.append(sum(len(shard["keys"]) for shard in decode(file.read_bytes(), "state")[1]["shards"]))
    assert kept[:4] == [3, 5, 7, 9]
    assert set(kept[4:]) == {9}


def test_a_frame(tmp_path: Path) -> None:
    result = run(pipeline(tmp_path), pl.DataFrame(ROWS, schema=["k", "t", "v"], orient="row"))
    assert sorted((alert["key"], str(alert["time"])[5:10]) for alert in result.alerts.to_dicts()) == RISES


def test_it_has_to_exceed_the_lateness(offbeat: Command, tmp_path: Path) -> None:
    assert "`forget_after` must exceed `lateness` (2d)" in offbeat.refused(
        "run", pipeline(tmp_path), tmp_path, "--set", "quality.lateness=2d"
    )


def test_lint_says_that_rollups_keep_their_targets(offbeat: Command) -> None:
    done = offbeat("lint", "cdr", "--set", "quality.forget_after=90d")
    assert "customer_day, region_hour" in done.out + done.err
