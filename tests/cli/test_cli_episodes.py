"""Episodes through the command: the run's are those of the alerts it wrote, whatever the carrier; mutes and groups from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat
from small_runs import DAYS, csv, day, feed, ran

import offbeat as package

__all__ = ["feed", "offbeat"]

pytestmark = pytest.mark.usefixtures("here")
PIPELINE = """
name: e
source: {key: k, time: ts, columns: {p: float, region: {type: text, required: false}}}
views:
  row: {detectors: {high: {type: rule, when: p > 1, floor: 1}}}
  hour: {rollup: {key: region, size: 1h, columns: {total: sum(count_of)}}, detectors: {many: {type: rule, when: total > 2}}}
""".replace("sum(count_of)", "count(*)")
ROWS = """k,ts,p,region
a,2024-01-01T09:00:00,4,north
b,2024-01-01T09:10:00,2,north
a,2024-01-01T09:20:00,2,north
a,2024-01-01T09:55:00,8,north
c,2024-01-01T12:00:00,0,south
a,2024-01-01T13:00:00,3,north
b,2024-01-01T13:10:00,2,
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    Path("r.csv").write_text(ROWS)
    return tmp_path


def told(path: str | Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [(one["group"], one["start"][11:16], one["end"][11:16], one["alerts"], one["muted"]) for one in lines]


WHOLE = [
    ("a", "09:00", "09:20", 2, None),  # 35 minutes later begins the next: more than 30
    ("north", "09:00", "09:00", 1, None),
    ("b", "09:10", "09:10", 1, None),
    ("a", "09:55", "09:55", 1, None),
    ("a", "13:00", "13:00", 1, None),
    ("b", "13:10", "13:10", 1, None),
]


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: (row[1], row[0]))


@pytest.mark.heavy
def test_a_run_and_the_alerts_it_wrote_have_the_same_episodes(offbeat: Command) -> None:
    figures = ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl", "--alerts", "a.parquet", "--episodes", "e.jsonl")
    assert figures["episodes"] == {"episodes": 6, "open": 2, "inhibited": 0, "muted": 0, "alerts_muted": 0, "alerts_below": 0}
    assert in_order(told("e.jsonl")) == WHOLE
    for alerts in ("a.jsonl", "a.parquet"):
        assert offbeat("episodes", alerts, "--pipeline", "p.yaml", "--out", "again.jsonl").code == 0
        assert Path("again.jsonl").read_bytes() == Path("e.jsonl").read_bytes()
    assert offbeat("episodes", "a.jsonl", "--pipeline", "p.yaml", "--out", "again.parquet").code == 0
    result = package.run("p.yaml", "r.csv")
    assert result.episodes.equals(pl.read_parquet("again.parquet").cast(result.episodes.schema))


@pytest.mark.heavy
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_in_parts_has_the_episodes_of_a_whole_one(offbeat: Command, workers: int) -> None:
    ran(offbeat, "p.yaml", "r.csv", "--episodes", "whole.jsonl")
    head, *rows = ROWS.splitlines(keepends=True)
    for number, row in enumerate(rows):
        Path(f"part{number}.csv").write_text(head + row)
        parts = [f"part{i}.csv" for i in range(number + 1)]
        ran(offbeat, "p.yaml", *parts, "--state", "st", "--workers", workers, "--episodes", "e.jsonl")
    assert Path("e.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_a_run_in_between_that_was_not_asked_keeps_them(offbeat: Command) -> None:
    ran(offbeat, "p.yaml", "r.csv", "--episodes", "whole.jsonl")
    lines = ROWS.splitlines(keepends=True)
    Path("1.csv").write_text("".join(lines[:3]))
    Path("2.csv").write_text(lines[0] + "".join(lines[3:5]))
    Path("3.csv").write_text(lines[0] + "".join(lines[5:]))
    ran(offbeat, "p.yaml", "1.csv", "--state", "st", "--episodes", "e.jsonl")
    ran(offbeat, "p.yaml", "1.csv", "2.csv", "--state", "st")
    ran(offbeat, "p.yaml", "1.csv", "2.csv", "3.csv", "--state", "st", "--episodes", "e.jsonl")
    assert Path("e.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    ran(offbeat, "p.yaml", "1.csv", "--state", "other")
    late = ran(offbeat, "p.yaml", "1.csv", "2.csv", "--state", "other", "--episodes", "o.jsonl")
    assert any("2 of earlier runs' alerts are not in them" in note for note in late["notes"])


MUTES = {
    "m.csv": "key,view,reason,until\na,row,known,2024-01-01T13:00:00\nx*,,nobody,\n",
    "m.yaml": "- {key: a, view: row, reason: known, until: '2024-01-01T13:00:00'}\n- {key: x*, reason: nobody}\n",
}


@pytest.mark.parametrize("kind", ["m.csv", "m.yaml", "m.parquet"])
def test_mutes_of_a_file(offbeat: Command, kind: str) -> None:
    if kind == "m.parquet":
        Path("m.csv").write_text(MUTES["m.csv"])
        pl.read_csv("m.csv", try_parse_dates=True).write_parquet(kind)
    else:
        Path(kind).write_text(MUTES[kind])
    figures = ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl", "--episodes", "e.jsonl", "--mutes", kind)
    assert figures["episodes"] == {"episodes": 4, "open": 2, "inhibited": 0, "muted": 2, "alerts_muted": 3, "alerts_below": 0}
    assert figures["alerts"] == 7, "all of them are written"
    assert [row for row in in_order(told("e.jsonl")) if row[4]] == [
        ("a", "09:00", "09:20", 2, "known"),
        ("a", "09:55", "09:55", 1, "known"),
    ]
    assert any(note.startswith("no key fits the mute 'x*': keys are like") for note in figures["notes"])
    listed = offbeat("episodes", "a.jsonl", "--pipeline", "p.yaml", "--mutes", kind, "--muted").out
    assert "2 episodes" in listed
    assert "muted: known" in listed
    assert "3 of 7 alerts are muted, in 2 episodes" in offbeat("run", "p.yaml", "r.csv", "--mutes", kind).out


REFUSED = [
    ("m.csv", "key,reason,untill\na,b,2024-01-01\n", "m.csv: column 'untill' is none of a mute's; did you mean 'until'?"),
    ("m.csv", "key,reason\na,\n", "m.csv, row 1: `reason` is missing; a mute needs key and reason"),
    ("m.csv", "key,reason,until\na,b,soon\n", "m.csv, row 1: until: 'soon' is not a date or time"),
    ("m.csv", "", "m.csv (mutes) is empty"),
    ("m.yaml", "key: a\n", "m.yaml: mutes are a list of mappings"),
    ("m.yaml", "- {key: a, why: b}\n", "m.yaml, mute 1: `reason` is missing"),
    ("none.csv", None, "none.csv (mutes) does not exist"),
]


@pytest.mark.parametrize(("name", "text", "said"), REFUSED)
def test_files_of_mutes_that_are_refused(offbeat: Command, name: str, text: str | None, said: str) -> None:
    if text is not None:
        Path(name).write_text(text)
    assert offbeat.refused("run", "p.yaml", "r.csv", "--mutes", name).startswith(said)


GROUPED = [
    ("episodes.group=all", {("all", 5), ("all", 2)}),
    ("episodes.group={column: region}", {("north", 5), ("north", 1), ("b", 1)}),
    ("episodes.group={view: hour}", {("north", 5), ("north", 1), ("b", 1)}),
    ("episodes.group={mapping: {a: both, b: both}}", {("both", 4), ("both", 2), ("north", 1)}),
    ("episodes.group={source: g.csv, key: name, value: team}", {("red", 4), ("red", 2), ("north", 1)}),
    ("episodes.quiet=5m", {("a", 1), ("b", 1), ("north", 1)}),
]


@pytest.mark.parametrize(("setting", "groups"), GROUPED)
def test_groups(offbeat: Command, setting: str, groups: set[tuple[str, int]]) -> None:
    """By hand from the rows above. Regions are keys of windows of an hour: two hours are the quiet time of groups that may have them."""
    Path("g.csv").write_text("name,team\na,red\nb,red\n")
    ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl", "--episodes", "e.jsonl", "--set", setting)
    assert {row[:1] + row[3:4] for row in told("e.jsonl")} == groups
    offbeat("episodes", "a.jsonl", "--pipeline", "p.yaml", "--set", setting, "--out", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("e.jsonl").read_bytes()


SPECS = [
    ("{opens: medium, holds: high}", "is above `opens: medium`"),
    ("{opens: worst}", "no level 'worst'"),
    ("{opens: 3}", "a severity lies between 0 and 1"),
    ("{inhibit: [{by: {view: rows}, mutes: {view: hour}}]}", "unknown view 'rows'; did you mean 'row'?"),
    ("{group: {column: p}}", "'p' is no text column"),
    ("{group: keys}", "key"),
    ("{mutes: [{key: a, reason: b, since: 2024-01-02, until: 2024-01-01}]}", "nothing is muted"),
]


@pytest.mark.parametrize(("section", "said"), SPECS)
def test_sections_that_are_refused(offbeat: Command, section: str, said: str) -> None:
    Path("q.yaml").write_text(PIPELINE + f"episodes: {section}\n")
    done = offbeat("lint", "q.yaml")
    assert done.code == 2
    assert said in done.err


def test_commands_that_are_refused(offbeat: Command) -> None:
    ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl")
    assert "pipeline 'e', which is not shipped" in offbeat.refused("episodes", "a.jsonl")
    assert "no alerts of pipeline 'bars'" in offbeat.refused("episodes", "a.jsonl", "--pipeline", "bars")
    assert "name a file *.jsonl" in offbeat.refused("run", "p.yaml", "r.csv", "--episodes", "e.csv")
    Path("rows.ndjson").write_text('{"k": "a", "ts": "2024-01-01T09:00:00", "p": 2}\n')
    assert "already reads it" in offbeat.refused("run", "p.yaml", "rows.ndjson", "--episodes", "rows.ndjson")


ODD = [
    (
        "episodes.group={mapping: {A: both}}",
        "the mapping of episodes' groups has none of the keys: they are like 'a', 'b', its keys like 'A'",
    ),
    ("episodes.inhibit=[{by: {key: A*}, mutes: {view: row}}]", "no key fits 'A*' in episodes.inhibit: keys are like 'a', 'b'"),
]


@pytest.mark.parametrize(("setting", "said"), ODD)
def test_what_matches_no_key_is_said(offbeat: Command, setting: str, said: str) -> None:
    figures = ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl", "--set", setting, "--workers", "1")
    assert said in figures["notes"]
    assert said.split(": ", maxsplit=1)[0] in offbeat("episodes", "a.jsonl", "--pipeline", "p.yaml", "--set", setting).err


def test_a_corrected_file_leaves_the_episodes_of_the_alerts_that_stand(offbeat: Command) -> None:
    """Days of a customer, joined over two of them; the second one's alert is retracted, and the rest falls apart into two."""
    Path("days.yaml").write_text(DAYS)
    for number, value in ((1, 20), (3, 20), (5, 20)):
        csv(f"{number}.csv", *day(number, value))
    files = ["1.csv", "3.csv", "5.csv"]
    told_of = ("days.yaml", *files, "--state", "st", "--alerts", "d.jsonl", "--episodes", "e.jsonl")
    ran(offbeat, *told_of)
    (whole,) = [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()]
    assert (whole["alerts"], whole["start"][:10], whole["end"][:10]) == (3, "2024-01-01", "2024-01-05")
    csv("3.csv", *day(3, 5))
    ran(offbeat, *told_of)
    one, two = [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()]
    assert [(part["alerts"], part["start"][:10]) for part in (one, two)] == [(1, "2024-01-01"), (1, "2024-01-05")]
    assert one["episode_id"] == whole["episode_id"]
    assert one["revision"] > whole["revision"]
    offbeat("episodes", "d.jsonl", "--pipeline", "days.yaml", "--out", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("e.jsonl").read_bytes()


def test_keys_that_are_numbers_in_a_file_of_groups(offbeat: Command) -> None:
    """A table writes 12345 as 12345.0 once a value is missing [R20]."""
    Path("n.csv").write_text("k,ts,p\n12345,2024-01-01T09:00:00,4\n12345.0,2024-01-01T09:01:00,4\n")
    pl.DataFrame({"name": [12345.0, None], "team": ["red", "blue"]}).write_parquet("g.parquet")
    ran(offbeat, "p.yaml", "n.csv", "--episodes", "e.jsonl", "--set", "episodes.group={source: g.parquet, key: name, value: team}")
    assert [row[0] for row in told("e.jsonl")] == ["red"]


def test_a_file_that_holds_something_else_is_not_written_over(offbeat: Command) -> None:
    ran(offbeat, "p.yaml", "r.csv", "--alerts", "a.jsonl", "--alerts", "a.parquet")
    for other in ("a.jsonl", "a.parquet"):
        assert "it holds something else" in offbeat.refused("run", "p.yaml", "r.csv", "--episodes", other)
        assert "it holds something else" in offbeat.refused("episodes", "a.jsonl", "--pipeline", "p.yaml", "--out", other)


@pytest.mark.heavy
def test_a_live_run_has_its_episodes_while_it_goes_on(offbeat: Command, feed: Callable[..., None]) -> None:
    seen: list[list[tuple[Any, ...]]] = []
    head, *rows = ROWS.splitlines()
    names = head.split(",")
    lines = [json.dumps({name: value or None for name, value in zip(names, row.split(","), strict=True)}).encode() + b"\n" for row in rows]
    lines = [line.replace(b'"p": "', b'"p": ').replace(b'", "region"', b', "region"') for line in lines]
    feed(*lines[:3], lambda: seen.append(told("e.jsonl")), *lines[3:])
    ran(offbeat, "p.yaml", "-", "--episodes", "e.jsonl")
    assert [row[:4] for row in in_order(seen[0])] == [("a", "09:00", "09:20", 2)], "the first row of b waits for its second"
    assert in_order(told("e.jsonl")) == WHOLE


def test_episodes_decide_no_alert() -> None:
    plain, other = package.load_plan("p.yaml"), package.load_plan("p.yaml", ["episodes.quiet=2h"])
    assert (plain.plan_hash, plain.state_hash) == (other.plan_hash, other.state_hash)
