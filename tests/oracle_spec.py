"""How a pipeline is described to the oracle: in Python, each expression a function. Imports nothing from the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oracle_logic import Num, Truth
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
    """What a rule's expressions gave: `when`, the two sides of its measure (comparison "" = none) and `expected`."""

    when: Truth
    observed: Num = None
    comparison: str = ""
    threshold: Num = None
    expected: Num = None


@dataclass(frozen=True)
class Rule:
    name: str
    judge: Callable[[Env], Verdict]


@dataclass(frozen=True)
class Rollup:
    """`target` gives the key on the other side (None: not selected). `argument`s of sums and means are exact integers (see Agg.scale)."""

    target: Callable[[str, Env], str | None]
    every_ns: int
    aggregates: Mapping[str, Agg]
    columns: Mapping[str, Callable[[dict[str, Num]], Num]]


@dataclass(frozen=True)
class View:
    name: str
    windows: tuple[Window, ...]
    rules: tuple[Rule, ...]
    at_least: int = 1
    rollup: Rollup | None = None

    def evidence(self) -> Window | None:
        """The longest window of time; without one, that of the most rows; the first in the spec among equals."""
        timed = [window for window in self.windows if window.duration_ns]
        if timed:
            return max(timed, key=lambda window: window.duration_ns)
        return max(self.windows, key=lambda window: window.rows, default=None)


@dataclass(frozen=True)
class Pipeline:
    name: str
    columns: tuple[Column, ...]
    views: tuple[View, ...]
    rules: Mapping[str, Callable[[Env], Truth]] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    lateness_ns: int = 0
    dedup_rows: int = 64
    not_before_ns: int = 946_684_800 * SECOND
    not_after_ns: int | None = None
    max_jump_ns: int = 35 * DAY
    order: str = ""
    zone: str = "UTC"
