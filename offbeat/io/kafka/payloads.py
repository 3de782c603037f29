"""From polled messages to rows: the records of each partition, decoded in one call a poll."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from confluent_kafka import Message

from offbeat.core.batch import I64
from offbeat.core.chunk import FAULTS, Chunk
from offbeat.core.plan import SourcePlan
from offbeat.io.kafka.arrow_rows import ArrowReader
from offbeat.io.kafka.json_texts import PUNCTUATION, PUNCTUATION_HEAD, JsonTexts
from offbeat.io.read.decoder import Decoder
from offbeat.io.read.epoch import ANY_UNIT, EPOCH_DIGITS
from offbeat.io.read.parse_columns import Parsed
from offbeat.spec.duration import instant_ns

if TYPE_CHECKING:
    from offbeat.io.kafka.avro import AvroReader
    from offbeat.io.kafka.dbn_rows import DbnRows
    from offbeat.io.kafka.schemas import Schemas

_TYPE = FAULTS.index("type")


def punctuation(time_text: str) -> bytes:
    """The record that says so. `time_text`: RFC 3339."""
    return json.dumps({PUNCTUATION: time_text}).encode()


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one partition, in the order of their offsets; n of them."""

    partition: int
    messages: Sequence[Message]
    offsets: I64
    """(n,) which may leave some out: a topic with transactions has records that are nobody's."""
    parsed: Parsed
    """Of all partitions of the poll; these records are those from `begin` on."""
    begin: int
    passed: Sequence[tuple[int, int]]
    """Punctuations: which record, and its time."""

    def __len__(self) -> int:
        return len(self.offsets)

    def pieces(self, boundaries: Sequence[int]) -> Iterator[tuple[int, int, int | None]]:
        """Stretches of rows that can be fed together, as `low`, `high`, and the time of a punctuation right behind them. None spans one of
        the offsets `boundaries`, which rise.
        """
        edges = np.searchsorted(self.offsets, np.array(boundaries, np.int64)).tolist()
        low = 0
        for at, time_ns in [*self.passed, (len(self), None)]:
            for edge in edges:
                if low < edge < at:
                    yield low, edge, None
                    low = edge
            yield low, at, time_ns
            low = at + 1

    def chunk(self, low: int, high: int, file: int) -> Chunk:
        """The records `low` to `high` as rows of a file whose row numbers are offsets."""
        p, begin, n = self.parsed, self.begin + low, high - low

        def raw(inner: npt.NDArray[np.intp]) -> list[str]:
            return p.raw(inner + begin)

        def details(inner: npt.NDArray[np.intp]) -> list[str]:
            return p.details(inner + begin)

        return Chunk(
            frame=p.frame.slice(begin, n),
            key=None,
            keys=None if p.keys is None else p.keys.slice(begin, n),
            time_ns=p.time_ns[begin : begin + n],
            faults=p.faults[begin : begin + n],
            file=file,
            first_row=int(self.offsets[low]) if n else 0,
            rows=self.offsets[low:high],
            files=None,
            raw=raw,
            details=details,
            position={},
        )

    def later(self, low: int, high: int) -> I64 | None:
        """Of the rows `low` to `high` whose times come twice the later instants, see `Times.later`; None where none of the poll does."""
        return None if self.parsed.later is None else self.parsed.later[self.begin + low : self.begin + high]

    def message(self, offset: int) -> Message | None:
        """The record at an offset; None where it is not among these."""
        at = int(np.searchsorted(self.offsets, offset))
        return self.messages[at] if at < len(self) and self.offsets[at] == offset else None

    def keys(self, which: Sequence[int]) -> list[tuple[bytes | None, str | None]]:
        """Of some records, the record's own key and the key that its row has; rows that could not be read have None."""
        own = self.parsed.keys
        texts: list[Any] = [None] * len(which) if own is None else own.gather([self.begin + i for i in which]).cast(pl.String).to_list()
        return [(self.messages[i].key(), text) for i, text in zip(which, texts, strict=True)]


class Payloads:
    """Reads the values of messages as rows of one source. payload: `json`, `avro`, `arrow` or `dbn`. schemas: of Avro."""

    def __init__(self, plan: SourcePlan, payload: str = "json", schemas: Schemas | None = None) -> None:
        self._decoder = Decoder(plan)
        self._reader: AvroReader | ArrowReader | None = None
        epoch = plan.time.format in EPOCH_DIGITS or plan.time.format == ANY_UNIT
        if payload == "avro" and schemas is not None:
            from offbeat.io.kafka.avro import AvroReader  # noqa: PLC0415 - it costs the start of every worker on JSON

            self._reader = AvroReader(schemas, epoch=epoch)
        elif payload == "arrow":
            self._reader = ArrowReader(epoch=epoch)
        self._dbn: DbnRows | None = None
        if payload == "dbn":
            from offbeat.io.kafka.dbn_rows import DbnRows  # noqa: PLC0415 - likewise

            self._dbn = DbnRows()

    def read(self, by_partition: dict[int, list[Message]]) -> list[Records]:
        """The records of a poll, by partition in the order of their offsets."""
        flat = [message for messages in by_partition.values() for message in messages]
        values = [message.value() for message in flat]
        if self._dbn is not None:
            texts = self._dbn.read(values, [message.key() for message in flat])
        else:
            texts = JsonTexts.of(values).unframed() if self._reader is None else self._reader.read(values)
        parsed = self._decoder.decode(texts.data, texts.begins, texts.ends)
        if texts.why:
            _give_reasons(parsed, texts.why)
        odd = np.flatnonzero(parsed.faults)
        passed = {int(i): time_ns for i in odd.tolist() if (time_ns := punctuated_ns(values[i])) is not None}
        out, begin = [], 0
        for partition, messages in by_partition.items():
            n = len(messages)
            offsets = np.fromiter((message.offset() for message in messages), np.int64, n)
            here = [(i - begin, time_ns) for i, time_ns in passed.items() if begin <= i < begin + n]
            out.append(Records(partition, messages, offsets, parsed, begin, here))
            begin += n
        return out


def _give_reasons(parsed: Parsed, why: Mapping[int, str]) -> None:
    """Say of rows that could not be decoded why that is so."""
    parsed.faults[list(why)] = _TYPE
    details = parsed.details

    def told(rows: npt.NDArray[np.intp]) -> list[str]:
        return [why.get(int(row), words) for row, words in zip(rows, details(rows), strict=True)]

    parsed.details = told


def punctuated_ns(value: bytes | None) -> int | None:
    """The time of a punctuation; None for whatever else."""
    if value is None or not value.startswith(PUNCTUATION_HEAD):
        return None
    try:
        record = json.loads(value)
    except (ValueError, RecursionError):
        return None
    time = record.get(PUNCTUATION) if len(record) == 1 else None
    try:
        return instant_ns(time) if isinstance(time, str) else None
    except ValueError:
        return None
