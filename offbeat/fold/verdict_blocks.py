"""What a detector said of reported rows, with its evidence, as alerts carry it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled
from offbeat.decide.block import DetectorBlock
from offbeat.detectors.verdict import Evidence, Verdicts

_MAX = float(np.finfo(np.float64).max)


@compiled
def _finite(values: F64) -> F64:
    """A copy in which what overflowed is null [S7]."""
    out = np.empty_like(values)
    for place, x in np.ndenumerate(values):
        out[place] = x if abs(x) <= _MAX else np.nan
    return out


def detector_block(name: str, verdicts: Verdicts, evidence: Evidence, index: I64) -> DetectorBlock:
    """Verdicts on n rows, and the evidence of those at `index`."""
    return DetectorBlock(
        name=name,
        score=verdicts.score[index],
        threshold=_finite(evidence.threshold),
        voted=verdicts.voted[index],
        observed=_finite(evidence.observed),
        expected=evidence.expected,
        features=evidence.features,
        contributions=_finite(evidence.contributions),
        odd=replace(evidence.odd, values=_finite(evidence.odd.values)),
        notes=evidence.notes,
        version=evidence.version,
    )
