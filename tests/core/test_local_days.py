"""Days are counted by the calendar of the zone, also where a day has 23 or 25 hours [S5]: against lists of dates."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

import offbeat
from offbeat.core.clock import LocalTime
from offbeat.core.days import DAY_NS

BERLIN = ZoneInfo("Europe/Berlin")
KEYS = ("a", "b", "c")
PIPELINE = """\
name: days
source:
  key: who
  time: {column: at, zone: Europe/Berlin}
  columns: {x: {type: decimal, scale: 0}}
views:
  day:
    rollup: {key: who, size: 1d, columns: {total: sum(x)}}
    windows:
      before: {over: all, lag: 2d, features: {first_days: count(*), first_sum: sum(total)}}
      last: {over: 3d, features: {last_days: count(*), last_sum: sum(total)}}
      away: {over: 2d, lag: 3d, features: {away_days: count(*), away_sum: sum(total)}}
    detectors:
      forest: {type: population_forest, features: [total], over: 4d, train_min: 12, sample: 8, trees: 3}
      none: {type: rule, when: total > 1000 * first_sum AND total > last_sum AND total > away_sum}
  hour:
    rollup: {key: who, size: 1h, columns: {volume: sum(x)}}
    windows:
      same: {over: 3d, season: 1d, features: {same_hours: count(*), same_sum: sum(volume)}}
    detectors:
      loud: {type: rule, when: volume > 1000 * same_sum}
tables:
  days: {view: day, columns: [total, first_days, first_sum, last_days, last_sum, away_days, away_sum, forest.score]}
  hours: {view: hour, columns: [volume, same_hours, same_sum]}
"""
Rows = list[tuple[datetime, str, int]]


def rows_around(change: date) -> Rows:
    """Rows of every key on each of the days around a clock change, at the first and last moments too; moments UTC."""
    rng = random.Random(change.toordinal())
    rows: Rows = []
    for day in (change + timedelta(days=n) for n in range(-9, 10)):
        midnight = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
        begin = midnight.astimezone(UTC)
        end = (midnight + timedelta(days=1)).astimezone(UTC)
        for key in KEYS:
            moments = {begin, end - timedelta(seconds=1)} | {begin + rng.random() * (end - begin) for _ in range(12)}
            rows += [(moment.replace(microsecond=0), key, rng.randrange(1, 100)) for moment in moments]
    return sorted(rows)


@pytest.mark.parametrize("change", [date(2024, 3, 31), date(2024, 10, 27)])
def test_windows_count_days_of_the_calendar(change: date, tmp_path: Path) -> None:
    rows = rows_around(change)
    lines = [f"{at:%Y-%m-%dT%H:%M:%SZ},{key},{x}" for at, key, x in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["at,who,x", *lines]) + "\n")
    (tmp_path / "days.yaml").write_text(PIPELINE)
    offbeat.run(tmp_path / "days.yaml", tmp_path / "rows.csv", tables=str(tmp_path / "tables"))
    days: dict[tuple[str, date], int] = defaultdict(int)
    hours: dict[tuple[str, datetime], int] = defaultdict(int)
    for at, key, x in rows:
        days[key, at.astimezone(BERLIN).date()] += x
        hours[key, at.replace(minute=0, second=0)] += x
    found = pl.read_parquet(tmp_path / "tables" / "days" / "**" / "*.parquet", hive_partitioning=False)
    assert found.height == len(days) == 19 * len(KEYS)
    first = min(day for _, day in days)
    for row in found.iter_rows(named=True):
        key, today = row["who"], row["start"].astimezone(BERLIN).date()
        assert row["total"] == days[key, today]
        for name, begin, end in (("first", 99, 3), ("last", 3, 1), ("away", 5, 4)):
            inside = [days[key, today - timedelta(n)] for n in range(end, begin + 1) if (key, today - timedelta(n)) in days]
            assert (row[f"{name}_days"] or 0, row[f"{name}_sum"] or 0) == (len(inside), sum(inside)), (name, today)
        assert (row["forest_score"] is not None) == ((today - first).days >= 4), today
    found = pl.read_parquet(tmp_path / "tables" / "hours" / "**" / "*.parquet", hive_partitioning=False)
    assert found.height == len(hours)
    for row in found.iter_rows(named=True):
        key, at = row["who"], row["start"]
        local = at.astimezone(BERLIN)
        inside = [
            x
            for (other, begin), x in hours.items()
            if other == key
            and begin.astimezone(BERLIN).hour == local.hour
            and 1 <= (local.date() - begin.astimezone(BERLIN).date()).days <= 3
        ]
        assert (row["same_hours"] or 0, row["same_sum"] or 0) == (len(inside), sum(inside)), local


def test_evidence_begins_at_a_real_midnight(tmp_path: Path) -> None:
    rows = [f"2024-10-{day}T12:00:00Z,a,{1000 if day == 29 else 1}" for day in range(20, 30)]
    (tmp_path / "rows.csv").write_text("\n".join(["at,who,x", *rows]) + "\n")
    text = PIPELINE[: PIPELINE.index("tables:")].replace("total > 1000 * first_sum", "total > first_sum")
    (tmp_path / "days.yaml").write_text(text.replace("over: all, lag: 2d", "over: 5d, lag: 2d"))
    offbeat.run(tmp_path / "days.yaml", tmp_path / "rows.csv", alerts=tmp_path / "out.parquet")
    (alert,) = pl.read_parquet(tmp_path / "out.parquet").filter(pl.col("view") == "day").iter_rows(named=True)
    assert alert["time"] == datetime(2024, 10, 28, 23, tzinfo=UTC)
    assert alert["window"]["from"] == datetime(2024, 10, 21, 22, tzinfo=UTC)
    assert alert["window"]["n"] == 5


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Beirut", "Asia/Kolkata", "UTC"])
def test_local_time_is_what_a_clock_shows(zone: str) -> None:
    hours = [datetime(2022, 3, 20, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(48 * 250)]
    time_ns = np.array([int(at.timestamp()) * 10**9 for at in hours])
    shown = [at.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) for at in hours]
    assert LocalTime(zone).of(time_ns).tolist() == [int(at.timestamp()) * 10**9 for at in shown]
    days = LocalTime(zone, DAY_NS).of(time_ns)
    assert days.tolist() == [at.toordinal() * DAY_NS - date(1970, 1, 1).toordinal() * DAY_NS for at in shown]
    begins: dict[int, int] = {}
    for at, day in zip(time_ns.tolist(), days.tolist(), strict=True):
        begins.setdefault(day, at)
    inner = list(begins)[1:]
    assert LocalTime(zone, DAY_NS).instants(np.array(inner)).tolist() == [begins[day] for day in inner]
    least = np.iinfo(np.int64).min
    assert LocalTime(zone).instants(np.array([least])).tolist() == [least]
