"""How a pipeline is described to the oracle: in Python, each expression a function. Imports nothing from the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from oracle_decayed import Decayed
from oracle_logic import Num, Truth
from oracle_surprise import Budget
from oracle_windows import Agg, Env, Window

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
Value = float | int | str | bool | None


@dataclass(frozen=True)
class Row:
    """A row as the source parsed it: floats, exact integers of fixed-point columns, texts, truth values."""

    key: str | None
    time_ns: int | None
    columns: Mapping[str, Value]
    fault: str = ""
    file: int = 0
    row: int = 0


@dataclass(frozen=True)
class Column:
    name: str
    kind: str = "float"
    scale: int = 0
    allow_nan: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a rule's expressions gave: `when`, the two sides of its measure (comparison "" = none), `expected` and `floor`."""

    when: Truth
    observed: Num = None
    comparison: str = ""
    threshold: Num = None
    expected: Num = None
    floor: Num = None


@dataclass(frozen=True)
class Rule:
    name: str
    judge: Callable[[Env], Verdict]


@dataclass(frozen=True)
class Term:
    """A value of a range detector and what is usual for it; `below` and `above` are distances from the center."""

    name: str
    value: Callable[[Env], Num]
    center: Callable[[Env], Num]
    below: Callable[[Env], Num]
    above: Callable[[Env], Num]
    limit: float
    least: Callable[[Env], Num]
    """The least value in the window; None without one."""
    seen: tuple[Callable[[Env], Num], Callable[[Env], Num]] | None = None
    """The least and the greatest, where a reach of 0 does not say that all are equal."""


@dataclass(frozen=True)
class Range:
    name: str
    type: str
    terms: tuple[Term, ...]
    window: Window | None = None
    """Of the rows before; its aggregates may read features of the view's windows, and the terms read its features."""


class Fit(Protocol):
    same: float
    """Relative difference up to which it takes two values for one."""

    """A model of one key: how it is fitted is the package's business, how it scores is done by hand."""

    def train(self, rows: list[list[float]], seed: int, number: int) -> None:
        """Fit to rows, the oldest first."""

    def score(self, row: list[float]) -> Num:
        """Raw score; None where the model abstains."""

    def contributions(self, row: list[float]) -> list[Num]:
        """Parts of the score by feature."""

    def note(self) -> str:
        """Why it abstains, or another remark."""


@dataclass(frozen=True)
class Model:
    """A detector that is trained for each key on its last complete rows."""

    name: str
    type: str
    features: Mapping[str, Callable[[Env], Num]]
    fit: Callable[[int], Fit]
    """A new model over so many features."""
    train_on: int
    retrain_every: int
    train_min: int
    contamination: Fraction | None = None
    limit: float | None = None
    once: bool = False
    """Only the rows of the first training are learned."""
    patience: int = 0
    """Above 0: flagged rows are learned only after so many in a row."""


@dataclass(frozen=True)
class Records:
    """A detector for values beyond all that their key had before."""

    name: str
    features: Mapping[str, Callable[[Env], Num]]
    warm_up: int
    limit: float
    leak: float


Detector = Rule | Range | Model | Records


@dataclass(frozen=True)
class Rollup:
    """`target` gives the key on the other side (None: not selected). `argument`s of sums and means are exact integers (see Agg.scale)."""

    target: Callable[[str, Env], str | None]
    size_ns: int
    aggregates: Mapping[str, Agg]
    columns: Mapping[str, Callable[[dict[str, Num]], Num]]
    fill: bool = False
    """A target once seen has a window in every tick."""


def farthest(windows: Sequence[Window | Decayed]) -> Window | Decayed | None:
    """All of the past; without it the longest window of time; without one, that of the most rows; the first in the spec among equals."""
    for each in windows:
        if isinstance(each, Decayed):
            return each
    sliding = [window for window in windows if isinstance(window, Window)]
    timed = [window for window in sliding if window.duration_ns]
    if timed:
        return max(timed, key=lambda window: window.duration_ns)
    return max(sliding, key=lambda window: window.rows, default=None)


@dataclass(frozen=True)
class View:
    name: str
    windows: tuple[Window | Decayed, ...]
    detectors: tuple[Detector, ...]
    quorum: int = 1
    rollup: Rollup | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    """`score`, `confidence` or DETECTOR.TERM → weight."""
    levels: tuple[tuple[str, float], ...] = (("critical", 0.8), ("high", 0.6), ("medium", 0.4))
    cooldown_rows: int = 0
    cooldown_ns: int = 0
    budget: Budget | None = None
    """Votes by surprise."""

    def evidence(self) -> Window | Decayed | None:
        """The window that an alert shows."""
        return farthest(self.windows)


@dataclass(frozen=True)
class Pipeline:
    name: str
    columns: tuple[Column, ...]
    views: tuple[View, ...]
    where: Callable[[Env], Truth] | None = None
    """Only a row for which this is not false is a row of the pipeline."""
    rules: Mapping[str, Callable[[Env], Truth]] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    lateness_ns: int = 0
    dedup_rows: int = 64
    not_before_ns: int = 946_684_800 * SECOND
    not_after_ns: int | None = None
    max_jump_ns: int = 35 * DAY
    keep_last: bool = False
    """Of versions of a row the last counts; needs `time` in `unique`."""
    forget_ns: int | None = None
    """A key that was not seen for longer starts anew; None: none does."""
    order: str = ""
    zone: str = "UTC"
    seed: int = 0
    optional_key: bool = False
    """Rows may have no key: theirs is then the empty text."""
