"""Which episodes are explained by others: a market's fall by itself, not by each of its symbols."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from offbeat.core.batch import I16, I64, Bools
from offbeat.core.episode_plan import EpisodePlan, Selection
from offbeat.fold.episode_alerts import AlertFacts, any_of, plain_spellings
from offbeat.fold.mutes import KeyPattern


def inhibitions(
    plan: EpisodePlan, members: AlertFacts, offsets: I64, start_ns: I64, closes_ns: I64, mute: I16, texts: Sequence[str]
) -> I64:
    """(k,) which episode inhibits each; -1: none.

    Rules go in their order. An episode is inhibited by the earliest one that its rule names and that is open at some time when it is open
    itself; neither of the two is muted or was inhibited before, and none inhibits itself.
    """
    out = np.full(len(start_ns), -1, np.int64)
    for rule in plan.inhibit:
        free = (mute < 0) & (out < 0)
        by = np.flatnonzero(free & _selected(plan, rule.by, members, offsets, texts))
        by = by[np.lexsort((by, start_ns[by]))]
        causes = set(by.tolist())
        # What the rule names as a cause is no effect of the same rule.
        for at in np.flatnonzero(free & _selected(plan, rule.mutes, members, offsets, texts)).tolist():
            if at in causes:
                continue
            open_then = by[(start_ns[by] <= closes_ns[at]) & (closes_ns[by] >= start_ns[at])]
            if len(open_then):
                out[at] = open_then[0]
    return out


def unmatched_rules(plan: EpisodePlan, keys: Iterable[str]) -> list[str]:
    """A word for each pattern of keys in the rules that fits none of the keys, all that were seen [R20]."""
    known = list(dict.fromkeys(keys))
    plain = plain_spellings(known)
    patterns = dict.fromkeys(key for rule in plan.inhibit for side in (rule.by, rule.mutes) for key in side.keys)
    lost = [pattern for pattern in patterns if not any(map(KeyPattern(pattern).fits, plain))]
    return [f"no key fits {pattern!r} in episodes.inhibit: keys are like {', '.join(map(repr, known[:2]))}" for pattern in lost if known]


def _selected(plan: EpisodePlan, selection: Selection, members: AlertFacts, offsets: I64, texts: Sequence[str]) -> Bools:
    """(k,) episodes with an alert that the selection names."""
    hit = np.ones(len(members), np.bool_)
    if selection.views:
        hit &= np.array([view.name in selection.views for view in plan.views])[members.view]
    if selection.keys:
        patterns = [KeyPattern(key) for key in selection.keys]
        keys, places = np.unique(members.key, return_inverse=True)
        plain = plain_spellings(texts[key] for key in keys.tolist())
        hit &= np.array([any(pattern.fits(key) for pattern in patterns) for key in plain], np.bool_)[places]
    return any_of(hit, offsets)
