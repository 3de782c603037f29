"""JSON records, well-formed and not: tokens, texts of the grammar's corners, and a strategy that mixes and damages them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

T = "2022-02-21T09:15:00Z"
_SMALL = ["0", "-0", "-0.0", "1", "12.50", "1e5", "1E+2", "1.5e-3", "0.1", "340.0", "2.5", "1645434900000", "1645434900000000"]
_LARGE = ["123456789012345678", "9223372036854775808", "9" * 40, "0." + "3" * 30, "90071992547409930e-1"]
_EXTREME = ["1e400", "-1e-400", "1e99999999999999999999"]
NUMBERS = [*_SMALL, *_LARGE, *_EXTREME]
WORDS = ["true", "false", "null", "NaN", "Infinity", "-Infinity"]
_NO_NUMBERS = ["01", "-01", "+1", "1.", ".5", "1e", "1e+", "-", "--1", "0x1", "1_0"]
NO_VALUES = [*_NO_NUMBERS, "", "tru", "nul", "nan", "inf", "-NaN", "'a'", "\x00", "é", "\u200b"]
_TIMES = [T, "2022-02-21 09:15:00", "2022-02-21T09:15:00.123456789+05:30", "2022-02-30"]
_PLAIN = ["1.5", " 7 ", "nan", "-inf", "t", "False", "1", "AIG", "null", ""]
_ODD = ['"', "\\", "é", "\u0800", "\U0001f600", "\x7f", "\n\t\x08\x0c\r/", "\x00"]
_HALVES = ["\ud800", "\udc00\ud800", "\ud83d\\ude00"]
STRINGS = [*_TIMES, *_PLAIN, *_ODD, *_HALVES]
_PAIRS = ['"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800\\ud83d\\ude00"', '"\\uD83D\\u0041"', '"\\ud800\\ud800"', '"\\ud800a"']
SPELT = [*_PAIRS, '"\\/"', '"1\\u002e5"', '"\\u0031"', '"' + "a" * 300 + '"']
NO_STRINGS = ['"\\q"', '"\\u12"', '"\\u12g4"', '"\\"', '"a', '"\t"', '"\x1f"', "\"a'", '"\\u"', '"\\ud800\\u"', '"\\']

UTF8 = [b"\xc2\x80", b"\xdf\xbf", b"\xe0\xa0\x80", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf"]
"""The least and the greatest of each range of RFC 3629."""
_BESIDE = [b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"]
NOT_UTF8 = [b"\xff", b"\x80", b"\xc3", *_BESIDE]

_ENDS = ["{}", " { } ", "[]", "1", '"x"', '{"x":1}}', '{"x":1', '{"x":1]', '{"x":1}{"x":2}', '{"x":1} x', '{"x":1} \n\t\r ', '\x0b{"x":1}']
_MEMBERS = ['{"x":1,}', '{,"x":1}', '{"x":1 "s":2}', '{"x" 1}', '{"x":}', '{"x"}', "{1:2}", "{x:1}", '{"x":1\x0c}', '{"x":1 /*c*/}']
_LISTS = ['{"s":1,"o":[1,]}', '{"x":1,"o":[,1]}', '{"x":1,"o":[1 2]}', '{"x":1,"o":[1}', '{"x":1,"o":[[],{},[{}]]}', '{"o":[],"x":1}']
_TWICE = ['{"x":1,"x":2}', '{"x":[1],"x":2}', '{"x":2,"x":{}}', '{"x":1,"x":null}', '{"x":1,"o":{"a":1,}}']
_NAMES = ['"\\u0078"', '"\\u00zz"', '"\\ud800"', '"x\\u0000"', '"\\q"', '"a\tb"', '"\\/"', '"é"', '"' + "x" * 999 + '"']
GRAMMAR = [
    *(*_ENDS, *_MEMBERS, *_LISTS, *_TWICE),
    *(f"{{{name}:1.5}}" for name in _NAMES),
    *(f'{{"x":{token},"s":{token}}}' for token in (*NUMBERS, *WORDS, *NO_VALUES)),
    *(f'{{"s":{token},"o":{token}}}' for token in (*SPELT, *NO_STRINGS)),
]
"""Records for fields `x`, a number, and `s`, a text; right and wrong in one thing each."""


def _written(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)


_strings = st.builds(_written, st.sampled_from(STRINGS) | st.text(max_size=8), st.booleans()) | st.sampled_from(SPELT)
_scalars = st.sampled_from(NUMBERS) | st.sampled_from(WORDS) | _strings | st.floats().map(json.dumps) | st.integers().map(str)
_blanks = st.sampled_from(["", "", "", " ", "\n", " \t\r\n"])
_damage = st.sampled_from([b"", b'"', b"{", b"}", b"]", b",", b":", b"\\", b"\0", b"x", b" ", b"\xef\xbb\xbf", *NOT_UTF8])


@st.composite
def _containers(draw: st.DrawFn, values: st.SearchStrategy[str], names: list[str]) -> str:
    blank = draw(_blanks)
    if draw(st.integers(0, 3)) == 0:
        return "[" + blank + f"{blank},{blank}".join(draw(st.lists(values, max_size=3))) + blank + "]"
    return draw(_objects(values, names, 4))


@st.composite
def _objects(draw: st.DrawFn, values: st.SearchStrategy[str], names: list[str], most: int) -> str:
    """With names that are wanted and others, in this or that spelling, some twice."""
    members = []
    blank = draw(_blanks)
    for name in draw(st.lists(st.sampled_from(names) | st.sampled_from(["other", "", "é", "x"]), max_size=most)):
        spelt = _written(name, draw(st.booleans()))
        if name.isascii() and draw(st.integers(0, 9)) == 0:
            spelt = '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'
        members.append(f"{spelt}{blank}:{blank}{draw(values)}")
    return "{" + blank + f"{blank},{blank}".join(members) + blank + "}"


@st.composite
def records(draw: st.DrawFn, names: list[str]) -> bytes:
    """A record: mostly an object with some of the names; some with a token that JSON does not have; some damaged or cut off somewhere."""
    values = st.recursive(_scalars, lambda inner: _containers(inner, names), max_leaves=6)
    kind = draw(st.integers(0, 9))
    if kind == 0:
        values = values | st.sampled_from(NO_VALUES) | st.sampled_from(NO_STRINGS)
    text = draw(values) if kind == 1 else draw(_objects(values, names, len(names) + 2))
    record = (draw(_blanks) + text + draw(_blanks)).encode("utf-8", "surrogatepass")
    if kind in {2, 3}:
        at = draw(st.integers(0, len(record)))
        record = record[:at] + draw(_damage) + record[at + draw(st.integers(0, 2)) :]
    return record[: draw(st.integers(0, len(record)))] if kind == 4 else record
