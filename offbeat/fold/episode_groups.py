"""Which group an alert is of: by its key, a column, a mapping, or all of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64
from offbeat.core.episode_plan import EpisodePlan
from offbeat.fold.episode_alerts import AlertFacts, plain_spellings


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups by number."""

    spaces: tuple[str, ...]
    """What the name of each is a name of: two groups may have one name."""
    names: tuple[str, ...]
    quiet_ns: I64

    def __len__(self) -> int:
        return len(self.names)


def groups_of(plan: EpisodePlan, facts: AlertFacts, texts: Sequence[str]) -> tuple[Groups, I32]:
    """The groups, and the group of each alert."""
    width = len(texts) + 1
    word = (facts.view.astype(np.int64) * width + facts.key) * width + (facts.value + 1)
    distinct, places = np.unique(word, return_inverse=True)
    mapping = dict(zip(plain_spellings(key for key, _ in plan.mapping), (group for _, group in plan.mapping), strict=True))
    plain = plain_spellings(texts) if mapping else list(texts)
    longest = _quiets(plan)
    numbers: dict[tuple[str, str], int] = {}
    of = np.zeros(len(distinct), np.int32)
    for at, code in enumerate(distinct.tolist()):
        rest, value = divmod(code, width)
        view, key = divmod(rest, width)
        name = _group(plan, view, texts[key], texts[value - 1] if value else "", mapping.get(plain[key]))
        of[at] = numbers.setdefault(name, len(numbers))
    # In the order of their names, so that nothing depends on which alert came first.
    ordered = sorted(numbers)
    rank = np.empty(len(numbers), np.int32)
    rank[[numbers[name] for name in ordered]] = np.arange(len(numbers))
    spaces, names = zip(*ordered, strict=True) if ordered else ((), ())
    return Groups(spaces, names, np.array([longest[space] for space in spaces], np.int64)), rank[of][places]


def unmatched_groups(plan: EpisodePlan, keys: Iterable[str]) -> list[str]:
    """A word where a mapping has none of the keys, all that were seen; with two examples of each [R20]."""
    known = list(dict.fromkeys(keys))
    if not plan.mapping or not known or set(plain_spellings(known)) & set(plain_spellings(key for key, _ in plan.mapping)):
        return []
    ours, theirs = (", ".join(map(repr, some[:2])) for some in (known, [key for key, _ in plan.mapping]))
    return [f"the mapping of episodes' groups has none of the keys: they are like {ours}, its keys like {theirs}"]


def _group(plan: EpisodePlan, view: int, key: str, value: str, mapped: str | None) -> tuple[str, str]:
    """(space, name) of a group."""
    own = plan.views[view]
    if plan.group == "all":
        return "all", "all"
    if plan.group == "column" and (own.grouped or value):
        return f"column {plan.column}", key if own.grouped else value
    if plan.group == "mapping" and own.grouped:
        return "mapping", key
    if plan.group == "mapping" and own.space == "key" and mapped is not None:
        return "mapping", mapped
    return own.space, key


def _quiets(plan: EpisodePlan) -> dict[str, int]:
    """The quiet time of groups, by space: the longest of the views that may bring alerts to them."""
    every = max((view.quiet_ns for view in plan.views), default=0)
    quiet = {"all": every, "mapping": every, f"column {plan.column}": every}
    for view in plan.views:
        quiet[view.space] = max(quiet.get(view.space, 0), view.quiet_ns)
    return quiet
