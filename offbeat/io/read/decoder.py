"""JSON records, wherever they come from, to typed rows."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import I8, I32, I64
from offbeat.core.chunk import FAULTS
from offbeat.core.compiled import compiled
from offbeat.core.plan import SourcePlan
from offbeat.io.read.csv_tokens import Bytes
from offbeat.io.read.fault_details import place_details
from offbeat.io.read.json_scan import BROKEN, ESCAPES, NESTED, NOT_UTF8, scan, wanted
from offbeat.io.read.json_tokens import HALF, QUOTE, unescape
from offbeat.io.read.layout import KEY
from offbeat.io.read.parse_columns import Parsed, Places, build, slot_of, time_slots
from offbeat.io.write.row_json import KEY_FIELD

_LARGEST = 1 << 30
"""Bytes of a buffer: places are int32, and what escapes stand for is written behind it."""
_ENCODING, _TYPE = FAULTS.index("encoding"), FAULTS.index("type")
_BACKSLASH = ord("\\")


class Decoder:
    """Reads JSON objects as rows of one source; knows no file, line or broker.

    A record is one JSON object (RFC 8259, and what Python's `json` takes besides: `NaN`, `Infinity`, lone surrogates), white space and line
    ends in it as it likes. Fields are found by the spellings of the source's key, time and columns. `a.b` is the field of that name or,
    where there is none, the field `b` of the object in the field `a`. Of a field that occurs twice the last one counts.

    A record is read by itself: what is wrong with it is the fault of its own row and of no other. `encoding`: it is not UTF-8. `type`: it
    is no JSON object, is nested deeper than 512, or holds an object, a list or the wrong kind of text where a value belongs. `missing`: it
    is null, or lacks the time, the key or a required column. `time`: its time cannot be read.

    A decoder has no state: calls do not depend on each other and may run on several threads.
    """

    def __init__(self, plan: SourcePlan, *, keyed: bool = True) -> None:
        """keyed: records carry their key (in `key` or `symbol`, where the plan draws it from names of files); else there are no keys."""
        spelt = (plan.time.headers, *((name,) for name in plan.time.rest))
        values: list[tuple[str, tuple[str, ...]]] = list(zip(time_slots(plan), spelt, strict=True))
        if keyed:
            values.append((KEY, plan.key_column or (KEY_FIELD, "symbol")))
        values += [(slot_of(c), (c.name, *(h for h in c.headers if h != c.name))) for c in plan.columns]
        self._plan = plan
        self._slots = {name: slot for slot, (name, _) in enumerate(values)}
        self._wanted = wanted([spellings for _, spellings in values])

    def decode(self, data: bytes | bytearray | memoryview | Bytes, begins: I64, ends: I64) -> Parsed:
        """The rows of n records, in their order; `raw` gives the text of each and keeps `data` alive.

        data: at most 1 GiB; uint8 if an array. begins, ends (n,): places of the records in it, in any order, bytes between them are
        not looked at; negative where a record is null (a tombstone of Kafka). Raises ValueError where a record does not lie in `data`.
        """
        buffer: Bytes = np.frombuffer(data, np.uint8)
        buffer.flags.writeable = False  # kernels are compiled anew for another type
        begins, ends = np.ascontiguousarray(begins, np.int64), np.ascontiguousarray(ends, np.int64)
        outside = (begins >= 0) & ((ends < begins) | (ends > len(buffer)))
        if len(begins) != len(ends) or outside.any():
            raise ValueError(f"record {outside.argmax()} does not lie in the buffer of {len(buffer)} bytes")
        if len(buffer) > _LARGEST:
            raise ValueError(f"a buffer of {len(buffer)} bytes is larger than {_LARGEST}")
        n = len(begins)
        value_begins: I32 = np.empty((len(self._slots), n), np.int32)
        value_ends: I32 = np.empty_like(value_begins)
        marks: I8 = np.empty(n, np.int8)
        w = self._wanted
        escaped = scan(buffer, begins, ends, w.text, w.names, w.nodes, w.picks, w.firsts, value_begins, value_ends, marks)
        values = _unescaped(buffer, value_begins, value_ends, marks) if escaped else buffer
        not_utf8 = (marks & NOT_UTF8) != 0
        unreadable = not_utf8 if not_utf8.any() else None
        places = Places(values, value_begins, value_ends, self._slots, np.zeros(n, np.int8), unreadable, json=True)
        parsed = build(places, self._plan, None)
        parsed.faults[((marks & (BROKEN | NESTED)) != 0) & (parsed.faults != _ENCODING)] = _TYPE
        parsed.raw = partial(_texts, buffer, begins, ends)
        parsed.details = partial(_details, places, self._plan, parsed.faults, marks)
        return parsed


def _details(places: Places, plan: SourcePlan, faults: I8, marks: I8, rows: npt.NDArray[np.intp]) -> list[str]:
    words = place_details(places, plan, faults, {}, rows)
    for i, row in enumerate(rows.tolist()):
        if faults[row] == _TYPE and marks[row] & (BROKEN | NESTED):
            words[i] = "no JSON object" if marks[row] & BROKEN else "an object or a list where a value belongs"
    return words


def _texts(data: Bytes, begins: I64, ends: I64, rows: npt.NDArray[np.intp]) -> list[str]:
    """Records as text, bytes that are not UTF-8 as U+FFFD; empty where there is none."""
    return [data[max(begins[i], 0) : max(ends[i], 0)].tobytes().decode("utf-8", "replace") for i in rows]


def _unescaped(data: Bytes, begins: I32, ends: I32, marks: I8) -> Bytes:
    """The bytes, and behind them what values with escapes stand for; their places (w, n) are changed to it."""
    rows = np.flatnonzero(marks & ESCAPES)
    out = np.empty(len(data) + int((ends[:, rows] - begins[:, rows]).sum()), np.uint8)
    out[: len(data)] = data
    _unescape(out, len(data), rows, begins, ends)
    out.flags.writeable = False
    return out


@compiled
def _unescape(data: Bytes, to: int, rows: I64, begins: I32, ends: I32) -> None:
    for i in rows:
        for w in range(len(begins)):
            begin, end = begins[w, i], ends[w, i]
            if begin == end or data[begin - 1] != QUOTE:
                continue
            for at in range(begin, end):
                if data[at] == _BACKSLASH:
                    begins[w, i] = to
                    to = unescape(data, begin, end, HALF, data, to)
                    ends[w, i] = to
                    break
