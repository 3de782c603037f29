"""The contract of detectors and of functions of windows; both are found by themselves [contract]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from case import Case
from contract import DETECTORS, FUNCTIONS, OF_WINDOWS, OVER_ALL, arrays_of, case_of, odd, stream, usual
from driver import Driver, plan_of
from harness import Record, assert_same
from oracle_spec import Row

from offbeat.core.plan import ModelPlan
from offbeat.detectors.spec import ModelSpec, detector_types
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.trained import model_of
from offbeat.spec.functions import AGGREGATES, NEIGHBOURS

KINDS = sorted(DETECTORS)
MODELS = sorted(name for name, kind in detector_types().items() if issubclass(kind, ModelSpec))
SUBJECTS: dict[str, Case] = {name: case_of(name, {"it": example.settings}) for name, example in DETECTORS.items()}
SUBJECTS["functions"] = case_of(
    "functions", {}, *({name: text for name, (text, _, _) in functions.items()} for functions in (FUNCTIONS, OVER_ALL))
)
_LEARNS = "type: isolation_forest, features: [x, y, z], train_on: 64, retrain_every: 32, train_min: 32, contamination: 0.05"
SUBJECTS["unflagged"] = case_of("unflagged", {"it": f"{_LEARNS}, learn: unflagged, patience: 3"})
SUBJECTS["once"] = case_of("once", {"it": f"{_LEARNS}, learn: once"})
subjects = pytest.mark.parametrize("subject", sorted(SUBJECTS))
kinds = pytest.mark.parametrize("kind", KINDS)
models = pytest.mark.parametrize("kind", MODELS)


def test_every_detector_and_function_has_an_example() -> None:
    """A new one needs an entry in tests/contract.py."""
    assert {*DETECTORS, *OF_WINDOWS} == set(detector_types()), "give each kind of detector an example in tests/contract.py"
    assert {*FUNCTIONS, *OVER_ALL} == {*AGGREGATES, *NEIGHBOURS}, "give each function of windows an example in tests/contract.py"


def whole(case: Case, rows: list[Row]) -> Driver:
    driver = Driver(case)
    driver.feed(rows)
    driver.drain()
    assert driver.ledger()["scored"] == len(rows) == len(driver.alerts())
    return driver


def said(case: Case, rows: list[Row], detector: str = "it") -> list[Record]:
    """What a detector says of each row, in the order of the rows."""
    alerts = sorted(whole(case, rows).alerts(), key=lambda alert: alert["time_ns"])
    return [d for alert in alerts for d in alert["detectors"] if d["name"] == detector]


def scores(case: Case, rows: list[Row]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if d["score"] is None else d["score"] for d in said(case, rows)])


@kinds
def test_it_speaks_at_all(kind: str) -> None:
    """Without this the rest could pass by silence. Odd rows vote more often than not, others seldom."""
    found = said(SUBJECTS[kind], usual(600))
    speaking = [d for d in found if d["score"] is not None]
    assert len(speaking) > 300
    assert 0 < sum(d["voted"] for d in speaking) < 0.4 * len(speaking)
    assert all((d["score"] > 0.5) >= d["voted"] for d in speaking)


@pytest.mark.heavy
@subjects
@pytest.mark.parametrize("rows", [usual(250), odd(250)], ids=["usual", "odd"])
def test_chunks_shards_and_restarts_change_nothing(subject: str, rows: list[Row]) -> None:
    case = SUBJECTS[subject]
    expected = whole(case, rows)
    single, uneven, restarted = Driver(case), Driver(case), Driver(case)
    for i, row in enumerate(rows):
        single.feed([row])
        if i % 17 == 0:
            uneven.feed(rows[i : i + 17])
        if i % 31 == 0:
            restarted.feed(rows[i : i + 31])
            restarted.restart(restarted.snapshot())
    for driver in (single, uneven, restarted):
        driver.drain()
        driver.assert_equals(expected)
    for shards in (2, 3):
        spread = Driver(case, shards)
        for shard in range(shards):
            spread.feed([row for row in rows if int((row.key or "k0")[1:]) % shards == shard], shard)
        spread.drain()
        spread.assert_equals(expected)


@subjects
def test_it_does_not_look_ahead(subject: str) -> None:
    """Other rows after the 140th: the same alerts on those before."""
    one, other = usual(200), usual(200, seed=9)
    both = [whole(SUBJECTS[subject], rows).alerts() for rows in (one, one[:140] + other[140:])]
    until = one[140].time_ns or 0
    assert_same(*([alert for alert in alerts if alert["time_ns"] < until] for alerts in both))


@subjects
def test_memory_is_bounded(subject: str) -> None:
    """Ten times as many rows of a key as any detector or window here keeps take no more memory, nor a greater snapshot."""
    driver = Driver(SUBJECTS[subject])
    rows = usual(6_000, keys=1)
    sizes = []
    for begin in (0, 3_000):
        for at in range(begin, begin + 3_000, 500):
            driver.feed(rows[at : at + 500])
        driver.blocks.clear()
        sizes.append((sum(a.nbytes for a in arrays_of(driver.fold)), len(driver.snapshot()[0])))
    assert sizes[1][0] <= 1.02 * sizes[0][0]
    assert sizes[1][1] <= 1.10 * sizes[0][1]


@kinds
def test_the_order_of_columns(kind: str) -> None:
    example, rows = DETECTORS[kind], usual(600)
    one, other = scores(SUBJECTS[kind], rows), scores(case_of(kind, {"it": example.permuted}), rows)
    assert (np.isnan(one) == np.isnan(other)).all()
    known = ~np.isnan(one)
    one, other = one[known], other[known]
    if example.invariance == "equal":
        assert (one == other).all()
    elif example.invariance == "rounding":
        assert np.abs(one - other).max() < 1e-9
    else:
        assert np.corrcoef(one, other)[0, 1] > 0.8
        assert abs(one.mean() - other.mean()) < 0.03


DEGENERATE: dict[str, Callable[[int], list[float | None]]] = {
    "all the same": lambda _: [3.0, -1.0, 0.0],
    "one column varies": lambda i: [float(i * i % 11), -1.0, 0.0],
    "two values": lambda i: [float(i % 2), 1.0 - i % 2, 5.0],
    "a copy": lambda i: [float(i * i % 13), float(i * i % 13), -float(i * i % 13)],
    "nothing": lambda _: [None, None, None],
    "huge": lambda i: [(-1.0) ** i * 1.7e308, 1.7e308, (-1.0) ** i * 5e-324],
}


@subjects
@pytest.mark.parametrize("values", sorted(DEGENERATE))
@pytest.mark.parametrize("n", [1, 200])
def test_degenerate_input(subject: str, values: str, n: int) -> None:
    """No crash and no warning; the ledger adds up; a score is a number from 0 to 1 or none at all."""
    for alert in whole(SUBJECTS[subject], stream(n, DEGENERATE[values])).alerts():
        for d in alert["detectors"]:
            assert d["score"] is None or 0 <= d["score"] <= 1
            assert d["score"] is not None or not d["voted"]


@models
def test_a_model_that_cannot_speak_says_so(kind: str) -> None:
    found = said(SUBJECTS[kind], stream(300, DEGENERATE["nothing"]))
    assert all(d["score"] is None and d["raw"] is None and d["note"] for d in found)


@models
def test_what_never_varied(kind: str) -> None:
    """Rows of one value are not odd at all; another value is infinitely odd, however small the difference, once there is a model."""
    rows = stream(400, lambda i: [3.0, -1.0, 0.0 if i < 300 else 1e-9], keys=1)
    found = said(SUBJECTS[kind], rows)
    first = next(i for i, d in enumerate(found) if d["version"])
    assert all(d["score"] is None for d in found[:first])
    assert all((d["score"], d["voted"]) == (0.0, False) and d["note"] for d in found[first:300])
    assert (found[300]["score"], found[300]["voted"], found[300]["raw"]) == (1.0, True, None)
    assert found[300]["note"] == "z never varied before: it was 0 in all training rows"


@models
def test_rows_with_a_null_have_no_score(kind: str) -> None:
    rows = odd(600)
    for row, d in zip(rows, said(SUBJECTS[kind], rows), strict=True):
        values = [row.columns[name] for name in "xyz"]
        if any(value is None or not np.isfinite(float(value)) for value in values):
            assert d["score"] is None
            assert d["note"] == "no verdict: a feature is null"
        else:
            assert (d["score"] is None) == (d["version"] == 0 or "abstain" in d["note"])


def test_a_range_without_spread() -> None:
    for kind in ("zscore", "band", "quantile"):
        assert {d["score"] for d in said(SUBJECTS[kind], stream(200, DEGENERATE["all the same"]))} == {None, 0.0}


@models
def test_scoring_changes_nothing(kind: str) -> None:
    """Scores and contributions twice, and of any groups of rows: the same bits, and the model as it was."""
    plan = next(d for d in plan_of(SUBJECTS[kind]).views[0].detectors if isinstance(d, ModelPlan))
    model = model_of(plan)
    random = np.random.default_rng(3)
    rows, seen = random.standard_normal((120, 3)), random.standard_normal((50, 3)) * 3
    one = np.array([0], np.int64)
    model.grow(1)
    model.train(Training(np.zeros(1, np.int32), one, one + 120, rows, one + 1, np.array([5], np.uint64)))
    before = [array.copy() for array in arrays_of(model)]
    slots = np.zeros(50, np.int32)
    first, parts = model.score(slots, seen), model.contributions(slots, seen)
    assert not np.isnan(first).any()
    assert model.score(slots, seen).tobytes() == first.tobytes()
    assert model.contributions(slots, seen).tobytes() == parts.tobytes()
    for i in range(50):
        assert model.score(slots[:1], seen[i : i + 1])[0] == first[i]
        assert (model.contributions(slots[:1], seen[i : i + 1])[:, 0] == parts[:, i]).all()
    after = arrays_of(model)
    assert len(before) == len(after)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *OVER_ALL}))
def test_functions_of_one_row_and_of_equal_rows(name: str) -> None:
    """By hand; what one row cannot say is null, never 0."""
    _, one, five = FUNCTIONS[name] if name in FUNCTIONS else OVER_ALL[name]
    alerts = whole(SUBJECTS["functions"], stream(5, lambda _: [3.0, 3.0, 3.0], keys=1)).alerts()
    for window in ("rows", "time") if name in FUNCTIONS else ("all",):
        seen = [alert["statistics"][f"{window}_{name}"] for alert in sorted(alerts, key=lambda alert: alert["time_ns"])]
        assert (seen[0], seen[4]) == (one, five)
