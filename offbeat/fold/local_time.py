"""By which clock a view counts time: local days have 24 hours each, also where the clock is changed [S5]."""

from __future__ import annotations

from offbeat.core.clock import LocalTime
from offbeat.core.days import DAY_NS
from offbeat.core.plan import RollupPlan, WindowPlan


def local_days(rollup: RollupPlan | None) -> LocalTime | None:
    """The clock of a view of whole local days; None for others, which take time as it goes by."""
    return LocalTime(rollup.zone, DAY_NS) if rollup is not None and rollup.size_ns % DAY_NS == 0 else None


def local_time(rollup: RollupPlan | None, window: WindowPlan) -> LocalTime | None:
    """The clock of a window of a view: besides days, windows at the same time of the day are counted by it."""
    if window.decayed:
        return None  # it measures no time
    if rollup is not None and window.season_ns and window.season_ns % DAY_NS == 0:
        return local_days(rollup) or LocalTime(rollup.zone)
    return local_days(rollup)
