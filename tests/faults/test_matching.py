"""Faults found in files of strangers: what names something else than the data has, and how it is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from command import DATA, Command, offbeat
from test_rows import report, said

from offbeat.core.key_spellings import plain_keys, spelled_like
from offbeat.evaluate.labels import read_labels

__all__ = ["offbeat"]
FAULTS = DATA / "faults"
ROLL = """
name: calls
source: {key: customer, time: ts, columns: {kind: {type: text}}}
views:
  day:
    rollup: {key: customer, size: 1d, columns: {n: count(*), data: sum(kind = 'DATA')}}
    detectors: {many: {type: rule, when: n > 0}}
tables:
  days: {view: day, columns: [n], dimension: {key: customer, source: people.csv}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in a folder that has the pipeline."""
    monkeypatch.chdir(tmp_path)
    Path("calls.yaml").write_text(ROLL)


def _calls(*customers: object, kind: str = "DATA") -> None:
    Path("calls.csv").write_text("customer,ts,kind\n" + "".join(f"{name},2024-01-01T10:00:00Z,{kind}\n" for name in customers))


def _joined() -> dict[str, object]:
    table = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in Path("T/days").rglob("*.parquet")])
    return dict(table.select("customer", "segment").rows())


@pytest.mark.parametrize(
    ("calls", "people", "right"),
    [
        (["0551", "551"], "0551,gold\n", {"0551": "gold", "551": None}),  # ids are text
        (["100000001"], "100000001.0,gold\n", {"100000001": "gold"}),
        (["100000001.0"], "100000001,gold\n", {"100000001.0": "gold"}),
        (["7", "7.0"], "7,lead\n7.0,gold\n", {"7": "lead", "7.0": "gold"}),  # what is equal as it stands goes first
        (["1.5"], "1,gold\n2,silver\n", {"1.5": None}),
    ],
)
def test_dimensions_by_their_ids(offbeat: Command, calls: list[str], people: str, right: dict[str, object]) -> None:
    _calls(*calls)
    Path("people.csv").write_text("customer,segment\n" + people)
    figures = report(offbeat, "calls.yaml", "calls.csv", "--tables", "T")
    assert _joined() == right
    assert said(figures, "people.csv", "none of the keys", "'1.5'", "'1'") == (right == {"1.5": None})


def test_dimensions_of_parquet_with_floats(offbeat: Command) -> None:
    _calls("12345", "777")
    pl.DataFrame({"customer": [12345.0, None], "segment": ["gold", "none"]}).write_parquet("people.parquet")
    report(offbeat, "calls.yaml", "calls.csv", "--tables", "T", "--set", "tables.days.dimension.source=people.parquet")
    assert _joined() == {"12345": "gold", "777": None}


def test_types_of_a_dimension_are_not_guessed_where_digits_would_be_lost(offbeat: Command) -> None:
    _calls("a")
    Path("people.csv").write_text("customer,segment,age\na,007,41\n")
    report(offbeat, "calls.yaml", "calls.csv", "--tables", "T")
    table = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in Path("T/days").rglob("*.parquet")])
    assert table.select("segment", "age").rows() == [("007", 41)]


@pytest.mark.skipif(not FAULTS.is_dir(), reason="no shared data")
def test_the_dimension_of_call_records(tmp_path: Path, offbeat: Command) -> None:
    people = FAULTS / "telecom" / "dim" / "customers.csv"
    job = ("cdr", FAULTS / "telecom" / "dim" / "calls.csv", "--tables", tmp_path / "T")
    assert not said(report(offbeat, *job, "--set", f"tables.consolidated.dimension.source={people}"), "none of the keys")
    (table,) = (pl.read_parquet(path, hive_partitioning=False) for path in (tmp_path / "T" / "consolidated").rglob("*.parquet"))
    assert table["segment"].to_list() == ["gold"]


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_a_text_that_no_row_had(offbeat: Command, ending: str) -> None:
    for kind, unseen in (("data", True), ("DATA", False)):
        _calls("a", "b", kind=kind)
        table = pl.read_csv("calls.csv")
        write: dict[str, Callable[[str], object]] = {"csv": table.write_csv, "ndjson": table.write_ndjson, "parquet": table.write_parquet}
        write[ending](f"x.{ending}")
        figures = report(offbeat, "calls.yaml", f"x.{ending}")
        assert said(figures, "kind = 'DATA'", "'data'") == unseen


def test_one_of_several_texts_that_no_row_had(offbeat: Command) -> None:
    """Of a few rows nothing can be concluded; of a thousand it is worth a word."""
    Path("calls.yaml").write_text(ROLL.replace("sum(kind = 'DATA')", "\"sum(kind IN ('DATA', 'VOICE'))\""))
    for rows, told in ((10, False), (1000, True)):
        _calls(*range(rows))
        assert said(report(offbeat, "calls.yaml", "calls.csv"), "kind = 'VOICE'", "'DATA'") == told


def test_labels_by_their_ids(offbeat: Command) -> None:
    """Labels as a table writes integers once one is missing: the customer is found all the same."""
    _calls("12345", "777")
    report(offbeat, "calls.yaml", "calls.csv", "--alerts", "a.jsonl")
    for key in ("12345.0", "12345"):
        Path("labels.csv").write_text(f"key,kind,from,to\n{key},odd,2024-01-01T00:00:00Z,2024-01-01T23:00:00Z\n")
        done = offbeat("evaluate", "a.jsonl", "labels.csv", "--pipeline", "calls.yaml", "--json")
        assert json.loads(done.out)["found"] == 1, done
    pl.DataFrame({"key": [12345.0], "time": ["2024-01-01T00:00:00Z"], "label": [1]}).write_parquet("labels.parquet")
    assert read_labels("labels.parquet").events["key"].to_list() == ["12345"]


def test_spellings() -> None:
    assert plain_keys(pl.Series([1.0, 2.5, None])).to_list() == ["1", "2.5", None]
    known = pl.Series(["1", "2.0", "007"])
    assert spelled_like(pl.Series(["1.0", "2", "7", "2.0", None]), known).to_list() == ["1", "2.0", "7", "2.0", None]
