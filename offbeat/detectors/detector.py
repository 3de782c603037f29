"""What a detector is: it judges batches of rows, explains its verdicts on some of them, and keeps its state as arrays.

One detector of a view sees all rows of a shard, of all keys, in batches. How the input is cut into batches changes nothing: a verdict is a
function of the rows before it alone. Nothing it computes may depend on a clock, the processor or other shards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.evidence import Evidence
from offbeat.core.plan import DetectorPlan
from offbeat.core.state import Arrays


class Kind(Enum):
    """What the rows of a batch are."""

    ROWS = "rows"
    """Rows of the source, or windows that are over."""
    OPEN = "open"
    """Windows that are still open, in their present state: to be judged, but not to be learned from."""
    MISSING = "missing"
    """Windows that are not there, as `Detector.missing` named them."""


@dataclass(frozen=True, slots=True)
class DetectorInput:
    """n rows of a view in fold order, as its detectors see them. Rows of different keys may be in any order relative to each other."""

    names: Sequence[str]
    """Keys of all slots."""
    slots: I32
    """(n,) slot of each row's key; slots are numbered from 0 in the order in which keys came."""
    time_ns: I64
    """(n,) event times of rows, starts of windows; ns UTC."""
    outputs: F64
    """(o, n) outputs of the view's program, which the detector's plan names by number; NaN = null."""
    numbers: I64
    """(n,) number of each row among the rows of its key, from 1; zeros where they are not counted."""
    kind: Kind = Kind.ROWS

    def __len__(self) -> int:
        return len(self.slots)

    def part(self, begin: int, end: int) -> DetectorInput:
        """A contiguous part of the rows, not copied; for all rows, the input itself."""
        if begin == 0 and end == len(self):
            return self
        own = slice(begin, end)
        return DetectorInput(self.names, self.slots[own], self.time_ns[own], self.outputs[:, own], self.numbers[own], self.kind)

    def take(self, index: I64) -> DetectorInput:
        """The rows at `index`, copied."""
        return DetectorInput(self.names, self.slots[index], self.time_ns[index], self.outputs[:, index], self.numbers[index], self.kind)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One detector's verdicts on n rows. Higher = odder."""

    score: F64
    """(n,) calibrated, 0…1, 0.5 at the threshold [S18]; NaN: no verdict (null or warming up)."""
    voted: Bools
    """(n,) whether it flags the row; False without a verdict."""
    exceedance: F64
    """(n,) r: how many times the threshold was reached; severity of a rule is 1 - 1/r [S19]. NaN without a verdict."""
    ratios: F64
    """(terms, n) r of each value of a range detector, with the sign of its side; (0, n) for others."""

    @staticmethod
    def none(n: int) -> Verdicts:
        """No verdict on n rows."""
        return Verdicts(np.full(n, np.nan), np.zeros(n, np.bool_), np.full(n, np.nan), np.empty((0, n)))

    @staticmethod
    def against(limit: float, raw: F64) -> Verdicts:
        """Of raw scores (n,), NaN without a verdict, against a fixed threshold."""
        with np.errstate(over="ignore", invalid="ignore"):
            r = raw / limit
            # Overflow to infinity is a score of 1, not a null.
            score = np.where(r > 1e300, 1.0, r / (1.0 + r))
        return Verdicts(score, raw > limit, r, np.empty((0, len(raw))))


class RawRows(Protocol):
    """The last rows of each key as they came, from which what a detector read of them can be made again instead of being kept."""

    def before(self, each: Callable[[DetectorInput], None]) -> None:
        """Call `each` with every batch before its rows take the place of older ones."""

    def keep(self, batch: DetectorInput) -> I64:
        """Keep the rows of a batch that was judged, or of a part, once however often it is asked; returns their numbers in their keys."""

    def covers(self, slots: I32, first: I64) -> Bools:
        """(g,) of some slots, whether the rows from number `first` (g,) on can be made again; 0 is none."""

    def room(self, slots: I32, first: I64) -> I64:
        """(g,) how many more rows each slot may get before its rows from number `first` on can no longer be made again; 0: the next."""

    def outputs(self, slots: I32, first: I64) -> tuple[I64, I64, I64, F64]:
        """Rows of some slots from number `first` (g,) on.

        Returns (r,) the place of each row's slot among `slots`, (r,) its number in its key, (r,) its time, and (o, r) outputs.
        """


class Detector(ABC):
    """One entry of a view's `detectors`. A stateless one needs `judge` and `explain` and nothing else.

    The calls come in this order: `judge` with a batch, or, where `cuts` asks for it, with its parts one after the other; after each of them
    `explain` for rows of just that batch or part, if at all. `snapshot` may come between any two batches.
    """

    judges: frozenset[Kind] = frozenset({Kind.ROWS})
    """What it judges; it is shown nothing else."""

    def __init__(self, plan: DetectorPlan) -> None:
        self.name, self.type = plan.name, plan.type

    @abstractmethod
    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows. What it learns from them shows in later rows only [law 6]."""

    @abstractmethod
    def explain(self, index: I64) -> Evidence:
        """Reasons for the verdicts on rows at `index` (m,), rising, of the last batch judged, by the state that judged them.

        `window` may be left empty: where the plan reads what is usual from a window of the view, that one is filled in.
        """

    def cuts(self, batch: DetectorInput) -> I32 | None:
        """(n,) by how many changes of its key's model each row comes later than the batch's first, for one that learns within a batch.

        `judge` is then called with parts of the batch in which no key's model changes: rows of equal numbers, those of a key side by side,
        in their order. So `explain` finds the model that judged. None: the state that `explain` needs does not change within a batch.
        """
        del batch
        return None

    def missing(self, slots: I32, starts: I64, keys: int, until_ns: int) -> tuple[I32, I64]:
        """Take in n windows that exist, in time order, those with one start together; `keys` slots are in use.

        Returns slots and starts of missing windows that it asks to judge [Kind.MISSING], of those that start before `until_ns`.
        """
        del slots, starts, keys, until_ns
        return np.zeros(0, np.int32), np.zeros(0, np.int64)

    def as_of(self, time_ns: int) -> int:
        """From here on judge all windows as of one moment [S16]; comes before the first batch.

        Returns the start of the first window it learns from to judge so: from there on all windows must come in one batch. By default the
        moment itself, for one that learns nothing of windows of other keys.
        """
        return time_ns

    def left_out(self) -> Mapping[str, int]:
        """Of the last batch, values that counted for nothing as they had no spread: by name, on how many rows."""
        return {}

    def untrained(self) -> str:
        """Why it has no model for any key; '' if it has one, or needs none."""
        return ""

    def model(self) -> bytes | None:
        """The file of its newest model of all keys; None if it has none."""
        return None

    def learned_ns(self) -> int:
        """Time of the last row that its newest model, of any key, was trained on; NULL_INT if it has none, or needs none."""
        return NULL_INT

    def snapshot(self, slots: I64) -> Arrays:
        """State of some slots, which are 0 to n - 1 for who restores it: equal verdicts from here on.

        Arrays with a row a slot, of a size that the rows do not raise.
        """
        del slots
        return {}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot; `names` are the keys of its slots."""
        del arrays, names
