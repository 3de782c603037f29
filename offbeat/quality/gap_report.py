"""The report on gaps: counted cells of each key against the cells that its exchange's sessions have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from offbeat.core.batch import I32
from offbeat.core.days import DAY_NS, local_midnights
from offbeat.quality.sessions import Sessions

WORST = 10
"""Length of the lists in a report; the counts beside them cover everything."""

_INSTANT = pl.Datetime("ns", "UTC")
_GAP = pl.Struct({"from": _INSTANT, "to": _INSTANT, "bars": pl.Int64})

REPORT_COLUMNS: dict[str, pl.DataType] = {
    "key": pl.String(),
    "first_day": pl.Date(),
    "last_day": pl.Date(),
    "days_seen": pl.Int64(),
    "sessions_expected": pl.Int64(),
    "sessions_seen": pl.Int64(),
    "sessions_missing": pl.Int64(),
    "missing_sessions": pl.List(pl.Date()),
    "extra_days": pl.Int64(),
    "days_without_session": pl.List(pl.Date()),
    "bars_expected": pl.Int64(),
    "bars_seen": pl.Int64(),
    "bars_missing": pl.Int64(),
    "bars_outside": pl.Int64(),
    "incomplete_days": pl.Int64(),
    "worst_days": pl.List(pl.Struct({"day": pl.Date(), "bars": pl.Int64(), "expected": pl.Int64()})),
    "longest_gap": _GAP,
    "days_not_in_calendar": pl.Int64(),
    "note": pl.String(),
}
"""first_day, last_day: local days of the first and last row. sessions_*: sessions of the calendar from the first to the last day.
missing_sessions: the first ten without a row. extra_days, days_without_session: days with rows that are no session (a special Saturday,
an evening that the calendar does not know). bars_*: cells of the cadence inside sessions, from the key's first to its last row: what lies
before and after is not missing, as nobody knows when the key was to begin or end; bars_outside: cells with rows before the opening or
after the close of a day with a session. incomplete_days, worst_days: sessions that have only some of these bars, those with most missing
first. longest_gap: longest stretch [from, to) without a bar in a session that has rows, from its opening to its close, between the key's
first and last row. days_not_in_calendar: days with rows outside the dates which the calendar supports; they are in none of the other
figures but the first three, and `note` says so."""


def gap_report(records: pl.DataFrame, keys: Sequence[str], cadence_ns: int, zone: str, known: Sessions | None) -> pl.DataFrame:
    """The report of `REPORT_COLUMNS` from the records of `gaps.Gaps`; `known` is None where there is no calendar."""
    records = records.group_by("slot", "period", maintain_order=True).agg(
        pl.col("bars").cast(pl.Int64).sum(),
        pl.col("first").min(),
        pl.col("last").max(),
        pl.col("gap_from").get(pl.col("gap").arg_max()),
        pl.col("gap").max(),
    )
    outside = records.filter(pl.col("period") < 0).with_columns(day=-1 - pl.col("period"))
    report = _with_calendar(records, outside, cadence_ns, zone, known) if known else _without_calendar(outside, cadence_ns, zone)
    names = pl.DataFrame({"slot": np.arange(len(keys), dtype=np.int32), "key": pl.Series(list(keys), dtype=pl.String)})
    report = report.join(names, on="slot", how="left").sort("slot")
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in REPORT_COLUMNS.items() if name not in report.columns]
    return report.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in REPORT_COLUMNS.items())


def _without_calendar(days: pl.DataFrame, cadence_ns: int, zone: str) -> pl.DataFrame:
    """Days seen and the longest gap between two rows of one day; without a calendar it is not known when a day should begin or end."""
    numbers = days["day"].to_numpy()
    first, midnights = local_midnights(zone, int(numbers.min()) * DAY_NS, int(numbers.max()) * DAY_NS)
    days = days.with_columns(start=pl.Series(midnights[numbers - first]))
    gap = _longest(days.select("slot", "start", cell="gap_from", cells="gap", end=pl.lit(np.iinfo(np.int64).max)), cadence_ns)
    seen = days.group_by("slot").agg(
        first_day=pl.col("day").min(), last_day=pl.col("day").max(), days_seen=pl.col("day").n_unique(), bars_seen=pl.col("bars").sum()
    )
    return seen.join(gap, on="slot", how="left")


def _with_calendar(records: pl.DataFrame, outside: pl.DataFrame, cadence_ns: int, zone: str, known: Sessions) -> pl.DataFrame:
    pieces = pl.DataFrame(
        {
            "period": (known.open_ns // 60_000_000_000).astype(np.int32),
            "day": known.day,
            "start": known.open_ns,
            "end": known.close_ns,
            "expected": -((known.open_ns - known.close_ns) // cadence_ns),
        }
    )
    inside = records.filter(pl.col("period") >= 0).join(pieces, on="period", how="left")
    is_session = pl.col("day").is_in(known.day)
    is_known = pl.col("day").is_between(known.first_day, known.last_day)
    reach = _reach(inside, outside.filter(is_known), cadence_ns, zone)
    inside = _within(inside.join(reach, on="slot", how="left"), cadence_ns)
    judged = pl.concat([inside.select("slot", "day"), outside.filter(is_known).select("slot", "day")])
    everything = pl.concat([inside.select("slot", "day"), outside.select("slot", "day")])
    span = (
        everything.group_by("slot")
        .agg(first_day=pl.col("day").min(), last_day=pl.col("day").max(), days_seen=pl.col("day").n_unique())
        .join(judged.group_by("slot").agg(from_day=pl.col("day").min(), to_day=pl.col("day").max()), on="slot", how="left")
        .with_columns(from_day=pl.col("from_day").fill_null(0), to_day=pl.col("to_day").fill_null(-1))
    )
    span = _owed(span.join(reach, on="slot", how="left"), known.day, pieces, cadence_ns)
    seen = inside.group_by("slot").agg(sessions_seen=pl.col("day").n_unique(), bars_seen=pl.col("bars").sum())
    extra_days = outside.filter(is_known & ~is_session).group_by("slot")
    extra = extra_days.agg(_first_days("days_without_session"), extra_days=pl.col("day").n_unique())
    early_or_late = outside.filter(is_session).group_by("slot").agg(bars_outside=pl.col("bars").sum())
    unknown = outside.filter(~is_known).group_by("slot").agg(days_not_in_calendar=pl.col("day").n_unique())
    report = span
    for part in (seen, extra, early_or_late, unknown, _incomplete(inside, pieces, cadence_ns), _longest(_stretches(inside), cadence_ns)):
        report = report.join(part, on="slot", how="left")
    counts = ("sessions_seen", "bars_seen", "extra_days", "bars_outside", "days_not_in_calendar", "incomplete_days")
    report = report.with_columns(pl.col(name).fill_null(0) for name in counts).with_columns(
        sessions_missing=pl.col("sessions_expected") - pl.col("sessions_seen"),
        bars_missing=pl.col("bars_expected") - pl.col("bars_seen"),
    )
    low, high = (str(np.datetime64(0, "D") + day) for day in (known.first_day, known.last_day))
    note = pl.format(f"{{}} days lie outside the calendar {known.code} ({low} to {high}) and are not judged", "days_not_in_calendar")
    report = report.with_columns(note=pl.when(pl.col("days_not_in_calendar") > 0).then(note))
    return report.join(_missing_sessions(report, inside, known.day), on="slot", how="left").with_columns(
        pl.col(name).fill_null([]) for name in ("missing_sessions", "days_without_session", "worst_days")
    )


def _first_days(name: str) -> pl.Expr:
    return pl.col("day").unique().sort().head(WORST).cast(pl.Date).alias(name)


def _reach(inside: pl.DataFrame, outside: pl.DataFrame, cadence_ns: int, zone: str) -> pl.DataFrame:
    """By slot the times of the cells of its first and its last row."""
    days = outside["day"].to_numpy()
    if days.size:
        first, midnights = local_midnights(zone, int(days.min()) * DAY_NS, int(days.max()) * DAY_NS)
        outside = outside.with_columns(start=pl.Series(midnights[days - first]))
    else:
        outside = outside.with_columns(start=pl.lit(0, dtype=pl.Int64))
    rows = pl.concat([inside.select("slot", "start", "first", "last"), outside.select("slot", "start", "first", "last")])
    return rows.group_by("slot").agg(
        from_ns=(pl.col("start") + pl.col("first").cast(pl.Int64) * cadence_ns).min(),
        to_ns=(pl.col("start") + pl.col("last").cast(pl.Int64) * cadence_ns).max(),
    )


def _within(pieces: pl.DataFrame, cadence_ns: int) -> pl.DataFrame:
    """Which cells of each piece, [low, high), lie between the key's first and last row."""
    ahead, until = pl.col("from_ns") - pl.col("start"), pl.col("to_ns") - pl.col("start")
    return pieces.with_columns(
        low=(-(-ahead // cadence_ns)).clip(0, pl.col("expected")),
        high=(until // cadence_ns + 1).clip(0, pl.col("expected")),
    )


def _owed(span: pl.DataFrame, piece_day: I32, pieces: pl.DataFrame, cadence_ns: int) -> pl.DataFrame:
    """Sessions of the calendar in [from_day, to_day] of each key, and its cells between the key's first and last row."""
    opening = np.ones(piece_day.size, dtype=np.int64)
    opening[1:] = piece_day[1:] != piece_day[:-1]
    sessions_before = np.concatenate([[0], np.cumsum(opening)])
    low = np.searchsorted(piece_day, span["from_day"].to_numpy(), side="left")
    high = np.maximum(low, np.searchsorted(piece_day, span["to_day"].to_numpy(), side="right"))
    opens, cells = pieces["start"].to_numpy(), pieces["expected"].to_numpy()
    cells_before = np.concatenate([[0], np.cumsum(cells)])

    def before(times: np.ndarray) -> np.ndarray:
        """(n,) cells of the calendar that begin before each time."""
        piece = np.searchsorted(opens, times, side="right") - 1
        here = np.maximum(piece, 0)
        begun: np.ndarray = cells_before[here] + np.clip(-((opens[here] - times) // cadence_ns), 0, cells[here])
        return np.where(piece >= 0, begun, 0)

    nothing = span["from_ns"].is_null().to_numpy()
    first, last = (span[name].fill_null(0).to_numpy() for name in ("from_ns", "to_ns"))
    return span.with_columns(
        sessions_expected=pl.Series(sessions_before[high] - sessions_before[low]),
        bars_expected=pl.Series(np.where(nothing, 0, before(last + 1) - before(first))),
    )


def _incomplete(inside: pl.DataFrame, pieces: pl.DataFrame, cadence_ns: int) -> pl.DataFrame:
    seen = inside.group_by("slot", "day").agg(pl.col("bars").sum(), pl.col("from_ns").first(), pl.col("to_ns").first())
    owed = _within(seen.join(pieces, on="day", how="left"), cadence_ns)
    days = owed.group_by("slot", "day").agg(pl.col("bars").first(), expected=(pl.col("high") - pl.col("low")).sum())
    short = days.filter(pl.col("bars") < pl.col("expected")).sort(pl.col("bars") - pl.col("expected"), "day")
    worst = pl.struct(pl.col("day").cast(pl.Date), "bars", "expected").head(WORST)
    return short.group_by("slot", maintain_order=True).agg(incomplete_days=pl.len().cast(pl.Int64), worst_days=worst)


def _stretches(inside: pl.DataFrame) -> pl.DataFrame:
    """Runs of cells without a row: before a piece's first bar, the longest between two bars, and after the last."""
    common = [pl.col("slot"), pl.col("start"), pl.col("end")]
    return pl.concat(
        [
            inside.select(*common, cell=pl.col("low"), cells=pl.col("first").cast(pl.Int64) - pl.col("low")),
            inside.select(*common, cell=pl.col("gap_from").cast(pl.Int64), cells=pl.col("gap").cast(pl.Int64)),
            inside.select(*common, cell=pl.col("last").cast(pl.Int64) + 1, cells=pl.col("high") - 1 - pl.col("last")),
        ]
    )


def _longest(stretches: pl.DataFrame, cadence_ns: int) -> pl.DataFrame:
    begin = pl.col("start") + pl.col("cell").cast(pl.Int64) * cadence_ns
    until = pl.min_horizontal(begin + pl.col("cells").cast(pl.Int64) * cadence_ns, "end")
    gap = pl.struct(begin.cast(_INSTANT).alias("from"), until.cast(_INSTANT).alias("to"), pl.col("cells").cast(pl.Int64).alias("bars"))
    longest_first = stretches.filter(pl.col("cells") > 0).sort(-pl.col("cells").cast(pl.Int64), "start", "cell")
    return longest_first.group_by("slot", maintain_order=True).agg(longest_gap=gap.first())


def _missing_sessions(report: pl.DataFrame, inside: pl.DataFrame, piece_day: I32) -> pl.DataFrame:
    """The first sessions without a row; only keys that miss some are spread out over the calendar."""
    days = np.unique(piece_day)
    some = report.filter(pl.col("sessions_missing") > 0)
    low = np.searchsorted(days, some["from_day"].to_numpy(), side="left")
    high = np.searchsorted(days, some["to_day"].to_numpy(), side="right")
    owed = pl.DataFrame(
        {
            "slot": np.repeat(some["slot"].to_numpy(), high - low),
            "day": np.concatenate([days[a:b] for a, b in zip(low, high, strict=True)]) if some.height else days[:0],
        }
    )
    absent = owed.join(inside.select("slot", "day").unique(), on=["slot", "day"], how="anti")
    return absent.group_by("slot").agg(_first_days("missing_sessions"))
