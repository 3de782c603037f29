"""The labelled sets of ADBench for tests: skipped where ../shared/data is absent."""

from __future__ import annotations

import pytest

from benchmarks.adbench import FOLDER, NAMES, auroc, labelled, published

__all__ = ["NAMES", "auroc", "labelled", "needs_adbench", "published"]

needs_adbench = pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared/data/labelled/adbench")
