"""Times against the standard library's datetime and zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from io_plans import keyed

from offbeat.core.batch import NULL_INT
from offbeat.core.plan import TimePlan
from offbeat.errors import UserError
from offbeat.io.read.epoch import EPOCH_DIGITS, epoch_integers
from offbeat.io.read.local_times import local_to_utc, zone_of
from offbeat.io.read.parse_table import times_of
from offbeat.io.read.timestamps import by_format, finish_iso, read_iso

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Asia/Kolkata", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Monrovia", "Asia/Kathmandu"]


def iso(texts: list[str], zone: str = "UTC") -> list[int | str | None]:
    data = "".join(texts).encode()
    ends = np.cumsum([len(t.encode()) for t in texts]).astype(np.int32)
    begins = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    out = np.empty(len(texts), dtype=np.int64)
    status = np.empty(len(texts), dtype=np.int8)
    local = read_iso(np.frombuffer(data or b"\0", dtype=np.uint8), begins, ends, out, status)
    found = finish_iso(out, status, local, zone)
    return ["bad" if b else None if v == NULL_INT else int(v) for v, b in zip(found.utc, found.bad, strict=True)]


def nanoseconds(moment: datetime) -> int:
    d = moment - EPOCH
    return ((d.days * 86_400 + d.seconds) * 1_000_000 + d.microseconds) * 1000


def exists(moment: datetime, zone: ZoneInfo) -> bool:
    return moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment


moments = st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1))
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@given(moments, offsets, st.text("0123456789", max_size=9), st.sampled_from("T t"), st.sampled_from(["", ":"]))
def test_times_with_an_offset(moment: datetime, minutes: int, part: str, between: str, colon: str) -> None:
    text = f"{moment:%Y-%m-%d}{between}{moment:%H:%M:%S}".zfill(19)
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    text += (f".{part}" if part else "") + f"{sign}{hours:02d}{colon}{rest:02d}"
    whole = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert iso([text]) == [nanoseconds(whole.astimezone(UTC)) + int(part.ljust(9, "0"))]


@given(st.lists(moments, min_size=1, max_size=20), st.sampled_from(ZONES))
def test_times_without_an_offset_go_through_the_zone(values: list[datetime], name: str) -> None:
    zone = ZoneInfo(name)
    expected = [nanoseconds(m.replace(tzinfo=zone).astimezone(UTC)) if exists(m, zone) else "bad" for m in values]
    assert iso([m.isoformat(timespec="microseconds") for m in values], name) == expected


@given(st.sampled_from(ZONES), st.integers(1950, 2037), st.integers(0, 365 * 24 * 4))
def test_around_every_clock_change(name: str, year: int, quarter: int) -> None:
    zone = ZoneInfo(name)
    moment = datetime(year, 1, 1) + timedelta(minutes=15 * quarter)
    around = [moment + timedelta(hours=h) for h in range(-3, 4)]
    expected = [nanoseconds(m.replace(tzinfo=zone).astimezone(UTC)) if exists(m, zone) else "bad" for m in around]
    assert iso([m.isoformat(" ") for m in around], name) == expected


def test_the_hours_that_new_york_skips_and_repeats() -> None:
    skipped, repeated = "2021-03-14 02:30:00", "2021-11-07 01:30:00"
    assert iso([skipped, repeated], "America/New_York") == ["bad", nanoseconds(datetime(2021, 11, 7, 5, 30, tzinfo=UTC))]


def test_accepted_forms() -> None:
    at = nanoseconds(datetime(2022, 2, 21, 9, 15, tzinfo=UTC))
    texts = ["2022-02-21 09:15", "2022-02-21T09:15Z", " 2022-02-21 09:15:00 ", "2022-02-21T14:45+0530", "2022-02-21 10:15:00.0+01"]
    assert iso(texts) == [at] * len(texts)
    assert iso(["2022-02-21", ""]) == [nanoseconds(datetime(2022, 2, 21, tzinfo=UTC)), None]


@pytest.mark.parametrize(
    "text",
    [
        "2017-05-29 10:", "2022-02-30 00:00", "2021-02-29", "2022-13-01", "2022-00-10", "2022-02-21 24:00", "2022-02-21 09:60",
        "2022-02-21 09:15:60", "2022-02-21 09:15:00.",
        "2022-02-21 09:15:00.1234567890", "2022-02-21 09:15:00+5:30", "2022-02-21 09:15:00+24:00",
        "2022-02-21 09:15:00Zulu", "2022/02/21 09:15", "22-02-21 09:15:00", "9999-01-01",
        "0001-01-01", "x", "2022-02-2१ 09:15", "1645415100",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert iso([text]) == ["bad"]


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["s", "ms", "us", "ns"]))
def test_epoch_integers(value: int, unit: str) -> None:
    digits = EPOCH_DIGITS[unit]
    out, bad = epoch_integers(np.array([value, NULL_INT]), unit)
    fits = abs(value) * 10**digits < 2**63
    assert bad.tolist() == [not fits, False]
    assert out.tolist() == [value * 10**digits if fits else NULL_INT, NULL_INT]


def test_epoch_floats_are_the_decimals_that_were_written() -> None:
    values = pl.Series([1.5, -1.5, 1641440945.25, 1652315869.53, float("nan"), float("inf"), 1e300, None])
    found = times_of(values, keyed(time=TimePlan(("t",), "s", "UTC")))
    expected = [1_500_000_000, -1_500_000_000, 1_641_440_945_250_000_000, 1_652_315_869_530_000_000]
    assert found.utc.tolist() == [*expected, *[NULL_INT] * 4]
    assert found.bad.tolist() == [False] * 4 + [True] * 3 + [False]
    assert found.empty.tolist() == [False] * 7 + [True]


def test_other_formats() -> None:
    texts = pl.Series(["Wed Sep 15 19:17:44 +0100 2010", "nonsense", None, ""])
    found = by_format(texts, "%a %b %d %H:%M:%S %z %Y", "UTC")
    assert found.utc.tolist() == [nanoseconds(datetime(2010, 9, 15, 18, 17, 44, tzinfo=UTC)), NULL_INT, NULL_INT, NULL_INT]
    assert found.bad.tolist() == [False, True, False, False]
    found = by_format(pl.Series(["21.02.2022 09:15", "14.03.2021 02:30"]), "%d.%m.%Y %H:%M", "America/New_York")
    assert found.utc.tolist() == [nanoseconds(datetime(2022, 2, 21, 14, 15, tzinfo=UTC)), NULL_INT]
    assert found.bad.tolist() == [False, True]


def test_a_zone_that_does_not_exist() -> None:
    with pytest.raises(UserError, match=r"time zone 'Mars/Base' does not exist.* 'UTC'"):
        zone_of("Mars/Base")


def test_no_times_at_all() -> None:
    assert len(local_to_utc(np.empty(0, dtype=np.int64), "UTC")[0]) == 0
