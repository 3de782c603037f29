"""Rows of many files and keys in one order: that of a run for each key [S2], that of time over all; and values that survive JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_plans import keyed, plan, read, rows_of, source

from offbeat.core.plan import Column, SourcePlan, TimePlan
from offbeat.engines.replay import Clock, Replayed, Stretch, replay
from offbeat.io.read import by_time
from offbeat.io.read.file_source import FileSource

EPOCH = keyed(time=TimePlan(("t",), "s", "UTC"))
NS = 10**9

rows_of_a_file = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 9)), max_size=12)


class Still:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def replayed(s: FileSource, p: SourcePlan) -> list[str]:
    parts: list[bytes] = []
    done = replay(s.in_order_of_time(), p, lambda rows: parts.append(bytes(rows.text)), None, lambda _: None)
    lines = b"".join(parts).decode().split("\n")[:-1]
    assert done.rows == len(lines)
    return lines


def by_key(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """(time, values …) of the readable rows of each key, in their order."""
    out: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        if row[2] == "" and row[1] is not None:
            out.setdefault(str(row[0]), []).append((row[1], *row[5:-1]))
    return out


def read_back(lines: list[str], p: SourcePlan, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    body = "".join(line + "\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    s = source(p, "-")
    return rows_of(s.chunks(None), s.files)


@pytest.mark.heavy
@settings(max_examples=40)
@given(st.lists(rows_of_a_file, min_size=1, max_size=4), st.sampled_from([2, 5, 1000]), st.sampled_from([20, 1 << 20]))
def test_keys_keep_the_order_of_a_run(tmp_path_factory: pytest.TempPathFactory, contents: list[Any], run: int, block: int) -> None:
    """Whatever the files hold, sorted or not; in blocks and sorted runs of any size."""
    folder = tmp_path_factory.mktemp("rows")
    for i, rows in enumerate(contents):
        # Equal files are one delivery, so each gets a mark of its own; one row in between cannot be read.
        lines = [f"{k},{t},{10 * i + x if x < 9 else 'bad'}\n" for k, t, x in rows]
        (folder / f"{i}.csv").write_text("k,t,x\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_time, "RUN_ROWS", run)
        patch.setattr(by_time, "_BATCH_ROWS", 2)
        rows = FileSource(EPOCH, [str(folder)], block=block).in_order_of_time()
        heads, got = [], []
        for part in rows:
            heads += part.heads.tolist()
            got += [(k, t, "", "", 0, *v, "") for k, t, v in zip(part.keys, part.time_ns.tolist(), part.frame.rows(), strict=True)]
        expected = read(source(EPOCH, folder))
        assert by_key(got) == by_key(expected)
        assert heads == sorted(heads)
        assert rows.left_out == sum(row[2] != "" for row in expected)
        if all(times == sorted(times) for times in ([t for _, t, _ in rows] for rows in contents)):
            assert [row[1] for row in got] == sorted(row[1] for row in got), "files in order of time give one order of time"


def test_files_named_by_their_keys(tmp_path: Path) -> None:
    p = plan(columns=(Column("x", "float"),), time=TimePlan(("t",), "s", "UTC"))
    for name, times in {"A_1.csv": [1, 4], "B_1.csv": [2, 3, 0], "C.csv": []}.items():
        (tmp_path / name).write_text("t,x\n" + "".join(f"{t},{i}\n" for i, t in enumerate(times)))
    (tmp_path / "A_2.csv").write_bytes((tmp_path / "A_1.csv").read_bytes())
    lines = [json.loads(line) for line in replayed(FileSource(p, [str(tmp_path)]), p)]
    assert [(line["key"], line["t"]) for line in lines] == [("A", 1), ("B", 2), ("B", 3), ("B", 0), ("A", 4)], "B's last row is late"


def test_values_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers to the last bit, nanoseconds, texts, nulls and what JSON has no word for."""
    numbers = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, 1e22, 49.0, float("inf"), -float("inf")]
    fixed = [0, -1, 10**17 + 1, -(10**17) - 1, 4_999_999_999_999_999, None, 7, 100]
    texts = ['"quoted" \\ back', "tab\there", "új\u2028line", None, "plain", "null", "{", "€"]
    truths = [True, False, None, True, False, None, True, False]
    rows = [
        {"k": f"k {i}", "t": f"1970-01-01T00:00:0{i}.00000000{i}Z", "x": repr(numbers[i]), "s": texts[i], "b": truths[i]}
        | ({} if fixed[i] is None else {"n": cents(fixed[i] or 0)})
        for i in range(8)
    ]
    path = tmp_path / "x.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    p = keyed()
    expected = read(source(p, path))
    assert [row[6] for row in expected] == fixed
    got = read_back(replayed(FileSource(p, [str(path)]), p), p, monkeypatch)
    assert [repr(row[:3] + row[5:-1]) for row in got] == [repr(row[:3] + row[5:-1]) for row in expected]


def cents(count: int) -> str:
    return f"{'-' * (count < 0)}{abs(count) // 100}.{abs(count) % 100:02}"


@pytest.mark.parametrize(
    ("form", "zone", "texts"),
    [
        ("auto", "Asia/Kolkata", ["2022-01-03T09:15:00", "2022-01-03T09:15:00.000000001"]),
        ("s", "UTC", ["1380000000", "1380000000.000000001"]),
        ("ms", "UTC", ["1380000000000", "1380000000000.5"]),
        ("us", "UTC", ["1380000000000000", "1380000000000001"]),
        ("ns", "UTC", ["1380000000000000000", "1380000000000000001"]),
        ("%d/%m/%Y %H:%M:%S", "Europe/Paris", ["27/03/2022 03:00:00", "30/10/2022 02:30:00"]),
        ("%a %b %d %H:%M:%S %z %Y", "UTC", ["Wed Sep 15 19:17:44 +0100 2010"]),
    ],
)
def test_times_are_written_as_the_pipeline_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, zone: str, texts: list[str]
) -> None:
    p = keyed(time=TimePlan(("t",), form, zone))
    (tmp_path / "x.csv").write_text("k,t,x\n" + "".join(f"a,{text},1\n" for text in texts))
    expected = read(source(p, tmp_path / "x.csv"))
    assert [row[2] for row in expected] == [""] * len(texts)
    got = read_back(replayed(FileSource(p, [str(tmp_path / "x.csv")]), p), p, monkeypatch)
    assert [row[1] for row in got] == [row[1] for row in expected]


def test_the_pace(tmp_path: Path) -> None:
    """At 10x, 20 s of event time take 2 s; rows of one moment go out together; no row goes out early."""
    (tmp_path / "x.csv").write_text("k,t,x\n" + "".join(f"a,{t},{i}\n" for i, t in enumerate([100, 100, 110, 105, 120])))
    still = Still()
    sent: list[tuple[float, int]] = []
    seen: list[float] = []

    def write(rows: Stretch) -> None:
        assert len(rows.ends) == len(rows.keys) == len(rows.time_ns)
        sent.append((round(still.time, 6), bytes(rows.text).count(b"\n")))

    def progress(at: Replayed) -> None:
        seen.append(at.next_in)

    rows = FileSource(EPOCH, [str(tmp_path)]).in_order_of_time()
    done = replay(rows, EPOCH, write, 10.0, progress, Clock(still.now, still.sleep))
    # 105 comes after 110 in its file: it is late there, and goes out with it here.
    assert sent == [(0.0, 2), (1.0, 2), (2.0, 1)]
    assert (done.rows, done.time_ns) == (5, 120 * NS)
    assert max(seen) == 1.0, "somebody who waits is told how long"
    assert max(still.slept) <= 0.5
    assert np.isclose(sum(still.slept), 2.0)
