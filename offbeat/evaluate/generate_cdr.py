"""Seeded call records by day in Parquet, with planted and labelled anomalies: for demos, benchmarks and quality measurements."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.core.batch import F64, I8, I32, I64
from offbeat.evaluate.cdr_anomalies import Planted, Rates, plant
from offbeat.evaluate.cdr_population import (
    FIRST_CUSTOMER,
    Calendar,
    Population,
    calendar,
    populate,
    region_names,
    region_shares,
    rhythm,
    spread_rows,
)
from offbeat.evaluate.cdr_process import TYPES, make_alias, make_rows, put_extra, stream_of

CDR: dict[str, pl.DataType] = {
    "cdr_id": pl.Int64(),
    "customer_id": pl.Int64(),
    "timestamp": pl.Datetime("us", "UTC"),
    "cdr_type": pl.String(),
    "data_volume_mb": pl.Float64(),
    "wilaya_code": pl.String(),
}
"""Columns of the records; volumes are whole bytes (1e-6 MB), 0 for calls and short messages."""
PART = "part-0.parquet"
ZONE = "Africa/Algiers"
"""As in the shipped pipeline `cdr`, so that a file is one of its days."""
_ROW_GROUP = 1 << 20
_MOST_ROWS, _MOST_DAYS, _MOST_CUSTOMERS = 10**11, 3_650, 10**8
_A_DAY = 12
"""Records per customer and day, if the number of customers is not given."""
_SENSORS, _EXTRA = 0.01, 0.2
"""Largest share of the rows for sensors, and for all records besides the ordinary ones."""


@dataclass(frozen=True, slots=True)
class MadeCalls:
    """What was written."""

    rows: int
    days: int
    customers: int
    anomalies: int
    labels: Path
    people: Path


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """Everything a worker needs to make any day."""

    hours: Calendar
    people: Population
    planted: Planted
    first_row: I64
    """(hours + 1,) ordinary records before each hour."""
    extra_first: I64
    """(days + 1,) planted ones before each day."""
    accept: F64
    other: I32
    stream: np.uint64


def usual_customers(rows: int, days: int) -> int:
    """How many customers make this many records."""
    return min(max(rows // (days * _A_DAY), 100), _MOST_CUSTOMERS)


def check_sizes(out: Path, *, rows: int, days: int, customers: int, rates: Rates, zone: str) -> None:
    """Raise ValueError for what cannot be made, and for an output that exists."""
    for name, n, most in (("rows", rows, _MOST_ROWS), ("days", days, _MOST_DAYS), ("customers", customers, _MOST_CUSTOMERS)):
        if not 1 <= n <= most:
            raise ValueError(f"1 to {most:,} {name} are possible, not {n:,}")
    for share in (rates.sim_box, rates.night_owl, rates.exfiltration, rates.slow_drift, rates.sensors, rates.dead_sensor):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share must lie between 0 and 1, not {share:g}")
    if min(rates.outages, rates.surges) < 0:
        raise ValueError("the number of regions cannot be negative")
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):  # no such name, a folder of names, a path
        raise ValueError(f"no time zone {zone!r}; write UTC or a name such as Africa/Algiers") from None
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ValueError(f"{out} exists; name a new or an empty folder")


def beside(out: Path) -> tuple[Path, Path]:
    """Where labels and customers go."""
    return out.with_name(f"{out.name}_labels.parquet"), out.with_name(f"{out.name}_customers.parquet")


def generate_cdr(
    out: Path,
    *,
    rows: int,
    days: int,
    seed: int,
    customers: int | None = None,
    rates: Rates | None = None,
    zone: str = ZONE,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda _rows, _days: None,
) -> MadeCalls:
    """Write `rows` call records of `days` days from 2024-01-01 on as `out`/day=YYYY-MM-DD/part-0.parquet, in the order of time.

    Beside it: `out`_labels.parquet (columns `cdr_anomalies.LABELS`) and `out`_customers.parquet. Times are UTC; days, nights and rhythms
    are local in `zone`. The files depend on everything but `workers` (default: one a processor). They appear when all are written;
    nothing is left of what failed or was interrupted. `progress` is called in this thread with the rows and days made so far.

    Raises ValueError for what is not possible, OSError where files cannot be written.
    """
    out = out.parent.resolve() / out.name if out.name not in {"", ".."} else out.resolve()
    rates = rates or Rates()
    customers = usual_customers(rows, days) if customers is None else customers
    check_sizes(out, rows=rows, days=days, customers=customers, rates=rates, zone=zone)
    work = _prepare(rows, days, customers, rates, seed, zone)
    labels, people = beside(out)
    with _folder(out) as part:
        _write_days(work, part / "days", workers or os.cpu_count() or 1, progress)
        work.planted.labels.write_parquet(part / "labels")
        work.people.table(seed).write_parquet(part / "customers")
        (part / "labels").replace(labels)
        (part / "customers").replace(people)
        (part / "days").replace(out)
    return MadeCalls(rows, days, customers, work.planted.labels.height, labels, people)


def _prepare(rows: int, days: int, customers: int, rates: Rates, seed: int, zone: str) -> _Work:
    hours = calendar(days, zone)
    share = region_shares(seed)
    possible = int(_SENSORS * rows / len(hours.start_us))
    wanted = max(1, round(rates.sensors * customers)) if rates.sensors > 0.0 else 0
    people = populate(customers, min(wanted, possible, customers - 1), share, seed)
    daily = people.activity / people.activity.sum() * rows / days
    planted = plant(hours, people, share, rhythm(hours, share, seed), rates, seed, daily)
    extra = len(planted.time_us)
    if extra > _EXTRA * rows:
        raise ValueError(f"the anomalies have {extra:,} records, too many for {rows:,} rows; give more rows or lower rates")
    counts = spread_rows(rows - extra, planted.weights.sum(axis=1))
    accept, other = np.empty(planted.weights.shape), np.empty(planted.weights.shape, np.int32)
    for slot, weights in enumerate(planted.weights):
        make_alias(weights, accept[slot], other[slot])
    begins = np.array([hours.begin_us(day) for day in range(days + 1)])
    return _Work(
        hours,
        people,
        planted,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.searchsorted(planted.time_us, begins).astype(np.int64),
        accept,
        other,
        stream_of(seed, 0),
    )


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is removed afterwards, with everything left in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_days(work: _Work, folder: Path, workers: int, progress: Callable[[int, int], None]) -> None:
    stop, lock = Event(), Lock()
    made = 0

    def count(rows: int) -> bool:
        nonlocal made
        with lock:
            made += rows
        return not stop.is_set()

    folder.mkdir()
    with ThreadPoolExecutor(workers) as pool:
        try:
            running = {pool.submit(_write_day, work, day, folder, count) for day in range(work.hours.days)}
            while running:
                done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
                progress(made, work.hours.days - len(running))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_day(work: _Work, day: int, folder: Path, count: Callable[[int], bool]) -> None:
    """Make and write one day; ends early if `count` says so."""
    slots = work.hours.first_slot[day : day + 2]
    begin, end = (int(work.first_row[slot]) for slot in slots)
    at, last_extra = (int(n) for n in work.extra_first[day : day + 2])
    room = min(_ROW_GROUP, end - begin) + last_extra - at
    whole, small = (np.empty((2, room), kind) for kind in (np.int64, np.int8))
    columns = _Columns(whole[0], whole[1], np.empty(room), small[0], small[1])
    place = folder / f"day={work.hours.name(day)}"
    place.mkdir()
    with _writer(place / PART) as writer:
        first = begin
        while True:
            last = min(first + _ROW_GROUP, end)
            number = first + at
            n, at = _fill(work, day, first, last, int(slots[0]), at, last_extra, columns)
            if last == end:
                n = put_extra(at, last_extra, n, work.planted.time_us, work.planted.real, work.planted.whole, *columns.all())
            writer.write_table(_table(columns, n, number), row_group_size=max(n, 1))
            if not count(n) or last == end:
                return
            first = last


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    time_us: I64
    customer: I64
    real: F64
    kind: I8
    region: I8

    def all(self) -> tuple[I64, I64, F64, I8, I8]:
        """In the form that the kernels take."""
        return self.time_us, self.customer, self.real, self.kind, self.region


def _fill(work: _Work, day: int, first: int, last: int, slot: int, at: int, last_extra: int, columns: _Columns) -> tuple[int, int]:
    hours, people, planted = work.hours, work.people, work.planted
    return make_rows(
        work.stream,
        first,
        last,
        slot,
        work.first_row,
        hours.start_us,
        hours.length_us,
        work.accept,
        work.other,
        people.people,
        people.region_first,
        people.accept,
        people.other,
        people.lives,
        people.all_accept,
        people.all_other,
        people.usual,
        planted.drift,
        day,
        at,
        last_extra,
        planted.time_us,
        planted.real,
        planted.whole,
        *columns.all(),
    )


_TEXT = pa.dictionary(pa.int8(), pa.string())
_STORED = pa.schema(
    [
        pa.field("cdr_id", pa.int64()),
        pa.field("customer_id", pa.int64()),
        pa.field("timestamp", pa.timestamp("us", "UTC")),
        pa.field("cdr_type", _TEXT),
        pa.field("data_volume_mb", pa.float64()),
        pa.field("wilaya_code", _TEXT),
    ]
)
_TYPE_WORDS, _REGION_WORDS = pa.array(TYPES, pa.string()), pa.array(region_names().to_list(), pa.string())


def _writer(path: Path) -> Any:
    """Of records: what counts up is stored as differences; text is plain text, as the schema with our dictionaries is not kept."""
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": ["cdr_type", "wilaya_code"],
        "column_encoding": {"cdr_id": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED"},
        "store_schema": False,
    }
    return pq.ParquetWriter(path, _STORED, **options)


def _table(columns: _Columns, n: int, first_id: int) -> Any:
    arrays: list[Any] = [
        pa.array(np.arange(first_id + 1, first_id + n + 1)),
        pa.array(columns.customer[:n] + FIRST_CUSTOMER),
        pa.array(columns.time_us[:n]).cast(_STORED.field("timestamp").type),
        pa.DictionaryArray.from_arrays(columns.kind[:n], _TYPE_WORDS),
        pa.array(columns.real[:n]),
        pa.DictionaryArray.from_arrays(columns.region[:n], _REGION_WORDS),
    ]
    return pa.table(arrays, schema=_STORED)
