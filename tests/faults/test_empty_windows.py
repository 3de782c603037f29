"""Windows in which no row comes: `rollup.fill: zero`, from file to alerts [R11]. What is right is counted by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import DATA, Command, Done, offbeat

from offbeat.spec.load import load_text

__all__ = ["offbeat"]
PIPELINE = """\
name: routes
source: {key: caller, time: {column: ts, zone: ZONE}, columns: {route: {type: text}, mb: {type: decimal, scale: 2}}}
views:
  route:
    rollup: {key: route, size: SIZE, fill: zero, columns: {calls: count(*), mb: sum(mb), most: max(mb)}}
    windows: {before: {over: 12 rows, min_rows: 3, features: {usual: mean(calls)}}}
    detectors: {drop: {type: rule, when: calls < 0.5 * usual, expected: usual}}
"""
Calls = list[tuple[datetime, str]]


def pipeline(folder: Path, size: str = "1h", zone: str = "UTC") -> Path:
    path = folder / "routes.yaml"
    path.write_text(PIPELINE.replace("SIZE", size).replace("ZONE", zone))
    return path


def hourly(hours: int, silent: range, route: str = "A", begin: datetime = datetime(2024, 3, 1, tzinfo=UTC)) -> Calls:
    """Ten calls an hour, none in the `silent` ones."""
    return [(begin + timedelta(hours=h, minutes=6 * m), route) for h in range(hours) if h not in silent for m in range(10)]


def records(calls: Calls) -> Iterator[dict[str, Any]]:
    for number, (time, route) in enumerate(sorted(calls)):
        yield {"caller": f"c{number % 3}", "ts": time.isoformat(), "route": route, "mb": 0.5}


def write(path: Path, calls: Calls) -> Path:
    rows = list(records(calls))
    if path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pl.DataFrame(rows).with_columns(pl.col("ts").str.to_datetime(time_zone="UTC")).write_parquet(path, row_group_size=40)
    else:
        pl.DataFrame(rows).write_csv(path)
    return path


def alerts(path: Path) -> list[tuple[str, str, str, float]]:
    """(route, hour, status, calls) of what stands."""
    last: dict[str, Any] = {}
    for line in path.read_text().splitlines():
        alert = json.loads(line)
        last[alert["alert_id"]] = alert
    return sorted((a["key"], a["time"][5:13], a["status"], a["row"]["calls"]) for a in last.values() if a["status"] != "retracted")


def ran(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    figures: dict[str, Any] = json.loads(done.out)
    return figures


SILENT = range(20, 25)
NOTHING = [("A", f"03-0{1 + h // 24}T{h % 24:02}", "final", 0) for h in SILENT]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.ndjson"])
def test_a_silence_is_seen_in_every_format(offbeat: Command, tmp_path: Path, name: str) -> None:
    calls = hourly(30, SILENT) + hourly(30, range(0), "B")
    said = ran(offbeat("run", pipeline(tmp_path), write(tmp_path / name, calls), "--alerts", tmp_path / "a.jsonl", "--json"))
    assert alerts(tmp_path / "a.jsonl") == NOTHING
    assert said["views"]["route"]["windows"] == 60
    assert said["rows_in"] == 550 == said["scored"] + said["warming_up"]


def test_the_whole_source_is_silent(offbeat: Command, tmp_path: Path) -> None:
    """No other target has rows then: a tick is there by the calendar, not by somebody's row."""
    write(tmp_path / "a.csv", hourly(30, SILENT))
    offbeat("run", pipeline(tmp_path), tmp_path / "a.csv", "--alerts", tmp_path / "a.jsonl")
    assert alerts(tmp_path / "a.jsonl") == NOTHING


def test_a_route_that_is_gone_and_one_that_is_new(offbeat: Command, tmp_path: Path) -> None:
    """Before its first row a target has no window; after its last one it has them to the end of the input, but not in the last hour,
    in which rows may still come: 12 hours of which the mean of the twelve before falls from 10 to 0, and 0 is not below 0.
    """
    calls = hourly(30, range(10, 30), "GONE") + hourly(30, range(25), "NEW") + hourly(30, range(0), "B")
    said = ran(offbeat("run", pipeline(tmp_path), write(tmp_path / "a.csv", calls), "--alerts", tmp_path / "a.jsonl", "--json"))
    assert [(key, hour) for key, hour, _, _ in alerts(tmp_path / "a.jsonl")] == [
        ("GONE", f"03-01T{h:02}") for h in range(10, 22)
    ]  # fmt: skip
    assert said["views"]["route"]["windows"] == 29 + 5 + 30


def test_a_sum_is_zero_and_an_extreme_is_null(offbeat: Command, tmp_path: Path) -> None:
    offbeat("run", pipeline(tmp_path), write(tmp_path / "a.csv", hourly(9, range(5, 6))), "--alerts", tmp_path / "a.jsonl")
    alert = json.loads((tmp_path / "a.jsonl").read_text())
    assert alert["row"] == {"calls": 0, "mb": 0, "most": None}
    assert alert["revision"] == 50, "the rows of the target up to the end of the window"
    told = offbeat("explain", "worst", "--alerts", tmp_path / "a.jsonl")
    assert (told.code, "calls" in told.out) == (0, True), told


@pytest.mark.parametrize(
    ("begin", "days"),
    [  # local midnights are 24, 25 and 23 hours apart; rows at 00:30 and 23:30 local of the days around the silent ones
        (datetime(2024, 10, 20, 4, tzinfo=UTC), 14),
        (datetime(2024, 3, 1, 5, tzinfo=UTC), 14),
    ],
)
def test_local_days_through_a_clock_change(offbeat: Command, tmp_path: Path, begin: datetime, days: int) -> None:
    """New York, days 10 and 11 silent: two windows, whatever their length."""
    calls = [(begin + timedelta(hours=h, minutes=30), "A") for h in range(24 * days) if not 240 <= h < 290]
    offbeat("run", pipeline(tmp_path, "1d", "America/New_York"), write(tmp_path / "a.csv", calls), "--alerts", tmp_path / "a.jsonl")
    zone = pl.Series([time for time, _ in calls]).dt.convert_time_zone("America/New_York").dt.date()
    silent = sorted({begin.date() + timedelta(days=d) for d in range(days - 1)} - set(zone))
    found = [a for a in alerts(tmp_path / "a.jsonl") if a[3] == 0]
    assert len(found) == len(silent) >= 1
    assert [datetime.strptime(f"2024-{hour}", "%Y-%m-%dT%H").date() for _, hour, _, _ in found] == silent


def test_live_and_stopped_on_the_way(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From standard input with a state, in two pieces with the pause within the silence: the same alerts, each final once."""
    lines = write(tmp_path / "all.ndjson", hourly(30, SILENT) + hourly(30, range(0), "B")).read_text().splitlines(keepends=True)
    middle = next(i for i, line in enumerate(lines) if "03-01T22:" in line)
    for part, more in ((lines[:middle], ()), (lines[middle:], ("--final",))):
        (tmp_path / "part").write_text("".join(part))
        with (tmp_path / "part").open() as piece:
            monkeypatch.setattr("sys.stdin", piece)
            done = offbeat(
                "run", pipeline(tmp_path), "-", "--alerts", tmp_path / "a.jsonl", "--state", tmp_path / "st", "--json", *more
            )  # fmt: skip
        assert done.code == 0, done.err
    assert alerts(tmp_path / "a.jsonl") == NOTHING
    statuses = [json.loads(line)["status"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert statuses.count("final") == 5


def test_day_by_day_equals_one_run(offbeat: Command, tmp_path: Path) -> None:
    """A silence that reaches over two runs, and a file that comes late and ends it in part."""
    everything = hourly(80, range(20, 60)) + hourly(80, range(0), "B")
    day = [[call for call in everything if call[0].day == d] for d in range(1, 5)]
    late = [(time + timedelta(seconds=1), "A") for time, _ in hourly(80, range(0)) if time.day == 2 and time.hour in (3, 4)]
    source, state = tmp_path / "in", ("--state", tmp_path / "st", "--alerts", tmp_path / "a.jsonl")
    source.mkdir()
    for d, calls in enumerate(day):
        write(source / f"d{d}.parquet", calls)
        assert offbeat("run", pipeline(tmp_path), source, *state).code == 0
    for number, (time, route) in enumerate(late):  # callers of their own, so that no row is late
        late[number] = (time, route)
    rows = [row | {"caller": "late"} for row in records(late)]
    frame = pl.DataFrame(rows).with_columns(pl.col("ts").str.to_datetime(time_zone="UTC"))
    frame.write_parquet(source / "e.parquet")
    done = offbeat("run", pipeline(tmp_path), source, *state)
    assert done.code == 0, done.err
    assert offbeat("run", pipeline(tmp_path), source, "--alerts", tmp_path / "once.jsonl").code == 0
    assert alerts(tmp_path / "a.jsonl") == alerts(tmp_path / "once.jsonl")
    # The mean of twelve hours falls to 0 after twelve silent ones; the two hours that came late are above it.
    silent = [hour for _, hour, _, calls in alerts(tmp_path / "a.jsonl") if calls == 0]
    assert silent[:7] == [f"03-01T{h}" for h in range(20, 24)] + ["03-02T00", "03-02T01", "03-02T02"]
    assert "03-02T03" not in silent
    assert "03-02T05" in silent


@pytest.mark.parametrize("left", [0, 1])
def test_a_region_with_no_record_left(offbeat: Command, tmp_path: Path, left: int) -> None:
    """The outage of shared/data/faults/telecom/outage.py: region 16 has four records an hour, `left` of them for five hours."""
    lines = ["cdr_id,customer_id,timestamp,cdr_type,data_volume_mb,wilaya_code"]
    for h in range(40 * 24):
        time = datetime(2024, 1, 1) + timedelta(hours=h)
        out = datetime(2024, 2, 7, 8) <= time < datetime(2024, 2, 7, 13)
        for w in ("09", "16", "31"):
            for c in range(left if w == "16" and out else 4):
                at = (time + timedelta(minutes=10 * c + 1)).isoformat()
                lines.append(f"{len(lines)},{w}{c},{at}+01:00,DATA,{10 + (h * 7 + c * 3) % 10 / 10},{w}")
    (tmp_path / "calls.csv").write_text("\n".join(lines) + "\n")
    done = offbeat("run", "cdr", tmp_path / "calls.csv", "--alerts", tmp_path / "a.jsonl")
    assert done.code == 0, done.err
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    lower = [a for a in found if a["view"] == "region_hour" and a["row"]["total_mb"] < 20]
    assert [(a["key"], a["time"][:13]) for a in lower] == [("16", f"2024-02-07T{h:02}") for h in range(7, 12)]
    assert [a["row"]["records"] for a in lower] == [left] * 5


def test_all_lost_is_seen_like_one_left(offbeat: Command, tmp_path: Path) -> None:
    general = DATA / "faults" / "general"
    if not general.exists():
        pytest.skip("shared data is not here")
    text = gzip.decompress((general / "outage.csv.gz").read_bytes()).decode()
    (tmp_path / "outage.csv").write_text(text)
    run = ("run", general / "outage.yaml", tmp_path / "outage.csv", "--alerts", tmp_path / "a.jsonl", "--json")
    said = ran(offbeat(*run))
    assert not any("fill: zero" in note for note in said["notes"])
    by_route = [json.loads(line)["key"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert {route: by_route.count(route) for route in set(by_route)} == {"ONE_LEFT": 3, "ALL_LOST": 3}
    (tmp_path / "a.jsonl").unlink()
    ran(offbeat(*run, "--set", "route_hour.rollup.fill=none"))
    assert {json.loads(line)["key"] for line in (tmp_path / "a.jsonl").read_text().splitlines()} == {"ONE_LEFT"}


@pytest.mark.parametrize(
    ("old", "new", "filled"),
    [
        ("", "", True),
        ("calls < 0.5 * usual", "mb <= 0.1", True),
        ("calls < 0.5 * usual", "0.5 * usual > calls", True),
        ("calls < 0.5 * usual", "calls > 0.5 * usual", False),  # nothing low is looked for
        ("calls < 0.5 * usual", "most < 2", False),  # a maximum of no rows is null, not low
        ("key: route", "key: caller", False),  # as many keys as callers: lint says what the rule misses
        ("detectors: {", "detectors: {gone: {type: absence}, ", False),  # which sees a missing window in its own way
        ("as_of", "as_of: {mode: fixed}", False),
    ],
)
def test_a_rule_for_low_counts_sees_the_lowest(old: str, new: str, filled: bool) -> None:
    text = PIPELINE.replace("ZONE", "UTC").replace("SIZE", "1h").replace("fill: zero, ", "")
    text = f"{text}{new}\n" if old == "as_of" else text.replace(old, new)
    rollup = load_text(text).plan.views[0].rollup
    assert rollup is not None
    assert rollup.fill is filled


def test_a_wrong_time_does_not_fill_a_disc(offbeat: Command, tmp_path: Path) -> None:
    """Two rows in the year 2250: minutes until then would be 119 million windows."""
    calls = hourly(9, range(0))
    calls += [(datetime(2250, 1, 1, hour, tzinfo=UTC), "A") for hour in range(6)]
    path = pipeline(tmp_path, "1m")
    assert "`fill: zero` would add more than 20,000,000 windows" in offbeat.refused("run", path, write(tmp_path / "a.csv", calls))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("key: route", "key: caller", "each key of the source has a window in every tick"),
        ("size: 1h", "size: 10s", "8,640 windows a day"),
        ("fill: zero, ", "", ""),
        ("key: route, size: 1h, fill: zero,", "key: caller, size: 1h,", "so the rule does not see a total outage"),
        ("fill: zero, ", "fill: none, ", ""),
        ("drop: {type: rule,", "gone: {type: absence}, drop: {type: rule,", "`absence` never votes"),
    ],
)
def test_what_it_costs_is_said(offbeat: Command, tmp_path: Path, old: str, new: str, said: str) -> None:
    path = pipeline(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    done = offbeat("lint", path)
    assert (said in done.out + done.err) if said else not done.err, done


def test_as_of_a_day_knows_only_windows_with_rows(offbeat: Command, tmp_path: Path) -> None:
    """As the batch job does that it repeats: also where an hour without any row would be far below its baseline."""
    write(tmp_path / "a.csv", hourly(60, SILENT))
    done = offbeat("run", pipeline(tmp_path), tmp_path / "a.csv", "--set", "as_of.mode=fixed", "--alerts", tmp_path / "a.jsonl", "--json")
    said = ran(done)
    assert alerts(tmp_path / "a.jsonl") == []
    assert said["views"]["route"]["windows"] == 55
