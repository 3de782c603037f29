"""Hypothesis runs the same examples everywhere unless told otherwise: a red build must be red again at one's desk."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from phases import PHASES

pytest_plugins = ["one_broker", "kafka_rows", "one_browser", "one_spark", "stores"]

settings.register_profile("ci", derandomize=True, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
settings.register_profile("hunt", parent=settings.get_profile("ci"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
