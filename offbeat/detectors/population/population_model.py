"""One trained model of all keys: what it was fitted on, what its threshold follows from, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import xxhash

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled
from offbeat.core.plan import PopulationPlan
from offbeat.core.state import Arrays, decode, encode, prefixed, under
from offbeat.detectors.population.population_kernels import usual_values
from offbeat.detectors.population.population_sample import Sampled
from offbeat.detectors.trained.constants import constants
from offbeat.detectors.trained.random import stream
from offbeat.detectors.trained.shared_training import WIDTH
from offbeat.detectors.trained.thresholds import ENOUGH, rank
from offbeat.errors import UserError

STAND_IN = 8192
"""Rows of the sample whose scores by the new model stand in where there are not enough live ones."""
_BITS = 48
"""Of a model's version: 15 digits at most, and whole in a double."""
_FITTED = "fitted"
"""Stands before the names of a model's own arrays in its file."""


class Scorer(Protocol):
    """A fitted model, made ready to score rows. Scoring changes nothing."""

    def score(self, outputs: F64, inputs: I64, rows: I64) -> F64:
        """(m,) raw scores of rows without a null, by number among outputs (o, n): 0 or more, higher = odder; NaN: no verdict."""

    def contributions(self, rows: F64) -> F64:
        """(k, m) parts of the raw score of (m, k) rows by feature; NaN where nothing is known."""


class Silent:
    """A `Scorer` without a model, where no feature ever varied."""

    def score(self, outputs: F64, inputs: I64, rows: I64) -> F64:
        """(m,) NaN."""
        del outputs, inputs
        return np.full(len(rows), np.nan)

    def contributions(self, rows: F64) -> F64:
        """(k, m) NaN."""
        return np.full(rows.shape[::-1], np.nan)


class Method(Protocol):
    """How a model of all keys is fitted. Equal rows, settings and seed give equal arrays, to the bit."""

    settings: str
    """What decides a model beside its rows and its seed."""

    @property
    def tolerance(self) -> float | None:
        """As `Model.tolerance`: whether features that were constant in training are judged beside the model."""

    def fit(self, rows: F64, seed: np.uint64) -> Arrays | str:
        """The arrays of a model of (n, k) rows, or why there is none."""

    def scorer(self, arrays: Arrays) -> Scorer:
        """What `fit` gave, or a file held, made ready to score."""


@compiled
def model_seed(pipeline: np.uint64, detector: np.uint64, start: int) -> np.uint64:
    """Seed of the model of the tick that starts at `start`."""
    return stream(stream(stream(pipeline, 0) ^ detector, 0), start)


@dataclass(frozen=True, slots=True)
class PopulationModel:
    """A model for rows of all keys."""

    arrays: Arrays
    """What was fitted."""
    scorer: Scorer
    scores: F64
    """Raw scores in rising order, live ones where there are enough, of which the threshold is a quantile."""
    own: F64
    """The model's scores of the first rows that it was trained on, in rising order: the threshold is not below their quantile [R15]."""
    constants: F64
    """(3, k) of features that never varied in these rows, as `constants` has them."""
    usual: F64
    """(3, k) mean, lower and upper end of what is usual for each feature, for explanations only."""
    span: tuple[int, int, int]
    """Of the windows it was trained on: first start, last start, number."""
    version: int
    """Names the training: equal for equal rows, settings and seed; above 0."""


def train(plan: PopulationPlan, method: Method, sampled: Sampled, seed: np.uint64) -> PopulationModel | str:
    """The model of a sample, or why there is none."""
    n, k = sampled.rows.shape
    if n < plan.train_min:
        return f"no verdict: {n:,} rows without a null to learn from; at least {plan.train_min:,} are needed"
    still = np.full((3, k), np.nan)
    if method.tolerance is not None:
        most = n - 1 - rank(n, *Fraction(repr(plan.contamination)).as_integer_ratio())
        constants(sampled.rows, 0, n, most, method.tolerance, still)
    alike = bool((still[1] == still[2]).all())
    arrays = {} if alike else method.fit(sampled.rows, seed)
    if isinstance(arrays, str):
        return arrays
    scorer = method.scorer(arrays) if arrays else Silent()
    learnt = np.ascontiguousarray(sampled.rows[:STAND_IN].T)
    own = scorer.score(learnt, np.arange(k), np.arange(learnt.shape[1]))
    own = own[~np.isnan(own)]
    live = sampled.live[~np.isnan(sampled.live)]
    if len(live) < ENOUGH:
        live = own
    if not len(live) and not alike:
        return "no verdict: the model has none on the rows it was trained on"
    version = xxhash.xxh3_64(f"{seed} {method.settings} {n} {k}".encode())
    for array in (sampled.hashes, sampled.rows):
        version.update(np.ascontiguousarray(array).data)
    return PopulationModel(
        arrays=arrays,
        scorer=scorer,
        scores=np.sort(live),
        own=np.sort(own),
        constants=still,
        usual=usual_values(sampled.rows, WIDTH),
        span=(int(sampled.starts.min()), int(sampled.starts.max()), n),
        version=max(version.intdigest() >> (64 - _BITS), 1),
    )


def save(plan: PopulationPlan, model: PopulationModel) -> bytes:
    """The model's file, one Arrow stream."""
    kept: Arrays = {"scores": model.scores, "own": model.own, "constants": model.constants, "usual": model.usual}
    arrays = {**prefixed(_FITTED, model.arrays), **kept}
    return encode(arrays, {"kind": plan.type, "features": list(plan.features), "version": model.version, "span": list(model.span)})


def load(plan: PopulationPlan, method: Method) -> PopulationModel:
    """The model of the plan's file, which `save` made. Raises UserError where it is none, or one over other features."""
    path = plan.model
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the model cannot be read: {error.strerror}") from None
    try:
        arrays, document = decode(data, path)
    except UserError:
        document = {}
    if document.get("kind") != plan.type:
        raise UserError(f"{path}: not a model of {plan.type}, or damaged, or of another version of offbeat")
    if tuple(document["features"]) != plan.features:
        raise UserError(f"{path}: a model over the features {', '.join(document['features'])}, not {', '.join(plan.features)}")
    fitted = under(_FITTED, arrays)
    first, last, n = document["span"]
    return PopulationModel(
        arrays=fitted,
        scorer=method.scorer(fitted) if fitted else Silent(),
        scores=arrays["scores"],
        # A file of a former version tells neither.
        own=arrays.get("own", np.zeros(0)),
        constants=arrays.get("constants", np.full((3, len(plan.features)), np.nan)),
        usual=arrays["usual"],
        span=(first, last, n),
        version=document["version"],
    )
