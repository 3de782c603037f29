"""Alerts on a terminal. Whatever comes from the data is shown harmless: no escape sequence, no markup, no change of direction."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from rich.table import Table
from rich.text import Text

from offbeat.io.write.jsonl_sink import json_lines

Record = Mapping[str, Any]
"""One alert as a line of JSONL has it; times as text in RFC 3339, or as datetime."""
COLORS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green"}
ID_DIGITS = 12
"""Digits of an alert_id that are shown where space is short; `read_alerts.find_alert` takes any beginning."""
DISTANCES = frozenset({"zscore", "band", "quantile"})
"""Types of detectors that hold values against a range: r, how far a value lies from its center in units of what is allowed, is their raw
score, and a contribution below 0 lies below the center."""
_LONGEST = 60


def alert_records(alerts: pa.Table) -> list[dict[str, Any]]:
    """The alerts as dicts, exactly as their JSON lines read. For a handful of alerts, not for a million."""
    return [json.loads(line) for line in json_lines(alerts).splitlines()]


def safe(text: object, limit: int = _LONGEST) -> str:
    """`text` on one line without control, format or private characters (shown as escapes), at most `limit` characters."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029" else ascii(c)[1:-1] for c in str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def number(value: object, digits: int = 6) -> str:
    """A number for people, to so many significant digits, thousands set apart; `-` where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return safe(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.{0 if digits < 6 else 2}f}" if abs(value) < 1e15 else f"{value:.{digits}g}"
    return f"{value:,.{digits}g}"


def moment(time: object, zone: str = "UTC") -> str:
    """A time for people in `zone`, with as many digits of the second as it has: `2024-03-05 09:31:00 UTC`."""
    if time is None:
        return "-"
    text = time.isoformat() if isinstance(time, datetime) else str(time)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return safe(text)
    # datetime keeps microseconds: the digits after the point are taken from the text itself
    fraction = text.split(".", 1)[1] if "." in text else ""
    digits = fraction[: next((i for i, c in enumerate(fraction) if not c.isdigit()), len(fraction))].rstrip("0")
    local = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S}{'.' + digits if digits else ''} {local:%Z}"


def alerts_table(alerts: Sequence[Record], *, title: str = "", zone: str = "UTC") -> Table:
    """One line an alert, in the given order: what a person needs to choose which one to have explained."""
    table = Table(title=title or None, title_justify="left", header_style="bold", expand=False)
    views = len({alert["view"] for alert in alerts}) > 1
    for name in ("severity", "level", "key", "time"):
        table.add_column(name, justify="right" if name == "severity" else "left", no_wrap=True)
    if views:
        table.add_column("view")
    table.add_column("what")
    table.add_column("alert_id", no_wrap=True)
    for alert in alerts:
        cells = [_severity(alert), _level(alert), Text(safe(alert["key"], 24)), Text(moment(alert["time"], zone))]
        table.add_row(
            *cells, *([Text(safe(alert["view"], 24))] if views else []), Text(summary(alert)), Text(alert["alert_id"][:ID_DIGITS])
        )
    return table


def live_line(alert: Record, *, zone: str = "UTC") -> Text:
    """One alert on one line, for alerts that are shown while rows arrive."""
    head = Text.assemble(Text(moment(alert["time"], zone)), "  ", _severity(alert), " ", _level(alert), "  ")
    return Text.assemble(head, Text(safe(alert["key"], 24), style="bold"), "  ", Text(summary(alert)))


def summary(alert: Record) -> str:
    """What fired, in a few words, for each detector that voted, the highest score first.

    `price_jump 0.015 > 0.005`; where it knows what is usual, its oddest feature: `zscore max_mb 35,071 (usual 0 to 231)`.
    """
    voted = sorted((d for d in alert["detectors"] or () if d["voted"]), key=lambda d: -(d["score"] or 0.0))
    return ", ".join(f"{safe(d['name'], 32)}{_fired(d)}" for d in voted)


def out_of_range(detector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a detector found outside its usual range, the farthest out first, in widths of the range."""
    return sorted(detector.get("out_of_range") or (), key=_nearness)


def compared(detector: Mapping[str, Any]) -> Any:
    """What a detector compared with its threshold; None where it tells no number."""
    raw = detector.get("raw")
    return detector["observed"] if raw is None else raw


def parts_are_signed(detector: Mapping[str, Any]) -> bool:
    """Whether a contribution below 0 makes the row look usual, and is no side of a range; only of models where the type is not told."""
    kind = detector.get("type")
    return detector.get("model_version") is not None if kind is None else kind not in DISTANCES


def _nearness(feature: Mapping[str, Any]) -> float:
    """Less for what lies further out. An infinite number is null in the record: such a feature comes last."""
    observed, expected = feature["observed"], feature["expected"]
    if observed is None or expected is None:
        return math.inf
    end = feature["high"] if observed > expected else feature["low"]
    if end is None:
        return math.inf
    return -abs(observed - expected) / abs(end - expected) if end != expected else -math.inf


def _fired(detector: Mapping[str, Any]) -> str:
    outside = out_of_range(detector)
    if outside:
        usual = f"usual {number(outside[0]['low'], 3)} to {number(outside[0]['high'], 3)}"
        return f" {safe(outside[0]['feature'], 32)} {number(outside[0]['observed'], 3)} ({usual})"
    return _side(compared(detector), detector["threshold"])


def _side(observed: float | None, threshold: float | None) -> str:
    if observed is None:
        return ""
    if threshold is None:
        return f" {number(observed, 3)}"
    sign = ">" if observed > threshold else "<" if observed < threshold else "="
    return f" {number(observed, 3)} {sign} {number(threshold, 3)}"


def _severity(alert: Record) -> Text:
    severity = alert["severity"]
    return Text("-" if severity is None else f"{severity:.2f}")


def _level(alert: Record) -> Text:
    return Text(safe(alert["level"], 12), style=COLORS.get(alert["level"], ""))
