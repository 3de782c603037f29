"""Finds the valid word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN = 12


def nearest(word: str, valid: Iterable[str]) -> str:
    """The end of an error message: "; did you mean 'close'?", or the valid names when none is near, or ''."""
    names = list(dict.fromkeys(valid))
    meant = suggestion(word, names)
    if meant or not names:
        return meant
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"; valid here: {shown}"


def suggestion(word: str, names: Sequence[str]) -> str:
    """The end of an error message where there are too many valid names to show: "; did you mean 'close'?", or ''."""
    folded = {name.casefold(): name for name in reversed(names)}
    close = get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    # `absolute` and `abs`, `mean` and `mean_volume` are too different in length to be near, yet one is what was meant by the other.
    close = close or [name for name in folded if min(len(name), len(word)) >= 3 and _begins(word.casefold(), name)]
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def _begins(a: str, b: str) -> bool:
    return a.startswith(b) or b.startswith(a)
