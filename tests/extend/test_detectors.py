"""Detectors of other packages: the page's examples run, our own pass the same check, and what is wrong is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from fenced import blocks, write_modules
from folders import DOCS

import offbeat
from offbeat.errors import SpecError
from offbeat.extend import KeyedDetector, StatelessDetector
from offbeat.testing import check_detector

PAGE = DOCS / "write-a-detector.md"


class Page(NamedTuple):
    detectors: ModuleType
    neighbours: ModuleType
    checks: ModuleType


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The page's modules, imported."""
    names = write_modules(PAGE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Page(*map(import_module, names))
    for name in names:
        sys.modules.pop(name, None)


def sensors(values: list[float]) -> pl.DataFrame:
    at = [f"2024-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z" for i in range(len(values))]
    return pl.DataFrame({"sensor": ["s"] * len(values), "at": at, "value": values})


@pytest.mark.usefixtures("page")
def test_the_pages_pipeline(tmp_path: Path) -> None:
    """Alternating 1 and -1: mean 0, deviation 1 nearly. From row 200 on 3 more each row: 3 to 4 deviations, so the third row crosses 8."""
    (tmp_path / "p.yaml").write_text(blocks(PAGE, "yaml")[0])
    values = [1.0 if i % 2 else -1.0 for i in range(200)] + [3.0] * 6
    result = offbeat.run(tmp_path / "p.yaml", sensors(values))
    alerts = result.alerts.sort("time")
    (first,) = alerts["detectors"].to_list()[0]
    by_hand, n, mean, squares, up = 0, 0, 0.0, 0.0, 0.0
    for number, x in enumerate(values):
        if n >= 20:
            up = max(0.0, up + (x - mean) / np.sqrt(squares / (n - 1)) - 0.5)
            if up > 8 and not by_hand:
                by_hand = number
                assert first["raw"] == pytest.approx(up, rel=1e-12)
        seen = [*values[: number + 1]]
        n, mean = len(seen), float(np.mean(seen))
        squares = float(((np.array(seen) - mean) ** 2).sum())
    assert alerts["time"][0].second == by_hand % 60
    assert by_hand in {202, 203}
    assert (first["type"], first["observed"], first["threshold"], first["voted"]) == ("my_detectors:Cusum", 3.0, 8.0, True)


def test_the_pages_classes_keep_the_promises(page: Page) -> None:
    page.checks.test_cusum()


@pytest.mark.heavy
def test_a_wrapped_model_keeps_the_promises(page: Page) -> None:
    turns = {"train_on": 200, "train_min": 60, "retrain_every": 50}
    check_detector(page.neighbours.Neighbours, turns, features=2, rows=600, degenerate=False)


OWN: dict[str, dict[str, Any]] = {
    "isolation_forest": {"trees": 20, "train_on": 300, "train_min": 100, "retrain_every": 100},
    "half_space_trees": {"train_on": 300, "train_min": 100, "retrain_every": 100},
    "robust_covariance": {"train_on": 300, "train_min": 100, "retrain_every": 100},
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", OWN)
def test_our_own_detectors_keep_them(name: str) -> None:
    check_detector(name, OWN[name])


class Leaky(StatelessDetector):
    """Counts the rows of all calls: depends on how they are cut."""

    seen = 0

    def score(self, rows: Any) -> Any:
        Leaky.seen += 1
        return np.full(len(rows), float(Leaky.seen % 7))


class Growing(KeyedDetector):
    """Judges by the rows of its own call alone."""

    def start(self, features: int) -> Any:
        return np.zeros(features)

    def update(self, rows: Any, state: Any) -> Any:
        state[:] = rows[-1]
        return np.abs(rows[:, 0] - rows[:, 0].mean())


class Shapeless(StatelessDetector):
    def score(self, rows: Any) -> Any:
        return float(len(rows))


@pytest.mark.parametrize(("kind", "breaks"), [(Leaky, "cut into batches"), (Growing, "cut into batches")])
def test_the_check_finds_what_breaks_a_promise(kind: type, breaks: str) -> None:
    with pytest.raises(AssertionError, match=breaks):
        check_detector(kind)


def pipeline(**detector: Any) -> dict[str, Any]:
    views = {"v": {"detectors": {"d": {"features": ["value"], **detector}}}}
    return {"name": "p", "source": {"key": "sensor", "time": "at", "columns": {"value": "float"}}, "views": views}


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize(
    ("detector", "said"),
    [
        ({"type": "my_detectors:Cusun"}, "views.v.detectors.d.type: my_detectors:Cusun: my_detectors has no Cusun; did you mean Cusum?"),
        ({"type": "my_detectors:Cusum", "drift": -1.0}, "views.v.detectors.d.drift"),
        ({"type": "my_detectors:Cusum", "drifft": 1.0}, "views.v.detectors.d.drifft"),
        ({"type": "nowhere:Cusum"}, "there is no module 'nowhere'"),
        ({"type": "my_detectors:CusumSettings"}, "the class is no detector"),
        ({"type": "cusum"}, "views.v.detectors.d"),
    ],
)
def test_a_wrong_detector_is_refused(detector: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as refused:
        offbeat.run(pipeline(**detector), sensors([1.0]))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value).strip()


def test_scores_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(offbeat.UserError, match="2 rows want as many scores"):
        offbeat.run(pipeline(type=f"{__name__}:Shapeless"), sensors([1.0, 2.0]))


@pytest.mark.usefixtures("page")
def test_a_state_outlives_the_process(tmp_path: Path) -> None:
    """Two runs over two files with a state give the alerts of one over both."""
    values = [1.0 if i % 2 else -1.0 for i in range(200)] + [3.0] * 6
    frame = sensors(values)
    for name, part in (("a", frame[:150]), ("b", frame[150:])):
        part.write_csv(tmp_path / f"{name}.csv")
    detector = {"type": "my_detectors:Cusum", "limit": 8.0}
    for files in (["a.csv"], ["a.csv", "b.csv"]):
        offbeat.run(pipeline(**detector), [str(tmp_path / f) for f in files], alerts="out.jsonl", state="state")
    both = offbeat.run(pipeline(**detector), frame).alerts
    kept = pl.read_ndjson("out.jsonl")
    assert kept["alert_id"].sort().to_list() == both["alert_id"].cast(pl.String).sort().to_list()
    assert len(both) > 0
