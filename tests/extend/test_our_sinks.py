"""Our own sinks keep the contract that other people's must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offbeat.io.read.alert_files import read_alerts
from offbeat.io.report.console import alert_records
from offbeat.testing import check_sink


def read(uri: str) -> list[dict[str, Any]]:
    return alert_records(read_alerts(uri).to_arrow()) if Path(uri).exists() else []


@pytest.mark.heavy
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_files_that_runs_write(tmp_path: Path, ending: str) -> None:
    check_sink(lambda name: str(tmp_path / f"{name}.{ending}"), read, crashes=6)


@pytest.mark.heavy
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_dying_at_many_lines_of_them(tmp_path: Path, ending: str) -> None:
    check_sink(lambda name: str(tmp_path / f"{name}.{ending}"), read, crashes=30)
