"""Naming the valid word that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 12


def nearest(word: str, valid: Iterable[str]) -> str:
    """The end of an error message: "; did you mean 'close'?", or the valid names when none is near, or ''."""
    names = list(dict.fromkeys(valid))
    folded = {name.casefold(): name for name in reversed(names)}
    close = get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    # `absolute` is too long to be near `abs`, yet it is what was meant.
    close = close or [name for name in folded if len(name) >= 3 and word.casefold().startswith(name)]
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"; valid here: {shown}"
