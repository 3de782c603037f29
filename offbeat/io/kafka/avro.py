"""Avro records as JSON objects, many at a time, so that they are read as any other rows: same paths, types and faults.

Polars decodes them as the one block of an Avro file that is made up around them. A number behind each record tells whether all lie where
they should: if one does not, each is decoded by itself, to find the broken ones.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from datetime import date, datetime
from datetime import time as daytime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from fastavro import parse_schema, schemaless_reader

from offbeat.io.kafka.json_texts import PUNCTUATION_HEAD, JsonTexts, lines_of
from offbeat.io.kafka.schemas import AvroSchema, Schemas

_MAGIC = 0
_FRAME = 5
"""Bytes before a record in Confluent's wire format: a zero, and the schema's id."""
_CHECK = "offbeat_check"
_SYNC = b"offbeat-avro-blk"


class AvroReader:
    """Reads records whose schemas `schemas` knows. epoch: whether the rows' time is a number: a timestamp stays one, then."""

    def __init__(self, schemas: Schemas, *, epoch: bool) -> None:
        self._schemas, self._epoch = schemas, epoch
        self._readers: dict[int | None, _OneSchema] = {}

    def read(self, values: Sequence[bytes | None]) -> JsonTexts:
        """The records as JSON; punctuation is JSON already. Raises UserError where a registry does not answer."""
        by_schema: dict[int | None, list[int]] = {}
        texts: list[bytes | None] = list(values)
        why: dict[int, str] = {}
        for i, value in enumerate(values):
            if value is None or value.startswith(PUNCTUATION_HEAD):
                continue
            if not self._schemas.framed:
                by_schema.setdefault(None, []).append(i)
            elif len(value) < _FRAME or value[0] != _MAGIC:
                why[i] = "this does not begin with the id of a schema"
            else:
                by_schema.setdefault(int.from_bytes(value[1:_FRAME], "big"), []).append(i)
        for number, rows in by_schema.items():
            reader = self._reader(number)
            if isinstance(reader, str):
                why |= dict.fromkeys(rows, reader)
                continue
            skip = 0 if number is None else _FRAME
            decoded, broken = reader.lines([(values[i] or b"")[skip:] for i in rows])
            why |= {rows[at]: words for at, words in broken.items()}
            for i, line in zip((i for at, i in enumerate(rows) if at not in broken), decoded, strict=True):
                texts[i] = line
        return JsonTexts.of(texts, why)

    def _reader(self, number: int | None) -> _OneSchema | str:
        if number not in self._readers:
            schema = self._schemas.of(number)
            if isinstance(schema, str):
                return schema
            self._readers[number] = _OneSchema(_without_instants(schema) if self._epoch else schema)
        return self._readers[number]


class _OneSchema:
    """Decodes records of one schema."""

    def __init__(self, schema: AvroSchema) -> None:
        self._parsed = parse_schema(schema)
        checked = {**schema, "fields": [*schema["fields"], {"name": _CHECK, "type": "double"}]}
        text = json.dumps(checked).encode()
        meta = _zigzag(1) + _text(b"avro.schema") + _text(text) + _zigzag(0)
        self._head = b"Obj\x01" + meta + _SYNC
        self._together = True
        """Whether Polars can read what the schema says."""

    def lines(self, records: Sequence[bytes]) -> tuple[list[bytes], dict[int, str]]:
        """JSON of each record that can be decoded, and why the others cannot."""
        found = self._block(records) if self._together else None
        if found is not None:
            return found, {}
        rows, broken = [], {}
        for at, record in enumerate(records):
            stream = io.BytesIO(record)
            try:
                rows.append((record, schemaless_reader(stream, self._parsed, None)))
                if stream.tell() < len(record):
                    rows.pop()
                    broken[at] = f"{len(record) - stream.tell()} bytes too many for its schema"
            except Exception as error:  # broken bytes make the decoder fail in many ways
                broken[at] = f"not of its schema ({type(error).__name__}: {error})"
        if self._together and broken:
            found = self._block([record for record, _ in rows])
        elif self._together and rows:
            self._together = False
        if found is not None:
            return found, broken
        return [json.dumps(row, default=_plain, ensure_ascii=False).encode("utf-8", "surrogatepass") for _, row in rows], broken

    def _block(self, records: Sequence[bytes]) -> list[bytes] | None:
        """All records, or None where they cannot be decoded together."""
        n = len(records)
        if not n:
            return []
        marks = struct.pack(f"<{n}d", *range(n))
        body = b"".join(part for i, record in enumerate(records) for part in (record, marks[8 * i : 8 * i + 8]))
        try:
            frame = pl.read_avro(io.BytesIO(self._head + _zigzag(n) + _zigzag(len(body)) + body + _SYNC))
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return None
        if len(frame) != n or not (frame[_CHECK].to_numpy() == np.arange(n)).all():
            return None
        return lines_of(frame.drop(_CHECK), n)


def _without_instants(schema: Any) -> Any:
    """The schema with timestamps as the numbers that they are."""
    if isinstance(schema, list):
        return [_without_instants(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    bare = {name: _without_instants(value) for name, value in schema.items() if name in {"type", "items", "values", "fields"}}
    instant = "timestamp" in str(schema.get("logicalType", ""))
    return {name: value for name, value in {**schema, **bare}.items() if not (instant and name == "logicalType")}


def _plain(value: Any) -> Any:
    """A value that JSON lacks."""
    if isinstance(value, (datetime, date, daytime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return None


def _zigzag(number: int) -> bytes:
    """Avro's spelling of a number that is not negative."""
    left, out = number << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _text(data: bytes) -> bytes:
    return _zigzag(len(data)) + data
