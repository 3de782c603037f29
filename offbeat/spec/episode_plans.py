"""The `episodes` section → its plan: names are looked up in the views, levels become severities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from offbeat.core.episode_plan import EpisodePlan, EpisodeView, GroupFile, InhibitPlan, MutePlan, Selection
from offbeat.core.plan import RollupPlan, ViewPlan
from offbeat.spec.duration import duration_ns, instant_ns
from offbeat.spec.episode_models import EpisodeGroupSpec, EpisodesSpec, MuteSpec, SelectionSpec
from offbeat.spec.models import LOWEST_LEVEL, PipelineSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems

_QUIET_NS = 30 * 60 * 10**9
_WINDOWS = 2
"""Windows that lie one apart are still close: one quiet window ends nothing."""
_AT = ("episodes",)


def compile_episodes(spec: PipelineSpec, views: Sequence[ViewPlan], problems: Problems) -> EpisodePlan:
    """The plan of a pipeline's episodes, of defaults where it says nothing of them; `views` are those that could be compiled."""
    own = spec.episodes or EpisodesSpec()
    plan = EpisodePlan(spec.name, tuple(_view(own, view, problems) for view in views))
    names = [view.name for view in views]
    if isinstance(own.quiet, dict):
        for name in own.quiet:
            _known((*_AT, "quiet", name), name, names, problems)
    for place, mute in enumerate(own.mutes):
        if mute.view is not None:
            _known((*_AT, "mutes", str(place), "view"), mute.view, names, problems)
    for place, rule in enumerate(own.inhibit):
        for side, selection in (("by", rule.by), ("mutes", rule.mutes)):
            for name in selection.view:
                _known((*_AT, "inhibit", str(place), side, "view"), name, names, problems)
    plan = _grouped(plan, own.group, spec, views, problems)
    return replace(
        plan,
        mutes=tuple(map(mute_plan, own.mutes)),
        mutes_file=own.mutes_file or "",
        inhibit=tuple(InhibitPlan(_selection(rule.by), _selection(rule.mutes)) for rule in own.inhibit),
    )


def mute_plan(mute: MuteSpec) -> MutePlan:
    """A mute with its times in nanoseconds."""
    bounds = (None if text is None else instant_ns(text) for text in (mute.since, mute.until))
    return MutePlan(mute.key, mute.view or "", mute.reason, *bounds)


def _selection(spec: SelectionSpec) -> Selection:
    return Selection(tuple(spec.view), tuple(spec.key))


def _known(path: tuple[str, ...], name: str, names: Sequence[str], problems: Problems) -> None:
    if name not in names:
        problems.add(path, f"unknown view {name!r}{nearest(name, names)}")


def _view(own: EpisodesSpec, view: ViewPlan, problems: Problems) -> EpisodeView:
    quiet = own.quiet.get(view.name) if isinstance(own.quiet, dict) else own.quiet
    size = view.rollup.size_ns if view.rollup is not None else 0
    opens = _severity("opens", own.opens, view, problems)
    holds = opens if own.holds is None else _severity("holds", own.holds, view, problems)
    if holds > opens:
        problems.add((*_AT, "holds"), f"`holds: {own.holds}` is above `opens: {own.opens}` in view {view.name!r}: it must not be")
    return EpisodeView(
        name=view.name,
        space=_space(view.rollup),
        quiet_ns=duration_ns(quiet) if quiet is not None else max(_QUIET_NS, _WINDOWS * size),
        opens=opens,
        holds=holds,
        detectors=tuple(detector.name for detector in view.detectors),
    )


def _severity(name: str, value: str | float, view: ViewPlan, problems: Problems) -> float:
    """The least severity that counts. A level begins above its limit."""
    if not isinstance(value, str):
        if not 0 <= value <= 1:
            problems.add((*_AT, name), f"a severity lies between 0 and 1, not at {value:g}")
        return value
    limits = dict(view.levels)
    if value == LOWEST_LEVEL:
        return 0.0
    if value not in limits:
        problems.add((*_AT, name), f"view {view.name!r} has no level {value!r}{nearest(value, [*limits, LOWEST_LEVEL])}")
        return 0.0
    return math.nextafter(limits[value], math.inf)


def _space(rollup: RollupPlan | None) -> str:
    if rollup is None or rollup.key_source:
        return "key"
    return rollup.key_column or ("mapping" if rollup.mapping else "constant")


def _grouped(plan: EpisodePlan, group: EpisodeGroupSpec, spec: PipelineSpec, views: Sequence[ViewPlan], problems: Problems) -> EpisodePlan:
    at = (*_AT, "group")
    if group.by == "all":
        return replace(plan, group="all")
    if group.column is not None:
        return _by_column(plan, group.column, spec, (*at, "column"), problems)
    if group.mapping is not None:
        return _by_mapping(plan, tuple(group.mapping.items()), views)
    if group.source is not None:
        return replace(_by_mapping(plan, (), views), mapping_file=GroupFile(group.source, group.key or "", group.value or ""))
    if group.view is None:
        return plan
    named = {view.name: view for view in views}
    _known((*at, "view"), group.view, list(named), problems)
    rollup = named[group.view].rollup if group.view in named else None
    if rollup is None or rollup.key_source:
        return plan
    if rollup.key_column:
        return _by_column(plan, rollup.key_column, spec, (*at, "view"), problems)
    return _by_mapping(plan, rollup.mapping, views) if rollup.mapping else replace(plan, group="all")


def _by_column(plan: EpisodePlan, column: str, spec: PipelineSpec, at: tuple[str, ...], problems: Problems) -> EpisodePlan:
    texts = [name for name, kind in spec.source.columns.items() if kind.type == "text"]
    if column not in texts:
        problems.add(at, f"{column!r} is no text column of the source{nearest(column, texts)}")
    views = tuple(replace(view, grouped=view.space == column) for view in plan.views)
    return replace(plan, group="column", column=column, views=views)


def _by_mapping(plan: EpisodePlan, mapping: tuple[tuple[str, str], ...], views: Sequence[ViewPlan]) -> EpisodePlan:
    """Views of keys that are no keys of the source have groups of their own, but for those whose windows are the groups."""
    own = {view.name for view in views if view.rollup is not None and view.rollup.mapping}
    return replace(plan, group="mapping", mapping=mapping, views=tuple(replace(view, grouped=view.name in own) for view in plan.views))
