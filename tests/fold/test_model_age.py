"""How old the models of a worker are, by event time: what Prometheus is told (`offbeat_model_age_seconds`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from case import Case
from harness import chunk_of
from oracle_spec import SECOND, Column, Pipeline, Row

from offbeat.core.ledger import Ledger
from offbeat.engines.kafka.job import Status
from offbeat.engines.kafka.metrics import _Figures
from offbeat.engines.kafka.shards import model_ages
from offbeat.fold.fold import Fold
from offbeat.spec.load import load_text

START = 1_600_000_000
CASE = Case(
    "aged",
    """
name: aged
source: {key: {column: key}, time: {column: time}, columns: {x: {type: float, required: false}}}
quality: {max_jump: 100d}
views:
  row:
    detectors:
      forest: {type: isolation_forest, trees: 3, sample: 4, features: [x], train_on: 10, train_min: 5, retrain_every: 1}
      never: {type: isolation_forest, trees: 3, sample: 4, features: [x], train_on: 99, train_min: 50, retrain_every: 1}
      high: {type: rule, when: x > 100}
""",
    Pipeline(name="aged", columns=(Column("x"),), views=()),
)


def _fold(keyed: list[tuple[str, int, float | None]]) -> Any:
    fold = Fold(load_text(CASE.spec, "aged").plan, live=True)
    fold.assign(0)
    rows = [Row(key, (START + at) * SECOND, {"x": x}, row=number + 1) for number, (key, at, x) in enumerate(keyed)]
    fold.feed(0, fold.prepare(0, chunk_of(CASE.pipeline, rows)))
    return fold


def test_the_age_is_that_of_the_newest_training() -> None:
    """`a` is trained with each complete row from its fifth on, last at 60 s; `b` with four never; the newest row is at 100 s."""
    rows = [("a", at, float(at)) for at in (10, 20, 30, 40, 50, 60)] + [("b", at, 1.0) for at in (61, 62, 63, 64)]
    fold = _fold([*rows, ("a", 70, None), ("a", 100, None)])
    assert fold.learned_ns() == {("row", "forest"): (START + 60) * SECOND}
    assert model_ages([fold]) == {("row", "forest"): 40.0}
    # A worker of two partitions: the newest row and the newest model of both.
    other = _fold([*(("c", at, float(at)) for at in (71, 72, 73, 74, 90)), ("c", 91, None)])
    assert model_ages([fold, other]) == {("row", "forest"): 10.0}
    assert model_ages([]) == {}


def test_it_is_the_same_after_a_restart() -> None:
    fold = _fold([("a", at, float(at)) for at in (10, 20, 30, 40, 50, 60)])
    again = Fold(fold.plan, live=True)
    again.assign(0, fold.snapshot(0))
    assert again.learned_ns() == fold.learned_ns() == {("row", "forest"): (START + 60) * SECOND}


def test_prometheus_is_told() -> None:
    status = Status(0.0, Ledger(), 0, {}, {("row", "forest"): 40.0})
    engine = SimpleNamespace(status=status, result=SimpleNamespace(pipeline="aged"))
    (ages,) = [metric for metric in _Figures(cast("Any", engine)).collect() if metric.name == "offbeat_model_age_seconds"]
    assert [(sample.labels, sample.value) for sample in ages.samples] == [
        ({"pipeline": "aged", "view": "row", "detector": "forest"}, 40.0)
    ]
