"""Who makes call records, where and when: long-tailed customers, regions with their own size and rhythm, days and weeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.days import DAY_NS, local_midnights
from offbeat.evaluate.cdr_process import make_alias, stream_of, uniforms

REGIONS = 58
FIRST_CUSTOMER = 100_000_001
SENSOR_RECORD_MB = 0.02
SEGMENTS = ("prepaid", "postpaid", "business", "sensor")
WEEKEND = (4, 5)
"""Friday and Saturday, Monday being 0."""

_FIRST_DAY = 19_723  # 2024-01-01, a Monday
_HOUR_US = 3_600_000_000
_TAIL = 1.1  # standard deviation of the logarithm of a customer's activity
_MOST_ACTIVE = 60.0  # times the median
_OFFICE = (10, 6, 4, 3, 3, 6, 20, 55, 100, 130, 140, 135, 120, 125, 130, 130, 125, 115, 100, 90, 80, 60, 40, 20)
_EVENING = (30, 15, 7, 4, 3, 5, 12, 30, 50, 65, 75, 85, 95, 90, 85, 90, 100, 115, 135, 155, 175, 170, 130, 75)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hours of the days that records are made for; a local day has 23 or 25 where the clock changes."""

    first_slot: I64
    """(days + 1,) place of each day's first hour."""
    start_us: I64
    """(hours,) microseconds since 1970 UTC."""
    length_us: I64
    day: I64
    hour: I64
    """(hours,) on the local clock."""

    @property
    def days(self) -> int:
        """How many."""
        return len(self.first_slot) - 1

    def begin_us(self, day: int) -> int:
        """First microsecond of a day; of the day after the last: the end of all."""
        slot = int(self.first_slot[day])
        return int(self.start_us[slot]) if slot < len(self.start_us) else int(self.start_us[-1] + self.length_us[-1])

    def name(self, day: int) -> str:
        """ISO date of a day."""
        return str(np.datetime64(_FIRST_DAY + day, "D"))


@dataclass(frozen=True, slots=True)
class Population:
    """c customers and the tables to draw them by."""

    activity: F64
    """(c,) records relative to others; 0 for sensors, which have their own rhythm."""
    usual: F64
    """(c,) logarithm of the median session in MB."""
    home: I64
    """(c,) region."""
    sensors: I64
    """Numbers of the customers that are sensors."""
    segment: I64
    """(c,) place in `SEGMENTS`."""
    people: I32
    """(c,) customers, region by region."""
    region_first: I64
    lives: F64
    """(regions,) 1 if somebody who makes ordinary records lives there."""
    accept: F64
    other: I32
    """Alias tables of the people of each region, followed by that of all."""
    all_accept: F64
    all_other: I32

    def table(self, stream_seed: int) -> pl.DataFrame:
        """The customer dimension: one row each."""
        c = len(self.activity)
        age = np.floor(20.0 * (3_000.0 / 20.0) ** uniforms(stream_of(stream_seed, 9), c)).astype(np.int32)
        return pl.DataFrame(
            {
                "customer_id": np.arange(FIRST_CUSTOMER, FIRST_CUSTOMER + c),
                "segment": pl.Series(SEGMENTS).gather(self.segment),
                "home_wilaya": region_names().gather(self.home),
                "sim_age_days": age,
            }
        )


def region_names() -> pl.Series:
    """Codes 01 … 58."""
    return pl.Series([f"{r + 1:02d}" for r in range(REGIONS)])


def calendar(days: int, zone: str) -> Calendar:
    """The hours of `days` local days of `zone` from 2024-01-01 on."""
    known, midnights = local_midnights(zone, _FIRST_DAY * DAY_NS, (_FIRST_DAY + days) * DAY_NS)
    begins = midnights[_FIRST_DAY - known : _FIRST_DAY - known + days + 1] // 1_000
    starts, lengths, counts = [], [], [0]
    for begin, end in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        slots = np.arange(begin, end, _HOUR_US)
        starts.append(slots)
        lengths.append(np.minimum(slots + _HOUR_US, end) - slots)
        counts.append(len(slots))
    start: I64 = np.concatenate(starts)
    hour = pl.Series(start).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.hour()
    day = np.repeat(np.arange(days, dtype=np.int64), counts[1:])
    return Calendar(np.cumsum(counts), start, np.concatenate(lengths), day, hour.cast(pl.Int64).to_numpy())


def populate(customers: int, sensors: int, region_share: F64, seed: int) -> Population:
    """Generate customers; `region_share` (regions,) says where they live."""
    draw = [uniforms(stream_of(seed, 100 + k), customers) for k in range(6)]
    activity = np.minimum(np.exp(_TAIL * _normal(draw[0], draw[1])), _MOST_ACTIVE)
    home: I64 = np.minimum(np.searchsorted(np.cumsum(region_share), draw[2] * region_share.sum()), REGIONS - 1).astype(np.int64)
    segment: I64 = np.searchsorted([0.7, 0.92], draw[3]).astype(np.int64)
    chosen: I64 = np.sort(np.argsort(draw[4], kind="stable")[:sensors]).astype(np.int64)
    activity[chosen] = 0.0
    segment[chosen] = SEGMENTS.index("sensor")
    usual = np.log(8.0) + 0.5 * _normal(draw[5], draw[4])
    people = np.argsort(home, kind="stable").astype(np.int32)
    first: I64 = np.searchsorted(home[people], np.arange(REGIONS + 1)).astype(np.int64)
    accept, other, lives = np.ones(customers), np.zeros(customers, np.int32), np.zeros(REGIONS)
    for r in range(REGIONS):
        weights = activity[people[first[r] : first[r + 1]]]
        if weights.sum() > 0.0:
            lives[r] = 1.0
            make_alias(weights, accept[first[r] : first[r + 1]], other[first[r] : first[r + 1]])
    all_accept, all_other = np.ones(customers), np.zeros(customers, np.int32)
    make_alias(activity, all_accept, all_other)
    return Population(activity, usual, home, chosen, segment, people, first, lives, accept, other, all_accept, all_other)


def region_shares(seed: int) -> F64:
    """(regions,) shares by Zipf's law, in an order drawn from the seed; they add up to 1."""
    order = np.argsort(uniforms(stream_of(seed, 1), REGIONS), kind="stable")
    share: F64 = np.empty(REGIONS)
    share[order] = 1.0 / np.arange(1, REGIONS + 1)
    share /= share.sum()
    return share


def rhythm(hours: Calendar, share: F64, seed: int) -> F64:
    """(hours, regions) how many records are to be expected against other hours and regions.

    Each region mixes a working and an evening day in its own way and has its own weekend; days vary by 4 % a region, hours by 2 %.
    """
    mixed, calm = (uniforms(stream_of(seed, 2 + k), REGIONS) for k in range(2))
    office, evening = (np.array(curve) / np.mean(curve) for curve in (_OFFICE, _EVENING))
    of_hour = np.outer(office, mixed) + np.outer(evening, 1.0 - mixed)
    weekend: Bools = np.isin((hours.day + _FIRST_DAY + 3) % 7, WEEKEND)
    week = np.where(weekend[:, None], 0.65 + 0.3 * calm, 1.0)
    size = (hours.days, REGIONS)
    daily = 1.0 + 0.04 * _normal(*(uniforms(stream_of(seed, 4 + k), hours.days * REGIONS) for k in range(2))).reshape(size)
    hourly = 1.0 + 0.02 * _normal(*(uniforms(stream_of(seed, 6 + k), len(hours.day) * REGIONS) for k in range(2))).reshape(-1, REGIONS)
    whole = hours.length_us[:, None] / _HOUR_US
    return np.asarray(share * of_hour[hours.hour] * week * daily[hours.day] * hourly * whole)


def spread_rows(rows: int, weights: F64) -> I64:
    """(n,) whole numbers in proportion to `weights` that add up to `rows`: the largest remainders get what rounding left over."""
    exact = weights / weights.sum() * rows
    counts: I64 = np.floor(exact).astype(np.int64)
    left = rows - int(counts.sum())
    if left > 0:
        counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts


def _normal(a: F64, b: F64) -> F64:
    """Normal numbers from two uniform ones (Box and Muller 1958)."""
    return np.asarray(np.sqrt(-2.0 * np.log(a)) * np.cos(2.0 * np.pi * b))
