"""Gaps against a cadence and a calendar: hand calculations, and the real file against Polars."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from folders import DATA

from offbeat.core.days import local_midnights
from offbeat.errors import UserError
from offbeat.quality.gaps import Gaps
from offbeat.quality.sessions import sessions

MINUTE = 60_000_000_000
REAL = DATA / "bars" / "AARTIIND__EQ__NSE__NSE__MINUTE.csv"


def instants(*texts: str, zone: str = "Asia/Kolkata") -> list[int]:
    """Local times like `2017-01-02 09:15` as nanoseconds UTC."""
    return [round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000 for text in texts]


def session_of(day: str, first: str = "09:15", bars: int = 375) -> list[int]:
    start = instants(f"{day} {first}")[0]
    return [start + i * MINUTE for i in range(bars)]


def fed(times: list[int], slot: int = 0, **options: str) -> Gaps:
    gaps = Gaps(MINUTE, "Asia/Kolkata", options.get("calendar", "XBOM"))
    gaps.add(np.full(len(times), slot, dtype=np.int32), np.array(times, dtype=np.int64))
    return gaps


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Kolkata")).astimezone(ZoneInfo("UTC"))


def test_a_complete_session_misses_nothing() -> None:
    row = fed(session_of("2017-01-02")).report(["X"]).row(0, named=True)
    assert (row["sessions_expected"], row["sessions_seen"], row["bars_expected"], row["bars_missing"]) == (1, 1, 375, 0)
    assert row["longest_gap"] is None
    assert (row["incomplete_days"], row["worst_days"], row["note"]) == (0, [], None)


def test_missing_bars_sessions_and_extra_days_by_hand() -> None:
    monday = session_of("2017-01-02", "09:17", 373)  # two bars short at the opening
    tuesday = [t for t in session_of("2017-01-03") if not instants("2017-01-03 10:00")[0] <= t < instants("2017-01-03 10:05")[0]]
    saturday = session_of("2017-01-07", "10:00", 3)  # Wednesday to Friday have no rows; Saturday is no session
    monday2 = session_of("2017-01-09", bars=300) + instants("2017-01-09 15:45")  # ends 75 bars early, one bar after hours
    row = fed(monday + tuesday + saturday + monday2).report(["X"]).row(0, named=True)
    assert (row["first_day"], row["last_day"], row["days_seen"]) == (date(2017, 1, 2), date(2017, 1, 9), 4)
    assert (row["sessions_expected"], row["sessions_seen"], row["sessions_missing"]) == (6, 3, 3)
    assert row["missing_sessions"] == [date(2017, 1, 4), date(2017, 1, 5), date(2017, 1, 6)]
    assert (row["extra_days"], row["days_without_session"]) == (1, [date(2017, 1, 7)])
    # The two bars before the very first row are not missing; those before the last one, after hours, are.
    assert (row["bars_expected"], row["bars_seen"], row["bars_outside"]) == (6 * 375 - 2, 373 + 370 + 300, 1)
    assert row["bars_missing"] == 3 * 375 + 5 + 75
    assert row["incomplete_days"] == 2
    assert row["worst_days"] == [
        {"day": date(2017, 1, 9), "bars": 300, "expected": 375},
        {"day": date(2017, 1, 3), "bars": 370, "expected": 375},
    ]
    assert row["longest_gap"] == {"from": utc("2017-01-09 14:15"), "to": utc("2017-01-09 15:30"), "bars": 75}


def test_longest_gap_at_the_opening_and_between_bars() -> None:
    opening = fed(session_of("2017-01-02") + session_of("2017-01-03", "09:20", 370)).report(["X"]).row(0, named=True)
    assert opening["longest_gap"] == {"from": utc("2017-01-03 09:15"), "to": utc("2017-01-03 09:20"), "bars": 5}
    between = [t for i, t in enumerate(session_of("2017-01-02")) if i not in {7, 100, 101, 102}]
    row = fed(between).report(["X"]).row(0, named=True)
    assert row["longest_gap"] == {"from": utc("2017-01-02 10:55"), "to": utc("2017-01-02 10:58"), "bars": 3}


def test_what_lies_before_the_first_row_and_after_the_last_is_not_missing() -> None:
    """Half an hour of one day, and two mornings with the night between them."""
    short = fed(session_of("2017-01-02", "10:00", 30)).report(["X"]).row(0, named=True)
    assert (short["bars_expected"], short["bars_missing"], short["incomplete_days"], short["longest_gap"]) == (30, 0, 0, None)
    mornings = session_of("2017-01-02", "09:30", 60) + session_of("2017-01-03", "09:15", 60)  # 15:30 - 10:30 = 300 minutes between
    row = fed(mornings).report(["X"]).row(0, named=True)
    assert (row["bars_expected"], row["bars_missing"], row["incomplete_days"]) == (420, 300, 1)
    assert row["longest_gap"] == {"from": utc("2017-01-02 10:30"), "to": utc("2017-01-02 15:30"), "bars": 300}


def test_several_rows_of_one_minute_are_one_bar() -> None:
    start = instants("2017-01-02 09:15")[0]
    seconds = [start + s * 1_000_000_000 for s in range(0, 375 * 60, 7)]
    row = fed(seconds).report(["X"]).row(0, named=True)
    assert (row["bars_seen"], row["bars_missing"]) == (375, 0)


def test_without_a_calendar_only_gaps_inside_a_day_are_known() -> None:
    times = instants("2017-01-07 10:00", "2017-01-07 10:01", "2017-01-07 10:05", "2017-01-09 23:59", "2017-01-10 00:00")
    row = fed(times, calendar="").report(["X"]).row(0, named=True)
    assert row["sessions_expected"] is None
    assert row["bars_missing"] is None
    assert (row["days_seen"], row["bars_seen"]) == (3, 5)
    assert row["longest_gap"] == {"from": utc("2017-01-07 10:02"), "to": utc("2017-01-07 10:05"), "bars": 3}


def test_dates_that_the_calendar_does_not_know_are_said_not_judged() -> None:
    future = session_of("2017-01-02") + session_of("2091-03-05", bars=10)
    row = fed(future).report(["X"]).row(0, named=True)
    assert (row["sessions_expected"], row["bars_missing"], row["days_not_in_calendar"]) == (1, 0, 1)
    assert row["last_day"] == date(2091, 3, 5)
    assert row["note"].startswith("1 days lie outside the calendar XBOM (1997-01-01 to ")
    only = fed(session_of("2091-03-05", bars=10)).report(["X"]).row(0, named=True)
    assert (only["sessions_expected"], only["bars_expected"], only["days_not_in_calendar"]) == (0, 0, 1)


def test_a_break_cuts_a_session_in_two() -> None:
    gaps = Gaps(MINUTE, "Asia/Tokyo", "XTKS")
    morning = [instants("2020-01-06 09:00", zone="Asia/Tokyo")[0] + i * MINUTE for i in range(150)]
    afternoon = [instants("2020-01-06 12:30", zone="Asia/Tokyo")[0] + i * MINUTE for i in range(150) if i != 70]
    times = np.array(morning + afternoon, dtype=np.int64)
    gaps.add(np.zeros(len(times), dtype=np.int32), times)
    row = gaps.report(["7203"]).row(0, named=True)
    assert (row["sessions_expected"], row["bars_expected"], row["bars_missing"], row["bars_outside"]) == (1, 300, 1, 0)


def test_any_chunking_sharding_and_restart_gives_the_same_report() -> None:
    rng = np.random.default_rng(7)
    keys = [f"K{i}" for i in range(23)]
    rows: list[tuple[int, int]] = []
    for slot in range(len(keys)):
        day = datetime(2017, 1, 1 + int(rng.integers(0, 9)))
        for _ in range(12):
            base = instants(f"{day:%Y-%m-%d} 09:00")[0]
            rows += [(base + int(m) * MINUTE, slot) for m in np.flatnonzero(rng.random(420) < 0.8)]
            day += timedelta(days=int(rng.integers(1, 4)))
    rows.sort()
    times, slots = np.array([t for t, _ in rows], dtype=np.int64), np.array([s for _, s in rows], dtype=np.int32)
    whole = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
    whole.add(slots, times)
    expected = whole.report(keys)

    cuts = np.sort(rng.integers(0, len(rows), 40))
    pieces = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
    for some_slots, some_times in zip(np.split(slots, cuts), np.split(times, cuts), strict=True):
        pieces.add(some_slots, some_times)
        resumed = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
        resumed.restore(pieces.arrays(np.arange(len(keys))))
        pieces = resumed
    assert pieces.report(keys).equals(expected)

    shards = []
    for shard in range(3):
        part = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
        mine = slots % 3 == shard
        part.add(slots[mine], times[mine])
        shards.append(part.report(keys))
    assert pl.concat(shards).sort("key").equals(expected.sort("key"))


def test_nothing_seen_is_an_empty_report_also_after_a_restart() -> None:
    gaps = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
    gaps.add(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))
    assert gaps.report([]).is_empty()
    again = Gaps(MINUTE, "Asia/Kolkata", "XBOM")
    again.restore(gaps.arrays(np.arange(0)))
    again.add(np.zeros(375, dtype=np.int32), np.array(session_of("2017-01-02"), dtype=np.int64))
    assert again.report(["X"])["bars_missing"].to_list() == [0]


def test_wrong_calendar_and_cadence() -> None:
    with pytest.raises(UserError, match="no trading calendar called 'xbom'; did you mean 'XBOM'"):
        sessions("xbom")
    with pytest.raises(UserError, match="at least 1ms"):
        Gaps(1000, "Asia/Kolkata")


def test_local_days_follow_the_clock_changes() -> None:
    first, midnights = local_midnights("Europe/Berlin", *instants("2024-03-31 12:00", "2024-10-27 12:00", zone="Europe/Berlin"))
    lengths = np.diff(midnights) // 3_600_000_000_000
    days = [date(1970, 1, 1) + timedelta(days=first + int(i)) for i in np.flatnonzero(lengths != 24)]
    assert days == [date(2024, 3, 31), date(2024, 10, 27)]
    assert sorted(set(lengths.tolist())) == [23, 24, 25]
    _, removed = local_midnights("Asia/Beirut", *instants("2022-03-27 12:00", "2022-03-27 12:00", zone="Asia/Beirut"))
    assert (np.diff(removed) > 0).all()  # that day began at 01:00


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/bars")
def test_real_bars_agree_with_polars() -> None:
    lines = pl.read_csv(REAL, truncate_ragged_lines=True).drop_nulls("open")
    times = lines["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S%:z", time_unit="ns", time_zone="UTC")
    gaps = fed(times.cast(pl.Int64).to_list())
    row = gaps.report(["AARTIIND"]).row(0, named=True)
    days = pl.DataFrame({"day": times.dt.convert_time_zone("Asia/Kolkata").dt.date()}).group_by("day").len().sort("day")
    end = days["day"].max()  # the file ends at 10:25 of that day, after 71 bars: what was to come is not missing
    short = days.filter((pl.col("len") != 375) & (pl.col("day") != end))
    assert days.filter(pl.col("day") == end)["len"].item() == 71
    assert row["incomplete_days"] == short.height == 11
    assert row["sessions_seen"] == row["sessions_expected"] == days.height == 100
    assert row["bars_seen"] == lines.height == 37_178
    assert row["bars_missing"] == (375 - short["len"].cast(pl.Int64)).sum() == 99 * 375 + 71 - lines.height
    worst = short.sort(pl.col("len").cast(pl.Int64), "day").head(10)
    assert [(d["day"], d["bars"]) for d in row["worst_days"]] == worst.rows()
    minutes = times.dt.convert_time_zone("Asia/Kolkata")
    of_day = pl.DataFrame({"day": minutes.dt.date(), "bar": minutes.dt.hour().cast(pl.Int64) * 60 + minutes.dt.minute() - 555})
    runs = []
    for (_day,), bars in of_day.filter(pl.col("day") != end).group_by("day"):
        seen = sorted({-1, 375, *bars["bar"].to_list()})
        runs.append(max(after - before - 1 for before, after in pairwise(seen)))
    assert row["longest_gap"]["bars"] == max(runs)
    assert (row["extra_days"], row["bars_outside"], row["note"]) == (0, 0, None)
