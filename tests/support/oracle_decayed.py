"""The oracle's windows over all of the past in which later rows count for more, and its local clock. Imports nothing from the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from oracle_logic import Num, finite
from oracle_windows import Env

_EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


def wall_clock(time_ns: int, zone: str) -> datetime:
    """What a clock in the zone shows, to the second."""
    return (_EPOCH + timedelta(seconds=time_ns // 10**9)).astimezone(ZoneInfo(zone))


def place_in_season(time_ns: int, season_ns: int, slot_ns: int, zone: str) -> int:
    """Number of the slot of the season that a row lies in, by the local clock."""
    away = wall_clock(time_ns, zone).utcoffset()
    assert away is not None
    return (time_ns + away // timedelta(microseconds=1) * 1000) % season_ns // slot_ns


@dataclass(frozen=True)
class Weighted:
    """`ewma` and `ewstd` of about `rows` rows, `ar` of order `rows`, or `still`."""

    function: str
    argument: Callable[[Env], Num]
    rows: int = 0


@dataclass(frozen=True)
class Decayed:
    """A window `over: all` of such aggregates."""

    name: str
    aggregates: Mapping[str, Weighted]
    features: Mapping[str, Callable[[dict[str, Num]], Num]]
    current: bool = False
    min_rows: int = 1
    season_ns: int = 0
    slot_ns: int = 0
    zone: str = "UTC"


@dataclass
class _Mean:
    k: int = 0
    mean: float = 0.0
    spread: float = 0.0

    def take(self, x: float, n: int) -> None:
        self.k += 1
        a = max(1.0 / self.k, 2.0 / (n + 1.0))
        d = x - self.mean
        mean = self.mean + a * d
        spread = (1.0 - a) * (self.spread + (a * d) * d)
        if self.k == 1 or not math.isfinite(mean) or not math.isfinite(spread):
            self.k, mean, spread = 1, x, 0.0
        self.mean, self.spread = mean, spread


class _Autoregression:
    def __init__(self, order: int) -> None:
        self.order = order
        self.begin()

    def begin(self) -> None:
        self.values: list[float] = []
        self.weights = [1.0] + [0.0] * (self.order - 1)
        self.judged, self.error, self.power = 0, 0.0, 0.0

    def centre(self) -> float:
        total = 0.0
        for value in self.values:
            total += value
        return total / self.order

    def forecast(self) -> float:
        centre, total = self.centre(), 0.0
        for weight, value in zip(self.weights, self.values, strict=True):
            total += weight * (value - centre)
        return centre + total

    def take(self, x: float) -> None:
        if len(self.values) == self.order and not self.learn(x):
            self.begin()
        self.values = [x, *self.values][: self.order]

    def learn(self, x: float) -> bool:
        error, centre, power = x - self.forecast(), self.centre(), 0.0
        for value in self.values:
            power += (value - centre) * (value - centre)
        self.judged += 1
        a = max(1.0 / self.judged, 0.01)
        if not math.isfinite(error) or not math.isfinite(power):
            return False
        if self.error > 0.0:
            error = max(-3.0 * self.error, min(3.0 * self.error, error))
        self.error += a * (abs(error) - self.error)
        self.power += a * ((min(power, 9.0 * self.power) if self.power > 0.0 else power) - self.power)
        divisor = max(power, self.power)
        if divisor > 0.0:
            step = 0.02 * error / divisor
            self.weights = [weight + step * (value - centre) for weight, value in zip(self.weights, self.values, strict=True)]
        return all(map(math.isfinite, self.weights))


@dataclass
class _Still:
    value: Num = None
    same: int = 0

    def take(self, x: float) -> None:
        self.same = self.same + 1 if x == self.value else 0
        self.value = x


def _part(each: Weighted) -> _Mean | _Autoregression | _Still:
    return _Autoregression(each.rows) if each.function == "ar" else _Still() if each.function == "still" else _Mean()


@dataclass
class _Place:
    parts: dict[str, Any]
    n: int = 0
    first: int | None = None


@dataclass
class DecayedWindow:
    """One window of one key."""

    spec: Decayed
    places: dict[int, _Place] = field(default_factory=dict)
    seen: tuple[int, int | None] = (0, None)
    """Rows in the window as it was read last, and the time of the first."""

    def step(self, time_ns: int, env: Env) -> dict[str, Num]:
        """The row at hand arrives."""
        spec = self.spec
        number = place_in_season(time_ns, spec.season_ns, spec.slot_ns, spec.zone) if spec.season_ns else 0
        if number not in self.places:
            self.places[number] = _Place(
                {name: _part(each) for name, each in spec.aggregates.items()}
            )
        place = self.places[number]
        if spec.current:
            self._take(place, time_ns, env)
        self.seen = (place.n, place.first)
        values = {name: _value(each, place.parts[name]) for name, each in spec.aggregates.items()}
        enough = place.n >= spec.min_rows
        out = {name: feature(values) if enough else None for name, feature in spec.features.items()}
        if not spec.current:
            self._take(place, time_ns, env)
        return out

    def _take(self, place: _Place, time_ns: int, env: Env) -> None:
        place.first = time_ns if place.n == 0 else place.first
        place.n += 1
        for name, each in self.spec.aggregates.items():
            x, part = each.argument(env), place.parts[name]
            if x is None:
                continue
            if isinstance(part, _Mean):
                part.take(float(x), each.rows)
            else:
                part.take(float(x))


def _value(each: Weighted, part: _Mean | _Autoregression | _Still) -> Num:
    if isinstance(part, _Still):
        return None if part.value is None else float(part.same)
    if isinstance(part, _Autoregression):
        return finite(part.forecast()) if len(part.values) == part.order else None
    if each.function == "ewstd":
        return math.sqrt(part.spread) if part.k >= 2 else None
    return part.mean if part.k >= 1 else None
