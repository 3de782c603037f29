"""One trained model of the population forest: its trees, what its threshold follows from, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from offbeat.core.batch import F64
from offbeat.core.compiled import compiled
from offbeat.core.plan import PopulationPlan
from offbeat.core.state import Arrays, decode, encode
from offbeat.detectors.isolation_forest.forest_kernels import attribute_rows
from offbeat.detectors.isolation_forest.isolation_forest import Forests, IsolationForest
from offbeat.detectors.population_forest.population_kernels import Packed, packed, path_scores, usual_values
from offbeat.detectors.population_forest.population_sample import Sampled
from offbeat.detectors.trained.float32 import F32, by_row
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.model_slots import SPEAKS
from offbeat.detectors.trained.random import stream
from offbeat.detectors.trained.shared_training import WIDTH
from offbeat.detectors.trained.thresholds import ENOUGH
from offbeat.errors import UserError

STAND_IN = 8192
"""Rows of the sample whose scores by the new model stand in where there are not enough live ones."""
_BITS = 48
"""Of a model's version: 15 digits at most, and whole in a double."""
_KIND = "population_forest"


@compiled
def model_seed(pipeline: np.uint64, detector: np.uint64, start: int) -> np.uint64:
    """Seed of the model of the tick that starts at `start`."""
    return stream(stream(stream(pipeline, 0) ^ detector, 0), start)


@dataclass(frozen=True, slots=True)
class PopulationModel:
    """A forest for rows of all keys."""

    forest: Forests
    """(trees, nodes) arrays."""
    packed: Packed
    scores: F64
    """Raw scores in rising order, of which the threshold is a quantile."""
    usual: F64
    """(3, k) mean, lower and upper end of what is usual for each feature, for explanations only."""
    span: tuple[int, int, int]
    """Of the windows it was trained on: first start, last start, number."""
    features: tuple[str, ...]
    version: int
    """Names the training: equal for equal rows, settings and seed; above 0."""

    def score(self, x: F32) -> F64:
        """(n,) raw scores of (k, n) rows: c(ψ) / mean path length."""
        return path_scores(x, *self.packed)

    def contributions(self, rows: F64) -> F64:
        """(k, m) parts of 1 - 1/raw of (m, k) rows by feature, as `IsolationForest` defines them."""
        feature, threshold, leaf, size = self.forest
        place, speaks = np.zeros(1, np.int32), np.full(1, SPEAKS, np.int8)
        return attribute_rows(np.zeros(len(rows), np.int32), rows, place, speaks, feature[None], threshold[None], leaf[None], size[None])


def train(plan: PopulationPlan, sampled: Sampled, seed: np.uint64) -> PopulationModel | str:
    """The model of a sample, or why there is none."""
    n, k = sampled.rows.shape
    if n < plan.train_min:
        return f"no verdict: {n:,} rows without a null are there to learn from, and {plan.train_min:,} are the least"
    one = np.ones(1, np.int64)
    grown = IsolationForest(k, plan.trees, plan.sample)
    grown.grow(1)
    grown.train(Training(np.zeros(1, np.int32), one - 1, one * n, sampled.rows, one, np.full(1, seed, np.uint64)))
    if note := grown.note(0):
        return note
    forest = _without_unreached(grown.forest(0))
    walked = packed(forest, k)
    live = sampled.live[~np.isnan(sampled.live)]
    if len(live) < ENOUGH:
        live = path_scores(np.ascontiguousarray(by_row(sampled.rows[:STAND_IN]).T), *walked)
    version = xxhash.xxh3_64(f"{seed} {plan.trees} {plan.sample} {n} {k}".encode())
    for array in (sampled.hashes, sampled.rows):
        version.update(np.ascontiguousarray(array).data)
    return PopulationModel(
        forest=forest,
        packed=walked,
        scores=np.sort(live),
        usual=usual_values(sampled.rows, WIDTH),
        span=(int(sampled.starts.min()), int(sampled.starts.max()), n),
        features=plan.features,
        version=max(version.intdigest() >> (64 - _BITS), 1),
    )


def _without_unreached(forest: Forests) -> Forests:
    """The forest with zeros where no row comes, so that equal forests are equal files."""
    trees, nodes = forest.feature.shape
    reached, sized = np.zeros((trees, 2 * nodes), np.bool_), np.zeros((trees, 2 * nodes), np.bool_)
    reached[:, 1] = sized[:, 1] = True
    split = forest.threshold < np.inf
    first = 1
    while first < nodes:
        level, below = slice(first, 2 * first), slice(2 * first, 4 * first)
        reached[:, below] = np.stack([reached[:, level], reached[:, level] & split[:, level]], axis=2).reshape(trees, -1)
        sized[:, below] = np.repeat(sized[:, level] & split[:, level], 2, axis=1)
        first *= 2
    leaf, size = np.where(reached[:, nodes:], forest.leaf, np.float32(0)), np.where(sized[:, :nodes], forest.size, np.uint8(0))
    return Forests(forest.feature.copy(), forest.threshold.copy(), leaf, size)


def save(model: PopulationModel) -> bytes:
    """The model's file, one Arrow stream."""
    arrays: Arrays = {**model.forest._asdict(), "scores": model.scores, "usual": model.usual}
    return encode(arrays, {"kind": _KIND, "features": list(model.features), "version": model.version, "span": list(model.span)})


def load(path: str, features: tuple[str, ...]) -> PopulationModel:
    """The model of a file that `save` made. Raises UserError where it is none, or one over other features."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the model cannot be read: {error.strerror}") from None
    try:
        arrays, document = decode(data, path)
    except UserError:
        document = {}
    if document.get("kind") != _KIND:
        raise UserError(f"{path}: not the model of a population forest, or damaged, or of another version of offbeat")
    if tuple(document["features"]) != features:
        raise UserError(f"{path}: a model over the features {', '.join(document['features'])}, not {', '.join(features)}")
    forest = Forests(*(arrays[name] for name in Forests._fields))
    first, last, n = document["span"]
    return PopulationModel(
        forest, packed(forest, len(features)), arrays["scores"], arrays["usual"], (first, last, n), features, document["version"]
    )
