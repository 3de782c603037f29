"""Former names of settings: they are still read for one version, and users are told the present names."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

_OURS = frozenset({"offbeat", "pydantic"})


@dataclass(frozen=True, slots=True)
class FormerName:
    """A setting, or one of its values, that was given under its former name."""

    key: str
    """The setting, by its present name."""
    old: str
    new: str

    def __str__(self) -> str:
        return f"`{self.old}` is now called `{self.new}`; the old name is read in this version only"


def warn(notes: Sequence[str]) -> None:
    """A DeprecationWarning each, at the line of the program that called us."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    for note in notes:
        warnings.warn(note, DeprecationWarning, stacklevel=level)
