"""Lines of text: the same ones however the bytes arrive, and no line so long or so odd that the ones after it are lost."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from io_plans import keyed, read, source

from offbeat.errors import UserError
from offbeat.io.read import lines
from offbeat.io.read.lines import blocks_of_lines, find_lines


def reader(body: bytes, sizes: list[int]) -> Callable[[int], bytes]:
    """Gives `body` in pieces of these sizes and less, over and over."""
    stream = io.BytesIO(body)
    turn = iter(sizes * (len(body) + 1))
    return lambda most: stream.read(min(most, next(turn)))


texts = st.lists(st.sampled_from([b"a", b"\xc3\xa9", b"\n", b"\r\n", b" ", b"\t", b"{}", b"\x00"]), max_size=60).map(b"".join)


@given(texts)
def test_lines_are_found(body: bytes) -> None:
    begins, ends = find_lines(body)
    expected = [line.removesuffix(b"\r") for line in body.split(b"\n")]
    assert [body[b:e] for b, e in zip(begins, ends, strict=True)] == [line for line in expected if line.strip(b" \t\r")]
    assert all(e == len(body) or body[e : e + 2] in (b"\r\n", b"\n") or body[e : e + 1] in (b"\n", b"\r") for e in ends)


def test_long_lines_are_found() -> None:
    """Longer and shorter than what is looked at in one go, and ending at each place in it."""
    body = b"".join(b"x" * n + b"\n" for n in range(1, 300))
    begins, ends = find_lines(body)
    assert (ends - begins).tolist() == list(range(1, 300))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(4, 9), st.integers(0, 3))
def test_blocks_however_the_bytes_arrive(monkeypatch: pytest.MonkeyPatch, body: bytes, sizes: list[int], longest: int, start: int) -> None:
    monkeypatch.setattr(lines, "LONGEST", longest)
    monkeypatch.setattr(lines, "_KEPT", 3)
    found: list[bytes] = []
    for block, at in blocks_of_lines(reader(body, sizes), 4, start):
        assert block
        assert at == start + len(body) or body[at - start - 1 : at - start] == b"\n"
        found.append(block)
        rest = b"".join(b for b, _ in blocks_of_lines(reader(body[at - start :], sizes), 4))
        whole = b"".join(b for b, _ in blocks_of_lines(reader(body, sizes), 4))
        assert b"".join(found) + rest == whole, "one can go on after any block"
    expected = []
    for line in body.split(b"\n"):
        told = f"… [the first 3 of {len(line)} bytes]".encode()
        expected.append(line if len(line) <= longest else line[:3].decode("utf-8", "ignore").encode() + told)
    assert b"".join(found) == b"\n".join(expected)


def test_a_line_without_an_end_takes_no_more_memory_than_a_long_one() -> None:
    block = b"x" * (4 << 20)
    turn = iter([block] * 100 + [b"\n"])
    tracemalloc.start()
    try:
        ((body, at),) = blocks_of_lines(lambda _: next(turn, b""), 4 << 20)
        assert tracemalloc.get_traced_memory()[1] < 2 * lines.LONGEST
    finally:
        tracemalloc.stop()
    assert (len(body) < 1 << 17, at) == (True, 100 * len(block) + 1)


def row(key: str, x: int = 1) -> bytes:
    return json.dumps({"k": key, "t": "2022-02-21T09:15:00Z", "x": x}).encode() + b"\n"


LONG = b'{"k":"' + b"a" * 50_000_000 + b'","t":"2022-02-21T09:15:00Z","x":1}\n'
ODD = {
    "nul": b'{"k":"\0","t":"2022-02-21T09:15:00Z","x":1}\n',
    "nothing but nul": b"\0" * 999 + b"\n",
    "long": LONG,
    "long and empty": b" " * 50_000_000 + b"\n",
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_is_one_faulty_row_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str, place: int) -> None:
    body = b"".join([row("a"), row("b")][:place]) + ODD[odd] + b"".join([row("a"), row("b")][place:])
    (tmp_path / "in.ndjson").write_bytes(body)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    expected: list[tuple[str | None, str]] = [("a", ""), ("b", "")]
    expected.insert(place, (None, "type"))
    for path in (str(tmp_path / "in.ndjson"), "-"):
        got = read(source(keyed(), path))
        assert [(r[0], r[2]) for r in got] == expected
        raw = got[place][-1]
        if odd.startswith("long"):
            assert raw == ODD[odd][: 1 << 16].decode() + f"… [the first 65,536 of {len(ODD[odd]) - 1:,} bytes]"
        else:
            assert raw == ODD[odd].decode().rstrip("\n")


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\n", b"\xef\xbb\xbf\r\n \t\n"])
def test_a_file_without_rows(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "in.ndjson").write_bytes(body)
    s = source(keyed(), tmp_path / "in.ndjson")
    assert read(s) == []
    assert s.notes == [f"{tmp_path / 'in.ndjson'}: no rows"]


def test_what_is_no_text_at_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.ndjson").write_bytes(b"\0\1\2\n\0{\n")
    with pytest.raises(UserError, match=r"in\.ndjson: this is a binary file"):
        read(source(keyed(), tmp_path / "in.ndjson"))
    for body, what in ((row("a").decode().encode("utf-16"), "UTF-16 text"), (b"\x1f\x8b\x08\0", "gzip")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        with pytest.raises(UserError, match=what):
            read(source(keyed(), "-"))
