"""The report of a run: where every row went, the worst alerts, gaps, and remarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offbeat.fold.episodes import Episodes
from offbeat.io.read.alert_query import by_rank
from offbeat.io.report.block_table import BlockTable
from offbeat.io.report.console import Record, alerts_table, number, safe
from offbeat.io.report.episode_report import episodes_report

_PARTS = (
    ("scored", "scored by at least one detector"),
    ("warming_up", "too little history, or a missing value"),
    ("late", "older than the lateness allows"),
    ("duplicate", "seen before"),
    ("filtered", "not a row of this pipeline: `source.where` is false"),
    ("pending", "waiting for later rows"),
)


def ledger_table(ledger: Mapping[str, Any]) -> Table:
    """Rows by outcome, from the object that `--json` prints; the parts add up to the rows read."""
    table = Table(header_style="bold", show_footer=True)
    rows_in = int(ledger["rows_in"])
    table.add_column("rows", footer="read", no_wrap=True)
    table.add_column("", justify="right", footer=f"{rows_in:,}")
    table.add_column("share", justify="right", footer="100 %" if rows_in else "")
    table.add_column("meaning", footer="")
    for name, meaning in _PARTS:
        n = int(ledger.get(name, 0))
        if n or name == "scored":
            table.add_row(Text(name.replace("_", " ")), f"{n:,}", _share(n, rows_in), Text(meaning))
    for reason, n in sorted(ledger["quarantined"].items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text("quarantined", style="yellow"), f"{n:,}", _share(n, rows_in), Text(f"reason: {safe(reason)}"))
    return table


def worst_table(alerts: Sequence[Record], total: int, *, zone: str = "UTC") -> RenderableType:
    """The worst alerts in the order of `ranked`, and how many there are in all."""
    if not alerts:
        return Text("No alerts.")
    shown = f"the {len(alerts)} worst of {total:,} alerts" if total > len(alerts) else f"{total:,} alert{'' if total == 1 else 's'}"
    return alerts_table(alerts, title=shown, zone=zone)


def ranked(alerts: pl.DataFrame, most: int = 10) -> pl.DataFrame:
    """The worst alerts of a frame (see `read_alerts`), in the order of `by_rank`; retracted ones are left out."""
    return by_rank(alerts.filter(pl.col("status") != "retracted")).head(most)


def gaps_table(gaps: pl.DataFrame, most: int = 10, *, zone: str = "UTC") -> RenderableType:
    """The keys with most bars missing, from the report of `quality.gaps`; its days are days in `zone`."""
    lacking = gaps.filter((pl.col("bars_missing").fill_null(0) > 0) | (pl.col("sessions_missing").fill_null(0) > 0))
    if lacking.is_empty():
        return Text(f"No gaps in {gaps.height:,} key{'' if gaps.height == 1 else 's'}.")
    groups = [("first_day", "last_day"), ("sessions_seen", "sessions_missing"), ("bars_seen", "bars_missing")]
    worst = lacking.sort("bars_missing", "key", descending=[True, False], nulls_last=True).head(most)
    rows = worst.select("key", *chain.from_iterable(groups)).iter_rows()
    return BlockTable(
        names=["key"],
        groups=[[name.replace("_", " ") for name in group] for group in groups],
        rows=[[number(value) for value in row] for row in rows],
        title=f"gaps: {lacking.height:,} of {gaps.height:,} keys, days in {zone}",
    )


def quarantine_tables(counts: pl.DataFrame, rows: pl.DataFrame) -> RenderableType:
    """Quarantined rows by reason and the first of them, from `quarantine.counts` and `quarantine.listed`."""
    if counts.is_empty():
        return Text("No quarantined rows.")
    reasons = Table(header_style="bold")
    for name in ("reason", "rows", "files"):
        reasons.add_column(name, justify="left" if name == "reason" else "right", no_wrap=name != "reason", overflow="fold")
    for reason, n, files in counts.select("reason", "rows", "files").iter_rows():
        reasons.add_row(Text(safe(reason)), f"{n:,}", f"{files:,}")
    first = Table(header_style="bold")
    for name in ("reason", "file", "row", "original text"):
        first.add_column(name, justify="right" if name == "row" else "left", no_wrap=name == "row", overflow="fold")
    for reason, file, row, raw, detail in rows.select("reason", "file", "row", "raw", "detail").iter_rows():
        text = f"{safe(detail, 120)}\n{safe(raw, 120)}" if detail else safe(raw, 120)
        first.add_row(Text(safe(reason)), Text(safe(file or "-", 80)), f"{row:,}", Text(text))
    return Group(reasons, first)


def notes(texts: Sequence[str]) -> RenderableType:
    """Remarks of the run, one line each; nothing for none."""
    return Text("\n".join(f"• {safe(text, 300)}" for text in texts))


def run_report(
    ledger: Mapping[str, Any],
    worst: Sequence[Record],
    *,
    remarks: Sequence[str] = (),
    gaps: pl.DataFrame | None = None,
    zone: str = "UTC",
    look: Callable[[], Episodes] | None = None,
) -> RenderableType:
    """The whole report. `ledger` is the object that `--json` prints, `worst` the alerts to show, worst first.

    look: puts the alerts into episodes, of which the worst are shown where there are too many alerts to show.
    """
    alerts = int(ledger.get("alerts", len(worst)))
    parts: list[RenderableType] = [ledger_table(ledger)]
    episodes = None if look is None else look()
    if episodes is not None and (alerts > len(worst) or episodes.muted):
        parts.append(episodes_report(episodes, zone=zone))
    else:
        parts.append(worst_table(worst, alerts, zone=zone))
    if gaps is not None and not gaps.is_empty():
        parts.append(gaps_table(gaps, zone=zone))
    if said := [*remarks, *_left_out(ledger)]:
        parts.append(notes(said))
    return Group(*parts)


def _left_out(ledger: Mapping[str, Any]) -> list[str]:
    """Remarks for each view on values that could not be scored, as their baseline has no spread, and on alerts in a cooldown."""
    words = []
    for view, counts in ledger["views"].items():
        values = ", ".join(f"{name} ({n:,})" for name, n in counts["no_spread"].items())
        if values:
            words.append(f"{view}: values not scored (how often), as the values before them had no spread: {values}")
        if quiet := counts.get("in_cooldown", 0):
            words.append(f"{view}: {quiet:,} more would be alerts, but came in the `cooldown` of one at least as strong")
    return words


def _share(n: int, of: int) -> str:
    if not of:
        return ""
    share = 100 * n / of
    if n < of and share > 99.9:
        return "> 99.9 %"
    return f"{share:.1f} %" if share >= 0.1 or not n else "< 0.1 %"
