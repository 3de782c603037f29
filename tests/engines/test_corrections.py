"""Call records day by day: new days, late files and corrected ones leave what one run over the files, as they are in the end, leaves."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat
from folders import ROOT
from restart_runs import fated, plain
from run_notes import but_silence

from offbeat.core.plan import Plan
from offbeat.engines.local import LocalEngine
from offbeat.engines.run_result import Run
from offbeat.errors import UserError
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_text

__all__ = ["offbeat"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

DAYS = 24
TEXT = (ROOT / "offbeat/pipelines/cdr.yaml").read_text().replace("Africa/Algiers", "Asia/Kolkata")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Local days begin at 18:30 UTC, so that each file reaches over two of them."""
    return load_text(TEXT, "cdr").plan


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
        alerts = latest(read_alerts(self.base / "alerts.jsonl")).filter(pl.col("status") != "retracted")
        return plain(alerts.drop("revision"))

    def written(self) -> dict[str, list[Any]]:
        tables = {}
        for folder in sorted((self.base / "tables").iterdir()) if self.tables else []:
            days = [pl.read_parquet(file).with_columns(day=pl.lit(file.parent.name)) for file in folder.glob("day=*/*.parquet")]
            tables[folder.name] = sorted((row for day in days for row in day.rows()), key=repr)
        return tables

    def left(self) -> dict[str, str]:
        """All files that runs have written, but for locks: their names and contents."""
        found = (path for path in self.base.rglob("*") if path.is_file() and self.folder not in path.parents and path.suffix != ".lock")
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


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


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Other content at a path."""
    change(pl.read_parquet(path)).write_parquet(path)


def corrections(run: Run) -> list[str]:
    """All remarks but those on files that were read before or have no rows."""
    return [note for note in but_silence(run.notes) if not note.endswith(" already read") and "no rows" not in note]


def told(note: str, *facts: object) -> bool:
    """Whether a remark is on the first of the facts, a file, and names the others."""
    return note.startswith(f"{facts[0]}: ") and all(str(fact) in note for fact in facts[1:])


def day_of(job: Nightly, *days: Path) -> list[Path]:
    job.put(days)
    return [job.at(day) for day in days]


@pytest.mark.heavy
def test_day_by_day(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job")
    for begin, end in ((0, 10), (10, 11), (11, 12), (12, 21), (21, 22), (22, 23), (23, 24)):
        run = job.run(*day_of(job, *made[begin:end]))
        assert but_silence(run.notes) == []
    assert_as_one_run(job, run)


@pytest.mark.heavy
@pytest.mark.parametrize("by", [1, 3])
def test_a_day_that_comes_late(plan: Plan, made: list[Path], tmp_path: Path, by: int) -> None:
    job = Nightly(plan, tmp_path / "job")
    late = made[18]
    job.run(*day_of(job, *made[:18], *made[19 : 19 + by]))
    run = job.run(*day_of(job, late))
    (note,) = but_silence(run.notes)
    assert told(note, job.at(late), "late", "from 2024-01-19 on")
    assert run.ledger.late == 0
    assert_as_one_run(job, job.run(*day_of(job, *made[19 + by :])))


@pytest.mark.heavy
def test_days_before_a_late_one_stay_as_they_were_written(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    """Days 1 to 18 are in one file and closed as one; regions have nothing to judge again as neither day 18 nor the late one has any."""
    job = Nightly(plan, tmp_path / "job")
    nowhere = pl.lit(None, pl.String).alias("wilaya_code")
    job.put([made[0], *made[19:]])
    pl.concat([*map(pl.read_parquet, made[:17]), pl.read_parquet(made[17]).with_columns(nowhere)]).write_parquet(job.at(made[0]))
    job.run()
    pl.read_parquet(*day_of(job, made[18])).with_columns(nowhere).write_parquet(job.at(made[18]))
    run = job.run()
    (note,) = corrections(run)
    assert told(note, job.at(made[18]), "late", "from 2024-01-19 on")
    assert_as_one_run(job, run)


def one_half(day: pl.DataFrame) -> pl.DataFrame:
    return day.head(day.height // 2)


def twice_as_many(day: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([day, day.with_columns(pl.col("cdr_id") + 1_000_000, pl.col("timestamp") + pl.duration(seconds=1))]).sort("timestamp")


def larger(day: pl.DataFrame) -> pl.DataFrame:
    return day.with_columns(pl.col("data_volume_mb") * 40)


def none(day: pl.DataFrame) -> pl.DataFrame:
    return day.clear()


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("change", "at"), [(one_half, 17), (twice_as_many, 17), (larger, 17), (none, 17), (larger, DAYS - 1), (none, DAYS - 1)]
)
def test_a_corrected_day(plan: Plan, made: list[Path], tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], at: int) -> None:
    """Also the last one, whose windows were still open."""
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    job.run()
    rewrite(job.at(made[at]), change)
    run = job.run()
    # The local day of the first row began on the day before by UTC. Without its last file the input ends in the afternoon of that day.
    day, again = (at, 2) if change is none and at == DAYS - 1 else (at + 1, DAYS - at + 1 - (change is none))
    (note,) = corrections(run)
    assert told(note, job.at(made[at]), "changed", f"from 2024-01-{day} on", f"({again} files ")
    assert_as_one_run(job, run)
    assert job.run().ledger.as_dict() == run.ledger.as_dict()


@pytest.mark.heavy
def test_a_corrected_day_a_late_one_and_a_new_one_at_once(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job")
    job.put([*made[:15], *made[16:22]])
    job.run()
    rewrite(job.at(made[18]), larger)
    rewrite(job.at(made[20]), none)
    job.put([made[15], *made[22:]])
    run = job.run()
    assert [note.partition(":")[0] for note in corrections(run)] == [str(job.at(made[at])) for at in (20, 18, 15)]
    assert_as_one_run(job, run)


@pytest.mark.heavy
def test_a_file_that_is_corrected_more_than_once_and_back(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    for change in (larger, one_half, none, larger):
        job.run()
        job.put([made[19]])
        rewrite(job.at(made[19]), change)
    job.run()
    job.put([made[19]])
    assert_as_one_run(job, job.run())


@pytest.mark.heavy
def test_an_alert_that_a_correction_takes_away_is_withdrawn(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    start = datetime(2024, 1, 18, 18, 30, tzinfo=UTC)
    who = pl.read_parquet(made[18]).filter(pl.col("timestamp") < start + timedelta(days=1), pl.col("cdr_type") == "DATA")["customer_id"][0]
    volume = pl.when(pl.col("customer_id") == who).then(9e6).otherwise("data_volume_mb")
    rewrite(job.at(made[18]), lambda rows: rows.with_columns(data_volume_mb=volume))
    job.run()
    mine = (pl.col("view") == "customer_day") & (pl.col("key") == str(who)) & (pl.col("time") == start)
    (told,) = read_alerts(job.base / "alerts.jsonl").filter(mine).to_dicts()
    assert told["status"] == "final"
    job.put([made[18]])
    run = job.run()
    says = latest(read_alerts(job.base / "alerts.jsonl")).filter(mine).to_dicts()
    assert [(said["alert_id"], said["status"]) for said in says] == [(told["alert_id"], "retracted")]
    assert says[0]["revision"] > told["revision"]
    assert_as_one_run(job, run)


@pytest.mark.heavy
def test_a_file_handed_over_twice(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    """The same content counts once, by whatever name; the same rows in another file are duplicates, by the pipeline's `unique`."""
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    first = job.run()
    copy = tmp_path / "again.parquet"
    shutil.copy(job.at(made[18]), copy)
    (note,) = but_silence(job.run(copy).notes)
    assert told(note, copy, job.at(made[18]))
    assert job.run(copy).ledger.as_dict() == first.ledger.as_dict()
    packed = job.at(made[18]).with_name("packed.parquet")
    pl.read_parquet(made[18]).write_parquet(packed, compression="gzip")
    run = job.run()
    assert run.ledger.duplicate == first.ledger.duplicate + pl.read_parquet(made[18]).height
    assert_as_one_run(job, run)


@pytest.mark.heavy
def test_what_is_missing_is_asked_for(plan: Plan, made: list[Path], tmp_path: Path, offbeat: Command) -> None:
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    job.run()
    rewrite(job.at(made[17]), one_half)
    before = job.left()
    pipeline = tmp_path / "cdr.yaml"
    pipeline.write_text(TEXT)
    outputs = ["--alerts", job.base / "alerts.jsonl", "--tables", job.base / "tables", "--quarantine", job.base / "quarantine.parquet"]
    said = offbeat.refused("run", pipeline, job.at(made[17]), *outputs, "--state", job.base / "state")
    missing = f"{job.at(made[16])}, {job.at(made[18])}, {job.at(made[19])} and 4 others"
    assert told(said, job.at(made[17]), missing, "all files from 2024-01-18 on")
    assert job.left() == before
    assert_as_one_run(job, job.run())


@pytest.mark.heavy
def test_what_comes_out_of_order_is_late_where_the_rest_is_not_there(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    """Half a day came before; with its other half the keys' rows are in order only if both are read."""
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    later = job.at(made[19])
    earlier = later.with_name("earlier.parquet")
    rows = pl.read_parquet(later).with_row_index()
    rows.filter(pl.col("index") % 2 == 0).drop("index").write_parquet(later)
    job.run()
    rows.filter(pl.col("index") % 2 == 1).drop("index").write_parquet(earlier)
    shutil.copytree(job.base, tmp_path / "aside")
    alone = job.run(earlier)
    assert alone.ledger.late > 0
    note, *_ = but_silence(alone.notes)
    assert told(note, earlier, "late", "all files from 2024-01-20 on")
    shutil.rmtree(job.base)
    shutil.copytree(tmp_path / "aside", job.base)
    run = job.run()
    (note,) = corrections(run)
    assert told(note, earlier, "late", "from 2024-01-20 on", "(7 files ")
    assert run.ledger.late == 0
    assert_as_one_run(job, run)


@pytest.mark.heavy
def test_a_file_that_overlaps_is_only_added_where_every_key_goes_on(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    """Each file has some customers: the second begins before the first has ended, and nothing has to be read again."""
    job = Nightly(plan, tmp_path / "job")
    job.put(made)
    other = job.at(made[19]).with_name("other.parquet")
    rows = pl.read_parquet(made[19])
    some = pl.col("customer_id") % 2 == 0
    pl.concat([pl.read_parquet(made[18]).filter(~some), rows.filter(~some)]).write_parquet(other)
    for at in (18, 19):
        rewrite(job.at(made[at]), lambda day: day.filter(some))
    held = other.rename(tmp_path / "other.parquet")
    for path in map(job.at, made[20:]):
        path.unlink()
    job.run()
    held.rename(other)
    run = job.run()
    assert corrections(run) == []
    assert_as_one_run(job, job.run(*day_of(job, *made[20:])))


@pytest.mark.heavy
@pytest.mark.parametrize("hard", [False, True])
def test_a_correction_survives_a_crash(plan: Plan, made: list[Path], tmp_path: Path, hard: bool) -> None:
    job, aside = Nightly(plan, tmp_path / "job"), tmp_path / "aside"
    job.put([*made[:15], *made[16:]])
    job.run()
    rewrite(job.at(made[20]), larger)
    job.put([made[15]])
    shutil.copytree(job.base, aside)
    with fated() as fate:
        job.run(commit_seconds=0.0)
    steps = fate.count
    assert steps > 100
    for at in range(steps // 14, steps, steps // 7):
        shutil.rmtree(job.base)
        shutil.copytree(aside, job.base)
        with fated(at, hard=hard) as fate:
            assert fate.kills(lambda: job.run(commit_seconds=0.0))
        with fated():
            run = job.run()
        assert_as_one_run(job, run)


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_a_column(path: Path) -> None:
    pl.read_parquet(path).drop("cdr_type").write_parquet(path)


def with_truths(path: Path) -> None:
    pl.read_parquet(path).with_columns(data_volume_mb=pl.lit(value=True)).write_parquet(path)


def garbled(path: Path) -> None:
    """Whole, but for what its pages hold."""
    data = bytearray(path.read_bytes())
    data[200:400] = b"?" * 200
    path.write_bytes(data)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("spoil", "when"),
    [
        (cut_in_half, "new"),
        (cut_in_half, "corrected"),
        (without_a_column, "late"),
        (with_truths, "new"),
        (garbled, "late"),
        (garbled, "corrected"),
    ],
)
def test_a_bad_file_changes_nothing(plan: Plan, made: list[Path], tmp_path: Path, spoil: Callable[[Path], None], when: str) -> None:
    job = Nightly(plan, tmp_path / "job")
    bad = {"new": made[22], "late": made[18], "corrected": made[21]}[when]
    job.put([day for day in made[:22] if when == "corrected" or day != bad])
    job.run()
    before = job.left()
    job.put([bad])
    spoil(job.at(bad))
    with pytest.raises(UserError, match=str(job.at(bad))):
        job.run()
    assert job.left() == before
    job.put([bad])
    assert_as_one_run(job, job.run())


def test_a_column_that_is_gone_is_told_where_the_pipeline_can_do_without(plan: Plan, made: list[Path], tmp_path: Path) -> None:
    job = Nightly(plan, tmp_path / "job", tables=False)
    job.run(*day_of(job, *made[:20]))
    new = day_of(job, *made[20:23])
    for path in new[:2]:
        rewrite(path, lambda day: day.drop("wilaya_code"))
    run = job.run(*new)
    (note,) = but_silence(run.notes)
    assert told(note, f"{new[0]} and 1 more", "'wilaya_code'")
