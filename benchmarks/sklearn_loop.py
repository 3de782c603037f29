"""System C as it was built: one trade at a time through scikit-learn, with the features and detectors of its description."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

F64 = npt.NDArray[np.float64]
WINDOW, RETRAIN, TRAIN_ON = 100, 500, 2000
LIMITS = {0: 4.0, 1: 5.0, 12: 4.0}
"""Feature number → limit of its z-score: price, size, volatility."""


def features(window: deque[tuple[float, float, int, str]]) -> F64:
    """The 18 features of the last 100 trades (price, size, time in ns, side), the newest last."""
    price = np.array([trade[0] for trade in window])
    size = np.array([trade[1] for trade in window])
    sides = [trade[3] for trade in window]
    span = (window[-1][2] - window[0][2]) / 1e9
    n = len(window)
    mean, std = price.mean(), price.std(ddof=1)
    return np.array(
        [
            price[-1], size[-1], mean, std, price.min(), price.max(), price.max() - price.min(),
            size.mean(), size.std(ddof=1), size.sum(), n, (n - 1) / span if span else np.nan, span / (n - 1) if span else np.nan,
            std / mean, price[-1] / price[0] - 1, size[-1] / size[0] - 1,
            sides.count("A") / n, sides.count("B") / n,
        ]
    )  # fmt: skip


class Loop:
    """Forest, elliptic envelope and z-score over standardised features, retrained every 500 trades on the last 2,000."""

    def __init__(self) -> None:
        ensemble: Any = import_module("sklearn.ensemble")
        covariance: Any = import_module("sklearn.covariance")
        scaling: Any = import_module("sklearn.preprocessing")
        settings = {"contamination": 0.01, "random_state": 0}
        self._forest: Callable[[], Any] = lambda: ensemble.IsolationForest(n_estimators=100, max_samples=256, **settings)
        self._envelope: Callable[[], Any] = lambda: covariance.EllipticEnvelope(**settings)
        self._scaler: Callable[[], Any] = scaling.StandardScaler
        self._window: deque[tuple[float, float, int, str]] = deque(maxlen=WINDOW)
        self._rows: deque[F64] = deque(maxlen=TRAIN_ON)
        self._models: tuple[Any, Any, Any] | None = None
        self._seen = 0
        self.seen: list[F64] = []

    def trade(self, price: float, size: float, time_ns: int, side: str) -> int:
        """Votes on one trade."""
        self._window.append((price, size, time_ns, side))
        if len(self._window) < WINDOW:
            return 0
        row = features(self._window)
        self.seen.append(row)
        if np.isnan(row).any():
            return 0
        votes = self._odd(row)
        if self._models is not None:
            scaler, forest, envelope = self._models
            scaled = scaler.transform(row[None])
            votes += int(forest.predict(scaled)[0] == -1) + int(envelope.predict(scaled)[0] == -1)
        self._rows.append(row)
        self._seen += 1
        if self._seen % RETRAIN == 0:
            data = np.array(self._rows)
            scaler = self._scaler().fit(data)
            scaled = scaler.transform(data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the envelope warns of singular columns at each fit
                self._models = scaler, self._forest().fit(scaled), self._envelope().fit(scaled)
        return votes

    def _odd(self, row: F64) -> int:
        if len(self._rows) < WINDOW:
            return 0
        past = np.array([self._rows[-i] for i in range(1, WINDOW + 1)])
        for column, limit in LIMITS.items():
            spread = past[:, column].std(ddof=1)
            if spread > 0 and abs(row[column] - past[:, column].mean()) / spread > limit:
                return 1
        return 0


def run(trades: pl.DataFrame, warm: int, measured: int) -> tuple[float, F64]:
    """Trades a second over `measured` trades after `warm` others, in steady state; and the features of all (…, 18)."""
    loop = Loop()
    columns = (trades["price"].to_list(), trades["size"].to_list(), trades["time_ns"].to_list(), trades["side"].to_list())
    rows = list(zip(*columns, strict=True))
    for price, size, time_ns, side in rows[:warm]:
        loop.trade(price, size, time_ns, side)
    start = time.perf_counter()
    for price, size, time_ns, side in rows[warm : warm + measured]:
        loop.trade(price, size, time_ns, side)
    return measured / (time.perf_counter() - start), np.array(loop.seen)
