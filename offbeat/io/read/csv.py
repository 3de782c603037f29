"""CSV files in blocks: memory does not grow with the file, and every row keeps its own line."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import I32
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.csv_tokens import RAGGED, UNCLOSED, Bytes, line_ends_in, tokenise, whole_records
from offbeat.io.read.fault_details import place_details
from offbeat.io.read.files import ByteStream, InputFile, check_text
from offbeat.io.read.layout import KEY, TIME, Layout, lay_out
from offbeat.io.read.parse_columns import Parsed, Places, build, slot_of, time_slots
from offbeat.io.read.plain_csv import parse_plain, plain_head

BLOCK = 4 << 20
"""Bytes of a block: its tokens and columns stay near the processor's cache."""

_LONGEST = 16 << 20
_BOM = codecs.BOM_UTF8


def wanted_fields(layout: Layout, plan: SourcePlan) -> tuple[dict[str, int], dict[int, int]]:
    """Slot of each name that the file has, and slot of each field that somebody needs (two names may share a field)."""
    times = dict(zip(time_slots(plan), (layout.time, *layout.time_rest), strict=True))
    places = times | {KEY: layout.key} | {slot_of(c): f for c, f in zip(plan.columns, layout.columns, strict=True)}
    of_field: dict[int, int] = {}
    names = {name: of_field.setdefault(field, len(of_field)) for name, field in places.items() if field >= 0}
    return names, of_field


def not_utf8(body: bytes, line_begins: I32) -> npt.NDArray[np.bool_] | None:
    """Which lines have bytes that are no text, not UTF-8 or NUL; None when all is well."""
    bad: npt.NDArray[np.bool_] | None = None
    if b"\0" in body:
        nuls = np.flatnonzero(np.frombuffer(body, np.uint8) == 0)
        bad = np.zeros(len(line_begins), dtype=np.bool_)
        bad[np.maximum(np.searchsorted(line_begins, nuls, side="right") - 1, 0)] = True
    if body.isascii():
        return bad
    view = memoryview(body)
    at = 0
    while at < len(body):
        try:
            codecs.utf_8_decode(view[at:], "strict", True)
            break
        except UnicodeDecodeError as error:
            if bad is None:
                bad = np.zeros(len(line_begins), dtype=np.bool_)
            line = int(np.searchsorted(line_begins, at + error.start, side="right")) - 1
            if line >= 0:
                bad[line] = True
            if line + 1 >= len(line_begins):
                break
            at = int(line_begins[line + 1])
    return bad


def line_texts(body: bytes, begins: I32, ends: I32, rows: npt.NDArray[np.intp]) -> list[str]:
    """Lines as text; bytes that are not UTF-8 as U+FFFD."""
    return [body[begins[i] : ends[i]].decode("utf-8", "replace") for i in rows]


class CsvReader:
    """Reads one CSV file. `block` is how many bytes are parsed at a time: any size gives the same rows."""

    def __init__(self, file: InputFile, plan: SourcePlan, block: int = BLOCK) -> None:
        """Reads the header only. Raises UserError if the file cannot be read or lacks a column."""
        if len(plan.separator.encode()) != 1:
            raise UserError(f"separator {plan.separator!r} must be one ASCII character")
        self._file = file
        self._plan = plan
        self._block = block
        self._separator = ord(plan.separator)
        self.layout: Layout | None = None
        """None: the file is empty."""
        self.header: str | None = None
        """The line of column names as it stands in the file."""
        stream = ByteStream(file)
        try:
            self._header(stream)
        finally:
            stream.close()

    def statistics(self) -> None:
        """A text file has none."""

    def _header(self, stream: ByteStream) -> None:
        head = stream.read(1 << 16)
        offset = len(_BOM) if head.startswith(_BOM) else 0
        fields = list(self._plan.names)
        if self._plan.header:
            line = b""
            while not line.strip():
                while (end := head.find(b"\n", offset)) < 0 and (more := stream.read(1 << 16)):
                    head += more
                    if len(head) > _LONGEST:
                        raise UserError(f"{self._file.path}: no line end in the first {_LONGEST >> 20} MiB; is this a CSV file?")
                if end < 0 and not head[offset:].strip():
                    return
                line, offset = (head[offset:end], end + 1) if end >= 0 else (head[offset:], len(head))
            if b"\r" in line.rstrip(b"\r"):
                raise UserError(f"{self._file.path}: lines end with a bare carriage return; convert the line ends first (mac2unix)")
            check_text(self._file, line)
            try:
                self.header = line.decode().rstrip("\r")
                fields = self._split(self.header)
            except UnicodeDecodeError as error:
                raise UserError(f"{self._file.path}: the header is not UTF-8; save the file as UTF-8") from error
            except csv.Error as error:
                raise UserError(f"{self._file.path}: its first line is no header ({error}); is this a CSV file?") from error
            if fields[:1] == ["Price"]:
                offset += self._third_line(head[offset:], fields)
        elif not head:
            return
        self._first = offset
        self.layout = lay_out(self._file.path, fields, self._plan)
        self._slots, of_field = wanted_fields(self.layout, self._plan)
        field_of = {slot: field for field, slot in of_field.items()}
        self._fields = {name: field_of[slot] for name, slot in self._slots.items()}
        self._names = {name: fields[field] for name, field in self._fields.items()}
        self._wanted = np.full(len(fields), -1, dtype=np.int32)
        for field, slot in of_field.items():
            self._wanted[field] = slot
        self._width = len(of_field)
        self._head = plain_head(len(fields), self._plan.separator)

    def _split(self, line: str) -> list[str]:
        return [name.strip() for name in next(csv.reader([line], delimiter=self._plan.separator), [])]

    def _third_line(self, body: bytes, fields: list[str]) -> int:
        """Of yfinance's header of three lines (`Price,Close,…`, `Ticker,X,…`, `Date,,…`) the bytes of the last two; 0 for any other.

        The name on the third line goes to the first of `fields`.
        """
        lines = body.split(b"\n", 2)
        if len(lines) < 3 or not lines[0].startswith(b"Ticker"):
            return 0
        name, *rest = self._split(lines[1].decode("utf-8", "replace").rstrip("\r"))
        if any(rest) or name.casefold() not in {spelling.casefold() for spelling in self._plan.time.headers}:
            return 0
        fields[0] = name
        self.header = self._plan.separator.join(fields)
        return len(lines[0]) + len(lines[1]) + 2

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block after `mark` (0: all): calls are independent of each other and may run on threads."""
        if self.layout is None:
            return
        stream = ByteStream(self._file)
        try:
            at = max(mark, self._first)
            stream.skip(at)
            rest = b""
            while True:
                fresh = stream.read(self._block)
                if not rest and not fresh:
                    return
                block, rest = self._cut(rest, fresh)
                if len(rest) > _LONGEST:
                    raise UserError(f"{self._file.path}: no line end within {_LONGEST >> 20} MiB after byte {at}; is this a CSV file?")
                if block:
                    at += len(block) - len(self._head)
                    yield partial(self._parse, block, at, stream.packed_at())
        finally:
            stream.close()

    def _cut(self, rest: bytes, fresh: bytes) -> tuple[bytes, bytes]:
        """Whole lines behind the head that the quick way needs, copied once; and what is left. No line: nothing, and all."""
        if not fresh:
            return self._head + rest, b""
        if b'"' in rest or b'"' in fresh:
            rest, fresh = b"", rest + fresh
            end = int(whole_records(np.frombuffer(fresh, dtype=np.uint8), self._separator))
        else:
            end = fresh.rfind(b"\n") + 1
        if end == 0:
            return b"", rest + fresh
        return b"".join((self._head, rest, memoryview(fresh)[:end])), fresh[end:]

    def _parse(self, block: bytes, mark: int, done: int) -> Parsed:
        plain = parse_plain(block, len(self._wanted), self._fields, self._names[TIME], self._plan, mark, done)
        return plain if plain is not None else self._parse_with_care(block[len(self._head) :], mark, done)

    def _parse_with_care(self, body: bytes, mark: int, done: int) -> Parsed:
        data: Bytes = np.frombuffer(body, dtype=np.uint8)
        room = line_ends_in(data) + 1
        begins = np.empty((self._width, room), dtype=np.int32)
        ends = np.empty((self._width, room), dtype=np.int32)
        line_begins = np.empty(room, dtype=np.int32)
        line_ends = np.empty(room, dtype=np.int32)
        marks = np.empty(room, dtype=np.int8)
        n = tokenise(data, self._separator, self._wanted, len(self._wanted), begins, ends, line_begins, line_ends, marks)
        line_begins, line_ends, marks = line_begins[:n], line_ends[:n], marks[:n]
        places = Places(data, begins[:, :n], ends[:, :n], self._slots, marks, not_utf8(body, line_begins))
        parsed = build(places, self._plan, (marks & (RAGGED | UNCLOSED)) != 0)
        parsed.raw = partial(line_texts, body, line_begins, line_ends)
        parsed.details = partial(place_details, places, self._plan, parsed.faults, self._names)
        parsed.mark, parsed.done = mark, done
        return parsed
