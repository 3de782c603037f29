"""What a local clock and calendar say of rows: hour of the day, day of the week [S5]."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64

CLOCK = ("hour@", "weekday@")
"""Names of what `clock` gives, as inputs of programs."""


def _local(time_ns: I64, zone: str) -> pl.Series:
    return pl.Series(time_ns).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)


def clock(time_ns: I64, zone: str) -> F64:
    """(2, n) local hour, 0 to 23, and day of the week, 1 (Monday) to 7, of n times."""
    local = _local(time_ns, zone)
    return np.array([local.dt.hour().to_numpy(), local.dt.weekday().to_numpy()], np.float64).reshape(2, len(time_ns))


def seasons(time_ns: I64, zone: str, season_ns: int, every_ns: int) -> I64:
    """(n,) number of the window within its season by the local clock: of windows of an hour and a season of a day, the hour."""
    wall: I64 = _local(time_ns, zone).dt.replace_time_zone(None).to_physical().to_numpy()
    place: I64 = wall % season_ns // every_ns
    return place
