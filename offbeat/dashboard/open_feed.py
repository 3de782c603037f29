"""A feed for what a person named: a file, a folder, a topic, a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from offbeat.dashboard.alert_buffer import MOST_ALERTS, AlertBuffer
from offbeat.dashboard.desk import StoreRows
from offbeat.dashboard.feeds import Feed, Follower, LinesFile, WholeFiles
from offbeat.errors import UserError
from offbeat.io.address import address_of, shown
from offbeat.io.kafka import KAFKA
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.stores import is_store
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.store.address import store_address

_PATIENCE = 3.0
"""Seconds without an answer after which brokers are called gone."""
_PARQUET = frozenset({".parquet", ".pq"})


def open_feed(uri: str, buffer: AlertBuffer) -> Feed:
    """The feed, not yet started: what is not there yet is waited for. Raises UserError for an address that can never be read."""
    return Feed(shown(uri), _follower(uri), buffer)


def _follower(uri: str) -> Callable[[], Follower]:
    if uri.startswith(KAFKA):
        return lambda: _Topic(uri)
    if is_store(uri):
        store_address(uri)
        return lambda: StoreRows(uri, MOST_ALERTS)
    if address_of(uri) is not None:
        raise UserError(f"{shown(uri)}: a page shows alerts of files, folders, topics and stores; other outputs cannot be read back")
    path = Path(uri.removeprefix("file://"))
    return lambda: WholeFiles(path, _lines) if path.is_dir() or path.suffix.lower() in _PARQUET else LinesFile(path)


def _lines(path: Path) -> Iterator[bytes]:
    yield from json_lines(read_alerts(path).to_arrow()).splitlines()


class _Topic:
    """Alerts in a topic, those that are there and those that come."""

    def __init__(self, uri: str) -> None:
        from offbeat.io.kafka.address import kafka_address  # noqa: PLC0415 - the client is an extra

        self._address = kafka_address(uri)

    def steps(self, buffer: AlertBuffer) -> Iterator[list[str]]:
        """See `Follower`."""
        from offbeat.io.kafka.reading import AlertReader  # noqa: PLC0415 - the client is an extra

        reader = AlertReader(self._address)
        try:
            buffer.clear()
            yield buffer.add(reader.there().splitlines())
            for alerts in reader.follow(_PATIENCE):
                yield buffer.add(json.dumps(alert).encode() for alert in alerts)
        finally:
            reader.close()
