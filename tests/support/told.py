"""What a message tells, whatever its words: the place it names, and the names, functions, spellings and numbers in it."""

from __future__ import annotations

import re
from collections import Counter
from itertools import takewhile

_QUOTED = r"(?<!\w)'[^']*'(?!\w)|`[^`]*`"
_FACT = re.compile(rf"{_QUOTED}|\w+\([^()]*\)|(?<![\w.])-?\d[\w.:+-]*")


def facts(message: str) -> tuple[str, Counter[str]]:
    """The place at the start (`p.yaml:3: source.format:`), and what is quoted, a function or a number in the rest."""
    words = message.split(" ")
    place = list(takewhile(lambda word: word.endswith(":"), words))
    found = (fact.rstrip(".,:;") for fact in _FACT.findall(" ".join(words[len(place) :])))
    return " ".join(place), Counter(found)


def tells(message: str, expected: str) -> bool:
    """Whether a message names the place that another one does, and all that is quoted, a function or a number in it."""
    (place, found), (wanted_place, wanted) = facts(message), facts(expected)
    return place == wanted_place and found >= wanted
