"""Detectors of other packages: the page's examples run, our own pass the same check, and what is wrong is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pytest
from fenced import blocks, write_modules
from folders import DOCS

import offbeat
from offbeat.detectors.spec import ModelSpec, detector_types
from offbeat.errors import SpecError
from offbeat.extend import KeyedDetector, PopulationDetector, StatelessDetector
from offbeat.spec.load import load_text
from offbeat.testing import check_detector

PAGE = DOCS / "write-a-detector.md"


class Page(NamedTuple):
    detectors: ModuleType
    river: ModuleType
    population: ModuleType
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


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["test_cusum", "test_river", "test_population"])
def test_the_pages_classes_keep_the_promises(page: Page, name: str) -> None:
    getattr(page.checks, name)()


OWN: dict[str, dict[str, Any]] = {
    "isolation_forest": {"trees": 20, "train_on": 300, "train_min": 100, "retrain_every": 100},
    "half_space_trees": {"train_on": 300, "train_min": 100, "retrain_every": 100},
    "robust_covariance": {"train_on": 300, "train_min": 100, "retrain_every": 100},
    "population_forest": {"trees": 10, "train_min": 200},
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


class Wavering(PopulationDetector):
    """Scores by the number of rows in the call."""

    def train(self, rows: Any, seed: int) -> Any:
        return {"mean": rows.mean(axis=0), "seed": np.array(seed)}

    def score(self, model: Any, rows: Any) -> Any:
        return np.abs(rows - model["mean"]).max(axis=1) + len(rows)


class Homeless(Wavering):
    """Its model cannot be kept in a file."""

    def train(self, rows: Any, seed: int) -> Any:
        return rows.mean, seed


@pytest.mark.parametrize(
    ("kind", "settings", "breaks"),
    [(Leaky, {}, "cut into batches"), (Growing, {}, "cut into batches"), (Wavering, {"train_min": 100}, "other keys beside them")],
)
def test_the_check_finds_what_breaks_a_promise(kind: type, settings: dict[str, Any], breaks: str) -> None:
    with pytest.raises(AssertionError, match=breaks):
        check_detector(kind, settings)


def test_a_model_of_all_keys_must_be_arrays() -> None:
    with pytest.raises(offbeat.UserError, match="mapping of names to arrays of numbers"):
        check_detector(Homeless, {"train_min": 100})


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
        ({"type": "my_detectors:Cusum", "drifft": 1.0}, "did you mean 'drift'?"),
        ({"type": "cusum"}, "unknown type 'cusum'"),
        ({"type": "my_population:FarFromAll"}, "a view with a `rollup`"),
        ({"type": "my_population:FarFromAll", "train_min": 9, "sample_rows": 8}, "no model ever sees so many"),
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


def usage(days: int, odd: float) -> pl.DataFrame:
    """30 customers with one session a day each, of 10 + i % 5 MB for customer i; customer 7 has `odd` MB on the last two days."""
    rows = [(f"c{i:02}", f"2024-03-{day + 1:02}T10:00:00Z", 10.0 + i % 5) for day in range(days) for i in range(30)]
    frame = pl.DataFrame(rows, schema=["customer", "at", "mb"], orient="row")
    last = (pl.col("customer") == "c07") & (pl.col("at") >= rows[max(len(rows) - 31, 0)][1])
    return frame.with_columns(mb=pl.when(last).then(odd).otherwise(pl.col("mb")))


@pytest.mark.usefixtures("page")
def test_a_model_over_all_keys_by_hand(tmp_path: Path) -> None:
    """Median 12 and deviation 1 of 10 … 14 MB, so 19 MB is 7 deviations out; the scores before are 0, 1 and 2 (a row of 10 or 14)."""
    (tmp_path / "usage.yaml").write_text(blocks(PAGE, "yaml")[1])
    usage(6, 19.0).write_csv(tmp_path / "usage.csv")
    state = tmp_path / "state"
    result = offbeat.run(tmp_path / "usage.yaml", str(tmp_path / "usage.csv"), alerts=str(tmp_path / "a.jsonl"), state=str(state))
    versions = []
    for alert, learnt in zip(result.alerts.sort("time").to_dicts(), (120, 150), strict=True):
        (said,) = alert["detectors"]
        assert (alert["key"], said["raw"], said["threshold"], said["voted"], said["score"]) == ("c07", 7.0, 2.0, True, 7 / 9)
        assert (said["type"], said["window"]["n"]) == ("my_population:FarFromAll", learnt)
        versions.append(said["model_version"])
    assert result.ledger["warming_up"] == 60, "two days pass before 60 rows are there to learn from"
    # Elsewhere, by the model of the last day that is closed for good: the same raw score, also on the very first day.
    model = state / "models" / "day.far.arrow"
    other = offbeat.run(tmp_path / "usage.yaml", usage(1, 19.0), overrides=[f"day.far.model={model}"])
    (alone,) = other.alerts.to_dicts()
    assert (alone["key"], alone["detectors"][0]["raw"]) == ("c07", 7.0)
    assert alone["detectors"][0]["model_version"] == versions[0] != versions[1]
    text = (tmp_path / "usage.yaml").read_text().replace('"my_population:FarFromAll"', "population_forest")
    (tmp_path / "forest.yaml").write_text(text)
    with pytest.raises(offbeat.UserError, match="not a model of population_forest"):
        offbeat.run(tmp_path / "forest.yaml", usage(1, 19.0), overrides=[f"day.far.model={model}"])


def test_settings_alone_are_no_detector() -> None:
    """A settings class of another package is not taken for one of ours, whose detector would be missing when the run begins."""

    class MedianDistanceSpec(ModelSpec):
        """Votes for rows far from the median of the training rows."""

        type: Literal["median_distance"] = "median_distance"

    detector_types.cache_clear()
    assert MedianDistanceSpec().type not in detector_types()
    view = "{detectors: {mine: {type: median_distance, features: [x]}}}"
    text = f"name: p\nsource: {{key: k, time: t, columns: {{x: float}}}}\nviews: {{v: {view}}}\n"
    with pytest.raises(SpecError, match=r"unknown type 'median_distance'.*package\.module:Class"):
        load_text(text)
