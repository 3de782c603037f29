"""Gaps against a cadence and a trading calendar: which bars and sessions a key should have and does not.

Time is cut into *periods*: the pieces of the exchange's sessions (in cells of the cadence from the opening), and, for rows outside every
session or without a calendar, local days (cells from midnight). The state is one small record per key and period that has rows; records
of different shards never meet, because keys do not, so reports are simply put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.days import local_midnights
from offbeat.errors import UserError
from offbeat.quality.gap_report import REPORT_COLUMNS, gap_report
from offbeat.quality.sessions import Sessions, sessions

_MIN_CADENCE_NS = 1_000_000  # a day must fit into an int32 of cells
FIELDS = ("slot", "period", "bars", "first", "last", "gap_from", "gap")
"""Fields of a record, all int32. period: number of a session piece's opening minute since 1970, or ~(local day number) outside sessions.
bars: cells with a row. first, last: their first and last cell. gap: longest run of cells without a row between two with one; gap_from: its
first cell."""
_MINUTE_NS = 60_000_000_000
_NEVER = np.iinfo(np.int64).min


@compiled
def _fold(
    slots: I32,
    times: I64,
    start: int,
    cadence: int,
    opens: I64,
    closes: I64,
    midnights: I64,
    first_day: int,
    record: I32,
    low: I64,
    high: I64,
    next_cell: I64,
    records: I32,
    used: int,
) -> tuple[int, int]:
    """Fold rows from `start` on until done or out of records; returns (row to go on with, records used).

    Per slot: its open record, that record's range [low, high) and the instant at which the cell after its last one begins.
    """
    for i in range(start, slots.size):
        slot = slots[i]
        time = times[i]
        at = record[slot]
        if at < 0 or time < low[slot] or time >= high[slot]:
            if used == records.shape[0]:
                return i, used
            piece = np.searchsorted(opens, time, side="right") - 1
            if piece >= 0 and time < closes[piece]:
                low[slot] = opens[piece]
                high[slot] = closes[piece]
                period = opens[piece] // _MINUTE_NS
            else:
                day = np.searchsorted(midnights, time, side="right") - 1
                low[slot] = midnights[day]
                high[slot] = midnights[day + 1]
                if piece + 1 < opens.size and opens[piece + 1] < high[slot]:
                    high[slot] = opens[piece + 1]
                period = ~(first_day + day)
            cell = (time - low[slot]) // cadence
            at = used
            used += 1
            record[slot] = at
            records[at, 0] = slot
            records[at, 1] = period
            records[at, 2] = 1
            records[at, 3] = cell
            records[at, 4] = cell
            records[at, 5] = 0
            records[at, 6] = 0
            next_cell[slot] = low[slot] + (cell + 1) * cadence
        elif time >= next_cell[slot]:
            last = records[at, 4]
            skipped = 0
            if time >= next_cell[slot] + cadence:  # the division is only for real gaps
                skipped = (time - next_cell[slot]) // cadence
            if skipped > records[at, 6]:
                records[at, 5] = last + 1
                records[at, 6] = skipped
            records[at, 2] += 1
            records[at, 4] = last + 1 + skipped
            next_cell[slot] += (skipped + 1) * cadence
    return slots.size, used


class Gaps:
    """Counts, per key and session or local day, the cells of a cadence that have a row. Rows of a key come in order of time.

    Memory: 28 bytes a key and day with rows (a session and what lies outside it count apart), 28 bytes a key besides.

    `cadence_ns` is the expected distance of a key's rows in nanoseconds, at least a millisecond; `zone` the IANA zone of local days;
    `calendar` a code of exchange_calendars ("XBOM" has NSE's sessions), or "" for none: then only gaps between the rows of a day are known.
    Raises UserError if the cadence is shorter than a millisecond and, on first use, if there is no calendar of that name.
    """

    def __init__(self, cadence_ns: int, zone: str, calendar: str = "") -> None:
        if cadence_ns < _MIN_CADENCE_NS:
            raise UserError("quality.cadence: at least 1ms")
        self.cadence_ns = cadence_ns
        self.zone = zone
        self.calendar = calendar
        self._sessions: Sessions | None = None
        self._first_day = 0
        self._midnights: I64 = np.zeros(0, dtype=np.int64)
        self._records: I32 = np.zeros((64, len(FIELDS)), dtype=np.int32)
        self._used = 0
        self._record: I32 = np.zeros(0, dtype=np.int32)
        self._low: I64 = np.zeros(0, dtype=np.int64)
        self._high: I64 = np.zeros(0, dtype=np.int64)
        self._next_cell: I64 = np.zeros(0, dtype=np.int64)

    def add(self, slots: I32, time_ns: I64) -> None:
        """Count rows: (n,) key slots and (n,) event times, nanoseconds UTC, in order of time within each key."""
        if slots.size == 0:
            return
        known = self._known_sessions()
        opens = known.open_ns if known else np.zeros(0, dtype=np.int64)
        closes = known.close_ns if known else opens
        self._cover(int(time_ns.min()), int(time_ns.max()))
        self._grow_slots(int(slots.max()) + 1)
        row = 0
        while True:
            row, self._used = _fold(
                slots,
                time_ns,
                row,
                self.cadence_ns,
                opens,
                closes,
                self._midnights,
                self._first_day,
                self._record,
                self._low,
                self._high,
                self._next_cell,
                self._records,
                self._used,
            )
            if row == slots.size:
                return
            grown = np.zeros((2 * len(self._records), len(FIELDS)), dtype=np.int32)
            grown[: self._used] = self._records[: self._used]
            self._records = grown

    def report(self, keys: Sequence[str]) -> pl.DataFrame:
        """What is missing, one row a key with rows, in the order of the slots; `keys[slot]` is a slot's name.

        Columns (see `gap_report.REPORT_COLUMNS`): bars are cells of the cadence. Without a calendar all that needs one is null.
        """
        if self._used == 0:
            return pl.DataFrame(schema=REPORT_COLUMNS)
        table = pl.DataFrame({name: self._records[: self._used, i] for i, name in enumerate(FIELDS)})
        return gap_report(table, keys, self.cadence_ns, self.zone, self._known_sessions())

    def arrays(self, slots: I64) -> dict[str, npt.NDArray[np.int32] | npt.NDArray[np.int64]]:
        """The state of some slots as arrays: `records` (r by 7), and per slot `record`, `low`, `high`, `next_cell`. Copies."""
        self._grow_slots(int(slots.max(initial=-1)) + 1)
        places = np.full(self._record.size, -1, dtype=np.int32)
        places[slots] = np.arange(len(slots))
        records = self._records[: self._used].copy()
        records[:, 0] = places[records[:, 0]]
        kept = records[:, 0] >= 0
        moved = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # the last one for slots without a record
        return {
            "records": records[kept],
            "record": moved[self._record[slots]],
            "low": self._low[slots],
            "high": self._high[slots],
            "next_cell": self._next_cell[slots],
        }

    def forget(self, slots: I64) -> None:
        """Some slots are as before their first row."""
        others = np.setdiff1d(np.arange(self._record.size), slots)
        kept = self.arrays(others)
        self._used = len(kept["records"])
        self._records[: self._used] = kept["records"]
        self._records[: self._used, 0] = others[kept["records"][:, 0]]
        slots = slots[slots < self._record.size]
        self._record[others], self._record[slots] = kept["record"], -1
        for column in (self._low, self._high, self._next_cell):
            column[slots] = _NEVER

    def restore(self, arrays: Mapping[str, npt.NDArray[np.int32] | npt.NDArray[np.int64]]) -> None:
        """Take over the state that `arrays` gave, of an object with the same cadence, zone and calendar."""
        self._records = np.array(arrays["records"], dtype=np.int32).reshape(-1, len(FIELDS))
        self._used = len(self._records)
        if self._used == 0:
            self._records = np.zeros((64, len(FIELDS)), dtype=np.int32)
        self._record = np.array(arrays["record"], dtype=np.int32)
        self._low = np.array(arrays["low"], dtype=np.int64)
        self._high = np.array(arrays["high"], dtype=np.int64)
        self._next_cell = np.array(arrays["next_cell"], dtype=np.int64)

    def _known_sessions(self) -> Sessions | None:
        if self._sessions is None and self.calendar:
            self._sessions = sessions(self.calendar)
        return self._sessions

    def _cover(self, first_ns: int, last_ns: int) -> None:
        """Make the table of midnights cover the times; it only ever grows."""
        held = self._midnights
        if held.size and first_ns >= held[0] and last_ns < held[-1]:
            return
        if held.size:
            first_ns, last_ns = min(first_ns, int(held[0])), max(last_ns, int(held[-1]))
        self._first_day, self._midnights = local_midnights(self.zone, first_ns, last_ns)

    def _grow_slots(self, count: int) -> None:
        held = self._record.size
        if count <= held:
            return
        room = max(count, 2 * held)
        self._record = np.concatenate([self._record, np.full(room - held, -1, dtype=np.int32)])
        more = np.full(room - held, _NEVER, dtype=np.int64)
        self._low, self._high, self._next_cell = (np.concatenate([a, more]) for a in (self._low, self._high, self._next_cell))
