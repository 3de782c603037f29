"""From the name of an output to its sink."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from offbeat.core.chunk import Position
from offbeat.core.extensions import SINKS, installed
from offbeat.errors import UserError
from offbeat.io.address import Address, address_of, opened
from offbeat.io.contract import Opening, Sink
from offbeat.io.kafka import KAFKA
from offbeat.io.kafka.address import kafka_address
from offbeat.io.stores import WRITTEN_AS, is_store, store_class
from offbeat.io.write.alert_table import EMPTY
from offbeat.io.write.jsonl_sink import JsonlSink
from offbeat.io.write.parquet_sink import ParquetSink

SUPPORTED = f"*.jsonl, *.ndjson, *.parquet, {WRITTEN_AS}, {KAFKA}HOST:PORT/TOPIC, or - for JSON lines on standard output"
_JSONL = {".jsonl", ".ndjson"}
_PARQUET = {".parquet", ".pq"}


def open_sink(
    uri: str,
    *,
    position: Position | None = None,
    bounded: bool = True,
    schema: pa.Schema = EMPTY,
    append: bool = False,
    whole: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Sink:
    """The sink that `uri` names: a file, a database, a topic, `-`, or a class of another package by its address (see `address_of`).

    `bounded`: the run goes from the beginning of its input to the end and keeps no state: the output is one file, which appears whole
    at the end. Otherwise (a state directory, a live source) the output grows by commits, and `position` is what the last stored
    `commit()` returned; None where nothing is stored: what a run before left there is then removed. `append`: nothing that is there is
    removed. `whole`: nothing that this run or one before it wrote can lie beyond `position`, so whatever does is refused, not removed.
    `schema` (see `schema_union.plan_schema`) names the columns of all views beforehand, which saves a Parquet file of several views a
    rewriting. `tell` is given a line at once when the output cannot be reached for a while, and when it is back. Raises UserError for an
    output of an unknown kind, one that cannot be written, or one that holds what would be lost.
    """
    if uri.startswith(KAFKA):
        return _of_kafka(uri, position, bounded=bounded)
    if is_store(uri):
        sink: Sink = store_class("sink:StoreSink")(uri, position, bounded=bounded, append=append, tell=tell)
        return sink
    address = address_of(uri)
    if address is not None:
        return _of_others(address, Opening(address.text, position, bounded, schema, append))
    path = local_path(uri) or Path(uri)
    if uri == "-" or path.suffix.lower() in _JSONL:
        return JsonlSink(path, position, bounded=bounded, append=append, whole=whole)
    return ParquetSink(path, position, bounded=bounded, schema=schema, append=append, whole=whole)


def local_path(uri: str) -> Path | None:
    """The file or folder of an output; None for `-`, databases, topics and sinks of other packages.

    Raises UserError for a kind that we cannot write.
    """
    if uri == "-" or uri.startswith(KAFKA) or is_store(uri) or address_of(uri) is not None:
        return None
    path = Path(uri.removeprefix("file://"))
    if path.suffix.lower() not in _JSONL | _PARQUET:
        raise UserError(f"cannot tell the format of {uri!r}; supported are {SUPPORTED}")
    return path


def _of_kafka(uri: str, position: Position | None, *, bounded: bool) -> Sink:
    try:
        from offbeat.io.kafka.sink import KafkaSink  # noqa: PLC0415 - the client is an extra
    except ModuleNotFoundError as error:
        raise UserError("Kafka needs confluent-kafka: pip install 'offbeat[kafka]'") from error
    return KafkaSink(kafka_address(uri), position, bounded=bounded)


def _of_others(address: Address, opening: Opening) -> Sink:
    names = installed(SINKS)
    if ":" not in address.name and address.name not in names:
        others = f"; installed sinks are {', '.join(names)}" if names else ""
        raise UserError(f"cannot write alerts to {address.name}://: there is no such sink here; supported are {SUPPORTED}{others}")
    sink: Sink = opened(SINKS, address, opening)
    return sink
