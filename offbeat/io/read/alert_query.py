"""Which alerts a list shows: the same question for files, topics and databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import polars as pl

from offbeat.io.read.alert_files import latest, mean_score, read_alerts
from offbeat.io.stores import is_store, store_class


@dataclass(frozen=True, slots=True)
class Filters:
    """Alerts of which all of this holds; an empty tuple asks nothing."""

    pipelines: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    """By default all but retracted."""
    since_ns: int | None = None
    """Earliest time, in nanoseconds since 1970, UTC."""
    until_ns: int | None = None
    """First time that is too late."""
    min_severity: float | None = None


class AlertList(Protocol):
    """Alerts somewhere, each once: that of its greatest revision."""

    def worst(self, filters: Filters) -> Iterator[pl.DataFrame]:
        """The alerts in the order of `by_rank`, in frames with the columns of the Contract."""

    def first_time(self, filters: Filters) -> int | None:
        """The earliest time of an alert; None where there is none."""

    def count(self, filters: Filters) -> int:
        """How many alerts."""

    def close(self) -> None:
        """Let go of what was opened."""


def open_alerts(uri: str | Path) -> AlertList:
    """The alerts of a file, a folder, a topic or a database. Raises UserError where there is nothing to read."""
    if is_store(str(uri)):
        found: AlertList = store_class("listed:StoreAlerts")(str(uri))
        return found
    return FrameAlerts(read_alerts(uri))


def by_rank(alerts: pl.DataFrame) -> pl.DataFrame:
    """The worst first: by severity, then votes, then score (the mean of the detectors that voted, S19), then the earlier, then the id."""
    order, falling = ["severity", "votes", "_score", "time", "alert_id"], [True, True, True, False, False]
    return alerts.with_columns(_score=mean_score()).sort(order, descending=falling, nulls_last=True).drop("_score")


class FrameAlerts:
    """An `AlertList` in memory."""

    def __init__(self, alerts: pl.DataFrame) -> None:
        """alerts: with the columns of the Contract, all revisions or the last ones."""
        self._alerts = by_rank(latest(alerts))

    def worst(self, filters: Filters) -> Iterator[pl.DataFrame]:
        yield self._alerts.filter(_condition(filters))

    def first_time(self, filters: Filters) -> int | None:
        return self._alerts.filter(_condition(filters)).select(pl.col("time").dt.epoch("ns").min()).item()  # type: ignore[no-any-return]

    def count(self, filters: Filters) -> int:
        return self._alerts.select(_condition(filters).sum()).item() or 0

    def close(self) -> None:
        pass


def _condition(filters: Filters) -> pl.Expr:
    status = pl.col("status").cast(pl.String)
    asked = [status.is_in(filters.statuses) if filters.statuses else status != "retracted"]
    texts = {"pipeline": filters.pipelines, "view": filters.views, "key": filters.keys, "level": filters.levels}
    asked += [pl.col(name).cast(pl.String).is_in(wanted) for name, wanted in texts.items() if wanted]
    at = pl.col("time").dt.epoch("ns")
    if filters.since_ns is not None:
        asked.append(at >= filters.since_ns)
    if filters.until_ns is not None:
        asked.append(at < filters.until_ns)
    if filters.min_severity is not None:
        asked.append(pl.col("severity") >= filters.min_severity)
    return pl.all_horizontal(asked)


def narrowed(filters: Filters, since_ns: int, until_ns: int) -> Filters:
    """The filters within a span of time."""
    begin = since_ns if filters.since_ns is None else max(since_ns, filters.since_ns)
    end = until_ns if filters.until_ns is None else min(until_ns, filters.until_ns)
    return replace(filters, since_ns=begin, until_ns=end)
