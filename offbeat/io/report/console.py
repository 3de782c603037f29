"""Alerts on a terminal. Whatever comes from the data is shown harmless: no escape sequence, no markup, no change of direction."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
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
_SIDES = DISTANCES | {"record"}
"""Types of which a contribution's sign is the side on which a value lies."""
_LONGEST = 60
_LONGEST_KEY = 40
"""Characters of a key that tables show: a UUID has 36."""
_LEAST_WHAT = 40
"""Characters in which what fired can be read without breaking after each word."""


def alert_records(alerts: pa.Table) -> list[dict[str, Any]]:
    """The alerts as dicts, exactly as their JSON lines read. For a handful of alerts, not for a million."""
    return [json.loads(line) for line in json_lines(alerts).splitlines()]


def safe(text: object, limit: int = _LONGEST) -> str:
    """`text` on one line without control, format or private characters (shown as escapes), at most `limit` characters."""
    shown = str(text)[: limit + 1]
    if not shown.isprintable():  # most texts are
        shown = "".join(c if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029" else ascii(c)[1:-1] for c in shown)
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


def alerts_table(alerts: Sequence[Record], *, title: str = "", zone: str = "UTC") -> RenderableType:
    """The alerts in the given order, with what one needs to choose which to explain.

    A table where the terminal is wide enough to read in it what fired; else two lines an alert or more, and nothing left out.
    """
    return _Alerts(alerts, title, zone)


class _Alerts:
    """Alerts for whatever width they are printed at."""

    def __init__(self, alerts: Sequence[Record], title: str, zone: str) -> None:
        self._title = title
        self._fired = [_fired_parts(alert) for alert in alerts]
        self._cells = [
            {
                "severity": _severity(alert),
                "level": _level(alert),
                "key": Text(safe(alert["key"], _LONGEST_KEY)),
                "time": Text(moment(alert["time"], zone)),
                "view": Text(safe(alert["view"], 24)),
                "what": Text(summary(alert)),
                "alert_id": Text(alert["alert_id"][:ID_DIGITS]),
            }
            for alert in alerts
        ]
        views = {cells["view"].plain for cells in self._cells}
        names = ("severity", "level", "key", "time", "view", "what", "alert_id")
        self._width = {
            name: max([len(name), *(cells[name].cell_len for cells in self._cells)]) for name in names if name != "view" or len(views) > 1
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - 1 - sum(self._width[name] + 3 for name in self._width if name != "what") - 3
        if room >= min(self._width["what"], _LEAST_WHAT):
            yield self._table()
        else:
            yield from self._lines(options.max_width)

    def _table(self) -> Table:
        table = Table(title=Text(self._title) if self._title else None, title_justify="left", header_style="bold", expand=False)
        for name in self._width:
            table.add_column(name, justify="right" if name == "severity" else "left", no_wrap=name != "what")
        for cells in self._cells:
            table.add_row(*(cells[name] for name in self._width))
        return table

    def _lines(self, width: int) -> Iterator[RenderableType]:
        """A line of fields in columns, and below it what fired; the key goes below, too, where the line has no room for it."""
        if self._title:
            yield Text(self._title, style="table.title")
        fields = ["severity", "level", "key", "time", "alert_id"]
        if sum(self._width[name] + 2 for name in fields) - 2 > width:
            fields.remove("key")
        yield self._line({name: Text(name, style="bold") for name in fields})
        below = [name for name in ("key", "view") if name in self._width and name not in fields]
        indent = self._width["severity"] + 2
        for cells, fired in zip(self._cells, self._fired, strict=True):
            yield self._line({name: cells[name] for name in fields})
            lead = "".join(f"{cells[name].plain}  " for name in below)
            yield Padding(Text(_packed(lead, fired, width - indent)), (0, 0, 0, indent), expand=False)

    def _line(self, cells: Mapping[str, Text]) -> Text:
        """Cells in columns, without blanks at the end."""
        line = Text("  ").join(_filled(text, self._width[name], right=name == "severity") for name, text in cells.items())
        line.rstrip()
        return line


def _packed(lead: str, parts: Sequence[str], width: int) -> str:
    """`lead` and the parts, set apart by commas; a line breaks between parts rather than within one."""
    lines = [lead]
    for place, part in enumerate(parts):
        comma = "," if place < len(parts) - 1 else ""
        blank = " " if place and lines[-1] else ""
        if lines[-1] and cell_len(lines[-1] + blank + part + comma) > width:
            lines.append(part + comma)
        else:
            lines[-1] += blank + part + comma
    return "\n".join(line.rstrip() for line in lines)


def _filled(text: Text, width: int, *, right: bool) -> Text:
    blank = Text(" " * (width - text.cell_len))
    return Text.assemble(blank, text) if right else Text.assemble(text, blank)


def live_line(alert: Record, *, zone: str = "UTC") -> Text:
    """One alert on one line, for alerts that are shown while rows arrive."""
    head = Text.assemble(Text(moment(alert["time"], zone)), "  ", _severity(alert), " ", _level(alert), "  ")
    return Text.assemble(head, Text(safe(alert["key"], _LONGEST_KEY), style="bold"), "  ", Text(summary(alert)))


def summary(alert: Record) -> str:
    """What fired, in a few words, for each detector that voted, the highest score first.

    `price_jump 0.015 > 0.005`; where it knows what is usual, its oddest feature: `zscore max_mb 35,071 (usual 0 to 231)`.
    """
    return ", ".join(_fired_parts(alert))


def _fired_parts(alert: Record) -> list[str]:
    return [f"{safe(d['name'], 32)}{_fired(d)}" for d in that_voted(alert)]


def by_verdict(alert: Record) -> list[tuple[Mapping[str, Any], str]]:
    """All detectors with what each said, those that voted first, then by score."""
    detectors = sorted(alert["detectors"] or (), key=lambda d: (not d["voted"], -(d["score"] or 0.0)))
    return [(d, "voted" if d["voted"] else "no verdict" if d["score"] is None else "did not vote") for d in detectors]


def that_voted(alert: Record) -> list[Mapping[str, Any]]:
    """The detectors that voted, the highest score first."""
    return [detector for detector, _ in by_verdict(alert) if detector["voted"]]


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
    return detector.get("model_version") is not None if kind is None else kind not in _SIDES


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
