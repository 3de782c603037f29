"""Seeded minute bars like an Indian exchange's, with planted and labelled anomalies: for the demo, and tests without real data.

Only the raw stream of PCG64 is used, which NumPy promises never to change (the methods of its Generator carry no such promise), and no
function whose last bit depends on the CPU: the same arguments give the same bytes everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, Bools
from offbeat.quality.sessions import day_number, sessions

KINDS = ("price_jump", "volume_surge", "both", "stuck_price", "missing", "bad_row")
"""Planted anomalies: a close 1.5 to 3 % away from the one before; at least 8 times the greatest volume of the last half hour; both at once;
20 to 50 minutes without any price movement although there is trade; 5 to 25 bars that are not there; a line cut in the middle."""
LABELS: dict[str, pl.DataType] = {
    "key": pl.String(),
    "kind": pl.String(),
    "from": pl.Datetime("ns", "UTC"),
    "to": pl.Datetime("ns", "UTC"),
}
"""A row an anomaly: the times of its first and its last bar, be they there or missing."""

_MINUTES = 375
_FIRST_DAY = "2021-01-01"
_INDIA = timezone(timedelta(hours=5, minutes=30))
_TICKS = 20  # per rupee: prices move in steps of 0.05
_NAMES = (
    "AMBAR",
    "BANYAN",
    "CHINAR",
    "DEODAR",
    "EKTARA",
    "FALGUN",
    "GANGOTRI",
    "HIMAL",
    "INDIGO",
    "JASMIN",
    "KAVERI",
    "LOTUS",
    "MALABAR",
    "NILGIRI",
)


class _Stream:
    """Uniform numbers in [0, 1) from raw PCG64 output."""

    def __init__(self, seed: int, symbol: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, symbol]))

    def uniform(self, n: int) -> F64:
        raw: F64 = (self._bits.random_raw(n) >> np.uint64(11)).astype(np.float64)
        return raw / 2.0**53

    def bell(self, n: int) -> F64:
        """Approximately normal with mean 0 and variance 1 (the sum of four uniform numbers): no logarithm involved."""
        u = self.uniform(4 * n).reshape(4, n)
        total: F64 = (u[0] + u[1]) + (u[2] + u[3])
        return (total - 2.0) * float(np.sqrt(3.0))

    def whole(self, low: int, high: int) -> int:
        """An integer in [low, high)."""
        return low + int(self.uniform(1)[0] * (high - low))


@dataclass(frozen=True, slots=True)
class _Plant:
    kind: str
    first: int
    """Index of the first bar concerned, over all days."""
    bars: int


def generate_bars(out: Path, *, symbols: int, days: int, seed: int) -> Path:
    """Write minute bars of `symbols` made-up stocks over `days` sessions of the Bombay calendar, from 2021 on, into the folder `out`.

    One `SYMBOL__EQ__NSE__NSE__MINUTE.csv` a stock (`timestamp,open,high,low,close,volume`, 09:15 to 15:29 at +05:30, ticks of 0.05), from
    liquid to illiquid, and `_labels.parquet` (columns `LABELS`): what was planted where. Returns `out`.

    Raises ValueError for fewer than one symbol or two days, or more days than the calendar knows.
    """
    if symbols < 1 or days < 2:
        raise ValueError("give at least one symbol and two days")
    known = sessions("XBOM")
    full = (known.day >= day_number(_FIRST_DAY)) & (known.close_ns - known.open_ns == _MINUTES * 60_000_000_000)
    opens = known.open_ns[full][:days]
    if opens.size < days:
        raise ValueError(f"the calendar has only {opens.size} sessions from {_FIRST_DAY} on")
    times: I64 = (opens[:, None] + np.arange(_MINUTES, dtype=np.int64) * 60_000_000_000).ravel()
    out.mkdir(parents=True, exist_ok=True)
    labels: list[tuple[str, str, int, int]] = []
    for symbol in range(symbols):
        name = _NAMES[symbol % len(_NAMES)] + (str(symbol // len(_NAMES)) if symbol >= len(_NAMES) else "")
        stream = _Stream(seed, symbol)
        plants = _choose(stream, days)
        text = _lines(times, _bars(stream, times.size, plants, liquidity=symbol % 5), plants)
        (out / f"{name}__EQ__NSE__NSE__MINUTE.csv").write_text(text, encoding="utf-8")
        labels += [(name, p.kind, int(times[p.first]), int(times[p.first + p.bars - 1])) for p in plants]
    table = pl.DataFrame([pl.Series(n, v) for n, v in zip(LABELS, zip(*labels, strict=True), strict=True)])
    table.select(pl.col(n).cast(kind) for n, kind in LABELS.items()).sort("key", "from").write_parquet(out / "_labels.parquet")
    return out


def _choose(stream: _Stream, days: int) -> list[_Plant]:
    """Places for the anomalies: each in its own hour, from half an hour after the opening on, so that they do not touch."""
    hours = np.argsort(stream.uniform(5 * days), kind="stable").tolist()
    lengths = {"stuck_price": (20, 51), "missing": (5, 26)}
    each = max(1, days // 5)
    plants = []
    for kind in [kind for kind in KINDS[:-1] for _ in range(each)] + ["bad_row"]:
        hour = hours.pop()
        low, high = lengths.get(kind, (1, 2))
        bars = stream.whole(low, high)
        first = (hour // 5) * _MINUTES + 30 + (hour % 5) * 60 + stream.whole(0, 60 - bars)
        plants.append(_Plant(kind, first, bars))
    return sorted(plants, key=lambda plant: plant.first)


def _bars(stream: _Stream, n: int, plants: list[_Plant], liquidity: int) -> tuple[I64, I64, I64, I64, I64]:
    """Open, high, low and close in ticks, and volume, of n bars. liquidity 0: every minute trades; 4: most do not."""
    from_middle = (np.arange(n) % _MINUTES - 187) / 187.0
    busy = 0.6 + 1.8 * from_middle * from_middle  # volume and movement are greatest at the opening and the close
    base = stream.whole(80 * _TICKS, 2500 * _TICKS)
    idle: Bools = stream.uniform(n) < (0.0, 0.02, 0.1, 0.3, 0.55)[liquidity]
    moves = stream.bell(n) * np.sqrt(busy) * (base * (0.0003 + 0.0001 * liquidity))
    moves[idle] = 0.0
    noise = stream.uniform(n)
    volume = np.floor((20_000, 4_000, 700, 90, 25)[liquidity] * busy * (0.3 * noise + 0.06 / (1.04 - noise))).astype(np.int64)
    volume[~idle] = np.maximum(volume[~idle], 1)
    volume[idle] = 0
    stuck: Bools = np.zeros(n, dtype=np.bool_)
    for plant in plants:
        span = slice(plant.first, plant.first + plant.bars)
        if plant.kind in {"price_jump", "both"}:
            size = 0.015 + 0.015 * float(stream.uniform(1)[0])
            moves[plant.first] = base * size * (1 if stream.whole(0, 2) else -1)
        if plant.kind in {"volume_surge", "both"}:
            before = int(volume[plant.first - 30 : plant.first].max())
            volume[plant.first] = (before + 50) * stream.whole(8, 25)
        if plant.kind == "stuck_price":
            stuck[span] = True
            moves[span] = 0.0
            volume[span] = np.maximum(volume[span], 1)
    # additive around the base, so that a planted share of the base is about the same share of the price; never below a fifth of it
    close: I64 = np.rint(np.maximum(base + np.cumsum(moves), base * 0.2)).astype(np.int64)
    opening = np.concatenate([[base], close[:-1]])
    reach = np.floor(stream.uniform(2 * n).reshape(2, n) * (base * 0.0004) * busy).astype(np.int64)
    reach[:, (volume == 0) | stuck] = 0
    opening[volume == 0] = close[volume == 0]
    return opening, np.maximum(opening, close) + reach[0], np.minimum(opening, close) - reach[1], close, volume


def _lines(times: I64, bars: tuple[I64, I64, I64, I64, I64], plants: list[_Plant]) -> str:
    opening, high, low, close, volume = bars
    absent = {i for plant in plants if plant.kind == "missing" for i in range(plant.first, plant.first + plant.bars)}
    cut = {plant.first for plant in plants if plant.kind == "bad_row"}
    prices = (np.stack([opening, high, low, close], axis=1) / _TICKS).tolist()
    lines = ["timestamp,open,high,low,close,volume"]
    for i, (o, h, lo, c) in enumerate(prices):
        if i in absent:
            continue
        when = datetime.fromtimestamp(int(times[i]) // 1_000_000_000, UTC).astimezone(_INDIA).isoformat(" ")
        line = f"{when},{o},{h},{lo},{c},{volume[i]}.0"
        lines.append(line[: len(when) // 2 + 2] if i in cut else line)
    return "\n".join(lines) + "\n"
