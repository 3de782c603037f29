"""Settings of the robust covariance."""

from __future__ import annotations

from typing import Literal

from offbeat.detectors.spec import ModelSpec


class RobustCovarianceSpec(ModelSpec):
    """Votes for rows far from the bulk of the data, measured in the bulk's own shape. Sees combinations that no single feature shows."""

    type: Literal["robust_covariance"] = "robust_covariance"
