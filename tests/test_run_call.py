"""`offbeat.run`: what its arguments may be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import offbeat

PIPELINE = {
    "name": "p",
    "source": {"key": "k", "time": "t", "columns": {"x": "float"}},
    "views": {"v": {"detectors": {"r": {"type": "rule", "when": "x > 5"}}}},
}


def test_outputs_are_paths_or_texts(tmp_path: Path) -> None:
    table = {"k": ["a"], "t": [datetime(2024, 1, 1, tzinfo=UTC)], "x": [9.0]}
    out = tmp_path / "out.jsonl"
    for alerts in (out, str(out), [out], [str(out)]):
        assert offbeat.run(PIPELINE, table, alerts=alerts).alerts.height == 1
