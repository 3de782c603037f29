"""Which episodes a person asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offbeat.cli.reading import plan_of
from offbeat.core.batch import I64
from offbeat.core.plan import Plan
from offbeat.engines.episodes import episodes_of, ready, unmatched
from offbeat.errors import UserError
from offbeat.fold.episodes import Episodes
from offbeat.io.read.alert_files import read_alerts
from offbeat.spec.load import load_plan


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


def pipeline_of(names: Sequence[str], pipeline: str | None, overrides: Sequence[str], uri: str) -> Plan:
    """The pipeline that raised alerts of these pipelines. Raises UserError where it is not at hand, or is not the only one."""
    if len(names) > 1:
        raise UserError(f"{uri} has alerts of pipelines {', '.join(names)}; name one with --pipeline")
    plan = plan_of(pipeline, names[0])
    if plan is None:
        raise UserError(f"the alerts in {uri} are of pipeline {names[0]!r}, which is not shipped: name its file with --pipeline FILE.yaml")
    return load_plan(pipeline or names[0], overrides)


def read_episodes(uri: str, pipeline: str | None, overrides: Sequence[str], mutes: Path | None) -> tuple[Episodes, str, list[str]]:
    """The episodes of the alerts at `uri`, the zone of their pipeline, and what is odd about the mutes."""
    alerts = read_alerts(uri)
    names = alerts["pipeline"].cast(str).unique(maintain_order=True).to_list()
    if pipeline is not None:
        plan = load_plan(pipeline, overrides)
        if names and plan.name not in names:
            raise UserError(f"{uri} has no alerts of pipeline {plan.name!r}; it has those of {', '.join(names)}")
    elif not names:
        raise UserError(f"no alerts in {uri}")
    else:
        plan = pipeline_of(names, None, overrides, uri)
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
