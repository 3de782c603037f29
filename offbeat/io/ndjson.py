"""NDJSON: one object a line, from files and, as it arrives, from standard input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from offbeat.core.batch import I8, I32
from offbeat.core.compiled import compiled
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.columns import Parsed, Places, build, slot_of
from offbeat.io.csv import BLOCK, line_texts, not_utf8
from offbeat.io.files import ByteStream, InputFile, check_text
from offbeat.io.layout import KEY, TIME
from offbeat.io.tokens import Bytes, line_ends_in

_LONGEST = 16 << 20
_EASY, _HARD, _BROKEN = 0, 1, 2
_TYPE = 4  # place of `type` in FAULTS


@compiled
def _blank(byte: int) -> bool:
    return byte in (32, 9, 13)


@compiled
def _object(data: Bytes, at: int, end: int, names: Bytes, name_ends: I32, name_slots: I32, begins: I32, ends: I32, n: int) -> bool:
    """Find the wanted values of one flat object; False where it takes a whole JSON parser (escapes, nesting, errors)."""
    hint = 0
    count = len(name_slots)
    taken = 0  # bits of the slots that have a value
    while at < end and _blank(data[at]):
        at += 1
    if at >= end or data[at] != 123:
        return False
    at += 1
    while True:
        while at < end and _blank(data[at]):
            at += 1
        if at >= end or data[at] != 34:
            return False
        at += 1
        name = at
        while at < end and data[at] != 34:
            if data[at] == 92:
                return False
            at += 1
        length = at - name
        at += 1
        while at < end and _blank(data[at]):
            at += 1
        if at >= end or data[at] != 58:
            return False
        at += 1
        while at < end and _blank(data[at]):
            at += 1
        if at >= end:
            return False
        if data[at] == 34:
            at += 1
            first = at
            while at < end and data[at] != 34:
                if data[at] == 92 or data[at] < 32:
                    return False
                at += 1
            if at >= end:
                return False
            last = at
            at += 1
        else:
            first = at
            while at < end and data[at] != 44 and data[at] != 125 and not _blank(data[at]):
                if data[at] in (34, 91, 93, 123, 58) or data[at] >= 128:
                    return False
                at += 1
            last = at
            if last - first == 4 and data[first] == 110 and data[first + 1] == 117 and data[first + 2] == 108 and data[first + 3] == 108:
                first = last
            elif not (data[first] == 45 or 48 <= data[first] <= 57):
                word = last - first
                if not (
                    (word == 4 and data[first] == 116 and data[first + 3] == 101)
                    or (word == 5 and data[first] == 102 and data[first + 4] == 101)
                ):
                    return False
        for i in range(count):
            k = (hint + i) % count
            start = name_ends[k - 1] if k else 0
            if name_ends[k] - start != length:
                continue
            same = True
            for j in range(length):
                if names[start + j] != data[name + j]:
                    same = False
                    break
            if same:
                slot = name_slots[k]
                if taken & (1 << slot):
                    return False  # two spellings of one column, or a name twice
                taken |= 1 << slot
                begins[slot, n] = first
                ends[slot, n] = last
                hint = k + 1
                break
        while at < end and _blank(data[at]):
            at += 1
        if at >= end:
            return False
        if data[at] == 125:
            at += 1
            while at < end and _blank(data[at]):
                at += 1
            return at == end
        if data[at] != 44:
            return False
        at += 1


@compiled
def _objects(
    data: Bytes, names: Bytes, name_ends: I32, name_slots: I32, begins: I32, ends: I32, line_begins: I32, line_ends: I32, state: I8
) -> int:
    """Find the lines of `data` and the wanted values of the easy ones; returns the number of lines that are not blank."""
    n = 0
    at = 0
    size = len(data)
    while at < size:
        begin = at
        while at < size and data[at] != 10:
            at += 1
        stop = at
        at += 1
        if stop > begin and data[stop - 1] == 13:
            stop -= 1
        blank = True
        for i in range(begin, stop):
            if not _blank(data[i]):
                blank = False
                break
        if blank:
            continue
        for slot in range(begins.shape[0]):
            begins[slot, n] = 0
            ends[slot, n] = 0
        line_begins[n] = begin
        line_ends[n] = stop
        state[n] = _EASY if _object(data, begin, stop, names, name_ends, name_slots, begins, ends, n) else _HARD
        n += 1
    return n


class NdjsonReader:
    """Reads one NDJSON file, or standard input (`live`: then rows are handed over as they arrive)."""

    layout = None

    def __init__(self, file: InputFile, plan: SourcePlan, block: int = BLOCK) -> None:
        self._file = file
        self._plan = plan
        self._block = block
        self.live = file.path == "-"
        wanted: list[tuple[str, tuple[str, ...]]] = [(TIME, plan.time.headers)]
        if plan.key_column:
            wanted.append((KEY, plan.key_column))
        elif file.key is None:
            # Standard input has no name to draw the key from: then every object carries it.
            wanted.append((KEY, ("key", "symbol")))
        wanted += [(slot_of(c), (c.name, *(h for h in c.headers if h != c.name))) for c in plan.columns]
        fields: dict[tuple[str, ...], int] = {}
        self._slots = {name: fields.setdefault(spellings, len(fields)) for name, spellings in wanted}
        self._fields = list(fields)
        flat = [(s.encode(), slot) for spellings, slot in fields.items() for s in spellings]
        names = [s for s, _ in flat]
        # A name that feeds two columns cannot be told by one slot: those objects take the slow way.
        self._simple = len(set(names)) == len(names) and len(fields) <= 62
        self._names: Bytes = np.frombuffer(b"".join(names) or b"\0", dtype=np.uint8)
        self._name_ends = np.cumsum([len(s) for s in names]).astype(np.int32)
        self._name_slots = np.array([slot for _, slot in flat], dtype=np.int32)

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block after byte `mark`."""
        stream = ByteStream(self._file)
        try:
            if mark:
                stream.skip(mark)
            at = mark
            rest = b""
            while True:
                fresh = stream.read(self._block)
                body = rest + fresh if rest else fresh
                if not body:
                    return
                if at == 0:
                    check_text(self._file, body[: 1 << 16])
                    if body.startswith(b"\xef\xbb\xbf"):
                        body = body[3:]
                        at = 3
                end = body.rfind(b"\n") + 1 if fresh else len(body)
                if end == 0:
                    if len(body) > _LONGEST:
                        raise UserError(f"{self._file.path}: no line end within {_LONGEST >> 20} MiB after byte {at}: is this NDJSON?")
                    rest = body
                    continue
                rest = body[end:]
                at += end
                yield partial(self._parse, body[:end] if rest else body, at, stream.packed_at())
        finally:
            stream.close()

    def _parse(self, body: bytes, mark: int, done: int) -> Parsed:
        data: Bytes = np.frombuffer(body, dtype=np.uint8)
        room = line_ends_in(data) + 1
        begins = np.zeros((len(self._fields), room), dtype=np.int32)
        ends = np.zeros((len(self._fields), room), dtype=np.int32)
        line_begins = np.empty(room, dtype=np.int32)
        line_ends = np.empty(room, dtype=np.int32)
        state = np.empty(room, dtype=np.int8)
        n = _objects(data, self._names, self._name_ends, self._name_slots, begins, ends, line_begins, line_ends, state)
        begins, ends, line_begins, line_ends, state = begins[:, :n], ends[:, :n], line_begins[:n], line_ends[:n], state[:n]
        hard = np.arange(n) if not self._simple else np.flatnonzero(state == _HARD)
        broken = np.zeros(n, dtype=np.bool_)
        if len(hard):
            extra = bytearray()
            for row in hard:
                found = self._slowly(body[line_begins[row] : line_ends[row]])
                broken[row] = found is None
                for slot, value in enumerate(found or [b""] * len(self._fields)):
                    begins[slot, row] = len(body) + len(extra)
                    extra += value
                    ends[slot, row] = len(body) + len(extra)
            data = np.frombuffer(body + bytes(extra), dtype=np.uint8)
        places = Places(data, begins, ends, self._slots, np.zeros(n, dtype=np.int8), not_utf8(body, line_begins))
        frame, keys, time_ns, faults = build(places, self._plan, None)
        faults[broken & (faults != 1)] = _TYPE
        return Parsed(frame, keys, time_ns, faults, partial(line_texts, body, line_begins, line_ends), mark, done)

    def _slowly(self, line: bytes) -> list[bytes] | None:
        """The wanted values of one object as text; None where the line is no object or a wanted value is nested."""
        try:
            # Numbers stay as they are written, so that nothing is rounded twice.
            found: Any = json.loads(line.decode("utf-8", "replace"), parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        values = []
        for spellings in self._fields:
            value = next((found[s] for s in spellings if s in found), None)
            if isinstance(value, dict | list):
                return None
            text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            values.append(text.encode("utf-8", "replace"))
        return values
