"""Databento's binary files (DBN): trades, many records at a time.

The records of one schema have one size, so a block of them is a NumPy array as it stands. databento-dbn reads what is rare: the metadata
and, in files recorded live, the messages that say which symbol a number stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol

import databento_dbn
import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.databento import PRICE_DIGITS, TRADE_FIELDS, UNDEF_PRICE, counted_prices
from offbeat.io.read.dbn_symbols import Symbols
from offbeat.io.read.files import ByteStream, InputFile
from offbeat.io.read.job_symbols import read_symbology, symbology_beside
from offbeat.io.read.layout import lay_out
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.parse_table import check_types, parse_table
from offbeat.io.write.row_json import decimal_numbers, epoch_ns, iso_times, json_rows

BLOCK = 4 << 20
"""Bytes of a block."""

_MAGIC = b"DBN"
_PREFIX = 8
"""Bytes before the metadata: magic, version, length."""
_UNIT = 4
"""A record says its length in units of so many bytes."""
_HEADER = 16
_SYMBOL_MAPPING = 0x16
_KINDS: dict[str, int] = {"trades": 0x00, "tbbo": 0x01, "mbp-1": 0x01}
"""Schemas whose records are those of trades, perhaps with more behind, and the type of their records."""
_NO_ROWS = frozenset({0x15, 0x17})
"""Messages of the gateway: errors, heartbeats."""
_LONGEST_METADATA = 256 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"

_FIELDS = [
    ("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"), ("ts_event", "<u8"), ("price", "<i8"),
    ("size", "<u4"), ("action", "u1"), ("side", "u1"), ("flags", "u1"), ("depth", "u1"), ("ts_recv", "<u8"), ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]  # fmt: skip
_LEVEL = [("level", "V32")]
"""What follows in the schemas `tbbo` and `mbp-1`: the best bid and ask."""
_SENT = [("ts_out", "<u8")]
"""What follows in records as the live gateway sends them where asked to: the time of sending."""
_LETTERS = pl.Series([None, *(chr(code) for code in range(1, 256))], dtype=pl.String)

Records = npt.NDArray[np.void]


class DbnReader:
    """Reads one DBN file of trades; `Parsed.mark` is an offset in its unpacked bytes."""

    header = None

    def __init__(self, file: InputFile, plan: SourcePlan, block: int = BLOCK) -> None:
        """Reads the metadata only. Raises UserError if the file is no DBN, is one of another schema, or lacks a column of the plan."""
        self._file, self._block = file, block
        stream = ByteStream(file)
        try:
            metadata = self._metadata(stream)
        finally:
            stream.close()
        schema = "trades" if metadata.schema is None else str(metadata.schema)
        if schema not in _KINDS:
            raise UserError(f"{file.path}: this is DBN of schema {schema}, but only {', '.join(_KINDS)} can be read; fetch schema trades")
        self._symbols = Symbols.of(metadata)
        if not self._symbols and (beside := symbology_beside(file.path)) is not None:
            self._symbols = read_symbology(beside)
        self._kind = _KINDS[schema]
        self._sent = bool(metadata.ts_out)
        self._record = _record(self._kind, sent=self._sent)
        self.layout = lay_out(file.path, TRADE_FIELDS, plan)
        self._plan = replace(counted_prices(file.path, plan), time=replace(plan.time, format="ns"))
        self._names = tuple(TRADE_FIELDS[i] for i in self.layout.wanted)
        # Times that are no event time, in Databento's own spelling where a column asks for text.
        texts = {TRADE_FIELDS[place] for column, place in zip(plan.columns, self.layout.columns, strict=True) if column.kind == "text"}
        self._spelt = tuple(name for name in ("ts_recv", "ts_event") if name in texts and TRADE_FIELDS[self.layout.time] != name)
        check_types(file.path, dict(self._shown(np.empty(0, self._record), self._symbols).schema), self.layout, self._plan)

    def _metadata(self, stream: ByteStream) -> databento_dbn.Metadata:
        path = self._file.path
        prefix = _exactly(stream, _PREFIX)
        if prefix.startswith(_ZSTD):
            raise UserError(f"{path}: this is compressed with zstd; rename it to .dbn.zst")
        if not prefix.startswith(_MAGIC[: len(prefix)]):
            raise UserError(f"{path}: this is not DBN (it does not begin with DBN); rename the file after its format")
        if len(prefix) < _PREFIX:
            raise UserError(f"{path}: {'cut off in its metadata' if prefix else 'the file is empty'}; fetch it again")
        self._version = prefix[3]
        length = int.from_bytes(prefix[4:], "little")
        self._first = _PREFIX + length
        body = _exactly(stream, min(length, _LONGEST_METADATA))
        if len(body) < length:
            raise UserError(f"{path}: cut off in its metadata; fetch it again")
        try:
            return databento_dbn.Metadata.decode(prefix + body)
        except (databento_dbn.DBNError, ValueError) as error:
            raise UserError(f"{path}: cannot read its DBN metadata ({str(error).splitlines()[0]})") from error

    def statistics(self) -> None:
        """The metadata has only the times that were asked for: the rows must be read."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block of trades after byte `mark` (0: from the beginning)."""
        stream = ByteStream(self._file)
        try:
            stream.skip(self._first)
            at, rest, symbols = self._first, b"", self._symbols.as_of_now()
            while True:
                # What lies before the mark is looked through, too: it may say what numbers after it stand for.
                before = mark - at - len(rest)
                fresh = stream.read(min(self._block, before) if before > 0 else self._block)
                rest += fresh
                if not fresh:
                    if rest:
                        raise UserError(f"{self._file.path}: cut off in the record at byte {at}; fetch the file again")
                    return
                for records, end in self._segments(rest, at, symbols):
                    if len(records) and at + end > mark:
                        yield partial(self._parse, records, symbols.as_of_now(), at + end, stream.packed_at())
                at, rest = at + end, rest[end:]
        finally:
            stream.close()

    def _segments(self, body: bytes, at: int, symbols: Symbols) -> Iterator[tuple[Records, int]]:
        """Trades with what is known of symbols there, and where in `body` they end; the last end is that of the last whole record.

        `at`: place of `body` in the file.
        """
        size = self._record.itemsize
        whole: Records = np.frombuffer(body, self._record, len(body) // size)
        if bool(((whole["length"] == size // _UNIT) & (whole["rtype"] == self._kind)).all()):
            yield whole, len(whole) * size
            return
        trades: list[bytes] = []
        here = 0
        while here + 2 <= len(body):
            length, kind = body[here] * _UNIT, body[here + 1]
            if length < _HEADER or (kind == self._kind and length != size):
                raise UserError(f"{self._file.path}: corrupt at byte {at + here} (a record of {length} bytes); fetch the file again")
            if here + length > len(body):
                break
            record = body[here : here + length]
            if kind == self._kind:
                trades.append(record)
            elif kind == _SYMBOL_MAPPING:
                if trades:
                    yield self._joined(trades), here
                    trades = []
                symbols.learn(self._message(record))
            elif kind not in _NO_ROWS:
                what = kind_of(kind)
                raise UserError(f"{self._file.path}: holds records that are not trades ({what}, byte {at + here}); save only trades")
            here += length
        yield self._joined(trades), here

    def _joined(self, trades: list[bytes]) -> Records:
        return np.frombuffer(b"".join(trades), self._record)

    def _message(self, record: bytes) -> databento_dbn.SymbolMappingMsg:
        decoder = databento_dbn.DBNDecoder(has_metadata=False, ts_out=self._sent, input_version=self._version)
        decoder.write(record)
        (message,) = decoder.decode()
        if not isinstance(message, databento_dbn.SymbolMappingMsg):
            raise TypeError("a symbol mapping of an older version is upgraded")
        return message

    def _shown(self, records: Records, symbols: Symbols) -> pl.DataFrame:
        frame = _frame(records, self._names, symbols)
        return frame.with_columns(iso_times(name, epoch_ns(records[name])) for name in self._spelt) if self._spelt else frame

    def _parse(self, records: Records, symbols: Symbols, mark: int, done: int) -> Parsed:
        parsed = parse_table(self._shown(records, symbols), self.layout, self._plan, mark, done)
        parsed.raw = partial(records_as_json, records, symbols)
        return parsed


def _record(kind: int, *, sent: bool) -> np.dtype[np.void]:
    return np.dtype([*_FIELDS, *(_LEVEL if kind else []), *(_SENT if sent else [])])


def record_types() -> dict[tuple[int, int], np.dtype[np.void]]:
    """By type and size in bytes: the forms that a record of a trade has."""
    forms = [(kind, _record(kind, sent=sent)) for kind in set(_KINDS.values()) for sent in (False, True)]
    return {(kind, form.itemsize): form for kind, form in forms}


class Named(Protocol):
    """What says which symbols numbers stand for."""

    def names(self, numbers: npt.NDArray[np.uint32], received: npt.NDArray[np.uint64]) -> pl.Series:
        """(n,) symbols of numbers in records received at these ns UTC; null where nobody knows."""


def _exactly(stream: ByteStream, size: int) -> bytes:
    """The next `size` bytes, fewer at the end."""
    parts = b""
    while len(parts) < size and (more := stream.read(size - len(parts))):
        parts += more
    return parts


def kind_of(number: int) -> str:
    """What records of a type are called."""
    try:
        return str(databento_dbn.RType.from_int(number).name).lower().replace("_", "-")
    except (ValueError, databento_dbn.DBNError):
        return f"type {number}"


def _frame(records: Records, names: tuple[str, ...], symbols: Named) -> pl.DataFrame:
    """Fields of n records as columns: numbers as they are counted in the file, letters and symbols as texts."""
    columns: list[pl.Series] = []
    for name in names:
        if name == "symbol":
            columns.append(symbols.names(records["instrument_id"], records["ts_recv"]))
        elif name in ("action", "side"):
            columns.append(_LETTERS.gather(records[name].astype(np.uint32)).alias(name))
        else:
            columns.append(pl.Series(name, np.ascontiguousarray(records[name])))
    return pl.DataFrame(columns)


def records_as_json(records: Records, symbols: Named, rows: npt.NDArray[np.intp]) -> list[str]:
    """All fields of these rows, spelt so that they can be read again as JSON lines."""
    chosen = records[rows]
    frame = _frame(chosen, TRADE_FIELDS, symbols)
    prices = frame["price"].set(frame["price"] == UNDEF_PRICE, None)
    times = [iso_times(name, epoch_ns(chosen[name])) for name in ("ts_recv", "ts_event")]
    return json_rows(frame.with_columns(decimal_numbers(prices, PRICE_DIGITS), *times))
