"""How the alerts of a pipeline become episodes; complete by itself, so that a run and a list of alerts give the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GroupFile:
    """A file that has a group for each key."""

    source: str
    key: str
    value: str
    """Names of its columns."""


@dataclass(frozen=True, slots=True)
class MutePlan:
    """What is known already: alerts of these keys, for a time, with a reason."""

    key: str
    """A pattern: `*` for any text, `?` for one character."""
    view: str
    """'' for every view."""
    reason: str
    from_ns: int | None
    until_ns: int | None
    """Alerts at or after it are not muted; None: for good."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Episodes with an alert of one of these views, and a key that fits one of these patterns; empty: any."""

    views: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InhibitPlan:
    """While an episode of `by` is open, those of `mutes` are inhibited."""

    by: Selection
    mutes: Selection


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """What a view's alerts bring to their episodes."""

    name: str
    space: str
    """What its keys are keys of: views of one space share groups, so that region 12 and customer 12 do not."""
    quiet_ns: int
    opens: float
    """Least severity that opens an episode,"""
    holds: float
    """and the least one that keeps it open."""
    detectors: tuple[str, ...]
    grouped: bool = False
    """The view's keys are names of groups themselves."""


@dataclass(frozen=True, slots=True)
class EpisodePlan:
    """Groups, hysteresis, and what is muted."""

    pipeline: str
    views: tuple[EpisodeView, ...]
    group: Literal["key", "all", "column", "mapping"] = "key"
    column: str = ""
    """column: the column of the alert's row that names the group."""
    mapping: tuple[tuple[str, str], ...] = ()
    """mapping: key → group; other keys are groups of their own."""
    mapping_file: GroupFile | None = None
    """mapping: the file that it is read from, before anything is folded."""
    mutes: tuple[MutePlan, ...] = ()
    mutes_file: str = ""
    """More of them."""
    inhibit: tuple[InhibitPlan, ...] = ()
