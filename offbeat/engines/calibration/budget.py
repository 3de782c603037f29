"""`20 incidents/day`: how many alerts or incidents people can live with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from offbeat.errors import UserError

_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s+(incident|alert)s?\s*(?:/|per|a|an)\s*(hour|day|week)(\s+per\s+key|\s*/\s*key)?\s*")
_DAYS = {"hour": 1 / 24, "day": 1.0, "week": 7.0}


@dataclass(frozen=True, slots=True)
class Budget:
    """How many, of what."""

    text: str
    a_day: float
    """For each day on which rows came; in all, or of each key."""
    of: Literal["incidents", "alerts"]
    per_key: bool

    def most(self, keys: int) -> float:
        """How many a day, in all."""
        return self.a_day * (keys if self.per_key else 1)


def budget_of(text: str) -> Budget:
    """Raises UserError for what is no budget."""
    found = _FORM.fullmatch(text.lower())
    if found is None or float(found[1]) <= 0:
        raise UserError(f"--budget {text!r}: expected such as '20 incidents/day', '3 alerts/hour' or '2 alerts/week per key'")
    of: Literal["incidents", "alerts"] = "incidents" if found[2] == "incident" else "alerts"
    return Budget(" ".join(text.split()), float(found[1]) / _DAYS[found[3]], of, found[4] is not None)
