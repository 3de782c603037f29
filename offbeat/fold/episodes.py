"""Alerts of one group, close in time → episodes.

What comes out is a function of the set of alerts alone, of each its latest record: it does not matter in which order, in which batches or
from which shards they came, nor whether the fold was stored and restored in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I16, I32, I64, Bools
from offbeat.core.episode_plan import EpisodePlan
from offbeat.decide.block import RETRACTED, AlertBlock
from offbeat.fold.episode_alerts import AlertFacts, FactReader, Texts, any_of, id_words
from offbeat.fold.episode_groups import Groups, groups_of
from offbeat.fold.inhibitions import inhibitions
from offbeat.fold.mutes import Mutes

_ENOUGH = 64
"""Parts that are joined to one."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """k episodes of m alerts, muted ones behind the others, each group in the order of time."""

    plan: EpisodePlan
    groups: Groups
    texts: Sequence[str]
    """What the codes of members stand for."""
    members: AlertFacts
    """(m,) their alerts, those of the first episode first, in the order of (time, alert_id)."""
    offsets: I64
    """(k + 1,) where the alerts of each begin among the members."""
    group: I32
    """(k,) indices into `groups`."""
    revision: I64
    severity: F64
    """The worst."""
    worst: I64
    """Which member that is; the earliest of equals."""
    closes_ns: I64
    """When it ends if nothing more comes: its quiet time after the last alert that kept it open."""
    open: Bools
    """Whether that time is not past, as far as the alerts tell."""
    mute: I16
    """The mute of its first alert; -1: it is not muted."""
    inhibited_by: I64
    """Which episode inhibits it; -1: none."""
    alerts: int
    """Alerts that stand."""
    muted: int
    """How many of them are muted,"""
    below: int
    """and how many are of no episode: less severe than what opens one."""

    def __len__(self) -> int:
        return len(self.group)

    @property
    def start_ns(self) -> I64:
        """(k,) time of the first alert."""
        return self.members.time_ns[self.offsets[:-1]]

    @property
    def end_ns(self) -> I64:
        """(k,) time of the last alert."""
        return self.members.time_ns[self.offsets[1:] - 1]

    @property
    def attended(self) -> Bools:
        """(k,) whether an episode asks for attention: it is neither muted nor inhibited."""
        return (self.mute < 0) & (self.inhibited_by < 0)

    def having(self, hit: Bools) -> Bools:
        """(k,) episodes with an alert of those marked (m,)."""
        return any_of(hit, self.offsets)

    def lost(self, left: AlertFacts) -> I64:
        """Those that ask for attention and have no alert among these, worst first."""
        known = {row.tobytes() for row in left.ids}
        there = np.array([row.tobytes() in known for row in self.members.ids], np.bool_)
        return self.ranked(len(self), self.attended & ~self.having(there))

    def counts(self) -> dict[str, int]:
        """The figures of a report."""
        attended = self.attended
        return {
            "episodes": int(attended.sum()),
            "open": int((attended & self.open).sum()),
            "inhibited": int(((self.mute < 0) & (self.inhibited_by >= 0)).sum()),
            "muted": int((self.mute >= 0).sum()),
            "alerts_muted": self.muted,
            "alerts_below": self.below,
        }

    def ranked(self, most: int, among: Bools | None = None) -> I64:
        """The worst episodes: by severity, then alerts, then the earlier. `among` (k,): which; default: those that ask for attention."""
        order = np.lexsort((self.group, self.start_ns, -np.diff(self.offsets), -self.severity))
        return order[(self.attended if among is None else among)[order]][:most]


class EpisodeFold:
    """Takes alerts as they are emitted, and tells the episodes of all so far."""

    def __init__(self, plan: EpisodePlan) -> None:
        self.plan = plan
        self.mutes = Mutes(plan.mutes)
        self._reader = FactReader(plan)
        self._parts: list[AlertFacts] = []

    def add(self, block: AlertBlock) -> None:
        """Alerts of a run."""
        if len(block):
            self._put(self._reader.of_block(block))

    def add_alerts(self, alerts: pl.DataFrame) -> None:
        """Alerts read back, of this pipeline. Raises UserError for a view that it has not."""
        if alerts.height:
            self._put(self._reader.of_frame(alerts))

    def _put(self, facts: AlertFacts) -> None:
        self._parts.append(facts)
        if len(self._parts) >= _ENOUGH and sum(map(len, self._parts[1:])) >= len(self._parts[0]):
            self._parts = [latest(AlertFacts.joined(self._parts))]

    def facts(self) -> AlertFacts:
        """The latest record of each alert so far."""
        self._parts = [latest(AlertFacts.joined(self._parts))] if self._parts else [AlertFacts.none()]
        return self._parts[0]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays with an entry for each alert, and a document for a checkpoint."""
        return self.facts().arrays(), {"texts": self._reader.texts.all(), "views": [view.name for view in self.plan.views]}

    def restore(self, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
        """Go on from a state, also of a pipeline with other views beside these: alerts of views that are gone are left out."""
        places = {view.name: place for place, view in enumerate(self.plan.views)}
        known = np.array([places.get(name, -1) for name in document["views"]], np.int16)
        facts = AlertFacts(**arrays)
        view = known[facts.view] if len(known) else facts.view
        facts = AlertFacts(**{**facts.arrays(), "view": view}).take(view >= 0)
        self._reader.texts = Texts(document["texts"])
        self._parts = [facts]

    def episodes(self) -> Episodes:
        """The episodes of all alerts so far."""
        return episodes_of(self.plan, self.mutes, self.facts(), self.texts)

    @property
    def texts(self) -> list[str]:
        """What the codes of facts stand for."""
        return self._reader.texts.all()


def episodes_of(plan: EpisodePlan, mutes: Mutes, facts: AlertFacts, texts: list[str]) -> Episodes:
    """The episodes of alerts, of each its latest record."""
    groups, group = groups_of(plan, facts, texts)
    mute = mutes.of(facts, texts, [view.name for view in plan.views])
    return _folded(plan, groups, facts, group, mute, texts)


def latest(facts: AlertFacts) -> AlertFacts:
    """Of the records of each alert that of the greatest (revision, status) [S22]."""
    high, low = id_words(facts.ids)
    # `np.unique` hashes, which takes ten times as long.
    if (np.diff(np.sort(high)) != 0).all():
        return facts
    order = np.lexsort((facts.status, facts.revision, low, high))
    high, low = high[order], low[order]
    last = np.append((high[1:] != high[:-1]) | (low[1:] != low[:-1]), True) if len(order) else np.zeros(0, np.bool_)
    return facts.take(np.sort(order[last]))


def _folded(plan: EpisodePlan, groups: Groups, facts: AlertFacts, group: I32, mute: I16, texts: list[str]) -> Episodes:
    """Muted alerts are of episodes of their own, so that they neither prolong nor join others."""
    high, low = id_words(facts.ids)
    layer = group.astype(np.int64) + len(groups) * (mute >= 0)
    order = _in_order(layer, facts.time_ns, high, low)
    facts, group, mute, layer = facts.take(order), group[order], mute[order], layer[order]
    stands = facts.status != RETRACTED
    quiet = groups.quiet_ns[group].astype(np.uint64)
    opens, holds = (np.array([getattr(view, name) for view in plan.views])[facts.view] for name in ("opens", "holds"))
    found = _spans(layer, facts.time_ns, quiet, stands, stands & (facts.severity >= holds), stands & (facts.severity >= opens))
    member, cluster, until = found
    places = np.flatnonzero(member)
    first = np.flatnonzero(np.diff(cluster[places], prepend=-1)) if len(places) else np.zeros(0, np.int64)
    offsets = np.append(first, len(places))
    members = facts.take(places)
    severity = np.maximum.reduceat(members.severity, first) if len(first) else np.zeros(0)
    worst = _first_worst(members.severity, severity, offsets)
    start = places[first]
    closes = until[cluster[start]] if len(first) else np.zeros(0, np.int64)
    newest = facts.time_ns.max() if len(facts) else 0
    out = Episodes(
        plan=plan,
        groups=groups,
        texts=texts,
        members=members,
        offsets=offsets,
        group=group[start],
        revision=_revisions(layer, facts, quiet)[start],
        severity=severity,
        worst=worst,
        closes_ns=closes,
        open=closes >= newest,
        mute=mute[start],
        inhibited_by=np.full(len(first), -1, np.int64),
        alerts=int(stands.sum()),
        muted=int((stands & (mute >= 0)).sum()),
        below=int((stands & ~member).sum()),
    )
    out.inhibited_by[:] = inhibitions(plan, out.members, offsets, out.start_ns, closes, out.mute, texts)
    return out


def _in_order(layer: I64, time_ns: I64, high: np.ndarray, low: np.ndarray) -> I64:
    """By layer, time and id; ids are compared only where alerts of a layer have one time, as that takes longest."""
    order: I64 = np.lexsort((time_ns, layer))
    if ((np.diff(layer[order]) == 0) & (np.diff(time_ns[order]) == 0)).any():
        order = np.lexsort((low, high, time_ns, layer))
    return order


def _since(time_ns: I64, before: I64) -> np.ndarray:
    """Times since earlier ones, exact however far apart they are."""
    return time_ns.view(np.uint64) - before.view(np.uint64)


def _spans(layer: I64, time_ns: I64, quiet: np.ndarray, stands: Bools, holding: Bools, opening: Bools) -> tuple[Bools, I64, I64]:
    """For alerts in order: whether each is of an episode, the cluster of holding alerts that it belongs to, and when each cluster ends.

    A cluster is of holding alerts that lie at most the quiet time apart. Its episode begins with the first of them that opens one, and an
    alert that does not hold is of it as long as the episode is open.
    """
    n = len(layer)
    held = np.flatnonzero(holding)
    if not len(held):
        return np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(0, np.int64)
    new = np.ones(len(held), np.bool_)
    new[1:] = (layer[held[1:]] != layer[held[:-1]]) | (_since(time_ns[held[1:]], time_ns[held[:-1]]) > quiet[held[1:]])
    number = np.cumsum(new) - 1
    opener = np.full(int(number[-1]) + 1, n)
    opens = opening[held]
    np.minimum.at(opener, number[opens], held[opens])
    at = np.full(n, -1, np.int64)
    at[held] = np.arange(len(held))
    at = np.maximum.accumulate(at)
    last = held[at]  # -1 where there is none before it: another group's, or none
    near = (at >= 0) & (layer[last] == layer)
    near &= np.where(near, _since(time_ns, time_ns[last]), 0) <= quiet
    cluster = number[at]
    member = near & stands & (opener[cluster] <= np.arange(n))
    end = held[np.append(np.flatnonzero(new)[1:], len(held)) - 1]
    return member, cluster, time_ns[end] + np.minimum(quiet[end].astype(np.int64), np.iinfo(np.int64).max - np.maximum(time_ns[end], 0))


def _revisions(layer: I64, facts: AlertFacts, quiet: np.ndarray) -> I64:
    """For alerts in order: the sum of revisions of all alerts of the group around it that lie at most the quiet time apart.

    However severe they are, and retracted ones too: with each record that comes it only grows.
    """
    if not len(layer):
        return np.zeros(0, np.int64)
    new = np.ones(len(layer), np.bool_)
    new[1:] = (layer[1:] != layer[:-1]) | (_since(facts.time_ns[1:], facts.time_ns[:-1]) > quiet[1:])
    sums: I64 = np.add.reduceat(facts.revision, np.flatnonzero(new))[np.cumsum(new) - 1]
    return sums


def _first_worst(severity: F64, worst: F64, offsets: I64) -> I64:
    """(k,) the first member of each episode that is as severe as its worst."""
    is_worst: I64 = np.flatnonzero(severity == np.repeat(worst, np.diff(offsets)))
    first: I64 = is_worst[np.searchsorted(is_worst, offsets[:-1])] if len(worst) else is_worst
    return first
