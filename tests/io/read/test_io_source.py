"""Order over files [S2], deliveries [S8], restart, and what is refused."""

from __future__ import annotations

import gzip
import heapq
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from io_plans import keyed, plan, read, rows_of, source

from offbeat.core.plan import Column, TimePlan
from offbeat.errors import UserError
from offbeat.io.read import merge_overlapping
from offbeat.io.read.open_source import open_source
from offbeat.io.read.prefetch import Ahead

EPOCH = keyed(time=TimePlan(("t",), "s", "UTC"))


def write(path: Path, rows: list[tuple[str, int, int]]) -> Path:
    path.write_text("k,t,x\n" + "".join(f"{k},{t},{x}\n" for k, t, x in rows), encoding="utf-8")
    return path


def by_key(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[str, int]]]:
    out: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        out.setdefault(row[0], []).append((row[3], row[4]))
    return out


def merged_by_head(files: dict[str, list[tuple[str, int, int]]]) -> dict[str, list[tuple[str, int]]]:
    """For each key a k-way merge that looks only at the first row left of every file."""
    out: dict[str, list[tuple[str, int]]] = {}
    for key in {k for rows in files.values() for k, _, _ in rows}:
        queues = {name: [(t, i) for i, (k, t, _) in enumerate(rows, 1) if k == key] for name, rows in files.items()}
        heads = [(queue.pop(0), name) for name, queue in queues.items() if queue]
        heap = [(t, name, i) for (t, i), name in heads]
        heapq.heapify(heap)
        while heap:
            _, name, i = heapq.heappop(heap)
            out.setdefault(key, []).append((name, i))
            if queues[name]:
                t, i = queues[name].pop(0)
                heapq.heappush(heap, (t, name, i))
    return out


rows_of_a_file = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 9)), max_size=12)


@pytest.mark.heavy
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(rows_of_a_file, min_size=1, max_size=4), st.booleans())
def test_order_of_a_key_over_files(tmp_path: Path, contents: list[list[tuple[str, int, int]]], spill: bool) -> None:
    # Equal files are one delivery, so each gets a mark of its own.
    files = {f"{i}.csv": [(k, t, 10 * i + x) for k, t, x in rows] for i, rows in enumerate(contents)}
    for old in tmp_path.glob("*.csv"):
        old.unlink()
    for name, rows in files.items():
        write(tmp_path / name, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_overlapping, "ROWS", 3)
        if spill:
            patch.setattr(merge_overlapping, "IN_MEMORY", 30)
        s = source(EPOCH, tmp_path)
        chunks = list(s.chunks(None))
        got = rows_of(chunks, s.files)
        assert by_key(got) == merged_by_head(files)
        assert all(row[-1] == f"{row[0]},{row[1] // 10**9},{int(row[5])}" for row in got)
        for stop in range(len(chunks)):
            again = source(EPOCH, tmp_path)
            rest = rows_of(again.chunks(json.loads(json.dumps(chunks[stop].position))), again.files)
            assert rows_of(chunks[: stop + 1], s.files) + rest == got


def test_files_one_after_the_other_are_read_in_order_of_time_not_of_name(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", [("k", 1, 1), ("k", 5, 1)])
    write(tmp_path / "a.csv", [("k", 6, 1), ("k", 9, 1)])
    s = source(EPOCH, tmp_path)
    chunks = list(s.chunks(None))
    assert by_key(rows_of(chunks, s.files)) == {"k": [("b.csv", 1), ("b.csv", 2), ("a.csv", 1), ("a.csv", 2)]}
    assert all(c.files is None for c in chunks), "files that do not overlap need no merge"


def test_one_file_a_key_is_merged_only_with_its_own(tmp_path: Path) -> None:
    p = plan(columns=(Column("x", "float"),), time=TimePlan(("t",), "s", "UTC"))
    for name, times in {"A_1.csv": [1, 3], "A_2.csv": [2, 4], "B_1.csv": [1, 4]}.items():
        write(tmp_path / name, [("-", t, len(name) + ord(name[2])) for t in times])
    s = source(p, tmp_path)
    chunks = list(s.chunks(None))
    assert [(c.key, c.files is None) for c in chunks] == [("A", False), ("B", True)]
    assert [r[3:5] for r in rows_of(chunks, s.files)][:4] == [("A_1.csv", 1), ("A_2.csv", 1), ("A_1.csv", 2), ("A_2.csv", 2)]


def test_a_file_delivered_twice_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [("k", 1, 1)])
    write(tmp_path / "b.csv", [("k", 1, 1)])
    s = source(EPOCH, tmp_path)
    chunks = list(s.chunks(None))
    assert [r[3] for r in rows_of(chunks, s.files)] == ["a.csv"]
    absent = [note.partition(";")[0] for note in s.notes[:3]]
    assert absent == [f"{tmp_path / 'a.csv'} and 1 more: no column '{column}'" for column in "nsb"]
    (copy,) = s.notes[3:]
    assert copy.startswith(f"{tmp_path / 'b.csv'}: ")
    assert str(tmp_path / "a.csv") in copy
    position = chunks[-1].position
    write(tmp_path / "c.csv", [("k", 0, 2)])
    write(tmp_path / "a.csv", [("k", 1, 1), ("k", 2, 1)])
    again = source(EPOCH, tmp_path)
    # b.csv is what a.csv was; a.csv has new content, so it counts as new; both it and c.csv are read.
    assert sorted(r[3:5] for r in rows_of(again.chunks(position), again.files)) == [("a.csv", 1), ("a.csv", 2), ("c.csv", 1)]
    assert again.notes[3:] == [copy]


def test_the_same_bytes_for_two_keys_are_two_deliveries(tmp_path: Path) -> None:
    p = plan(columns=(Column("x", "float"),), time=TimePlan(("t",), "s", "UTC"))
    for name in ("A.csv", "B.csv"):
        write(tmp_path / name, [("-", 1, 1)])
    assert [r[0] for r in read(source(p, tmp_path))] == ["A", "B"]


@pytest.mark.parametrize("packed", [False, True])
def test_restart_after_every_chunk(tmp_path: Path, packed: bool) -> None:
    for i, name in enumerate("abc"):
        write(tmp_path / f"{name}.csv", [("k", 100 * i + t, i) for t in range(40)])
        if packed:
            (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress((tmp_path / f"{name}.csv").read_bytes()))
            (tmp_path / f"{name}.csv").unlink()
    s = source(EPOCH, tmp_path, block=100)
    chunks = list(s.chunks(None))
    assert len(chunks) > 10
    full = rows_of(chunks, s.files)
    assert [r[4] for r in full] == [*range(1, 41)] * 3
    for stop, chunk in enumerate(chunks):
        again = source(EPOCH, tmp_path, block=64)
        rest = rows_of(again.chunks(json.loads(json.dumps(chunk.position))), again.files)
        first = rows_of(chunks[: stop + 1], s.files)
        assert first + rest == full
        whole = sum(row[4] == 40 for row in first)
        assert [note.split()[0] for note in again.notes[3:]] == [str(whole)] * (whole > 0)
    assert len(json.dumps(chunks[-1].position)) < 400 * 3


def test_a_file_that_changed_or_went_while_it_was_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", [("k", t, 0) for t in range(100)])
    s = source(EPOCH, file, block=100)
    steps = s.chunks(None)
    position = next(steps).position
    s.close()
    write(file, [("k", t, 1) for t in range(100)])
    with pytest.raises(UserError, match=r"a\.csv: changed"):
        list(source(EPOCH, file).chunks(position))
    other = write(tmp_path / "b.csv", [("k", 1, 1)])
    with pytest.raises(UserError, match=r"a\.csv: .* not among the sources"):
        list(source(EPOCH, other).chunks(position))


def test_progress(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / f"{name}.csv", [("k", 1000 * i + t, 0) for t in range(500)])
    s = source(EPOCH, tmp_path, block=500)
    seen = [s.done_bytes() for _ in s.chunks(None)]
    assert seen == sorted(seen)
    assert s.done_bytes() == s.size_bytes() == sum(p.stat().st_size for p in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("nothing", r"no such file or folder"),
        ("empty", r"the folder is empty"),
        ("other", r"other: .*'readme\.md'.*; expected \.csv"),
        ("glob", r"no file matches the pattern"),
        ("folder.csv", r"the folder is empty"),
        ("data.xlsx", r"data\.xlsx: .*; expected \.csv"),
        ("s3", r"s3://bucket/x\.csv: .* copy them to a local folder"),
    ],
)
def test_sources_that_are_not_there(tmp_path: Path, make: str, message: str) -> None:
    path = str(tmp_path / make)
    if make in {"empty", "folder.csv", "other"}:
        (tmp_path / make).mkdir()
    if make == "other":
        (tmp_path / make / "readme.md").write_text("x", encoding="utf-8")
    if make == "data.xlsx":
        (tmp_path / make).write_bytes(b"PK\x03\x04 x")
    path = {"glob": str(tmp_path / "*.csv"), "s3": "s3://bucket/x.csv"}.get(make, path)
    with pytest.raises(UserError, match=message) as caught:
        open_source(keyed(), [path])
    assert "\n" not in str(caught.value)


def test_mixed_schemas_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [("k", 1, 1)])
    (tmp_path / "b.csv").write_text("who,what\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"b\.csv: the time column 't' is missing; .* other files here have it"):
        open_source(EPOCH, [str(tmp_path)])


def test_a_name_without_a_key_and_a_wrong_zone(tmp_path: Path) -> None:
    write(tmp_path / "_.csv", [("k", 1, 1)])
    with pytest.raises(UserError, match=r"_\.csv: the file name .*\(\?P<key>.*`key: \{file: …\}`"):
        open_source(plan(), [str(tmp_path / "_.csv")])
    with pytest.raises(UserError, match=r"time zone 'Asia/Calcuta' does not exist"):
        open_source(plan(time=TimePlan(("t",), "auto", "Asia/Calcuta")), [str(tmp_path)])


def test_globs_folders_and_files_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "a.csv", [("k", 1, 1)])
    write(tmp_path / "b.csv", [("k", 2, 2)])
    s = source(EPOCH, tmp_path / "b.csv", tmp_path, tmp_path / "**" / "*.csv")
    assert [Path(f).name for f in s.files] == ["b.csv", "a.csv"]


def test_threads_end_when_a_consumer_stops_early(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [("k", t, 0) for t in range(5000)])
    before = threading.active_count()
    s = source(EPOCH, tmp_path, block=200)
    steps = s.chunks(None)
    next(steps)
    s.close()
    s.close()
    assert threading.active_count() == before


def test_reading_ahead_is_bounded_and_hands_errors_on() -> None:
    taken: list[int] = []

    def work() -> Iterator[Any]:
        for i in range(100):
            taken.append(i)
            yield partial(int, i)
        raise UserError("the end")

    ahead: Ahead[int] = Ahead(work(), 2, 3)
    steps = iter(ahead)
    assert next(steps) == 0
    assert len(taken) <= 5
    with pytest.raises(UserError, match="the end"):
        assert list(steps)
    ahead.close()


def test_frames_give_their_floats_as_a_matrix(tmp_path: Path) -> None:
    (tmp_path / "A.csv").write_text("timestamp,open,high,low,close,volume\n" + "2022-02-21 09:15,1,2,3,4,5\n" * 9, encoding="utf-8")
    (chunk,) = source(plan(), tmp_path).chunks(None)
    floats = chunk.frame.select(pl.col(pl.Float64)).to_numpy()
    assert floats.shape == (9, 4)
    assert floats.T.tolist() == [[v] * 9 for v in (1.0, 2.0, 3.0, 4.0)]
