"""Which episodes a person asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offbeat.core.batch import I64
from offbeat.engines.episodes import episodes_of, ready, unmatched
from offbeat.errors import UserError
from offbeat.fold.episodes import Episodes
from offbeat.io.address import shown
from offbeat.io.read.alert_files import read_alerts
from offbeat.spec.load import load_plan, plan_of_alerts


@dataclass(frozen=True, slots=True)
class Wanted:
    """A choice of episodes."""

    limit: int
    keys: tuple[str, ...] = ()
    muted: bool = False
    inhibited: bool = False

    @property
    def others(self) -> bool:
        """Whether those are wanted that ask for no attention."""
        return self.muted or self.inhibited


def read_episodes(uri: str, pipeline: str | None, overrides: Sequence[str], mutes: Path | None) -> tuple[Episodes, str, list[str]]:
    """The episodes of the alerts at `uri`, the zone of their pipeline, and what is odd about the mutes."""
    alerts = read_alerts(uri)
    names = alerts["pipeline"].cast(str).unique(maintain_order=True).to_list()
    place = shown(uri)
    # An output without alerts has no episodes.
    plan = load_plan(pipeline, overrides) if pipeline is not None and not names else plan_of_alerts(names, place, pipeline, overrides)
    alerts = alerts.filter(alerts["pipeline"].cast(str) == plan.name)
    known = ready(plan.episodes, mutes)
    keys = alerts["key"].cast(str).unique(maintain_order=True).to_list()
    return episodes_of(known, alerts), plan.zone, [f"of the alerts: {note}" for note in unmatched(known, keys)]


def chosen(episodes: Episodes, wanted: Wanted) -> I64:
    """The worst of the wanted ones. Raises UserError where a key has none."""
    good = np.zeros(len(episodes), np.bool_)
    if wanted.muted:
        good |= episodes.mute >= 0
    if wanted.inhibited:
        good |= (episodes.mute < 0) & (episodes.inhibited_by >= 0)
    if not wanted.others:
        good = episodes.attended
    if wanted.keys:
        codes = [episodes.texts.index(key) for key in wanted.keys if key in episodes.texts]
        good = good & episodes.having(np.isin(episodes.members.key, codes))
        if not good.any():
            raise UserError(f"no such episode has an alert of {', '.join(map(repr, wanted.keys))}")
    order = episodes.ranked(len(episodes), good)
    return order[: wanted.limit]
