"""The decoder of JSON records: what msgspec and Python's own parser read, record by record, whatever else lies in the buffer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_plans import keyed, plan
from json_records import GRAMMAR, NOT_UTF8, UTF8, T, records
from json_reference import Reference, Rows

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS
from offbeat.core.plan import Column, SourcePlan, TimePlan
from offbeat.io.read.decoder import Decoder
from offbeat.io.read.json_scan import DEEPEST
from offbeat.spec.load import load_plan

NS = 1_645_434_900_000_000_000

PATHS = keyed(
    key_column=("payload.after.id", "id"),
    time=TimePlan(("payload.ts", "ts", "payload.after.ts"), "ms", "UTC"),
    columns=(
        Column("x", "float", headers=("payload.after.price", "data.price")),
        Column("n", "decimal", scale=2, headers=("payload.after.n",), required=False),
        Column("s", "text", headers=("payload.op", "data"), required=False),
        Column("deep", "text", headers=("a.b.c.d",), required=False),
    ),
)
PLANS: dict[str, tuple[SourcePlan, bool]] = {
    "bars": (load_plan("bars").source, True),
    "bars of one key": (load_plan("bars").source, False),
    "trades": (load_plan("trades").source, True),
    "cdr": (load_plan("cdr").source, True),
    "every kind": (keyed(), True),
    "epoch": (keyed(time=TimePlan(("t",), "us", "UTC"), key_column=("n", "k")), True),
    "one field for several": (keyed(time=TimePlan(("t", "x", "s"), "auto", "Asia/Kolkata"), key_column=("s",)), True),
    "a format": (keyed(time=TimePlan(("t",), "%Y-%m-%d %H:%M:%S", "UTC")), True),
    "odd names": (keyed(columns=(Column('"', "float"), Column("é\\", "text", headers=("", "\n")), Column("x" * 70, "float"))), True),
    "times alone": (keyed(columns=(), key_column=()), False),
    "paths": (PATHS, True),
}
READERS = {name: (Decoder(p, keyed=has), Reference(p, keyed=has)) for name, (p, has) in PLANS.items()}


def spellings(p: SourcePlan) -> list[str]:
    """All names that the plan looks for, whole and in parts."""
    names = [*p.time.headers, *p.key_column, "key", "symbol", *(s for c in p.columns for s in (c.name, *c.headers))]
    return sorted({part for name in names for part in (name, *name.split("."))})


def decoded(decoder: Decoder, records: list[bytes | None], gap: bytes = b"") -> Rows:
    """The rows of records that lie in one buffer with `gap` between them."""
    begins, ends, buffer = [], [], bytearray(gap)
    for record in records:
        begins.append(-1 if record is None else len(buffer))
        buffer += record or b""
        ends.append(-1 if record is None else len(buffer))
        buffer += gap
    parsed = decoder.decode(buffer, np.array(begins, np.int64), np.array(ends, np.int64))
    faults = [FAULTS[code] for code in parsed.faults]
    keys = None if parsed.keys is None else parsed.keys.to_list()
    return parsed.frame, keys, parsed.time_ns.tolist(), faults, parsed.raw(np.arange(len(records)))


def agree(name: str, records: list[bytes | None], gap: bytes = b"") -> None:
    decoder, reference = READERS[name]
    got, expected = decoded(decoder, records, gap), reference.rows(records)
    assert got[1:] == expected[1:]
    assert got[0].schema == expected[0].schema
    assert repr(got[0].rows()) == repr(expected[0].rows())


@pytest.mark.heavy
@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=40)
@given(data=st.data())
def test_records_are_read_as_by_msgspec_and_python(name: str, data: st.DataObject) -> None:
    some = records(spellings(PLANS[name][0]))
    agree(name, data.draw(st.lists(some | st.none(), max_size=5)), data.draw(st.sampled_from([b"", b"\n", b'"', b"\\", b'{"x":1}'])))


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["every kind", "paths"])
@settings(max_examples=400)
@given(data=st.data())
def test_many_more_records(name: str, data: st.DataObject) -> None:
    agree(name, data.draw(st.lists(records(spellings(PLANS[name][0])), min_size=1, max_size=5)))


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=12) | st.text('{}[]",:\\u0019 eE.-+tfnaN\n', max_size=12).map(str.encode), max_size=4))
def test_garbage(garbage: list[bytes]) -> None:
    agree("every kind", [*garbage, *(b'{"k":1,"x":' + some + b"}" for some in garbage)])


def test_what_is_json_and_what_is_not() -> None:
    for text in GRAMMAR:
        agree("every kind", [text.encode(), b'{"k":"a","t":"2022-02-21","x":1}', text.encode()])
    agree("every kind", [text.encode() for text in GRAMMAR])


@pytest.mark.parametrize("some", [*UTF8, *NOT_UTF8, *(w[:-1] for w in UTF8), *(w + b"\x80" for w in UTF8)])
def test_bytes_that_are_not_utf8(some: bytes) -> None:
    """In names and in values, wanted or not, and each of them a second time."""
    for form in (b'{"s":"%b"}', b'{"s":"\\u0041%b"}', b'{"o":"%b","x":1}', b'{"%b":2,"x":1}', b'{"x":1}%b', b'{"o":["a%b"],"n":2}'):
        agree("every kind", [form % some] * 2)


WHOLE = {"k": "é\u2028", "t": T, "x": -1.5e3, "n": 2.25, "s": 'a"\\\U0001f600', "b": True, "o": {"x": [1, None, {"k": []}], "": {}}}


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_record_cut_off_or_changed_at_any_byte(ascii_only: bool) -> None:
    """Beside whole ones, which it must not touch."""
    whole = json.dumps(WHOLE, ensure_ascii=ascii_only).encode()
    agree("every kind", [part for cut in range(len(whole)) for part in (whole[:cut], whole, whole[cut:])])
    for new in (b"\x00", b"\x80", b'"', b"\\", b"}", b"0", b" "):
        agree("every kind", [whole[:at] + new + whole[at + 1 :] for at in range(len(whole))])


def one(p: SourcePlan, record: bytes | None, **options: Any) -> tuple[Any, ...]:
    """Key, time, fault and values of one record."""
    frame, keys, times, faults, _ = decoded(Decoder(p, **options), [record])
    return (None if keys is None else keys[0], None if times[0] == NULL_INT else times[0], faults[0], *frame.row(0))


def test_a_record_does_not_end_at_a_line_feed() -> None:
    pretty = json.dumps({"k": "a", "t": T, "x": 1.5, "n": 2, "s": "u", "b": False}, indent=2).replace("\n", "\r\n").encode()
    assert one(keyed(), pretty) == ("a", NS, "", 1.5, 200, "u", False)


def test_no_records_and_no_bytes() -> None:
    frame, keys, times, faults, raw = decoded(READERS["every kind"][0], [])
    assert (frame.columns, len(frame), keys, times, faults, raw) == (["x", "n", "s", "b"], 0, [], [], [], [])
    assert decoded(READERS["every kind"][0], [None, b""])[3] == ["missing", "type"]


def test_null_empty_and_garbage_are_the_fault_of_their_own_record() -> None:
    well = b'{"k":"a","t":"2022-02-21T09:15:00Z","x":1}'
    some: list[bytes | None] = [well, None, b"", b" ", b"\0\xff", b"\xef\xbb\xbf" + well, b"null", well]
    frame, keys, times, faults, raw = decoded(READERS["every kind"][0], some)
    assert faults == ["", "missing", "type", "type", "encoding", "type", "type", ""]
    assert keys == ["a", *[None] * 6, "a"]
    assert times == [NS, *[NULL_INT] * 6, NS]
    assert frame["x"].to_list() == [1.0, *[None] * 6, 1.0]
    assert raw == [well.decode(), "", "", " ", "\0\ufffd", "\ufeff" + well.decode(), "null", well.decode()]


def test_records_in_any_order_and_any_buffer() -> None:
    text = b'{"k":1,"t":"2022-02-21","x":1}{"k":2,"t":"2022-02-21","x":2}'
    begins, ends = np.array([30, 0, 30], np.int64), np.array([60, 30, 60], np.int64)
    array = np.frombuffer(bytearray(text), np.uint8)
    for buffer in (text, bytearray(text), memoryview(text), array):
        parsed = READERS["every kind"][0].decode(buffer, begins, ends)
        assert (parsed.frame["x"].to_list(), parsed.keys is not None and parsed.keys.to_list()) == ([2.0, 1.0, 2.0], ["2", "1", "2"])
    assert array.flags.writeable
    for begin, end in ((0, 61), (5, 4), (61, 61)):
        with pytest.raises(ValueError, match="record 1 does not lie in the buffer of 60 bytes"):
            READERS["every kind"][0].decode(text, np.array([0, begin]), np.array([30, end]))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"o":', b"}")])
def test_how_deep_a_record_may_be_does_not_depend_on_who_reads_it(opening: bytes, closing: bytes) -> None:
    def nested(depth: int) -> bytes:
        inside = opening * (depth - 1) + b"1" + closing * (depth - 1)
        return b'{"k":"a","t":"2022-02-21","x":1,"o":' + inside + b"}"

    assert one(keyed(), nested(DEEPEST))[2] == ""
    assert one(keyed(), nested(DEEPEST + 1))[2] == "type"
    assert one(keyed(), nested(100_000))[2] == "type"


def test_paths() -> None:
    envelope = {"payload": {"op": "u", "ts": 1_645_434_900_000, "after": {"id": 7, "price": "1.5", "n": 2.25}, "before": {"price": 9}}}
    well = json.dumps(envelope).encode()
    assert one(PATHS, well) == ("7", NS, "", 1.5, 225, "u", None)
    flat = {"payload.after.id": 8, "id": 9, "ts": 1_645_434_900_000, "data.price": 2, "data": {"price": 3}, "a": {"b": {"c": {"d": "é"}}}}
    assert one(PATHS, json.dumps(flat).encode()) == ("8", NS, "type", 2.0, None, None, "é"), "`data` itself is wanted as text"
    del flat["data"]
    assert one(PATHS, json.dumps(flat).encode())[2:] == ("", 2.0, None, None, "é")
    again = well[:-1] + b',"payload":{"ts":1645434900000}}'
    assert one(PATHS, again) == (None, NS, "missing", None, None, None, None), "the last value of a name counts, whole"
    number = well[:-1] + b',"payload":1}'
    assert one(PATHS, number)[:3] == (None, None, "missing")
    assert one(PATHS, b'{"payload":[{"after":{"id":7}}],"id":1,"ts":0,"data":{"price":4}}')[:4] == ("1", 0, "type", 4.0)


def test_records_without_a_key_of_their_own() -> None:
    p = plan(columns=(Column("x", "float"),))
    record = b'{"symbol":"A","Date":"2022-02-21T14:45:00","x":1}'
    assert one(p, record) == ("A", NS, "", 1.0)
    assert one(p, record, keyed=False) == (None, NS, "", 1.0)


def test_more_names_than_a_record_is_expected_to_have() -> None:
    others = [{f"f{(i + row) % 300}": i for i in range(300)} for row in range(3)]
    rows: list[bytes | None] = [json.dumps({**names, "k": row, "t": T, "x": row}).encode() for row, names in enumerate(others)]
    agree("every kind", rows)
    assert decoded(READERS["every kind"][0], rows)[0]["x"].to_list() == [0.0, 1.0, 2.0]
