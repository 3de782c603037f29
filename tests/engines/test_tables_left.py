"""What stands in a folder of tables before a run: days of earlier runs are counted, files of others refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat
from run_notes import but_silence
from table_files import DAY, SCHEMA, some
from test_tables import PIPELINE, rows, uri

from offbeat import UserError, run
from offbeat.core.days import DAY_NS
from offbeat.core.plan import Plan
from offbeat.engines.tables.collect import Tables
from offbeat.fold.merge_stage import MergeStage
from offbeat.io.write.tables.open import open_tables
from offbeat.spec.load import load_plan

__all__ = ["offbeat", "uri"]


def tables_of(plan: Plan, uris: list[str]) -> Tables:
    made: list[Tables] = []

    def collector(*about: Any) -> Tables:
        made.append(Tables(plan, uris, *about))
        return made[0]

    MergeStage(plan).show(plan, collector)
    return made[0]


def left(tables: Tables) -> list[tuple[str, str]]:
    """The remarks: the output and the days."""
    return [(note.rsplit(": ", 2)[0], note.rsplit(": ", 1)[1]) for note in tables.left()]


def test_days_that_a_run_did_not_write(uri: str) -> None:
    """Noon of four days in Tokyo, all loud, in each table; then the 4th of March is written again, and a day that was not there."""
    calls = rows(*[("a", f"2024-{day}T03:00:00Z", 200, "n") for day in ("02-28", "02-29", "03-01", "03-04")])
    run(PIPELINE, calls, tables=uri)
    plan = load_plan(PIPELINE)
    tables = tables_of(plan, [uri])
    everything = "4 days from 2024-02-28 to 2024-03-04 in days, flagged, hours"
    assert left(tables) == [(uri, everything)]
    tokyo = 9 * DAY_NS // 24
    tables.expect([(date(2024, 3, day) - date(1970, 1, 1)).days * DAY_NS - tokyo for day in (4, 5)])
    tables.finish()
    tables.close()
    assert left(tables) == [(uri, "3 days from 2024-02-28 to 2024-03-01 in days, flagged, hours")]


def test_tables_differ_in_what_is_left(tmp_path: Path) -> None:
    one, two = rows(("a", "2024-03-01T03:00:00Z", 5, "n")), rows(("a", "2024-03-02T03:00:00Z", 5, "n"))
    run(PIPELINE, one, tables=tmp_path / "out")
    run(PIPELINE, two, tables=tmp_path / "out")
    (tmp_path / "out" / "hours" / "day=2024-03-01" / "part-0.parquet").unlink()
    plan = load_plan(PIPELINE)
    tables = tables_of(plan, [str(tmp_path / "out"), str(tmp_path / "new")])
    tables.close()
    spans = "2 days from 2024-03-01 to 2024-03-02 in days, flagged; 1 day (2024-03-02) in hours"
    assert left(tables) == [(str(tmp_path / "out"), spans)]


@pytest.mark.parametrize(
    "name",
    ["x.parquet", "notes.txt", "day=2024-03-01/x.parquet", "day=2024-03-01/deep/part-0.parquet", "day=x/part-0.parquet", "day=20240301"],
)
def test_files_of_others_are_refused(tmp_path: Path, name: str) -> None:
    def write() -> None:
        sink = open_tables(str(tmp_path), {"t": SCHEMA})
        sink.write("t", DAY, some(2))
        sink.close()

    write()
    path = tmp_path / "t" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("precious")
    named = name.replace("/part-0.parquet", "")
    with pytest.raises(UserError) as caught:
        write()
    assert str(caught.value) == (
        f"cannot write table {tmp_path / 't'}: {named} was not written by offbeat, and readers of the folder may read it, too; "
        "move it away, or name another folder"
    )
    assert path.read_text() == "precious"


def test_hidden_files_and_leftovers_are_no_files_of_others(tmp_path: Path) -> None:
    place = tmp_path / "t" / "day=2024-03-01"
    place.mkdir(parents=True)
    own = [tmp_path / "t" / "_SUCCESS", tmp_path / "t" / ".DS_Store", place / ".part-0.parquet.crc"]
    left = tmp_path / "t" / ".day=2024-03-02.partial"
    for path in (*own, left):
        path.touch()
    sink = open_tables(str(tmp_path), {"t": SCHEMA})
    assert sink.there == {"t": frozenset()}
    sink.write("t", DAY, some(3))
    sink.close()
    assert all(path.exists() for path in own)
    assert not left.exists()
    assert pl.read_parquet(place / "part-0.parquet").height == 3


def test_the_command_refuses_before_the_first_row(tmp_path: Path, offbeat: Command) -> None:
    calls = pl.DataFrame({"customer_id": [1], "timestamp": ["2024-03-01T00:00:00Z"], "cdr_id": [1], "cdr_type": ["DATA"]})
    calls.write_parquet(tmp_path / "calls.parquet")
    (tmp_path / "out" / "zscores").mkdir(parents=True)
    (tmp_path / "out" / "zscores" / "x.parquet").write_text("precious")
    said = offbeat.refused("run", "cdr", tmp_path / "calls.parquet", "--tables", tmp_path / "out")
    assert said.startswith(f"cannot write table {tmp_path / 'out' / 'zscores'}: x.parquet was not written by offbeat")
    assert not list((tmp_path / "out").rglob("part-0.parquet"))


def test_a_run_without_a_state_says_which_days_it_left(uri: str, tmp_path: Path) -> None:
    """Hand-picked days: the first two are of other data; with a state what is there is its own."""
    old = rows(*[("b", f"2024-01-{day}T03:00:00Z", 200, "n") for day in (30, 31)])
    new = tmp_path / "new.parquet"
    rows(("a", "2024-03-01T03:00:00Z", 200, "n")).write_parquet(new)
    assert but_silence(run(PIPELINE, old, tables=uri).notes) == []
    (note,) = but_silence(run(PIPELINE, new, tables=uri).notes)
    assert note.startswith(f"{uri}: ")
    assert note.endswith(": 2 days from 2024-01-30 to 2024-01-31 in days, flagged, hours")
    assert but_silence(run(PIPELINE, new, tables=uri, state=tmp_path / "state").notes) == []
