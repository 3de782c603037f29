"""A pipeline that is tested twice over, and short ways to write expressions for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oracle import BEFORE, GAP
from oracle_logic import Num, Truth, all_of, compare, same_text, sub
from oracle_spec import SECOND, Pipeline, Verdict
from oracle_windows import Env

Feature = Callable[[dict[str, Num]], Num]


@dataclass(frozen=True)
class Case:
    """A pipeline twice over."""

    name: str
    spec: str
    """YAML; a path ending in .yaml is read."""
    pipeline: Pipeline
    step_ns: int = SECOND
    """The grid on which random event times lie: small against windows and lateness, so that ties and edges are frequent."""
    start_s: int = 1_600_000_000
    """About where they lie, seconds since 1970."""

    def text(self) -> str:
        return Path(self.spec).read_text() if self.spec.endswith(".yaml") else self.spec


def col(name: str) -> Callable[[Env], Num]:
    return lambda env: env[name]


def exact(name: str) -> Callable[[Env], int | None]:
    """The integer behind a fixed-point column."""
    return lambda env: env[name + "#"]


def same(name: str) -> Feature:
    return lambda a: a[name]


def plain(*names: str) -> dict[str, Feature]:
    """Features that are aggregates as they stand."""
    return {name: same(name) for name in names}


def measured(left: Num, comparison: str, right: Num, expected: Num = None, rest: Truth = True, floor: Num = None) -> Verdict:
    """A rule `left > right AND rest`."""
    return Verdict(all_of(compare(left, comparison, right), rest), left, comparison, right, expected, floor)


def change(name: str) -> Callable[[Env], Num]:
    """Change of a column since the row before."""
    return lambda env: sub(env[name], env[BEFORE][name]) if env[BEFORE] else None


def gap(env: Env) -> Num:
    """Seconds since the row before."""
    seconds: Num = env[GAP]
    return seconds


def is_text(name: str, text: str) -> Callable[[Env], Truth]:
    """Name = 'text'"""
    return lambda env: same_text(env[name], text)
