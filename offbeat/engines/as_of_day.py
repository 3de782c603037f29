"""The day as of which a batch is judged where none is given: the one after its last full day [R18]."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from offbeat.core.plan import AsOfPlan, Plan
from offbeat.fold.as_of import local_days
from offbeat.io.contract import Source

_LEAST = 0.01
"""A day of less than this share of the rows of the median day is a few stray rows."""


def dated(plan: Plan, source: Source) -> Plan:
    """The plan with its day known, and a note that says which; `source` must not be live. As it is where the source cannot tell its times
    ahead: then the last row decides.
    """
    reader: Any = source
    if plan.as_of is None or plan.as_of.day is not None or not hasattr(reader, "times"):
        return plan
    after = plan.quality.not_after_ns
    rows = Counter[int]()
    for times in reader.times():
        fit = times[(times >= plan.quality.not_before_ns) & ((times <= after) if after is not None else True)]
        days, counts = np.unique(local_days(plan, fit), return_counts=True)
        rows.update(dict(zip(days.tolist(), counts.tolist(), strict=True)))
    if not rows:
        return plan
    last = last_full_day(rows)
    said = f"as of {_date(last + 1)}: {_date(last)}, with {rows[last]:,} rows, is the last day"
    later = sum(n for day, n in rows.items() if day > last)
    if later:
        said += f" with at least 1 % of a median day's rows; {later:,} rows of later days are not scored; --set as_of.date=… takes another"
    return replace(plan, as_of=AsOfPlan(last + 1), notes=(*plan.notes, said))


def last_full_day(rows: Counter[int]) -> int:
    """The last of the days that has at least 1 % of the rows of the median day; of an even number of days the lower one in the middle."""
    counts = sorted(rows.values())
    median = counts[(len(counts) - 1) // 2]
    return max(day for day, n in rows.items() if n >= _LEAST * median)


def _date(day: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=day))
