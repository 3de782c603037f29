"""What a person has chosen to see; it stands in the URL, so that a link shows the same to somebody else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from offbeat.dashboard.alert_buffer import Row
from offbeat.dashboard.incidents import Incident

VIEWS = ("incidents", "overview", "log")
ORDERS = ("worst", "newest")
_OURS = frozenset({"level", "key", "what", "by", "is", "sort", "state"})
_LONGEST = 200
_MOST_VALUES = 12
"""A field of a row can be split by if it has at most so many values."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters: an empty one asks nothing."""

    levels: tuple[str, ...] = ()
    key: str = ""
    """A part of the key, in any case."""
    detectors: tuple[str, ...] = ()
    by: str = ""
    """What the counts are split by: a field of the rows."""
    values: tuple[str, ...] = ()
    """Values of that field."""
    order: str = "worst"
    everything: bool = False
    """Also what nobody has to do anything about: muted, snoozed and closed incidents."""

    def takes(self, incident: Incident) -> bool:
        """Whether an incident is shown."""
        worst = incident.worst
        return (
            (self.everything or incident.waits(time.time_ns()))
            and (not self.levels or worst.level in self.levels)
            and (not self.key or self.key.casefold() in incident.key.casefold())
            and (not self.detectors or not incident.detectors.isdisjoint(self.detectors))
            and (not self.values or value_of(worst, self.by) in self.values)
        )

    def words(self) -> str:
        """The filters in a few words; '' for none."""
        parts = [", ".join(self.levels), f"key has “{self.key}”" if self.key else "", ", ".join(self.detectors)]
        parts.append(f"{self.by}: {', '.join(self.values)}" if self.values else "")
        return "; ".join(part for part in parts if part)


def value_of(row: Row, by: str) -> str:
    """A row's value of what counts are split by."""
    if by == "view":
        return f"{row.pipeline} {row.view}"
    return row.key if by == "key" else row.facets.get(by, "")


def splits(rows: Sequence[Row]) -> list[str]:
    """What counts can be split by: fields of the rows with few values, such as `side`, the views, and the keys."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.facets.items():
            values.setdefault(name, set()).add(value)
    useful = sorted((name for name, found in values.items() if 1 < len(found) <= _MOST_VALUES), key=lambda name: (name != "side", name))
    return [*useful, *(["view"] if len({(row.pipeline, row.view) for row in rows}) > 1 else []), "key"]


def chosen() -> Choice:
    """The choice of this session; it begins as the URL tells."""
    choice: Choice = st.session_state.setdefault("choice", _told())
    return choice


def keep_in_url() -> None:
    """Put the choice into the URL, if it is not there."""
    if _told() != chosen():
        remember(chosen())


def _told() -> Choice:
    """What the URL tells; what it cannot mean is left out."""
    told = st.query_params
    order = told.get("sort", "worst")
    return Choice(
        levels=tuple(_short(told.get_all("level"))),
        key=told.get("key", "")[:_LONGEST],
        detectors=tuple(_short(told.get_all("what"))),
        by=told.get("by", "")[:_LONGEST],
        values=tuple(_short(told.get_all("is"))),
        order=order if order in ORDERS else "worst",
        everything=told.get("state") == "all",
    )


def remember(choice: Choice) -> None:
    """Make it the choice of this session, and put it into the URL."""
    st.session_state["choice"] = choice
    st.query_params.from_dict(
        {name: value for name, value in st.query_params.to_dict().items() if name not in _OURS}
        | {
            name: value
            for name, value in (
                ("level", list(choice.levels)),
                ("key", choice.key),
                ("what", list(choice.detectors)),
                ("by", choice.by),
                ("is", list(choice.values)),
                ("sort", choice.order if choice.order != "worst" else ""),
                ("state", "all" if choice.everything else ""),
            )
            if value
        }
    )


def _short(values: Sequence[str]) -> list[str]:
    return [value[:_LONGEST] for value in values[:50]]
