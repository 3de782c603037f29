"""Alerts made by hand for the tests of what leaves the system."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import F64, NULL_INT, Bools
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.decide.block import AlertBlock
from offbeat.io.write.alert_table import alert_table

NAN = float("nan")
PLAN_HASH = "0123456789abcdef" * 2


def of_rule(
    name: str, score: F64, threshold: F64, voted: Bools, observed: F64, expected: F64, features: tuple[str, ...], contributions: F64,
    window: WindowSpan | None = None,
) -> Evidence:  # fmt: skip
    """What a rule says of m rows; it leaves open what is out of range, notes, raw scores and versions of a model."""
    m = len(score)
    return Evidence(
        name, "rule", score, voted, np.full(m, NAN), threshold, observed, expected, features, contributions, OutOfRange.none(m), (),
        np.zeros(m, np.int64), WindowSpan.none(m) if window is None else window,
    )  # fmt: skip


def two_bars(view: str = "bar") -> AlertBlock:
    """Two alerts of one symbol: a price jump with a warming-up second rule, and a volume surge."""
    ids = np.zeros((2, 16), dtype=np.uint8)
    ids[0, 0], ids[0, 15], ids[1, :] = 0xAB, 0x01, 0xFF
    jump = of_rule(
        "price_jump",
        np.array([0.75, NAN]),
        np.array([0.005, NAN]),
        np.array([True, False]),
        np.array([0.015, NAN]),
        np.array([0.0, NAN]),
        ("abs(close / previous_close - 1)",),
        np.array([[0.75, NAN]]),
        WindowSpan(
            np.array([1_699_999_940_000_000_001, NULL_INT]), np.array([1_700_000_000_000_000_001, 60_000_000_000]), np.array([1, 0])
        ),
    )
    surge = of_rule(
        "volume_surge",
        np.array([NAN, 0.8]),
        np.array([NAN, 102.0]),
        np.array([False, True]),
        np.array([NAN, 408.0]),
        np.array([NAN, 100.0]),
        ("volume", "calm"),
        np.array([[NAN, 0.8], [NAN, 0.0]]),
    )
    return AlertBlock(
        view=view,
        ids=ids,
        revision=np.array([1, 1]),
        status=np.array([2, 2], np.int8),
        key=np.array([1, 0], np.int32),
        keys=pl.Series(["AIG", 'X"\n<&>']),
        time_ns=np.array([1_700_000_000_000_000_001, 60_000_000_000]),
        severity=np.array([2 / 3, 0.75]),
        level=np.array([1, 0], np.int8),
        levels=("critical", "high", "medium", "low"),
        votes=np.array([1, 1], np.int32),
        voters=np.array([1, 2], np.int32),
        detectors=(jump, surge),
        row=pl.DataFrame({"close": [101.5, NAN], "volume": [7, 408], "side": ["A", None], "halted": [False, None]}),
        window=WindowSpan(
            np.array([1_699_999_940_000_000_001, NULL_INT]), np.array([1_700_000_000_000_000_001, NULL_INT]), np.array([1, NULL_INT])
        ),
        statistics=("previous_close", "mean_volume"),
        values=np.array([[100.0, NAN], [NAN, float("inf")]]),
        files=np.array([0, -1], np.int32),
        rows=np.array([17, 0]),
    )


def many(count: int, seed: int = 0, view: str = "bar", columns: tuple[str, ...] = ("close",)) -> pa.Table:
    """`count` alerts with ids of their own, as a table."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, 256, (count, 16), dtype=np.uint8)
    detector = of_rule(
        "rule",
        random.random(count),
        np.ones(count),
        np.ones(count, np.bool_),
        random.random(count),
        np.ones(count),
        ("x",),
        random.random((1, count)),
    )
    block = AlertBlock(
        view=view,
        ids=ids,
        revision=np.ones(count, np.int64),
        status=np.full(count, 2, np.int8),
        key=np.zeros(count, np.int32),
        keys=pl.Series(["K"]),
        time_ns=np.arange(count) * 10**9,
        severity=random.random(count),
        level=np.zeros(count, np.int8),
        levels=("low",),
        votes=np.ones(count, np.int32),
        voters=np.ones(count, np.int32),
        detectors=(detector,),
        row=pl.DataFrame({name: random.random(count) for name in columns}),
        window=WindowSpan.none(count),
        statistics=(),
        values=np.empty((0, count)),
        files=np.zeros(count, np.int32),
        rows=np.arange(1, count + 1),
    )
    return as_table(block)


def as_table(block: AlertBlock, *, lean: bool = False) -> pa.Table:
    """The block in the alert schema."""
    return alert_table(block, pipeline="bars", plan_hash=PLAN_HASH, version="0.1.0", lean=lean)
