"""NDJSON: one object a line, from files and, as it arrives, from standard input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from offbeat.core.batch import I32
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.csv import BLOCK, line_texts, not_utf8
from offbeat.io.read.csv_tokens import Bytes
from offbeat.io.read.files import ByteStream, InputFile, check_text
from offbeat.io.read.layout import KEY, TIME
from offbeat.io.read.parse_columns import Bools, Parsed, Places, build, slot_of
from offbeat.io.write.row_json import KEY_FIELD

_LONGEST = 16 << 20
_TYPE = 4  # place of `type` in FAULTS
_QUOTE, _BACKSLASH, _NULL, _LIST, _OBJECT = b'"\\n[{'


class NdjsonReader:
    """Reads one NDJSON file, or standard input (`live`: then rows are handed over as they arrive)."""

    layout = None
    header = None

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
            wanted.append((KEY, (KEY_FIELD, "symbol")))
        wanted += [(slot_of(c), (c.name, *(h for h in c.headers if h != c.name))) for c in plan.columns]
        self._slots = {name: slot for slot, (name, _) in enumerate(wanted)}
        self._names = list(dict.fromkeys(chain.from_iterable(spellings for _, spellings in wanted)))
        self._spellings = [np.array([self._names.index(s) for s in spellings]) for _, spellings in wanted]
        self._values: Callable[[bytes], tuple[Any, ...] | None] = self._leniently
        joined = "".join(self._names)
        if joined.isprintable() and not {'"', "\\"} & set(joined):  # msgspec refuses other names
            # Values as they are written, so that no number is rounded twice; no bytes where the object lacks the name.
            fields = [(f"f{i}", msgspec.Raw, msgspec.Raw(b"")) for i in range(len(self._names))]
            row = msgspec.defstruct("Row", fields, rename={f"f{i}": name for i, name in enumerate(self._names)}, gc=False)
            self._decode = msgspec.json.Decoder(row).decode
            self._values = self._strictly

    def statistics(self) -> None:
        """Lines have none."""

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
                    self._check_json(body)
                    if body.startswith(b"\xef\xbb\xbf"):
                        body = body[3:]
                        at = 3
                end = body.rfind(b"\n") + 1 if fresh else len(body)
                if end == 0:
                    if len(body) > _LONGEST:
                        raise UserError(f"{self._file.path}: no line end within {_LONGEST >> 20} MiB after byte {at}; is this NDJSON?")
                    rest = body
                    continue
                rest = body[end:]
                at += end
                yield partial(self._parse, body[:end] if rest else body, at, stream.packed_at())
        finally:
            stream.close()

    def _check_json(self, body: bytes) -> None:
        """Raise UserError if the first line is one of another kind of file; any other line that is no JSON object goes to quarantine."""
        first = body.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace")
        fields = first.split(self._plan.separator)
        name = "standard input" if self.live else self._file.path
        if self._plan.format == "databento" and '"hd":{' in first.replace(" ", ""):
            raise UserError(f"{name}: Databento's JSON (with fields nested under `hd`) cannot be read; fetch DBN or CSV")
        if first[:1] not in "{[" and len(fields) > 1 and {field.strip(' "\r') for field in fields} & set(self._plan.time.headers):
            raise UserError(f"{name}: expected JSON lines, but this begins with a CSV header; name a .csv file, or send JSON lines")

    def _parse(self, body: bytes, mark: int, done: int) -> Parsed:
        lines = body.removesuffix(b"\n").split(b"\n")
        if any(odd in body for odd in (b"\r", b" \n", b"\t\n")) or not all(lines) or not lines[-1].strip(b" \t"):
            lines = [line for ended in lines if (line := ended.removesuffix(b"\r")).strip(b" \t\r")]
        n = len(lines)
        body = b"\n".join(lines)
        sizes = np.fromiter(map(len, lines), np.int32, n)
        line_ends = np.cumsum(sizes + 1, dtype=np.int32) - 1
        line_begins = line_ends - sizes
        values, broken = self._read(lines)
        data, begins, ends, nested = self._places(values, n)
        places = Places(data, begins, ends, self._slots, np.zeros(n, dtype=np.int8), not_utf8(body, line_begins))
        frame, keys, time_ns, faults = build(places, self._plan, None)
        faults[(broken | nested) & (faults != 1)] = _TYPE
        return Parsed(frame, keys, time_ns, faults, partial(line_texts, body, line_begins, line_ends), mark, done)

    def _read(self, lines: list[bytes]) -> tuple[list[Any], Bools]:
        """The values of all lines, row by row, and which lines are no object."""
        broken = np.zeros(len(lines), dtype=np.bool_)
        if self._values == self._strictly:
            try:
                return list(chain.from_iterable(map(msgspec.structs.astuple, map(self._decode, lines)))), broken
            except (msgspec.DecodeError, RecursionError):
                pass  # some line is odd: then one by one
        lacking = (b"",) * len(self._names)
        values: list[Any] = []
        for row, line in enumerate(lines):
            found = self._values(line)
            broken[row] = found is None
            values += found or lacking
        return values, broken

    def _strictly(self, line: bytes) -> tuple[Any, ...] | None:
        """The value of each name as JSON, empty where the object lacks it; None where the line is no object."""
        try:
            return msgspec.structs.astuple(self._decode(line))
        except (msgspec.DecodeError, RecursionError):
            return self._leniently(line)

    def _leniently(self, line: bytes) -> tuple[Any, ...] | None:
        """The same by Python's own parser, which also takes NaN, Infinity and halves of surrogate pairs."""
        try:
            found = json.loads(line.decode("utf-8", "replace"), parse_float=str, parse_int=str, parse_constant=str)
            return tuple(json.dumps(found[s]).encode() if s in found else b"" for s in self._names) if isinstance(found, dict) else None
        except (ValueError, RecursionError):
            return None

    def _places(self, values: list[Any], n: int) -> tuple[Bytes, I32, I32, Bools]:
        """From the JSON of n rows' values, row by row, to the places of their texts; and the rows with a nested value, left empty."""
        joined = b"".join(values) + b" "
        data: Bytes = np.frombuffer(joined, dtype=np.uint8)
        sizes = np.fromiter(map(len, values), np.int32, len(values)).reshape(n, len(self._names))
        stops = np.cumsum(sizes, dtype=np.int32).reshape(sizes.shape)
        # The first spelling that the object has.
        picked = np.array([spelt[(sizes[:, spelt] > 0).argmax(axis=1)] for spelt in self._spellings], dtype=np.intp)
        ends: I32 = stops[np.arange(n), picked]
        begins: I32 = ends - sizes[np.arange(n), picked]
        first = np.where(ends > begins, data[begins], 0)
        nested = ((first == _LIST) | (first == _OBJECT)).any(axis=0)
        quoted = (first == _QUOTE) & ~nested
        begins += quoted
        ends -= quoted
        ends = np.where((first == _NULL) | nested, begins, ends)
        if b"\\" in joined:
            slashes = np.flatnonzero(data == _BACKSLASH)
            extra = bytearray(joined)
            for at in zip(*np.nonzero(np.searchsorted(slashes, begins) < np.searchsorted(slashes, ends)), strict=True):
                text = json.loads(joined[begins[at] - 1 : ends[at] + 1].decode("utf-8", "replace"))
                begins[at] = len(extra)
                extra += text.encode("utf-8", "replace")
                ends[at] = len(extra)
            data = np.frombuffer(bytes(extra), dtype=np.uint8)
        return data, begins, ends, nested
