"""Values outside the range of their baseline: the part of the evidence whose length differs by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I32, I64


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """Features of m rows that are out of range; row i has those from offsets[i] to offsets[i + 1]."""

    offsets: I64
    """(m + 1,)"""
    feature: I32
    """(t,) number of the feature."""
    values: F64
    """(4, t) observed, expected, and the lower and upper end of the range."""

    def take(self, index: I64) -> OutOfRange:
        """Those of the rows at `index`."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.append(np.int64(0), np.cumsum(lengths))
        at = np.repeat(self.offsets[index] - offsets[:-1], lengths) + np.arange(int(offsets[-1]))
        return OutOfRange(offsets, self.feature[at], self.values[:, at])

    @staticmethod
    def none(m: int) -> OutOfRange:
        """Nothing out of range in m rows."""
        return OutOfRange(np.zeros(m + 1, np.int64), np.zeros(0, np.int32), np.zeros((4, 0)))

    @staticmethod
    def joined(parts: Sequence[OutOfRange]) -> OutOfRange:
        """The rows of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        ends = np.cumsum([part.offsets[-1] for part in parts])
        offsets = [parts[0].offsets, *(part.offsets[1:] + end for part, end in zip(parts[1:], ends, strict=False))]
        feature, values = np.concatenate([p.feature for p in parts]), np.concatenate([p.values for p in parts], axis=1)
        return OutOfRange(np.concatenate(offsets), feature, values)
