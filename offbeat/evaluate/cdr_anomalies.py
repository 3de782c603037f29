"""Anomalies planted in generated call records, and their labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64
from offbeat.evaluate.cdr_population import FIRST_CUSTOMER, SENSOR_RECORD_MB, Calendar, Population, region_names
from offbeat.evaluate.cdr_process import DATA, VOICE, stream_of, uniforms

KINDS = ("sim_box", "night_owl", "exfiltration", "slow_drift", "dead_sensor", "region_outage", "region_surge")
"""1 or 2 days with 150 to 400 more calls from 08:00 on; 1 to 3 nights with 20 to 60 more DATA records from 02:00 to 06:00; one session of
5,000 to 50,000 MB; volumes that grow to 4 to 8 times within 10 to 14 days; a sensor that falls silent; 3 to 10 hours of the day with a
fiftieth of a region's records; 2 to 5 hours with 5 to 9 times as many."""
LABELS: dict[str, pl.DataType] = {
    "key": pl.String(),
    "kind": pl.String(),
    "from": pl.Datetime("us", "UTC"),
    "to": pl.Datetime("us", "UTC"),
    "view": pl.String(),
}
QUIET_DAYS = 21
"""Days at the beginning without any anomaly: two weeks of history and the week that is scored."""
FEWEST_DAYS = 24
"""Shorter data sets have no anomalies."""
_LATE, _MOSTLY = 0.7, 0.8  # this share begins in the last 30 % of the days
_HOUR_US = 3_600_000_000
_CANDIDATES = 20  # regions that are large enough for their hours to have a rhythm


@dataclass(frozen=True, slots=True)
class Rates:
    """How much is planted: shares of the customers, of the sensors (`dead_sensor`), and numbers of regions."""

    sim_box: float = 0.001
    night_owl: float = 0.001
    exfiltration: float = 0.001
    slow_drift: float = 0.001
    sensors: float = 0.002
    dead_sensor: float = 0.25
    outages: int = 3
    surges: int = 3


@dataclass(slots=True)
class Planted:
    """Planted differences from ordinary records."""

    weights: F64
    """(hours, regions) as `cdr_population.rhythm`, with outages and surges."""
    drift: I64
    """(customers, 3), see `cdr_process.make_rows`."""
    time_us: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """Records besides the ordinary ones, in order of time; sensors' records too."""
    real: F64 = field(default_factory=lambda: np.zeros(0))
    """MB."""
    whole: I32 = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    """(n, 3) customer, type, region."""
    labels: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LABELS))


def plant(hours: Calendar, people: Population, share: F64, weights: F64, rates: Rates, seed: int, daily: F64) -> Planted:
    """Choose who, where and when. `daily` (customers,) ordinary records to be expected a day; `share` (regions,) sizes.

    No customer and no region is chosen twice. Raises ValueError where there are too few of them.
    """
    work = _Planting(hours, people, Planted(weights.copy(), np.full((len(daily), 3), -1, np.int64)), seed)
    dead = work.dead_sensors(rates.dead_sensor)
    work.sensors(dead)
    if hours.days >= FEWEST_DAYS:
        counts = [_count(rate, len(daily)) for rate in (rates.sim_box, rates.night_owl, rates.exfiltration, rates.slow_drift)]
        chosen = work.customers(sum(counts), daily)
        parts = np.split(chosen, np.cumsum(counts)[:-1])
        for make, who in zip((work.sim_boxes, work.night_owls, work.exfiltrations, work.slow_drifts), parts, strict=True):
            make(who)
        work.regions(rates.outages, rates.surges, share)
    return work.done()


def _count(rate: float, of: int) -> int:
    """At least one, unless the share is 0."""
    return max(1, round(rate * of)) if rate > 0.0 else 0


class _Planting:
    def __init__(self, hours: Calendar, people: Population, planted: Planted, seed: int) -> None:
        self._hours, self._people, self._planted, self._seed = hours, people, planted, seed
        self._purpose = 1_000
        self._records: list[tuple[I64, F64, I32]] = []
        self._labels: list[tuple[str, str, int, int, str]] = []

    def _draw(self, n: int) -> F64:
        self._purpose += 1
        return uniforms(stream_of(self._seed, self._purpose), n)

    def _whole(self, n: int, low: int, high: int) -> I64:
        """(n,) in [low, high]."""
        return low + (self._draw(n) * (high - low + 1)).astype(np.int64)

    def _begin(self, n: int, length: int) -> I64:
        """(n,) first days of what lasts `length` days."""
        latest = self._hours.days - length
        late = np.clip(int(np.ceil(_LATE * self._hours.days)), QUIET_DAYS, latest)
        first = np.where(self._draw(n) < _MOSTLY, late, QUIET_DAYS)
        return np.asarray(first + (self._draw(n) * (latest - first + 1)).astype(np.int64))

    def _add(self, who: int, time_us: I64, kind: int, mb: F64) -> None:
        whole = np.empty((len(time_us), 3), np.int32)
        whole[:, 0], whole[:, 1], whole[:, 2] = who, kind, self._people.home[who]
        self._records.append((time_us, np.rint(mb * 1e6) / 1e6, whole))

    def _label(self, who: int, kind: str, first_us: int, last_us: int) -> None:
        self._labels.append((str(FIRST_CUSTOMER + who), kind, first_us, last_us, "customer_day"))

    def _at(self, day: int, hour: int) -> int:
        """Microsecond at which an hour of a day begins."""
        slots = slice(int(self._hours.first_slot[day]), int(self._hours.first_slot[day + 1]))
        at = int(np.argmax(self._hours.hour[slots] >= hour))
        return int(self._hours.start_us[slots][at])

    def dead_sensors(self, rate: float) -> I64:
        """The sensors that fall silent."""
        sensors = self._people.sensors
        if self._hours.days < FEWEST_DAYS or not len(sensors):
            return np.zeros(0, np.int64)
        return np.sort(sensors[np.argsort(self._draw(len(sensors)), kind="stable")[: _count(rate, len(sensors))]])

    def sensors(self, dead: I64) -> None:
        """A record every hour, until the sensor dies."""
        sensors, hours = self._people.sensors, self._hours
        n, slots = len(sensors), len(hours.start_us)
        if not n:
            return
        shift = self._draw(n) * 0.96
        jitter = self._draw(n * slots).reshape(slots, n) * 0.02
        time = hours.start_us[:, None] + ((shift + jitter) * hours.length_us[:, None]).astype(np.int64)
        mb = SENSOR_RECORD_MB * (1.0 + 0.1 * self._draw(n * slots).reshape(slots, n))
        last = np.full(n, slots)
        for who, day in zip(dead.tolist(), self._begin(len(dead), 2).tolist(), strict=True):
            at = int(np.searchsorted(sensors, who))
            slot = int(hours.first_slot[day])
            last[at] = slot
            self._label(who, "dead_sensor", int(time[slot, at]), hours.begin_us(hours.days) - 1)
        alive = np.arange(slots)[:, None] < last
        whole = np.empty((int(alive.sum()), 3), np.int32)
        number = np.broadcast_to(sensors, (slots, n))[alive]
        whole[:, 0], whole[:, 1], whole[:, 2] = number, DATA, self._people.home[number]
        self._records.append((time[alive], np.rint(mb[alive] * 1e6) / 1e6, whole))

    def customers(self, n: int, daily: F64) -> I64:
        """Choose n customers with enough history to be scored, but not so much that nothing stands out; or else the most active ones."""
        taken = (daily >= 4.0) & (daily <= 40.0)
        if int(taken.sum()) < n:
            taken = daily >= np.sort(daily)[max(0, len(daily) - n)]
        able = np.flatnonzero(taken & (daily > 0.0))
        if len(able) < n:
            raise ValueError(f"anomalies need {n:,} customers, but there are only {len(able):,}; give more customers or lower rates")
        return np.asarray(able[np.argsort(self._draw(len(able)), kind="stable")[:n]])

    def sim_boxes(self, chosen: I64) -> None:
        """Calls from 08:00 to 24:00."""
        for who, length, day in zip(chosen.tolist(), self._whole(len(chosen), 1, 2).tolist(), self._begin(len(chosen), 2), strict=True):
            times = []
            for d in range(int(day), int(day) + length):
                begin, end = self._at(d, 8), self._hours.begin_us(d + 1)
                calls = int(self._whole(1, 150, 400)[0])
                times.append(begin + (np.sort(self._draw(calls)) * (end - begin)).astype(np.int64))
            self._several(who, "sim_box", times, VOICE)

    def night_owls(self, chosen: I64) -> None:
        """DATA records from 02:00 to 06:00."""
        for who, length, day in zip(chosen.tolist(), self._whole(len(chosen), 1, 3).tolist(), self._begin(len(chosen), 3), strict=True):
            times = []
            for d in range(int(day), int(day) + length):
                begin, end = self._at(d, 2), self._at(d, 6)
                times.append(begin + (np.sort(self._draw(int(self._whole(1, 20, 60)[0]))) * (end - begin)).astype(np.int64))
            self._several(who, "night_owl", times, DATA)

    def _several(self, who: int, name: str, days: list[I64], kind: int) -> None:
        time: I64 = np.concatenate(days)
        mb = 0.5 + 4.5 * self._draw(len(time)) if kind == DATA else np.zeros(len(time))
        self._add(who, time, kind, mb)
        self._label(who, name, int(time[0]), int(time[-1]))

    def exfiltrations(self, chosen: I64) -> None:
        """One huge session."""
        n = len(chosen)
        when, mbs = self._draw(n), 5_000.0 * 10.0 ** self._draw(n)
        for who, day, u, mb in zip(chosen.tolist(), self._begin(n, 1).tolist(), when.tolist(), mbs.tolist(), strict=True):
            begin, end = self._hours.begin_us(day), self._hours.begin_us(day + 1)
            time = np.array([begin + int(u * (end - begin))])
            self._add(who, time, DATA, np.array([mb]))
            self._label(who, "exfiltration", int(time[0]), int(time[0]))

    def slow_drifts(self, chosen: I64) -> None:
        """Volumes of ordinary sessions grow day by day."""
        n = len(chosen)
        room = self._hours.days - QUIET_DAYS
        lengths = np.minimum(self._whole(n, 10, 14), room)
        begins = self._begin(n, min(14, room))
        for who, length, first, times in zip(chosen.tolist(), lengths.tolist(), begins.tolist(), self._whole(n, 3_000, 7_000), strict=True):
            self._planted.drift[who] = first, first + length - 1, times
            self._label(who, "slow_drift", self._hours.begin_us(first), self._hours.begin_us(first + length) - 1)

    def regions(self, outages: int, surges: int, share: F64) -> None:
        """Outages and surges in the larger regions, from 08:00 on and not over midnight."""
        n = outages + surges
        if n > len(share):
            raise ValueError(f"anomalies need {n:,} regions, but there are only {len(share)}")
        large = np.argsort(-share, kind="stable")[: max(_CANDIDATES, n)]
        chosen = large[np.argsort(self._draw(len(large)), kind="stable")[:n]]
        lengths = np.concatenate([self._whole(outages, 3, 10), self._whole(surges, 2, 5)])
        names = region_names()
        for i, (region, day, length) in enumerate(zip(chosen.tolist(), self._begin(n, 1).tolist(), lengths.tolist(), strict=True)):
            begin = self._at(day, int(self._whole(1, 8, 23 - length)[0]))
            first = int(np.searchsorted(self._hours.start_us, begin))
            factor = 0.02 if i < outages else float(5.0 + 4.0 * self._draw(1)[0])
            self._planted.weights[first : first + length, region] *= factor
            end = int(self._hours.start_us[first + length - 1] + self._hours.length_us[first + length - 1])
            self._labels.append((names[region], "region_outage" if i < outages else "region_surge", begin, end - 1, "region_hour"))

    def done(self) -> Planted:
        """Records and labels in order."""
        planted = self._planted
        if self._records:
            times, reals, wholes = zip(*self._records, strict=True)
            order = np.argsort(np.concatenate(times), kind="stable")
            planted.time_us = np.concatenate(times)[order]
            planted.real, planted.whole = np.concatenate(reals)[order], np.concatenate(wholes)[order]
        rows = pl.DataFrame(self._labels, schema=list(LABELS), orient="row") if self._labels else pl.DataFrame(schema=LABELS)
        planted.labels = rows.select(pl.col(name).cast(kind) for name, kind in LABELS.items()).sort("from", "key")
        return planted
