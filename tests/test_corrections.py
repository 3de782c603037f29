"""Call records day by day: new days, late files and corrected ones leave what one run over the files, as they are in the end, leaves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from restart_runs import plain

from offbeat.core.plan import Plan
from offbeat.engines.local import LocalEngine, Run
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.io.open import FileSource
from offbeat.io.read_alerts import latest, read_alerts
from offbeat.spec.load import load_text

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

DAYS = 24
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Local days begin at 18:30 UTC, so that each file reaches over two of them."""
    return load_text((ROOT / "offbeat/pipelines/cdr.yaml").read_text().replace("Africa/Algiers", "Asia/Kolkata"), "cdr").plan


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file for each day of UTC."""
    folder = tmp_path_factory.mktemp("made") / "cdr"
    generate_cdr(folder, rows=4_000, days=DAYS, customers=40, seed=5, zone="Asia/Kolkata", workers=1)
    return sorted(folder.glob("day=*/*.parquet"))


@dataclass(frozen=True)
class Nightly:
    """A folder of days and all that is made of it."""

    plan: Plan
    base: Path
    tables: bool = True

    @property
    def folder(self) -> Path:
        return self.base / "in"

    def put(self, days: Sequence[Path]) -> None:
        for day in days:
            place = self.folder / day.parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(day, place)

    def at(self, day: Path) -> Path:
        return self.folder / day.parent.name / day.name

    def run(self, *sources: Path, commit_seconds: float = 60.0) -> Run:
        paths = [str(source) for source in sources or (self.folder,)]
        return LocalEngine(
            self.plan,
            FileSource(self.plan.source, paths),
            alerts=[str(self.base / "alerts.jsonl")],
            tables=[str(self.base / "tables")] if self.tables else [],
            quarantine=self.base / "quarantine.parquet",
            state=self.base / "state",
            commit_seconds=commit_seconds,
        ).run()

    def standing(self) -> list[str]:
        """What is said in the end, however often something was said of it before."""
        alerts = latest(read_alerts(self.base / "alerts.jsonl")).filter(pl.col("status") != "withdrawn")
        return plain(alerts.drop("revision"))

    def written(self) -> dict[str, list[Any]]:
        tables = {}
        for folder in sorted((self.base / "tables").iterdir()) if self.tables else []:
            days = [pl.read_parquet(file).with_columns(day=pl.lit(file.parent.name)) for file in folder.glob("day=*/*.parquet")]
            tables[folder.name] = sorted((row for day in days for row in day.rows()), key=repr)
        return tables


def files(job: Nightly) -> list[Path]:
    return sorted(job.folder.glob("day=*/*.parquet"))


def assert_as_one_run(job: Nightly, run: Run, days: Sequence[Path] | None = None) -> None:
    """`days`: the files of the one run; by default what is in the folder."""
    once = Nightly(job.plan, job.base.with_name(job.base.name + "-once"), job.tables)
    once.put(files(job) if days is None else days)
    whole = once.run()
    assert job.standing() == once.standing()
    assert len(once.standing()) > 10
    assert job.written() == once.written()
    assert run.ledger.as_dict() == whole.ledger.as_dict()
    assert run.ledger.accounted() == run.ledger.rows_in
    alerts = read_alerts(job.base / "alerts.jsonl")
    assert not alerts.select("alert_id", "revision", "status").is_duplicated().any(), "delivered twice"


def test_day_by_day(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job")
    for at in (0, 9, 10, 11, 20, 21, 22, 23):
        before = len(files(job))
        job.put(made[before : at + 1])
        run = job.run(*(job.at(day) for day in made[before : at + 1]))
        assert run.notes == []
    assert_as_one_run(job, run)


@pytest.mark.parametrize("by", [1, 3])
def test_a_day_that_comes_late(plan: Plan, made: list[Path], tmp_path: Path, by: int) -> None:
    job = Nightly(plan, tmp_path / "job")
    late = made[18]
    job.put([*made[:18], *made[19 : 19 + by]])
    job.run()
    job.put([late])
    run = job.run(job.at(late))
    assert run.notes == [f"{job.at(late)}: came late; windows from 2024-01-19 on were judged again"]
    job.put(made[19 + by :])
    rest = [job.at(day) for day in made[19 + by :]]
    assert_as_one_run(job, job.run(*rest))
    assert run.ledger.late == 0
