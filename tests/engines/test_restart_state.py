"""The state directory and what it stands for: refused where it does not fit, kept where it does, and nothing touched besides."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from driver import plan_of
from restart_runs import HEADERS, Job, disordered, fated, left, standing, write
from under_test import ROLLED, SIDES

import offbeat
from offbeat.core.plan import Plan
from offbeat.core.state import decode, encode
from offbeat.engines.local import LocalEngine
from offbeat.errors import UserError
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_text

# The files that a process killed in the simulation had open are closed by the collector, which warns of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _plan(*changes: tuple[str, str]) -> Plan:
    text = ROLLED.text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_text(text, "changed").plan


def _day(folder: Path, number: int, rows: int = 60) -> str:
    """A day's file; every day begins after the one before has ended."""
    lines = disordered(ROLLED, rows, step=1200, reach=0, seed=number, start=1_600_000_000 + number * 100_000)
    folder.mkdir(parents=True, exist_ok=True)
    return str(write(folder / f"d{number}.csv", lines, HEADERS[ROLLED.name]))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job that has run once."""
    made = Job(plan_of(ROLLED), (_day(tmp_path / "in", 0),), tmp_path / "out")
    made.run()
    return made


def _ids(alerts: pl.DataFrame) -> list[str]:
    return sorted(alerts["alert_id"])


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def _refused(job: Job, *words: str) -> None:
    """One line with these words, nothing touched, and the directory free again."""
    before = _files(job.out)
    with pytest.raises(UserError) as refusal:
        job.run()
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert _files(job.out) == before


# -- another pipeline, other windows, other thresholds -------------------------------------------------------------------------------------


def test_state_of_another_pipeline(job: Job) -> None:
    _refused(replace(job, plan=_plan(("name: rolled", "name: other"))), "'rolled'", "'other'", str(job.state))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("lateness: 2h", "lateness: 1h"), "quality.lateness"),
        (("over: 7d", "over: 6d"), "views.sector_day.windows.week"),
        (("size: 1h", "size: 2h"), "views.market.rollup"),
        (("k2: banks", "k2: energy"), "views.sector_day.rollup"),
        (("unique: [time]", "unique: [time, volume]"), "quality.unique"),
    ],
)
def test_what_the_state_was_made_with_may_not_change(job: Job, change: tuple[str, str], part: str) -> None:
    _refused(replace(job, plan=_plan(change)), part, "new state directory")


def test_changed_thresholds_keep_the_state_and_apply_from_there_on(job: Job, tmp_path: Path) -> None:
    """Alerts of the first day are those of the old thresholds, those of the second day those of the new ones."""
    both = (*job.sources, _day(tmp_path / "in", 1))
    changed = _plan(("price > 9 AND volume > 5", "price > 2"), ("volume > 1.5 * usual", "volume / usual < 1.5"))
    rows = job.run().ledger.rows_in  # nothing new
    run = replace(job, plan=changed, sources=both).run()
    edge = pl.datetime(2020, 9, 13, 12, 26, 40, time_unit="ns", time_zone="UTC") + pl.duration(seconds=100_000)
    old, new = (Job(plan, both, tmp_path / name) for plan, name in ((job.plan, "old"), (changed, "new")))
    old.run()
    new.run()
    row = pl.col("view") == "row"
    got, before, after = (read_alerts(each.outputs[1]) for each in (job, old, new))
    expected = pl.concat([before.filter(row, pl.col("time") < edge)["alert_id"], after.filter(row, pl.col("time") >= edge)["alert_id"]])
    assert sorted(got.filter(row)["alert_id"]) == sorted(expected)
    assert got["plan_hash"].n_unique() == 2
    _, document = decode((job.state / "state.arrow").read_bytes(), "state")
    assert document["plans"] == [{"plan_hash": job.plan.plan_hash, "from_row": 0}, {"plan_hash": changed.plan_hash, "from_row": rows}]
    assert run.ledger.rows_in > rows
    judged = (pl.col("view") == "market") & (pl.col("time") < edge - pl.duration(hours=2))
    assert _ids(got.filter(judged)) == _ids(before.filter(judged))
    assert set(got.filter(judged)["plan_hash"]) == {job.plan.plan_hash}
    assert "retracted" not in set(got.filter(judged)["status"]), "windows judged before are not judged again"


def test_a_view_without_windows_may_join_and_a_cadence_may_change(job: Job, tmp_path: Path) -> None:
    sources = (*job.sources, _day(tmp_path / "in", 1))
    more = ("  row:\n", "  more:\n    detectors:\n      dear: {type: rule, when: price > 2}\n  row:\n")
    rows = job.run().ledger.rows_in
    run = replace(job, plan=_plan(more), sources=sources).run()
    joined = run.ledger.views["more"]
    assert joined.scored + joined.warming_up + joined.abstained <= run.ledger.rows_in - rows
    assert joined.scored > 0
    for number, cadence in enumerate(("1m", "30m", "30m"), start=2):
        sources = (*sources, _day(tmp_path / "in", number))
        run = replace(job, plan=_plan(("lateness: 2h", f"lateness: 2h\n  cadence: {cadence}")), sources=sources).run()
        assert run.gaps is not None
        assert run.gaps.height == 4
    assert job.run().gaps is None


def test_rows_held_back_meet_new_literals(tmp_path: Path) -> None:
    """Killed with rows in the buffer, then run with a rule that names other texts: the rows are judged by it."""
    text = SIDES.text().replace("unique: [time, seq, side]", "unique: [time, seq, side]\n  lateness: 1h")
    first = "{type: rule, when: ask >= 0.5 AND side = 'A', expected: 0.25}"
    old = text.replace(first, "{type: rule, when: side = 'N'}")
    new = text.replace(first, "{type: rule, when: \"side IN ('Z', 'B')\"}")
    assert old not in (text, new)
    lines = [f"k,2021-01-04 10:00:0{i},2.5,1,{'ABN'[i % 3]},{i}" for i in range(9)]
    source = str(write(tmp_path / "a.csv", lines, "key,time,price,size,side,seq"))
    job = Job(load_text(old, "old").plan, (source,), tmp_path / "out", block=128)
    with fated() as fate:
        job_steps = replace(job, out=tmp_path / "count")
        job_steps.run()
        drain = fate.seen.index("before Shard.drain")
    with fated(drain, hard=True) as fate:
        assert fate.kills(job.run)
    assert not job.outputs[0].read_text()
    replace(job, plan=load_text(new, "new").plan).run()
    alerts = read_alerts(job.outputs[0]).select("row", "detectors").explode("detectors").unnest("detectors")
    voted = alerts.filter((pl.col("name") == "one_sided") & pl.col("voted"))
    assert voted["row"].struct.field("side").to_list() == ["B"] * 3


# -- damage --------------------------------------------------------------------------------------------------------------------------------


def test_a_flipped_byte_anywhere(job: Job) -> None:
    """Refused before anything is made of it: Arrow would follow damaged offsets out of the process's memory."""
    data = (job.state / "state.arrow").read_bytes()
    chance = random.Random(3)
    places = [*range(200), *range(len(data) - 200, len(data)), *(chance.randrange(len(data)) for _ in range(1500))]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        with pytest.raises(UserError, match="the state: "):
            decode(bytes(damaged), "the state")


@pytest.mark.parametrize("damage", [lambda d: d[:0], lambda d: d[:-1], lambda d: d[: len(d) // 2], lambda d: d[:7], lambda d: b"PK" + d])
def test_a_damaged_state_is_refused_and_nothing_else_touched(job: Job, damage: Callable[[bytes], bytes]) -> None:
    path = job.state / "state.arrow"
    path.write_bytes(damage(path.read_bytes()))
    _refused(job, str(path))


def test_arrays_and_document_come_back() -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.int32).reshape(2, 3),
        "b/none": np.zeros((0, 3)),
        "c": np.array([np.nan, -0.0, np.inf]),
        "d": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "e": np.array([True, False]),
    }
    document: dict[str, Any] = {"files": ["caf\udce9.csv", "ü", "json"], "n": 2**70}
    again, kept = decode(encode(arrays, document), "x")
    assert kept == document
    for name, array in arrays.items():
        assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(again[name], array)
        again[name][...] = 0  # not read-only


def test_a_state_that_is_no_directory_or_cannot_be_written(job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    source = FileSource(job.plan.source, job.sources)
    for place in (tmp_path / "file", Path("/proc/nothing")):
        with pytest.raises(UserError, match=rf"cannot use {place} "):
            LocalEngine(job.plan, source, state=place)
    path = job.state / "state.arrow"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot read"):
        LocalEngine(job.plan, source, state=job.state)


def test_two_runs_on_one_state(job: Job) -> None:
    engine = job.engine()
    with pytest.raises(UserError, match="in use by another run"):
        replace(job, out=job.out).engine()
    engine.run()
    job.run()


# -- outputs -------------------------------------------------------------------------------------------------------------------------------


def test_an_output_that_is_gone_or_shorter_is_refused(job: Job) -> None:
    jsonl, parquet = job.outputs
    text = jsonl.read_bytes()
    for data in (b"", text[:-1], text[: len(text) // 2]):
        jsonl.write_bytes(data)
        _refused(job, str(jsonl), "state")
    jsonl.unlink()
    _refused(job, str(jsonl), "missing")
    jsonl.write_bytes(text)
    parts = sorted(parquet.glob("part-*"))
    content = parts[0].read_bytes()
    parts[0].unlink()
    _refused(job, str(parts[0]), "missing")
    parts[0].write_bytes(content)
    sidecar = next((job.out / "a.jsonl.provenance.parquet").iterdir())
    sidecar.unlink()
    _refused(job, str(sidecar), "missing")


def test_an_output_may_be_spelled_otherwise_left_out_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its alerts stay, and only those of the runs that wrote to it are in it."""
    plan, days = plan_of(ROLLED), [_day(tmp_path / "in", n) for n in range(4)]
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    spellings = ("a.jsonl", str(tmp_path / "out" / "a.jsonl"), None, "../out/a.jsonl")
    lengths = []
    for count, name in enumerate(spellings, start=1):
        source = FileSource(plan.source, days[:count])
        LocalEngine(plan, source, alerts=[name] if name else [], quarantine=Path(f"q{count}.parquet"), state=tmp_path / "state").run()
        lengths.append(len(Path("a.jsonl").read_text().splitlines()))
    assert 0 < lengths[0] < lengths[1] == lengths[2] < lengths[3]
    ids = set(read_alerts("a.jsonl")["alert_id"])
    whole = Job(plan, tuple(days), tmp_path / "whole")
    whole.run()
    third = pl.read_ndjson(whole.outputs[0])["alert_id"].n_unique()
    assert len(ids) < third


def test_a_new_output_begins_empty_and_is_known_before_it_holds_anything(job: Job, tmp_path: Path) -> None:
    """A run killed at any step of its first commit with a new output can be run again."""
    sources = (*job.sources, _day(tmp_path / "in", 1))
    other = tmp_path / "out" / "other.jsonl"

    def go() -> None:
        alerts = [str(path) for path in (*job.outputs, other)]
        source = FileSource(job.plan.source, sources, block=500)
        LocalEngine(job.plan, source, alerts=alerts, quarantine=job.out / "quarantine.parquet", state=job.state, commit_seconds=0).run()

    for at in (0, 3, 9, 20, 30, 40):
        with fated(at, hard=True) as fate:
            fate.kills(go)
    go()
    whole = Job(job.plan, sources, tmp_path / "whole")
    whole.run()
    assert standing(job.outputs[0]) == standing(whole.outputs[0])
    assert 0 < len(other.read_text().splitlines()) < len(job.outputs[0].read_text().splitlines())


def test_a_file_that_the_state_does_not_know_is_not_overwritten(job: Job) -> None:
    other = job.out / "precious.jsonl"
    other.write_text('{"alert_id": "of another run"}\n')
    source = FileSource(job.plan.source, job.sources)
    with pytest.raises(UserError, match=r"cannot write .*precious\.jsonl: "):
        LocalEngine(job.plan, source, alerts=[str(other)], state=job.state)
    assert other.read_text() == '{"alert_id": "of another run"}\n'
    job.run()


# -- sources -------------------------------------------------------------------------------------------------------------------------------


def test_blank_lines_at_the_end_do_not_keep_a_file_unfinished(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", ["k0,2021-01-04 10:00:00,1.00,5,A", *[""] * 400], HEADERS[ROLLED.name])
    job = Job(plan_of(ROLLED), (str(first),), tmp_path / "out", block=128)
    job.run()
    first.unlink()
    second = write(tmp_path / "b.csv", ["k0,2021-01-05 10:00:00,1.00,5,A"], HEADERS[ROLLED.name])
    assert replace(job, sources=(str(second),)).run().ledger.rows_in == 2


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    lines = disordered(ROLLED, 40, step=1200, reach=0, seed=1)
    write(tmp_path / name, lines, HEADERS[ROLLED.name])
    job = Job(plan_of(ROLLED), (str(tmp_path / name),), tmp_path / "out", block=500)
    with fated(30, hard=True) as fate:
        assert fate.kills(job.run)
    assert left(job, job.run())["ledger"]["rows_in"] == 40


def test_alerts_in_memory_are_not_lost_with_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an output nothing is committed before the caller has the alerts."""
    days = [_day(tmp_path / "in", n) for n in range(2)]
    spec = tmp_path / "p.yaml"
    spec.write_text(ROLLED.text())
    monkeypatch.setattr("offbeat.engines.notebook.COMMIT_SECONDS", 0.0)
    with fated(20, hard=True) as fate:
        assert fate.kills(lambda: offbeat.run(str(spec), days, state=tmp_path / "state"))
    alerts = offbeat.run(str(spec), days, state=tmp_path / "state").alerts
    assert sorted(alerts["alert_id"]) == sorted(offbeat.run(str(spec), days).alerts["alert_id"])
    assert offbeat.run(str(spec), days, state=tmp_path / "state").alerts.is_empty()
