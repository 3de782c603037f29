"""JSON records read one by one by msgspec and Python's own parser: what the compiled decoder must give, and nothing of its scan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import polars as pl

from offbeat.core.chunk import FAULTS
from offbeat.core.plan import SourcePlan
from offbeat.io.read.layout import KEY, TIME
from offbeat.io.read.parse_columns import Places, build, slot_of

Rows = tuple[pl.DataFrame, list[str] | None, list[int], list[str], list[str]]
"""Frame, keys, times, names of faults, texts."""


def _found(record: dict[str, Any], spelling: str) -> Any:
    """The value of `a.b`, or of `b` inside `a`; KeyError where there is neither."""
    if spelling in record:
        return record[spelling]
    *outer, last = spelling.split(".")
    for name in outer:
        record = record[name]
        if not isinstance(record, dict):
            raise KeyError(name)
    return record[last]


class Reference:
    """The reader of JSON lines that offbeat had before its decoder, over records instead of lines, and with paths."""

    def __init__(self, plan: SourcePlan, *, keyed: bool) -> None:
        self._plan = plan
        wanted: list[tuple[str, tuple[str, ...]]] = [(TIME, plan.time.headers)]
        if keyed:
            wanted.append((KEY, plan.key_column or ("key", "symbol")))
        wanted += [(slot_of(c), (c.name, *(h for h in c.headers if h != c.name))) for c in plan.columns]
        self._slots = {name: slot for slot, (name, _) in enumerate(wanted)}
        self._names = list(dict.fromkeys(chain.from_iterable(spellings for _, spellings in wanted)))
        self._spellings = [[self._names.index(s) for s in spellings] for _, spellings in wanted]
        joined = "".join(self._names)
        self._decode = None
        if joined.isprintable() and not {'"', "\\", "."} & set(joined):
            fields = [(f"f{i}", msgspec.Raw, msgspec.Raw(b"")) for i in range(len(self._names))]
            row = msgspec.defstruct("Row", fields, rename={f"f{i}": name for i, name in enumerate(self._names)}, gc=False)
            self._decode = msgspec.json.Decoder(row).decode

    def rows(self, records: Sequence[bytes | None]) -> Rows:
        n = len(records)
        read = [self._values(record) if record is not None else [b""] * len(self._names) for record in records]
        broken = np.array([values is None for values in read], np.bool_)
        data = bytearray(b" ")
        begins, ends = np.zeros((len(self._slots), n), np.int32), np.zeros((len(self._slots), n), np.int32)
        nested = np.zeros(n, np.bool_)
        for row, values in enumerate(read):
            for slot, spelt in enumerate(self._spellings):
                written = next((values[i] for i in spelt if values[i]), b"") if values is not None else b""
                if written[:1] in (b"{", b"["):
                    nested[row] = True
                    continue
                if written[:1] == b'"':
                    written = json.loads(written.decode("utf-8", "replace")).encode("utf-8", "replace")
                elif written == b"null":
                    written = b""
                begins[slot, row] = len(data)
                data += written
                ends[slot, row] = len(data)
        not_utf8 = np.array([record is not None and not _is_utf8(record) for record in records], np.bool_)
        places = Places(np.frombuffer(bytes(data), np.uint8), begins, ends, self._slots, np.zeros(n, np.int8), not_utf8)
        parsed = build(places, self._plan, None)
        frame, keys, time_ns, faults = parsed.frame, parsed.keys, parsed.time_ns, parsed.faults
        faults[(broken | nested) & (faults != FAULTS.index("encoding"))] = FAULTS.index("type")
        texts = ["" if record is None else record.decode("utf-8", "replace") for record in records]
        return frame, None if keys is None else keys.to_list(), time_ns.tolist(), [FAULTS[code] for code in faults], texts

    def _values(self, record: bytes) -> list[bytes] | None:
        """The value of each name as JSON, empty where the object lacks it; None where the record is no object."""
        if self._decode is not None:
            try:
                return [bytes(value) for value in msgspec.structs.astuple(self._decode(record))]
            except msgspec.DecodeError:
                pass
        try:
            found = json.loads(record.decode("utf-8", "replace"), parse_float=str, parse_int=str, parse_constant=str)
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        values = []
        for name in self._names:
            try:
                values.append(json.dumps(_found(found, name)).encode())
            except KeyError:
                values.append(b"")
        return values


def _is_utf8(record: bytes) -> bool:
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True
