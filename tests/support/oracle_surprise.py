"""The oracle's vote by surprise, from docs/definitions.md, with counts by bin in dictionaries. Imports nothing from the package."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from oracle_logic import logarithm

LEAST, MOST = 2.0**-25, math.nextafter(2.0**25, 0.0)


@dataclass(frozen=True)
class Budget:
    """So many alerts in so many seconds, or rows."""

    alerts: float
    seconds: float = 0.0
    rows: int = 0
    warm_up: int = 500


def _decades(x: float) -> float:
    found = logarithm(x)
    assert found is not None
    return found / 2.302585092994046


def _bin(r: float) -> int:
    octave = 0
    while r >= 2.0 ** (octave + 1 - 25):
        octave += 1
    return octave * 8 + math.floor((r / 2.0 ** (octave - 25) - 1.0) * 8)


@dataclass
class Memory:
    """The values of one detector, or the sums, of one key."""

    counts: Counter[int] = field(default_factory=Counter)
    seen: int = 0
    records: tuple[float, float] = (0.0, 0.0)
    """Of this period and of the one before."""

    def sum(self) -> int:
        return sum(self.counts.values())

    def once(self, r: float) -> float:
        return self.sum() / (256 + sum(n for b, n in self.counts.items() if b >= _bin(r)))

    def take(self, r: float) -> bool:
        self.counts[_bin(r)] += 256
        self.seen += 1
        now, before = self.records
        self.records = (max(now, r), before)
        if self.seen % 23_000:
            return False
        self.counts = Counter({b: n // 2 for b, n in self.counts.items()})
        self.records = (0.0, self.records[0])
        return True


@dataclass
class Surprised:
    """What one key is used to."""

    budget: Budget
    memories: list[Memory] = field(default_factory=list)
    sums: Memory = field(default_factory=Memory)
    last: int | None = None
    passed: float = 0.0
    silent: bool = False

    def weigh(self, rs: Sequence[float | None], time_ns: int) -> tuple[float, list[str | None]]:
        """By how much the row is ahead of its budget (below 0: no alert), and for each detector that surprises a note."""
        self.memories = self.memories or [Memory() for _ in rs]
        if self.last is not None:
            self.passed += (time_ns - self.last) / 1e9
        self.last, self.silent = time_ns, False
        total, notes = 0.0, list[str | None]()
        for memory, given in zip(self.memories, rs, strict=True):
            notes.append(None)
            if given is None:
                continue
            r = max(LEAST, min(MOST, given))
            if memory.seen >= self.budget.warm_up:
                once, over = memory.once(r), max(1.0, r / max(memory.records))
                decades = _decades(once) + 3.0 * _decades(over) - 2.0
                if decades > 0.0:
                    total += decades
                    notes[-1] = _told(once, over)
            memory.take(r)
        if all(r is None for r in rs):
            return -1.0, notes
        self.silent = self.sums.seen < self.budget.warm_up
        ahead, r = -1.0, max(LEAST, min(MOST, total))
        if total > 0.0 and not self.silent:
            rank = _decades(self.sums.once(r)) + max(0.0, r - max(self.sums.records))
            span: float = self.budget.rows
            if self.budget.seconds:
                span = self.budget.seconds * (self.sums.sum() / 256) / self.passed if self.passed else math.inf
            ahead = rank - _decades(span / self.budget.alerts) if math.isfinite(span) else -1.0
        if self.sums.take(r):
            self.passed *= 0.5
        return ahead, notes


def _told(once: float, over: float) -> str:
    whole = round(once)
    rare = f"once in {round(whole, 2 - len(str(whole))):,} rows of this key"
    return f"{rare}, {over:.3g} times its record" if over > 1.0 else rare
