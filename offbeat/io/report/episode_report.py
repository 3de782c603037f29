"""Episodes on a terminal: two lines each, which fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from offbeat.fold.episodes import Episodes
from offbeat.io.report.console import COLORS, ID_DIGITS, alert_records, moment, safe
from offbeat.io.write.episode_table import episode_table

_LONGEST_GROUP = 40
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def episodes_report(episodes: Episodes, most: int = 10, *, zone: str = "UTC") -> RenderableType:
    """The worst episodes that ask for attention, and how many there are, also of those that do not."""
    counts = episodes.counts()
    if not counts["episodes"]:
        return Text(f"No episodes.{_others(counts, episodes.alerts)}")
    worst = alert_records(episode_table(episodes, episodes.ranked(most)))
    total = counts["episodes"]
    shown = f"the {len(worst)} worst of {total:,} episodes" if total > len(worst) else f"{total:,} episode{'' if total == 1 else 's'}"
    title = f"{shown} ({episodes.alerts:,} alerts)"
    parts: list[RenderableType] = [episode_lines(worst, title=title, zone=zone)]
    if others := _others(counts, episodes.alerts):
        parts.append(Text(others.strip()))
    return Group(*parts)


def _others(counts: Mapping[str, int], alerts: int) -> str:
    said = []
    if counts["alerts_muted"]:
        said.append(f"{counts['alerts_muted']:,} of {alerts:,} alerts are muted, in {_count(counts['muted'], 'episode')}")
    if counts["inhibited"]:
        said.append(f"{_count(counts['inhibited'], 'episode')} inhibited by others")
    if counts["alerts_below"]:
        said.append(f"{_count(counts['alerts_below'], 'alert')} below what opens an episode")
    return f" Also: {'; '.join(said)}." if said else ""


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def episode_lines(episodes: Sequence[Mapping[str, Any]], *, title: str = "", zone: str = "UTC") -> RenderableType:
    """Episodes as records (see `episode_table`) in the given order: how bad, which group, when and how long; below it, what fired.

    A `state` in a record is said too, and `what` fired.
    """
    return _Lines(episodes, title, zone)


class _Lines:
    def __init__(self, episodes: Sequence[Mapping[str, Any]], title: str, zone: str) -> None:
        self._title = title
        self._rows = [
            {
                "severity": Text(f"{one['severity']:.2f}"),
                "level": Text(safe(one["level"], 12), style=COLORS.get(one["level"], "")),
                "group": Text(safe(one["group"], _LONGEST_GROUP), style="bold"),
                "start": Text(moment(_seconds(one["start"]), zone)),
                "lasts": Text(_lasts(one["start"], one["end"])),
                "alerts": Text(f"{one['alerts']:,}"),
                "episode_id": Text(one["episode_id"][:ID_DIGITS]),
            }
            for one in episodes
        ]
        self._told = [_told(one) for one in episodes]
        names = ("severity", "level", "group", "start", "lasts", "alerts", "episode_id")
        self._width = {name: max([len(name), *(row[name].cell_len for row in self._rows)]) for name in names}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield Text(self._title, style="table.title")
        fields = list(self._width)
        below = []
        for name in ("group", "alerts"):
            if sum(self._width[field] + 2 for field in fields) - 2 > options.max_width:
                fields.remove(name)
                below.append(name)
        yield self._line({name: Text(name, style="bold") for name in fields})
        indent = self._width["severity"] + 2
        for row, told in zip(self._rows, self._told, strict=True):
            yield self._line({name: row[name] for name in fields})
            lead = [row["group"].plain] if "group" in below else []
            lead += [f"{row['alerts'].plain} alerts"] if "alerts" in below else []
            yield Padding(Text("  ".join([*lead, told])), (0, 0, 0, indent), expand=False)

    def _line(self, cells: Mapping[str, Text]) -> Text:
        parts = []
        for name, text in cells.items():
            blank = Text(" " * (self._width[name] - text.cell_len))
            parts.append(Text.assemble(blank, text) if name in {"severity", "lasts", "alerts"} else Text.assemble(text, blank))
        line = Text("  ").join(parts)
        line.rstrip()
        return line


def _told(one: Mapping[str, Any]) -> str:
    """`price_jump 3, volume_surge 40`; which of the views, and whose keys, where there are several; why it asks for no attention."""
    several = len(one["views"]) > 1
    votes = sorted(one["detectors"], key=lambda entry: -entry["alerts"])
    said = [", ".join(f"{safe(v['view'], 24) + '.' if several else ''}{safe(v['name'], 32)} {v['alerts']:,}" for v in votes)]
    said.append(str(one.get("state", "")))
    said.append(str(one.get("what", "")))
    keys = one["keys"]
    if keys != [one["group"]]:
        said.append(f"{len(keys):,} keys" if len(keys) > 3 else "of " + ", ".join(safe(key, 24) for key in keys))
    said.append(f"worst alert {one['worst'][:ID_DIGITS]}")
    if one["status"] == "open":
        said.append("open" if "state" not in one else "goes on")
    if one["muted"] is not None:
        said.append(f"muted: {safe(one['muted'])}")
    if one["inhibited_by"] is not None:
        said.append(f"inhibited by {one['inhibited_by'][:ID_DIGITS]}")
    return "; ".join(part for part in said if part)


def _seconds(time: str) -> str:
    """The time without digits of the second, which nobody needs here."""
    return time.split(".", maxsplit=1)[0] + "+00:00"


def _lasts(start: str, end: str) -> str:
    """`55 min`, `2 h`: in the greatest unit of which there are two, or that fits exactly."""
    seconds = int((datetime.fromisoformat(_seconds(end)) - datetime.fromisoformat(_seconds(start))).total_seconds())
    for unit, name in _UNITS:
        if seconds >= 2 * unit or (seconds and seconds % unit == 0):
            return f"{round(seconds / unit):,} {name}"
    return f"{seconds} s"
