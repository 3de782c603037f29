"""Mutes: alerts that are known already, by key, view and time of the alert; never by the clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

import numpy as np

from offbeat.core.batch import I16
from offbeat.core.episode_plan import MutePlan
from offbeat.fold.episode_alerts import AlertFacts, plain_spellings


class KeyPattern:
    """A key, with `*` for any text and `?` for one character. 12345 and 12345.0 are one key [R20]."""

    def __init__(self, pattern: str) -> None:
        # Brackets may stand in keys: they are no sets of characters here.
        self._matches = re.compile(translate(plain_spellings([pattern])[0].replace("[", "[[]"))).match

    def fits(self, plain: str) -> bool:
        """Whether a key, as `plain_spellings` has it, fits."""
        return self._matches(plain) is not None


class Mutes:
    """The first mute that fits an alert counts."""

    def __init__(self, plans: Sequence[MutePlan]) -> None:
        self.plans = tuple(plans)
        self._patterns = [KeyPattern(mute.key) for mute in self.plans]

    def of(self, facts: AlertFacts, texts: Sequence[str], views: Sequence[str]) -> I16:
        """(n,) which mute each alert falls under; -1: none."""
        out = np.full(len(facts), -1, np.int16)
        if not self.plans or not len(facts):
            return out
        keys, places = np.unique(facts.key, return_inverse=True)
        plain = plain_spellings(texts[key] for key in keys.tolist())
        for number in reversed(range(len(self.plans))):
            mute, pattern = self.plans[number], self._patterns[number]
            hit = np.array([pattern.fits(key) for key in plain], np.bool_)[places]
            if mute.view:
                hit &= facts.view == (views.index(mute.view) if mute.view in views else -1)
            if mute.from_ns is not None:
                hit &= facts.time_ns >= mute.from_ns
            if mute.until_ns is not None:
                hit &= facts.time_ns < mute.until_ns
            out[hit] = number
        return out

    def unmatched(self, keys: Iterable[str]) -> list[str]:
        """A word for the mutes of which no key is among `keys`, all that were seen; with two examples of what keys are like."""
        if not self.plans:
            return []
        known = list(dict.fromkeys(keys))
        plain = plain_spellings(known)
        lost = [mute.key for mute, pattern in zip(self.plans, self._patterns, strict=True) if not any(map(pattern.fits, plain))]
        if not lost or not known:
            return []
        named = ", ".join(map(repr, lost[:3])) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        return [f"no key fits the mute{'s' * (len(lost) > 1)} {named}: keys are like {', '.join(map(repr, known[:2]))}"]
